from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from shotcrop_cli.errors import AnswerError
from shotcrop_cli.evaluation.dataset import read_dataset
from shotcrop_cli.shots import Answer, NoSubject
from shotcrop_train.runs.curves import Panel, draw_curves
from shotcrop_train.runs.run_log import RunLog, read_log
from shotcrop_train.runs.validation import answer, validate
from training import write_dataset


class Scripted:
    """A composer that gives prepared answers and notes what it was shown."""

    def __init__(self, answers: Sequence[Answer], max_side: int | None = None) -> None:
        self.answers = iter(answers)
        self.batch_size = 2
        self.base = SimpleNamespace(max_side=max_side)
        self.sizes: list[tuple[int, int]] = []
        self.batches: list[int] = []

    def compose(self, images: Sequence[Image.Image], aspects: Sequence[float | None]) -> list[Answer]:
        self.batches.append(len(images))
        self.sizes += [image.size for image in images]
        return [next(self.answers) for _ in images]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder / "experts", 5, "experts")
    write_dataset(folder / "empty", 2, "empty")
    return folder


def test_perfect_answers_score_perfectly(data: Path) -> None:
    records = read_dataset(data / "experts") + read_dataset(data / "empty")
    truth: list[Answer] = [record.composition or NoSubject() for record in records]
    figures = validate(Scripted(truth), records)  # type: ignore[arg-type]
    assert figures["held_iou"] == figures["held_iou_close_up"] == figures["held_acc@0.85"] == 1.0
    assert figures["held_bde"] == 0.0
    assert (figures["held_no_subject_recall"], figures["held_no_subject_false_alarm"]) == (1.0, 0.0)


def test_unreadable_answers_count_as_misses(data: Path) -> None:
    records = read_dataset(data / "experts")
    answers: list[Answer] = [record.composition or NoSubject() for record in records]
    answers[0], answers[1] = AnswerError("not an answer"), NoSubject()
    figures = validate(Scripted(answers), records)  # type: ignore[arg-type]
    assert figures["held_iou"] == figures["held_complete"] == 0.6
    assert figures["held_no_subject_false_alarm"] == 0.2


def test_photos_are_shown_in_the_shape_that_the_base_wants_and_never_all_at_once(data: Path) -> None:
    records = read_dataset(data / "experts")
    plain = Scripted([NoSubject()] * 5)
    answer(plain, records)  # type: ignore[arg-type]
    assert plain.batches == [2, 2, 1]
    small = Scripted([NoSubject()] * 5, max_side=48)
    answer(small, records)  # type: ignore[arg-type]
    assert set(small.sizes) == {(48, 36)}


class Saved:
    """What `RunLog` keeps: writes a file that says which step it was."""

    def __init__(self) -> None:
        self.step = 0

    def save_pretrained(self, folder: str) -> None:
        Path(folder).mkdir(exist_ok=True)
        (Path(folder) / "step").write_text(str(self.step))


def steps(log: RunLog, model: Saved, numbers: Sequence[int], zero: bool = True, last: int = 100) -> None:
    arguments = SimpleNamespace(per_device_train_batch_size=2, gradient_accumulation_steps=2, world_size=2)
    state = SimpleNamespace(global_step=0, max_steps=last, is_world_process_zero=zero)
    log.on_train_begin(arguments, state, None)
    for number in numbers:
        state.global_step = model.step = number
        log.on_step_end(arguments, state, None, model=model, processing_class=model)
        log.on_log(arguments, state, None, logs={"loss": 1.0 / number})
    log.on_train_end(arguments, state, None)


def test_the_best_model_is_kept_across_a_cut(tmp_path: Path) -> None:
    figures = iter([0.3, 0.5, 0.4, 0.45, 0.6])
    model = Saved()

    def evaluate(_: Any) -> Mapping[str, float]:
        return {"held_iou": next(figures)}

    steps(RunLog(tmp_path, evaluate, 10), model, [5, 10, 20, 30])
    assert (tmp_path / "best" / "step").read_text() == "20"
    steps(RunLog(tmp_path, evaluate, 10), model, [40])
    assert (tmp_path / "best" / "step").read_text() == "20"
    steps(RunLog(tmp_path, evaluate, 10), model, [45], last=45)
    assert (tmp_path / "best" / "step").read_text() == "45"
    lines = read_log(tmp_path / "log.jsonl")
    assert [line["step"] for line in lines if "held_iou" in line] == [10, 20, 30, 40, 45]
    assert [line["step"] for line in lines if "loss" in line] == [5, 10, 20, 30, 40, 45]
    assert not (tmp_path / "best.new").exists()


def test_only_the_first_process_evaluates_and_writes(tmp_path: Path) -> None:
    def evaluate(_: Any) -> Mapping[str, float]:
        raise AssertionError

    steps(RunLog(tmp_path, evaluate, 1), Saved(), [1, 2], zero=False)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_measure_keeps_nothing(tmp_path: Path) -> None:
    steps(RunLog(tmp_path, lambda _: {"held_iou": 1.0}, 1, best=None), Saved(), [1])
    steps(RunLog(tmp_path, None, 1), Saved(), [2])
    assert {path.name for path in tmp_path.iterdir()} == {"log.jsonl", "tensorboard"}


def test_tensorboard_gets_every_number(tmp_path: Path) -> None:
    steps(RunLog(tmp_path, lambda _: {"held_iou": 0.5}, 1), Saved(), [1])
    (events,) = (tmp_path / "tensorboard").iterdir()
    content = events.read_bytes()
    assert b"held_iou" in content and b"loss" in content


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"step": 1}) + '\n{"step": 2, "lo', "utf-8")
    assert read_log(path) == [{"step": 1}]
    assert read_log(tmp_path / "absent.jsonl") == []


def test_curves_show_each_panel(tmp_path: Path) -> None:
    path, target = tmp_path / "log.jsonl", tmp_path / "curves.png"
    lines = [{"step": step, "loss": 1 / step, "reward": 0.1 * step} for step in (2, 1, 2)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    draw_curves(path, target, [Panel("reward", ("reward",)), Panel("loss", ("loss",)), Panel("nothing", ("kl",))])
    with Image.open(target) as image:
        assert image.width > 2 * image.height


@pytest.mark.parametrize(("fsdp", "deepspeed"), [(True, False), (False, True), (False, False)])
def test_a_sharded_model_is_not_measured_by_one_process_alone(
    tmp_path: Path, fsdp: bool, deepspeed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = SimpleNamespace(
        is_fsdp_enabled=fsdp,
        is_deepspeed_enabled=deepspeed,
        is_world_process_zero=lambda: True,
        callback_handler=SimpleNamespace(callbacks=[]),
    )
    log = RunLog(tmp_path, lambda _: {}, 1)
    log.watch(trainer)
    assert (log.evaluate is None) == (fsdp or deepspeed)
    assert ("use shotcrop eval" in capsys.readouterr().err) == (fsdp or deepspeed)
