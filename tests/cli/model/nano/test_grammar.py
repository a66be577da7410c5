from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.errors import AnswerError
from shotcrop_cli.model.nano import grammar
from shotcrop_cli.shots import FACINGS, NATIVE_SCALES, SETTINGS, Box, Composition, Grounding, NoSubject

BIN = 1 / (grammar.LOCATION_BINS - 1)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """Boxes at least three bins wide, so that rounding to bins cannot empty them."""
    x0, y0 = draw(st.floats(0.0, 0.9)), draw(st.floats(0.0, 0.9))
    x1, y1 = draw(st.floats(x0 + 3 * BIN, 1.0)), draw(st.floats(y0 + 3 * BIN, 1.0))
    return Box(x0, y0, x1, y1)


captions = st.lists(st.text("abcdefghij", min_size=1, max_size=6), min_size=1, max_size=5).map(" ".join)
groundings = st.builds(
    Grounding,
    boxes(),
    boxes(),
    st.integers(1, 4),
    st.sampled_from(SETTINGS),
    st.sampled_from(FACINGS),
    st.sampled_from(NATIVE_SCALES),
)


@given(groundings, st.lists(st.tuples(boxes(), captions), min_size=3, max_size=3))
def test_what_is_written_reads_back_within_half_a_bin(
    grounding: Grounding, shots: list[tuple[Box | None, str]]
) -> None:
    answer = grammar.read(grammar.write(grounding, shots, end=grammar.END))
    assert isinstance(answer, Composition)
    assert answer.grounding is not None
    assert (answer.grounding.people, answer.grounding.facing) == (grounding.people, grounding.facing)
    for shot, (box, caption) in zip(answer.shots, shots, strict=True):
        assert box is not None
        assert all(abs(a - b) <= BIN / 2 + 1e-9 for a, b in zip(shot.box, box, strict=True))
        assert shot.caption.lower() == caption


@given(st.text() | st.text("<>loc_0123456789people").map(lambda text: f"<people_1><indoor>{text}"))
def test_any_text_reads_as_an_answer_or_a_named_error(text: str) -> None:
    with suppress(AnswerError):
        assert isinstance(grammar.read(text), (Composition, NoSubject))


def test_a_photo_of_nobody_is_one_token() -> None:
    text = grammar.write(Grounding(people=0), [])
    assert text == "<people_0>"
    assert grammar.read(text + grammar.END) == NoSubject()


def test_swapped_corners_are_an_error_not_a_guess() -> None:
    box = Box(0.2, 0.2, 0.4, 0.4)
    grounding = Grounding(box, box, 1, "indoor", "left", "full")
    text = grammar.write(grounding, [(box, "a")] * 3)
    swapped = text.replace(grammar.location_tokens(box), "<loc_90><loc_51><loc_20><loc_102>", 1)
    with pytest.raises(AnswerError, match="impossible box"):
        grammar.read(swapped)


def test_everything_unknown_is_written_as_unknown() -> None:
    text = grammar.write(Grounding(), [(None, "")] * 3)
    # Four attributes, five boxes of four sides, three captions.
    assert text.count(grammar.UNKNOWN) == 4 + 5 * 4 + 3


@given(st.floats(0.01, 100.0))
def test_every_aspect_has_a_token_and_mirrors_around_square(aspect: float) -> None:
    token, inverse = grammar.aspect_token(aspect), grammar.aspect_token(1 / aspect)
    place = grammar.ASPECT_TOKENS.index(token)
    assert abs(place + grammar.ASPECT_TOKENS.index(inverse) - (grammar.ASPECT_BINS - 1)) <= 1


@pytest.mark.parametrize(
    ("caption", "folded"),
    [
        ("A man in a red shirt .", "a man in a red shirt"),
        ("Two  girls , laughing !", "two girls, laughing!"),
        ("  Ends here.  ", "ends here"),
    ],
)
def test_captions_are_folded_to_one_form(caption: str, folded: str) -> None:
    assert grammar.normalise_caption(caption) == folded


def test_control_tokens_are_distinct() -> None:
    assert len(set(grammar.CONTROL_TOKENS)) == len(grammar.CONTROL_TOKENS)
