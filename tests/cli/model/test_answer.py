import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.errors import AnswerError
from shotcrop_cli.geometry import clamp
from shotcrop_cli.model.large.answer import CoordSpace, parse, render, render_shot
from shotcrop_cli.shots import SHOT_TYPES, Box, Composition, NoSubject, Reasoning, Shot, ShotType

SHOTS = {
    "establishing": {"bbox_2d": [0, 20, 1000, 960], "caption": "A man on a hill."},
    "medium": {"bbox_2d": [200, 95, 900, 865], "caption": "He lifts his arm."},
    "close_up": {"bbox_2d": [400, 90, 605, 395], "caption": "His calm face."},
}
THINK = "<think> scene: A hill.  subject: A man, left.  story: He waits. </think>"
CONTRACT = f"{THINK}\n<answer>{json.dumps(SHOTS)}</answer>"
TAGGED = """<establishing><bbox>[0, 20, 1000, 960]</bbox> A man on a hill.
<medium><bbox>[200,95,900,865]</bbox>He lifts
his arm.</medium>
<close-up> <bbox>[400, 90, 605, 395]</bbox> His calm face.</close-up>"""


def change(shot: str, **changes: object) -> str:
    return json.dumps({**SHOTS, shot: {**SHOTS[shot], **changes}})


def drop(shot: str) -> str:
    return json.dumps({name: value for name, value in SHOTS.items() if name != shot})


TRIPLE = Composition(
    (
        Shot(ShotType.ESTABLISHING, Box(0.0, 0.02, 1.0, 0.96), "A man on a hill."),
        Shot(ShotType.MEDIUM, Box(0.2, 0.095, 0.9, 0.865), "He lifts his arm."),
        Shot(ShotType.CLOSE_UP, Box(0.4, 0.09, 0.605, 0.395), "His calm face."),
    )
)

FORMS = {
    "contract": CONTRACT,
    "bare JSON": json.dumps(SHOTS),
    "pretty JSON": json.dumps(SHOTS, indent=2),
    "fenced": f"Here you are:\n```json\n{json.dumps(SHOTS)}\n```\nEnjoy!",
    "fence in answer": f"<answer>\n```\n{json.dumps(SHOTS)}\n```\n</answer>",
    "words around": f"Sure. <answer>{json.dumps(SHOTS)}</answer> Done.",
    "think not opened": f"some thought </think>{json.dumps(SHOTS)}",
    "bbox": json.dumps(SHOTS).replace("bbox_2d", "bbox"),
    "box": json.dumps(SHOTS).replace("bbox_2d", "box"),
    "close-up": json.dumps(SHOTS).replace("close_up", "close-up"),
    "closeup": json.dumps(SHOTS).replace("close_up", "Closeup"),
    "other order": json.dumps(dict(reversed(SHOTS.items()))),
    "whole floats": json.dumps(SHOTS).replace("605", "605.0"),
    "tags": TAGGED,
    "tags in answer": f"{THINK}<answer>{TAGGED}</answer>",
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS.keys())
def test_every_documented_form_gives_the_same_shots(text: str) -> None:
    assert parse(text).shots == TRIPLE.shots


@pytest.mark.parametrize("text", [CONTRACT, CONTRACT.replace("  ", "\n"), CONTRACT.replace("scene", "Scene")])
def test_labelled_sentences_become_the_reasoning(text: str) -> None:
    assert parse(text).reasoning == Reasoning("A hill.", "A man, left.", "He waits.")


def test_unlabelled_reasoning_is_dropped_and_a_missing_caption_is_empty() -> None:
    composition = parse(f"<think>Let me see.</think>{json.dumps({**SHOTS, 'medium': {'box': [1, 2, 3, 4]}})}")
    assert composition.reasoning == Reasoning() and composition[ShotType.MEDIUM].caption == ""


REFUSED = {
    "empty": ("", "neither JSON nor a tagged shot"),
    "prose": ("I see a man on a hill.", "neither JSON nor a tagged shot"),
    "prose around bare JSON": (f"Here: {json.dumps(SHOTS)}", "neither JSON"),
    "cut off": (CONTRACT[:-40], "one <answer> and one </answer>"),
    "cut off thought": ("<think> scene: A hill", "never closed"),
    "two answers": (CONTRACT + CONTRACT.removeprefix(THINK), "one <answer>"),
    "two fences": (f"```{json.dumps(SHOTS)}``` ```{json.dumps(SHOTS)}```", "one closed code fence"),
    "label twice": (CONTRACT.replace("story", "scene"), "given twice"),
    "list": (json.dumps([SHOTS]), "must be a JSON object"),
    "missing shot": (drop("medium"), "lacks medium"),
    "doubled key": (json.dumps(SHOTS).replace('"medium"', '"close_up"'), "given twice"),
    "doubled alias": (json.dumps(SHOTS).replace('"medium"', '"close-up"'), "close_up is given twice"),
    "unknown shot": (json.dumps({**SHOTS, "detail": SHOTS["medium"]}), "unknown shot: detail"),
    "shot is a list": (json.dumps({**SHOTS, "medium": [1, 2, 3, 4]}), "medium must be a JSON object"),
    "no box": (change("medium", bbox_2d=None).replace('"bbox_2d": null, ', ""), "one box"),
    "two boxes": (change("medium", box=[1, 2, 3, 4]), "one box"),
    "unknown key": (change("medium", angle=3), "unknown key: angle"),
    "three sides": (change("medium", bbox_2d=[1, 2, 3]), "four numbers"),
    "nested sides": (change("medium", bbox_2d=[[1], 2, 3, 4]), "four numbers"),
    "fractions": (change("medium", bbox_2d=[0.1, 0.2, 0.8, 0.9]), "no whole numbers"),
    "booleans": (change("medium", bbox_2d=[False, 2, 3, 4]), "no whole numbers"),
    "text sides": (change("medium", bbox_2d=["1", 2, 3, 4]), "no whole numbers"),
    "NaN": (json.dumps(SHOTS).replace("95", "NaN"), "NaN is no number"),
    "infinite": (json.dumps(SHOTS).replace("865", "1e999"), "no whole numbers"),
    "swapped": (change("medium", bbox_2d=[900, 95, 200, 865]), "swapped corners"),
    "empty box": (change("medium", bbox_2d=[200, 95, 200, 865]), "empty box"),
    "too far": (change("medium", bbox_2d=[200, 95, 1001, 865]), "outside 0..1000"),
    "negative": (change("medium", bbox_2d=[-1, 95, 900, 865]), "outside 0..1000"),
    "somebody": ('{"no_subject": false}', "no_subject must be true and stand alone"),
    "one for true": ('{"no_subject": 1}', "no_subject must be true and stand alone"),
    "nobody and shots": (json.dumps({**SHOTS, "no_subject": True}), "no_subject must be true and stand alone"),
    "caption number": (change("medium", caption=7), "text as its caption"),
    "lone surrogate": (change("medium", caption="\ud800"), "text as its caption"),
    "not Unicode": ("\ud800", "not valid Unicode"),
    "tag without box": (TAGGED.replace("<bbox>[200,95,900,865]</bbox>", ""), "medium must be one <bbox>"),
    "tag twice": (TAGGED.replace("medium", "close_up"), "close_up is given twice"),
    "stray closing tag": (TAGGED + "</medium>", "closing tag of medium is misplaced"),
    "words before tags": ("Look: " + TAGGED, "text before the first shot"),
    "template echoed": (
        TAGGED.replace("[200,95,900,865]", "[x0,y0,x1,y1]"),
        "no list of numbers: [x0,y0,x1,y1]",
    ),
}


@pytest.mark.parametrize(("text", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_any_other_form_is_an_error_with_a_one_line_reason(text: str, why: str) -> None:
    with pytest.raises(AnswerError) as caught:
        parse(text)
    assert why in caught.value.message
    assert "\n" not in caught.value.message and len(caught.value.message) < 200


def test_absolute_coordinates_are_pixels_of_the_resized_image() -> None:
    shots = {**SHOTS, "establishing": {"bbox_2d": [0, 0, 1280, 960]}}
    composition = parse(json.dumps(shots), space=CoordSpace.ABSOLUTE, image_size=(1280, 960))
    assert composition[ShotType.ESTABLISHING].box == Box(0, 0, 1, 1)
    assert composition[ShotType.MEDIUM].box == Box(200 / 1280, 95 / 960, 900 / 1280, 865 / 960)
    with pytest.raises(AnswerError, match=r"outside 0\.\.1000 by 0\.\.1000"):
        parse(json.dumps(shots))
    with pytest.raises(ValueError, match="size of the resized image"):
        parse(json.dumps(shots), space=CoordSpace.ABSOLUTE)


captions = st.text(st.characters(codec="utf-8"), max_size=60)
sides = st.floats(0.0, 1.0)


@st.composite
def compositions(draw: st.DrawFn) -> Composition:
    def words() -> str:
        return " ".join(draw(captions).split())

    shots = tuple(Shot(kind, clamp(draw(sides), draw(sides), draw(sides), draw(sides)), words()) for kind in SHOT_TYPES)
    return Composition(shots, Reasoning(words(), words(), words()))


@given(compositions(), st.integers(28, 4000), st.integers(28, 4000))
def test_rendered_answers_are_read_back_to_one_step(composition: Composition, width: int, height: int) -> None:
    for space in CoordSpace:
        size = (width, height) if space is CoordSpace.ABSOLUTE else None
        back = parse(render(composition, space=space, image_size=size), space=space, image_size=size)
        steps = space.steps(size)
        assert back.reasoning == composition.reasoning
        for ours, theirs in zip(composition.shots, back.shots, strict=True):
            assert ours.caption == theirs.caption
            for before, after, step in zip(ours.box, theirs.box, steps * 2, strict=True):
                assert abs(before - after) <= 1 / step + 1e-9


@pytest.mark.parametrize(
    "text", ['{"no_subject": true}', '<answer>{"no_subject": true}</answer>', f'{THINK}\n{{"no_subject":true}}']
)
def test_a_photo_without_people_has_its_own_answer(text: str) -> None:
    assert parse(text) == NoSubject()
    assert render(NoSubject()) == '<answer>{"no_subject": true}</answer>'


def test_location_tokens_are_parsed_strictly() -> None:
    text = render(TRIPLE, space=CoordSpace.LOCATION)
    assert '"medium": {"bbox_2d": "<loc_51><loc_24><loc_230><loc_221>", "caption": "He lifts his arm."}' in text
    for wrong, why in (
        (text.replace("<loc_51>", "<loc_256>"), r"outside 0\.\.255"),
        (text.replace("<loc_51>", ""), "four location tokens"),
        (text.replace("<loc_51>", "51"), "four location tokens"),
        (text.replace("<loc_51>", "<loc_231>"), "swapped corners"),
        (CONTRACT, r"four location tokens, not \[0, 20"),
        (TAGGED, "four location tokens"),
    ):
        with pytest.raises(AnswerError, match=why):
            parse(wrong, space=CoordSpace.LOCATION)


def test_reasoning_is_rendered_only_on_request() -> None:
    entries = ", ".join(map(render_shot, TRIPLE.shots))
    composition = Composition(TRIPLE.shots, Reasoning("A hill."))
    assert render(composition, think=False) == f"<answer>{{{entries}}}</answer>"
    assert render(composition) == f"<think>\nscene: A hill.\n</think>\n<answer>{{{entries}}}</answer>"


def test_tags_in_captions_and_sentences_survive_rendering() -> None:
    shots = tuple(Shot(shot.type, shot.box, "</answer></think> <3") for shot in TRIPLE.shots)
    composition = Composition(shots, Reasoning(scene="</think> <answer> story: x"))
    assert parse(render(composition)) == composition


def parses_or_refuses(text: str) -> None:
    try:
        answer = parse(text)
    except AnswerError:
        return
    assert isinstance(answer, (Composition, NoSubject))


@given(st.text())
def test_any_text_parses_or_is_refused(text: str) -> None:
    parses_or_refuses(text)


@given(
    st.sampled_from([*FORMS.values(), *(text for text, _ in REFUSED.values())]),
    st.integers(0, 600),
    st.integers(0, 40),
    st.one_of(
        st.text(max_size=8),
        st.sampled_from(
            ["<think>", "</think>", "<answer>", "</answer>", "```", "{", "]", "-1", "1e999", '"', "<medium>"]
        ),
    ),
)
def test_a_mutated_answer_parses_or_is_refused(text: str, start: int, length: int, insert: str) -> None:
    parses_or_refuses(text[:start] + insert + text[start + length :])


@pytest.mark.parametrize("filler", [" ", "\n", "<", "<a ", "[", '{"a":', "scene:", "```", "9", "<medium><bbox>["])
def test_endless_text_is_refused_quickly(filler: str) -> None:
    started = time.process_time()
    for text in (filler * 20_000, f"<think>{filler * 20_000}</think>", f"<medium><bbox>{filler * 20_000}"):
        parses_or_refuses(text)
    assert time.process_time() - started < 2.0
