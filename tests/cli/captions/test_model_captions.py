"""Captions by a large model on this machine: its prompt, its errors, and how it is named. No model is loaded here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from caption_server import GOOD
from conftest import jpeg_bytes, picture
from large_manifests import MANIFEST, QWEN3
from shotcrop_cli.errors import AnswerError, CaptionError, DeviceError, ModelError
from shotcrop_cli.main import cli
from shotcrop_cli.model.bundle import Bundle
from shotcrop_cli.model.large.answer import CoordSpace
from shotcrop_cli.model.large.captioner import LargeCaptioner
from shotcrop_cli.model.large.composer import LargeComposer
from shotcrop_cli.model.large.manifest import Prompt
from shotcrop_cli.model.large.patches import Grid
from shotcrop_cli.model.large.positions import prompt_of_pictures, prompt_row
from shotcrop_cli.model.large.prompts import instruction, texts_around
from shotcrop_cli.model.load import find_model
from shotcrop_cli.model.notices import NO_NOTICES
from shotcrop_cli.shots import SHOT_TYPES, CaptionRequest

_ASKED = instruction(CoordSpace.PERMILLE, think=True)
_PROMPT = Prompt(
    "<user><|vision_start|>", f"<|vision_end|>{_ASKED}<end><assistant>", 9, 7, (8,), 99, CoordSpace.PERMILLE, True
)
_REQUEST = CaptionRequest(SHOT_TYPES, (jpeg_bytes(picture()),) * 3, jpeg_bytes(picture()), 1)


def test_another_question_takes_the_place_of_the_instruction() -> None:
    assert texts_around(_PROMPT, "Who is it?", 1) == [
        "<user><|vision_start|>",
        "<|vision_end|>Who is it?<end><assistant>",
    ]
    between = "<|vision_end|><|vision_start|>"
    assert texts_around(_PROMPT, "Who?", 3) == [
        "<user><|vision_start|>",
        between,
        between,
        "<|vision_end|>Who?<end><assistant>",
    ]


@pytest.mark.parametrize(
    "prompt",
    [
        replace(_PROMPT, suffix="<|vision_end|>older words"),
        replace(_PROMPT, prefix=""),
        replace(_PROMPT, suffix=_ASKED),
    ],
)
def test_a_prompt_of_another_version_is_not_guessed_at(prompt: Prompt) -> None:
    with pytest.raises(AnswerError, match="export it again"):
        texts_around(prompt, "Who?", 1)


def test_pictures_follow_each_other_in_time() -> None:
    first, between, last = np.array([1, 2]), np.array([3]), np.array([4, 5])
    grids = (Grid(4, 6), Grid(2, 2))
    row = prompt_of_pictures((first, between, last), 7, grids, QWEN3)
    assert row.ids.tolist() == [1, 2, *[7] * 6, 3, 7, 4, 5]
    assert row.positions[0].tolist() == [0, 1, *[2] * 6, 5, 6, 7, 8]  # 2 rows and 3 columns take 3 positions
    assert row.positions[1].tolist() == [0, 1, 2, 2, 2, 3, 3, 3, 5, 6, 7, 8]
    assert row.positions[2].tolist() == [0, 1, 2, 3, 4, 2, 3, 4, 5, 6, 7, 8]
    assert row.next_position == 9
    alone, same = prompt_row(first, 7, last, grids[0], QWEN3), prompt_of_pictures((first, last), 7, grids[:1], QWEN3)
    assert np.array_equal(alone.positions, same.positions) and alone.next_position == same.next_position


class _Model:
    def __init__(self, answer: str | Exception) -> None:
        self.answer, self.asked = answer, list[tuple[str, list[tuple[int, int]]]]()

    def ask(self, question: str, pictures: list[Image.Image]) -> str:
        self.asked.append((question, [one.size for one in pictures]))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def _captioner(monkeypatch: pytest.MonkeyPatch, model: _Model, language: str = "en") -> LargeCaptioner:
    monkeypatch.setattr(LargeComposer, "load", lambda *_: model)
    return LargeCaptioner(Bundle(Path("model"), MANIFEST, {}), language, NO_NOTICES)


def test_the_model_sees_the_crops_and_the_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _Model(f"Sure:\n{msgspec.json.encode(GOOD).decode()}")
    text = _captioner(monkeypatch, model, "de").caption(_REQUEST, ["the story is empty"])
    assert [words.caption for words in text.shots] == [GOOD[str(shot)]["caption"] for shot in SHOT_TYPES]
    assert text.story == GOOD["story"]
    ((question, sizes),) = model.asked
    assert "Write in German" in question and "Picture 4 is the whole photo" in question
    assert question.endswith("the story is empty. Answer again and avoid them.")
    assert sizes == [picture().size] * 4


@pytest.mark.parametrize(
    ("answer", "message", "answered"),
    [
        ("I see a woman.", "does not follow the JSON schema", True),
        (AnswerError("the answer was cut off after 512 tokens"), "cut off", True),
        (DeviceError("out of memory"), "out of memory", False),
    ],
)
def test_what_the_model_cannot_do_fails_one_photo(
    monkeypatch: pytest.MonkeyPatch, answer: str | Exception, message: str, answered: bool
) -> None:
    with pytest.raises(CaptionError, match=message) as caught:
        _captioner(monkeypatch, _Model(answer)).caption(_REQUEST)
    assert caught.value.answered is answered and not caught.value.ends_asking


def test_a_model_that_cannot_be_loaded_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    captioner = _captioner(monkeypatch, _Model(""))

    def broken(*_: object) -> None:
        raise ModelError("vision.onnx is damaged")

    monkeypatch.setattr(LargeComposer, "load", broken)
    with pytest.raises(CaptionError, match=r"vision\.onnx is damaged") as caught:
        captioner.caption(_REQUEST)
    assert caught.value.ends_asking


def test_the_default_model_writes_no_texts() -> None:
    with pytest.raises(ModelError, match="writes no texts"):
        LargeCaptioner(find_model(), "en", NO_NOTICES)


def test_a_missing_model_ends_the_run_before_it_crops(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(jpeg_bytes(picture()))
    run = ["crop", str(tmp_path / "photos"), "-o", str(tmp_path / "out"), "--captions", f"model:{tmp_path / 'none'}"]
    result = CliRunner().invoke(cli, run)
    assert result.exit_code != 0
    assert not list((tmp_path / "out").glob("**/*.jpg"))
