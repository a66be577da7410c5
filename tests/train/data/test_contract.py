from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from shotcrop_cli.errors import AnswerError
from shotcrop_cli.geometry import PERMILLE, clamp
from shotcrop_cli.model.large.answer import LOCATION_BINS, CoordSpace
from shotcrop_cli.model.large.prompts import DEFINITIONS, instruction
from shotcrop_cli.shots import SHOT_TYPES, Box, Composition, Grounding, NoSubject, Reasoning
from shotcrop_train.data.contract import Target, TextContract
from shotcrop_train.data.samples import Sample, ShotTarget

CAPTIONS = ("a street in the rain", "a man lifts his hat", "his calm face")
SIZE = (640, 480)


def qwen_size(size: tuple[int, int]) -> tuple[int, int]:
    """What Qwen2.5-VL sees of an image: its own rounding to whole patches, within its own limits of pixels."""
    width, height = size
    height, width = smart_resize(height, width, factor=28, min_pixels=56 * 56, max_pixels=1280 * 28 * 28)
    return width, height


def text_contract(space: CoordSpace = CoordSpace.PERMILLE, think: bool = True) -> TextContract:
    return TextContract(space, think, qwen_size)


CONTRACTS: dict[str, TextContract] = {
    **{str(space): text_contract(space) for space in CoordSpace},
    **{f"{space}, no think": text_contract(space, think=False) for space in CoordSpace},
}
every_contract = pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS.keys())

SAMPLE = Sample(
    path=Path("photo.jpg"),
    aspect=1.5,
    grounding=Grounding(Box(0.3, 0.15, 0.6, 0.9), Box(0.4, 0.2, 0.5, 0.35), 2, "outdoor", "left", "full"),
    shots=(
        ShotTarget(Box(0.0, 0.0, 1.0, 1.0)),
        ShotTarget(Box(0.2, 0.1, 0.8, 0.7), weight=0.0),
        ShotTarget(Box(0.4, 0.2, 0.5, 0.35), weight=0.5),
    ),
    reasoning=Reasoning("A wet street.", "A man on the left.", "He greets."),
)
NO_PEOPLE = Sample(Path("empty.jpg"), None, Grounding(people=0), ())

sides = st.floats(0.0, 1.0)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    # Wider than a step of every space: a box below it grows, which is tested where boxes are rounded.
    boxes = [clamp(draw(sides), draw(sides), draw(sides), draw(sides), min_side=0.02) for _ in SHOT_TYPES]
    return replace(SAMPLE, shots=tuple(map(ShotTarget, boxes)))


def round_trip(contract: TextContract, sample: Sample, size: tuple[int, int], steps: tuple[int, int]) -> None:
    answer = contract.read(contract.write(sample, CAPTIONS, size).text, size)
    assert isinstance(answer, Composition)
    for target, shot, caption in zip(sample.shots, answer.shots, CAPTIONS, strict=True):
        assert shot.caption.lower() == caption
        assert target.box is not None
        for before, after, step in zip(target.box, shot.box, steps * 2, strict=True):
            assert abs(before - after) <= 0.5 / step + 1e-9


@given(samples())
def test_boxes_in_thousandths_come_back_to_half_a_step(sample: Sample) -> None:
    round_trip(text_contract(), sample, SIZE, (PERMILLE, PERMILLE))


@given(samples(), st.integers(60, 4000), st.floats(0.4, 2.5))
def test_boxes_in_pixels_of_the_resized_image_come_back_to_half_a_pixel_of_it(
    sample: Sample, width: int, aspect: float
) -> None:
    size = (width, max(round(width / aspect), 56))
    seen = qwen_size(size)
    assert seen[0] % 28 == seen[1] % 28 == 0
    round_trip(text_contract(CoordSpace.ABSOLUTE), sample, size, seen)


@given(samples())
def test_boxes_in_location_tokens_come_back_to_half_a_bin(sample: Sample) -> None:
    steps = (LOCATION_BINS - 1, LOCATION_BINS - 1)
    round_trip(text_contract(CoordSpace.LOCATION), sample, SIZE, steps)


def test_pixels_are_those_of_what_the_model_sees_not_of_what_it_is_handed() -> None:
    assert qwen_size((3000, 2000)) == (1204, 812)
    text = text_contract(CoordSpace.ABSOLUTE).write(SAMPLE, CAPTIONS, (3000, 2000)).text
    assert '"establishing": {"bbox_2d": [0, 0, 1204, 812]' in text


@every_contract
def test_spans_hold_each_shot_with_its_weight(contract: TextContract) -> None:
    target = contract.write(SAMPLE, CAPTIONS, SIZE)
    assert [weight for _, _, weight in target.spans] == [1.0, 0.0, 0.5]
    for (start, end, _), kind, caption in zip(target.spans, SHOT_TYPES, CAPTIONS, strict=True):
        entry = target.text[start:end]
        assert entry.startswith(f'"{kind}": {{')
        assert caption in entry
        assert sum(other in entry for other in CAPTIONS) == 1
    for (_, end, _), (start, _, _) in zip(target.spans, target.spans[1:], strict=False):
        assert end <= start


@every_contract
def test_a_photo_without_people_is_written_and_read(contract: TextContract) -> None:
    target = contract.write(NO_PEOPLE, (), SIZE)
    assert target.spans == ()
    assert contract.read(target.text, SIZE) == NoSubject()


@every_contract
@pytest.mark.parametrize("text", ["", "I see a man.", "<answer>{}</answer>", "<people_2>", "<establishing>"])
def test_what_cannot_be_read_is_a_value_not_an_exception(contract: TextContract, text: str) -> None:
    assert isinstance(contract.read(text, SIZE), AnswerError)


@pytest.mark.parametrize("space", CoordSpace)
def test_reasoning_is_written_only_where_it_is_asked_for(space: CoordSpace) -> None:
    thought = text_contract(space).write(SAMPLE, CAPTIONS, SIZE).text
    assert thought.startswith(
        "<think>\nscene: A wet street.\nsubject: A man on the left.\nstory: He greets.\n</think>\n"
    )
    blunt = text_contract(space, think=False).write(SAMPLE, CAPTIONS, SIZE).text
    assert blunt.startswith("<answer>") and thought.endswith(blunt)
    answer = text_contract(space, think=False).read(blunt, SIZE)
    assert isinstance(answer, Composition) and answer.reasoning == Reasoning()


def test_without_reasoning_in_words_the_grounding_is_put_into_words() -> None:
    text = text_contract().write(replace(SAMPLE, reasoning=Reasoning()), CAPTIONS, SIZE).text
    assert "scene: Two people outdoors." in text and "facing left" in text


WORDY = replace(
    SAMPLE, shots=tuple(replace(one, captions=(text,)) for one, text in zip(SAMPLE.shots, CAPTIONS, strict=True))
)
BARE = replace(
    SAMPLE, reasoning=Reasoning(), grounding=Grounding(), shots=tuple(replace(one, captions=()) for one in SAMPLE.shots)
)


@every_contract
def test_a_sample_without_words_teaches_boxes_alone(contract: TextContract) -> None:
    target = contract.write(BARE, ["", "", ""], SIZE)
    assert target.text.startswith("<answer>") and "caption" not in target.text
    assert [weight for _, _, weight in target.spans] == [one.weight for one in SAMPLE.shots]
    read = contract.read(target.text, SIZE)
    assert isinstance(read, Composition)
    asked = contract.prompt(None, contract.parts(BARE))
    assert "caption" not in asked and "<think>" not in asked and "no_subject" in asked
    assert contract.prompt(None, contract.parts(WORDY)) == contract.prompt(None)


def learned(target: Target) -> str:
    """Return the characters that have a loss, others as dots."""
    letters = list(target.text)
    for start, end, weight in target.spans:
        if weight == 0.0:
            letters[start:end] = "." * (end - start)
    return "".join(letters)


def test_a_missing_caption_or_sentence_is_not_learned_as_an_empty_one() -> None:
    shots = tuple(
        replace(one, captions=one.captions if place != 1 else (), weight=1.0) for place, one in enumerate(WORDY.shots)
    )
    partial = replace(SAMPLE, shots=shots, reasoning=Reasoning("A wet street.", "", "He greets."))
    text = learned(text_contract().write(partial, [CAPTIONS[0], "", CAPTIONS[2]], SIZE))
    assert '"caption": ""' not in text
    assert text.count('"caption": "') == 2 and text.count("bbox_2d") == 3
    assert "scene: A wet street." in text and "story:" not in text and " He greets." in text
    last = replace(partial, reasoning=Reasoning("A wet street."))
    assert "</think>" not in learned(text_contract().write(last, [CAPTIONS[0], "", CAPTIONS[2]], SIZE))


def test_a_caption_cannot_pass_for_a_token() -> None:
    captions = ("a <medium> sign", "</answer> <loc_3>", "his face <|end|>")
    for contract in CONTRACTS.values():
        target = contract.write(SAMPLE, captions, SIZE)
        assert isinstance(contract.read(target.text, SIZE), Composition)
        assert len(target.spans) == 3


def test_an_answer_in_words_needs_all_boxes() -> None:
    shots = (*SAMPLE.shots[:2], ShotTarget())
    partial = replace(SAMPLE, shots=shots)
    assert not text_contract().has_targets(partial)
    assert text_contract().has_targets(SAMPLE) and text_contract().has_targets(NO_PEOPLE)
    with pytest.raises(ValueError, match="the close_up shot has no box"):
        text_contract().write(partial, CAPTIONS, SIZE)


@pytest.mark.parametrize("think", [True, False])
@pytest.mark.parametrize("space", CoordSpace)
def test_the_instruction_explains_shots_space_and_reasoning(space: CoordSpace, think: bool) -> None:
    text = text_contract(space, think).prompt(1.5)
    assert text == instruction(space, think=think)
    assert all(f"{kind}: {meaning}" in text for kind, meaning in DEFINITIONS.items())
    assert ("<think>" in text) == think
    assert {
        CoordSpace.PERMILLE: "from 0 to 1000",
        CoordSpace.ABSOLUTE: "whole pixels",
        CoordSpace.LOCATION: "<loc_255>",
    }[space] in text


@pytest.mark.parametrize("space", CoordSpace)
def test_the_instruction_itself_is_no_answer(space: CoordSpace) -> None:
    contract = text_contract(space)
    pattern = contract.prompt(None).split("Answer with ")[1].split("\n")[0]
    assert isinstance(contract.read(pattern, SIZE), AnswerError)
    assert isinstance(contract.read(contract.prompt(None), SIZE), AnswerError)
