from __future__ import annotations

import doctest
from collections.abc import Callable
from dataclasses import astuple, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.errors import AnswerError
from shotcrop_cli.evaluation.detections import Detections, Face, Joint, Keypoint, Landmark, Person, Point
from shotcrop_cli.geometry import to_permille
from shotcrop_cli.model.large.answer import CoordSpace, render
from shotcrop_cli.model.large.prompts import instruction
from shotcrop_cli.shots import FULL_FRAME, SHOT_TYPES, Answer, Box, Composition, Grounding, NoSubject, Reasoning, Shot
from shotcrop_train.data.captions import word_fit
from shotcrop_train.data.contract import TextContract
from shotcrop_train.rewards import terms
from shotcrop_train.rewards.terms import (
    CinemaWeights,
    CropScores,
    Evidence,
    PaperWeights,
    Preset,
    TargetRatios,
    Terms,
    cinema,
    paper,
    ratio_credit,
)

PRESETS = pytest.mark.parametrize("preset", [paper, cinema])
CAPTIONS = ("A wide street with a market", "The woman lifts her red bag", "Her face turns to the sun")
THOUGHT = Reasoning("A street in the sun.", "A woman leads on the left.", "From the street to her face.")
CONTRACT = TextContract(CoordSpace.PERMILLE, think=True, seen=lambda size: size)

GRID = 1024
"""Coordinates are whole parts of a power of two, so that mirroring is exact."""


def triple(boxes: tuple[Box, ...], captions: tuple[str, ...] = CAPTIONS, facing: str | None = None) -> Composition:
    shots = tuple(Shot(*one) for one in zip(SHOT_TYPES, boxes, captions, strict=True))
    return Composition(shots, THOUGHT, Grounding(facing=facing))


def person(x: float, top: float, height: float) -> tuple[Person, Face]:
    """Return a standing figure whose face is a ninth of it, and that face."""
    face = height / 8
    box = Box(x - face / 2, top + face / 4, x + face / 2, top + face * 5 / 4)
    marks = tuple(
        Point(x + dx * face, top + face * dy)
        for dx, dy in ((-0.25, 0.75), (0.25, 0.75), (0.0, 0.875), (-0.125, 1.0), (0.125, 1.0))
    )
    joints = [Keypoint(x, top + face * 0.9, 0.9)] * len(Joint)
    for joint, (dx, dy) in {
        Joint.LEFT_SHOULDER: (0.75, 1.75), Joint.RIGHT_SHOULDER: (-0.75, 1.75),
        Joint.LEFT_ELBOW: (1.0, 2.75), Joint.RIGHT_ELBOW: (-1.0, 2.75),
        Joint.LEFT_WRIST: (1.0, 3.75), Joint.RIGHT_WRIST: (-1.0, 3.75),
        Joint.LEFT_HIP: (0.5, 4.0), Joint.RIGHT_HIP: (-0.5, 4.0),
        Joint.LEFT_KNEE: (0.5, 6.0), Joint.RIGHT_KNEE: (-0.5, 6.0),
        Joint.LEFT_ANKLE: (0.5, 7.75), Joint.RIGHT_ANKLE: (-0.5, 7.75),
    }.items():  # fmt: skip
        joints[joint] = Keypoint(x + dx * face, top + dy * face, 0.9)
    body = Box(x - 1.25 * face, top, x + 1.25 * face, top + height)
    return Person(body, 0.9, tuple(joints)), Face(box, 0.9, marks)


BODY, FACE = person(0.5, 0.125, 0.75)
FOUND = Detections((BODY,), (FACE,))
TRUTH = triple(
    (Box(0.0625, 0.0625, 0.9375, 0.9375), Box(0.3125, 0.09375, 0.6875, 0.46875), Box(0.40625, 0.125, 0.59375, 0.3125))
)
KNOWN = Evidence(TRUTH, FOUND, 1.5)
LIKED = CropScores((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), word_fit(TRUTH, TRUTH))


def asked(answer: Answer, preset: Preset, evidence: Evidence = KNOWN) -> float:
    """Reward an answer with an indifferent aesthetic scorer and the expert's words."""
    fit = word_fit(answer, evidence.truth) if isinstance(answer, Composition) and evidence.truth else None
    return preset(answer, evidence, replace(LIKED, fit=fit)).reward


def values(terms: Terms) -> dict[str, float | None]:
    return {term.name: term.value for term in terms.terms}


def test_doctests_hold() -> None:
    assert doctest.testmod(terms).failed == 0


@pytest.mark.parametrize("weights", [PaperWeights(), CinemaWeights()])
def test_weights_sum_to_one(weights: PaperWeights | CinemaWeights) -> None:
    assert sum(astuple(weights)) == pytest.approx(1.0)


def test_paper_is_the_mean_over_the_shots_of_three_parts() -> None:
    half = triple((TRUTH.shots[0].box, TRUTH.shots[1].box, Box(0.8, 0.8, 0.9, 0.9)))
    scores = CropScores((0.75, 0.5, 0.25))
    terms = values(paper(half, KNOWN, scores))
    ratios = (ratio_credit(1.5), ratio_credit(1.5), ratio_credit(1.5))
    assert terms["iou"] == pytest.approx(2 / 3)
    assert terms["aesthetic"] == 0.5
    assert terms["ratio"] == pytest.approx(sum(ratios) / 3)
    assert paper(half, KNOWN, scores).reward == pytest.approx(0.6 * 2 / 3 + 0.2 * 0.5 + 0.2 * sum(ratios) / 3)


def test_target_ratios_are_parameters() -> None:
    wide = TargetRatios(landscape=16 / 9, portrait=9 / 16)
    assert ratio_credit(16 / 9, wide) == ratio_credit(9 / 16, wide) == 1.0
    assert values(paper(TRUTH, KNOWN, LIKED, targets=wide))["ratio"] != values(paper(TRUTH, KNOWN, LIKED))["ratio"]
    with pytest.raises(ValueError, match="portrait"):
        TargetRatios(landscape=0.5)


@PRESETS
def test_maximal_boxes_lose_to_the_expert(preset: Preset) -> None:
    assert asked(triple((FULL_FRAME,) * 3), preset) < asked(TRUTH, preset) - 0.2


@PRESETS
@pytest.mark.parametrize("shot", [0, 1, 2])
def test_three_identical_boxes_lose_to_the_expert(preset: Preset, shot: int) -> None:
    assert asked(triple((TRUTH.shots[shot].box,) * 3), preset) < asked(TRUTH, preset) - 0.2


@PRESETS
@pytest.mark.parametrize("box", [(900, 100, 100, 900), (100, 900, 900, 100), (-50, 0, 500, 500), (0, 0, 1100, 900)])
def test_swapped_corners_and_boxes_outside_the_frame_earn_nothing(preset: Preset, box: tuple[int, ...]) -> None:
    honest = render(TRUTH)
    hack = honest.replace(str(list(to_permille(TRUTH.shots[1].box))), str(list(box)))
    assert hack != honest
    assert asked(CONTRACT.read(honest, (1, 1)), preset) > 0.5
    assert asked(CONTRACT.read(hack, (1, 1)), preset) == 0.0


@PRESETS
@pytest.mark.parametrize("text", ["", instruction(), instruction().split("Answer with ")[1], "<think></think>"])
def test_an_echoed_instruction_earns_nothing(preset: Preset, text: str) -> None:
    assert asked(CONTRACT.read(text, (1, 1)), preset) == 0.0


@PRESETS
def test_an_echoed_template_with_boxes_filled_in_earns_nothing(preset: Preset) -> None:
    assert asked(triple(tuple(shot.box for shot in TRUTH.shots), ("...",) * 3), preset) == 0.0
    assert asked(triple(tuple(shot.box for shot in TRUTH.shots), ("a crop",) * 3), preset) == 0.0
    assert asked(replace(TRUTH, reasoning=Reasoning("...", "...", "...")), preset) == 0.0


@PRESETS
@pytest.mark.parametrize("missing", ["scene", "subject", "story"])
def test_an_empty_thought_earns_nothing_where_one_was_asked_for(preset: Preset, missing: str) -> None:
    thoughtless = replace(TRUTH, reasoning=replace(THOUGHT, **{missing: ""}))
    assert asked(thoughtless, preset) == 0.0
    assert asked(thoughtless, preset, replace(KNOWN, think=False)) == asked(TRUTH, preset)


@PRESETS
def test_unreadable_answers_and_no_people_earn_nothing(preset: Preset) -> None:
    for answer in (AnswerError("no answer"), NoSubject()):
        assert asked(answer, preset) == 0.0
        assert not preset(answer, KNOWN, LIKED).well_formed


HOLLOW = {
    "one letter": ("a", "b", "c"),
    "two letters": ("a b", "c d", "e f"),
    "one word": ("Street", "Woman", "Face"),
    "the same word": ("street street street", "woman woman woman", "face face face"),
    "two alike": (CAPTIONS[0], CAPTIONS[1], CAPTIONS[1].upper()),
    "alike but for a full stop": (CAPTIONS[0], CAPTIONS[0] + ".", CAPTIONS[2]),
}


@PRESETS
@pytest.mark.parametrize("hack", HOLLOW)
def test_hollow_or_equal_captions_earn_nothing(preset: Preset, hack: str) -> None:
    assert asked(triple(tuple(shot.box for shot in TRUTH.shots), HOLLOW[hack]), preset) == 0.0


@PRESETS
@pytest.mark.parametrize("hack", HOLLOW)
def test_hollow_or_equal_thoughts_earn_nothing(preset: Preset, hack: str) -> None:
    assert asked(replace(TRUTH, reasoning=Reasoning(*HOLLOW[hack])), preset) == 0.0


@PRESETS
def test_sentences_in_other_scripts_are_sentences(preset: Preset) -> None:
    boxes = tuple(shot.box for shot in TRUTH.shots)
    chinese = ("广场上的人", "她拿着包", "她的脸庞")
    greek = ("Μια πλατεία", "Η γυναίκα περπατά", "Το πρόσωπό της")
    for captions in (chinese, greek):
        assert asked(triple(boxes, captions), preset) > 0.5


JUNK = {
    "text before": lambda text: f"Sure, here it is: {text}",
    "text after": lambda text: f"{text} I hope this helps.",
    "text between": lambda text: text.replace("</think>", "</think> Then:"),
    "unlabelled text in the thought": lambda text: text.replace("<think>", "<think>\nLet me see. It is a photo."),
    "a code fence": lambda text: text.replace("<answer>", "<answer>```json").replace("</answer>", "```</answer>"),
    "a second thought": lambda text: text.replace("<answer>", "<think>scene: Again.</think><answer>"),
    "no tags around the answer": lambda text: text.replace("<answer>", "").replace("</answer>", ""),
}


@PRESETS
@pytest.mark.parametrize("hack", JUNK)
def test_junk_around_the_answer_earns_nothing(preset: Preset, hack: str) -> None:
    honest = render(TRUTH)
    assert asked(CONTRACT.read_exactly(honest, (1, 1)), preset) > 0.5
    assert JUNK[hack](honest) != honest
    assert asked(CONTRACT.read_exactly(JUNK[hack](honest), (1, 1)), preset) == 0.0


@PRESETS
def test_white_space_escapes_and_an_open_thought_are_no_junk(preset: Preset) -> None:
    honest = render(TRUTH)
    escaped = honest.replace("woman", "\\u0077oman")
    earned = asked(CONTRACT.read_exactly(honest, (1, 1)), preset)
    for same in (honest + "\n", honest.replace(": {", ":{"), honest.removeprefix("<think>\n"), escaped):
        assert asked(CONTRACT.read_exactly(same, (1, 1)), preset) == earned > 0.5


@PRESETS
def test_a_photo_without_people_pays_the_honest_answer_alone(preset: Preset) -> None:
    empty = Evidence(None, Detections(), 1.5, no_subject=True)
    honest = CONTRACT.read_exactly(render(NoSubject()), (1, 1))
    assert asked(honest, preset, empty) == 1.0
    assert asked(TRUTH, preset, empty) == 0.0
    assert asked(AnswerError("no answer"), preset, empty) == 0.0
    assert asked(honest, preset) == 0.0
    assert asked(CONTRACT.read_exactly(f"Well. {render(NoSubject())}", (1, 1)), preset, empty) == 0.0


@PRESETS
def test_captions_stuffed_with_keywords_gain_nothing(preset: Preset) -> None:
    boxes = tuple(shot.box for shot in TRUTH.shots)
    stuffed = f"{' '.join(CAPTIONS)} portrait close-up face"
    everywhere = triple(boxes, (stuffed, stuffed, f"{stuffed} detail"))
    repeated = triple(boxes, tuple(f"{caption} {caption} {caption}" for caption in CAPTIONS))
    for hack in (everywhere, repeated):
        assert asked(hack, preset) <= asked(TRUTH, preset)
    assert asked(everywhere, cinema) < asked(TRUTH, cinema)
    assert asked(repeated, cinema) < asked(TRUTH, cinema)


def test_a_caption_that_a_scorer_likes_but_no_person_would_write_earns_nothing() -> None:
    boxes = tuple(shot.box for shot in TRUTH.shots)
    loved = replace(LIKED, fit=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    endless = tuple(f"{caption} {'abcdefghijklmnopqrstuvwxyz'.replace('', ' ')}" for caption in CAPTIONS)
    assert values(cinema(TRUTH, KNOWN, loved))["captions"] == 1.0
    assert values(cinema(triple(boxes, endless), KNOWN, loved))["captions"] == 0.0
    assert values(cinema(triple(boxes, ("a word word word word", *CAPTIONS[1:])), KNOWN, loved))["captions"] < 1.0


@PRESETS
def test_length_earns_nothing(preset: Preset) -> None:
    padded = replace(
        TRUTH,
        reasoning=Reasoning(
            *(f"{text} {'And so it goes on. ' * 50}" for text in (THOUGHT.scene, THOUGHT.subject, THOUGHT.story))
        ),
    )
    assert asked(padded, preset) == asked(TRUTH, preset)
    longer = tuple(f"{caption} and much more than that can be seen here by those who look" for caption in CAPTIONS)
    assert asked(triple(tuple(shot.box for shot in TRUTH.shots), longer), preset) <= asked(TRUTH, preset)


@PRESETS
@pytest.mark.parametrize("shot", [0, 1, 2])
def test_a_shot_that_was_not_accepted_carries_no_reward(preset: Preset, shot: int) -> None:
    bogus = Box(0.75, 0.75, 0.875, 0.875)
    boxes = [one.box for one in TRUTH.shots]
    truth = triple((*boxes[:shot], bogus, *boxes[shot + 1 :]))
    flags = (shot != 0, shot != 1, shot != 2)
    believed, known = replace(KNOWN, truth=truth), replace(KNOWN, truth=truth, accepted=flags)
    overlap = "iou" if preset is paper else "loc"
    assert values(preset(TRUTH, believed, LIKED))[overlap] == pytest.approx(2 / 3, abs=0.05)
    assert values(preset(TRUTH, known, LIKED))[overlap] == 1.0
    moved = [*boxes[:shot], bogus, *boxes[shot + 1 :]]
    without = {name: value for name, value in values(preset(TRUTH, known, LIKED)).items() if name != "set"}
    assert {**values(preset(triple(tuple(moved)), known, LIKED)), **without} == values(
        preset(triple(tuple(moved)), known, LIKED)
    )
    crops = CropScores(tuple(0.9 if flag else 0.1 for flag in flags), (0.5,) * 3, LIKED.fit)
    assert values(paper(TRUTH, known, crops))["aesthetic"] == pytest.approx(0.9)
    assert paper(TRUTH, known, crops).reward == pytest.approx(
        0.6 + 0.2 * 0.9 + 0.2 * (values(paper(TRUTH, known, crops))["ratio"] or 0.0)
    )


def test_crops_without_the_main_person_earn_nothing_for_composition() -> None:
    corner = Box(0.0, 0.75, 0.125, 1.0)
    terms = values(cinema(triple((corner,) * 3), KNOWN, LIKED))
    assert terms["scale"] == terms["head"] == terms["joint"] == 0.0


def test_a_cut_chin_earns_no_credit_for_the_head() -> None:
    cut = Box(0.40625, 0.125, 0.59375, FACE.box.y0 + 0.7 * FACE.box.height)
    sound, hurt = (
        values(cinema(triple((*(shot.box for shot in TRUTH.shots[:2]), close)), KNOWN, LIKED))["head"]
        for close in (TRUTH.shots[2].box, cut)
    )
    assert sound is not None and hurt is not None and hurt < sound


def test_terms_without_evidence_are_dropped_and_the_rest_renormalised() -> None:
    hard = Evidence(None, Detections(), None)
    bare = cinema(TRUTH, hard, CropScores())
    assert {name for name, value in values(bare).items() if value is not None} == {"set"}
    assert bare.reward == 1.0
    assert paper(TRUTH, replace(hard, aspect=1.5), CropScores((0.25,) * 3)).reward == pytest.approx(
        (0.2 * 0.25 + 0.2 * ratio_credit(1.5)) / 0.4, abs=0.1
    )
    assert paper(TRUTH, hard, CropScores()).reward == 0.0


box_on_grid = st.builds(
    lambda x, y: Box(min(x) / GRID, min(y) / GRID, max(x) / GRID, max(y) / GRID),
    *[st.tuples(st.integers(0, GRID), st.integers(0, GRID)).filter(lambda pair: pair[0] != pair[1])] * 2,
)
triples = st.builds(
    triple, st.tuples(box_on_grid, box_on_grid, box_on_grid), facing=st.sampled_from([None, "left", "camera"])
)
shares = st.tuples(*[st.floats(0, 1)] * 3)
crop_scores = st.builds(
    CropScores, st.none() | shares, st.none() | shares, st.none() | st.tuples(shares, shares, shares)
)
figures = st.builds(
    lambda x, top, height: person(x / GRID, top / GRID, height / GRID),
    st.integers(300, 700), st.integers(0, 300), st.integers(256, 700),
)  # fmt: skip
evidence = st.builds(
    lambda truth, figure, aspect: Evidence(truth, Detections((figure[0],), (figure[1],)), aspect),
    st.none() | triples, figures, st.none() | st.floats(0.25, 4),
)  # fmt: skip


@PRESETS
@given(answer=triples, known=evidence, scores=crop_scores)
def test_rewards_and_terms_lie_within_0_and_1(
    preset: Preset, answer: Composition, known: Evidence, scores: CropScores
) -> None:
    terms = preset(answer, known, scores)
    assert 0.0 <= terms.reward <= 1.0
    assert all(0.0 <= value <= 1.0 for value in values(terms).values() if value is not None)


@PRESETS
@given(one=triples, other=triples, known=evidence, scores=crop_scores)
def test_no_answer_chooses_what_it_is_judged_by(
    preset: Preset, one: Composition, other: Composition, known: Evidence, scores: CropScores
) -> None:
    a, b = values(preset(one, known, scores)), values(preset(other, known, scores))
    assert {name: value is None for name, value in a.items()} == {name: value is None for name, value in b.items()}


@PRESETS
@given(answer=triples, known=evidence, scores=crop_scores)
def test_a_mirrored_photo_gives_the_same_reward(
    preset: Preset, answer: Composition, known: Evidence, scores: CropScores
) -> None:
    there = preset(answer, known, scores).reward
    back = preset(mirrored(answer), mirrored_evidence(known), scores).reward
    assert back == pytest.approx(there)


def mirrored(answer: Composition) -> Composition:
    facing = answer.grounding.facing if answer.grounding else None
    return replace(
        answer,
        shots=tuple(replace(shot, box=mirrored_box(shot.box)) for shot in answer.shots),
        grounding=Grounding(facing={"left": "right"}.get(facing or "", facing)),
    )


def mirrored_box(box: Box) -> Box:
    return Box(1.0 - box.x1, box.y0, 1.0 - box.x0, box.y1)


def mirrored_evidence(known: Evidence) -> Evidence:
    """Mirror truth, bodies and faces; the person's own left becomes the right."""
    (body,), (face,) = known.detections.persons, known.detections.faces
    points = {joint.name: body.keypoints[joint] for joint in Joint}
    joints = tuple(points[swapped(joint.name)] for joint in Joint)
    marks = {mark.name: face.landmarks[mark] for mark in Landmark}
    landmarks = tuple(marks[swapped(mark.name)] for mark in Landmark)
    return replace(
        known,
        truth=mirrored(known.truth) if known.truth else None,
        detections=Detections(
            (
                Person(
                    mirrored_box(body.box), 0.9, tuple(Keypoint(1.0 - one.x, one.y, one.confidence) for one in joints)
                ),
            ),
            (Face(mirrored_box(face.box), 0.9, tuple(Point(1.0 - one.x, one.y) for one in landmarks)),),
        ),
    )


def swapped(name: str) -> str:
    return name.replace("LEFT", "-").replace("RIGHT", "LEFT").replace("-", "RIGHT")


experts = st.builds(
    lambda wide, x, top, height: (wide / GRID, *person(x / GRID, top / GRID, height / GRID)),
    st.integers(0, 60), st.integers(400, 620), st.integers(64, 200), st.integers(400, 700),
)  # fmt: skip
HACKS: dict[str, Callable[[Composition], tuple[Box, ...]]] = {
    "maximal": lambda truth: (FULL_FRAME,) * 3,
    "all establishing": lambda truth: (truth.shots[0].box,) * 3,
    "all medium": lambda truth: (truth.shots[1].box,) * 3,
    "all close-up": lambda truth: (truth.shots[2].box,) * 3,
    "reversed": lambda truth: tuple(shot.box for shot in reversed(truth.shots)),
    "specks": lambda truth: (Box(0.5, 0.5, 0.502, 0.502),) * 3,
}


@PRESETS
@pytest.mark.parametrize("hack", HACKS)
@given(expert=experts)
def test_the_experts_own_triple_beats_each_hack(preset: Preset, hack: str, expert: tuple[float, Person, Face]) -> None:
    margin, body, face = expert
    unit, x = face.box.height, face.box.centre[0]
    truth = triple(
        (
            Box(margin, margin, 1.0 - margin, 1.0 - margin),
            Box(x - 1.5 * unit, body.box.y0, x + 1.5 * unit, body.box.y0 + 3.3 * unit),
            Box(x - unit, body.box.y0, x + unit, body.box.y0 + 2 * unit),
        )
    )
    known = Evidence(truth, Detections((body,), (face,)), 1.5)
    assert asked(triple(HACKS[hack](truth)), preset, known) < asked(truth, preset, known)
