import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from shotcrop_cli.commands.eval import eval_command
from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.errors import AnswerError, ShotcropError
from shotcrop_cli.evaluation.baselines import Baseline, triple
from shotcrop_cli.geometry import from_permille, to_pixels
from shotcrop_cli.shots import Answer, ModelIdentity, NoSubject, Reasoning, ShotType
from shotcrop_cli.sidecar import MainPerson, ShotRecord, Sidecar, SidecarStatus, SourceRecord

SHOTS = {"establishing": [0, 0, 1000, 1000], "medium": [200, 100, 800, 700], "close_up": [400, 100, 600, 300]}


def annotated(name: str) -> dict[str, Any]:
    shots = {kind: {"box": box, "caption": "Somebody."} for kind, box in SHOTS.items()}
    return {"file_name": name, "width": 60, "height": 40, "annotation": {"shots": shots}}


def empty(name: str) -> dict[str, Any]:
    return {"file_name": name, "width": 60, "height": 40, "no_subject": True}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three annotated photos, one without people, one without annotation."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rows = [annotated("a.jpg"), annotated("b.jpg"), annotated("c.jpg"), empty("d.jpg")]
    rows.append({"file_name": "e.jpg", "width": 60, "height": 40})
    for shade, row in enumerate(rows):
        Image.new("RGB", (60, 40), (40 * shade, 0, 0)).save(folder / row["file_name"])
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(eval_command, [str(argument) for argument in arguments])


def figures(result: Result) -> dict[tuple[str, str | None], float]:
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    return {(metric["name"], metric["shot"]): metric["value"] for metric in json.loads(line)["metrics"]}


def sidecar(folder: Path, name: str, **changes: object) -> None:
    """Write what `shotcrop crop` would, with some keys changed."""
    content = Sidecar(
        status=SidecarStatus.DONE,
        source=SourceRecord(f"/{name}", 1, "2026-01-01T00:00:00.000000Z", "0" * 64, "JPEG", 60, 40),
        model=ModelIdentity("fake", "0" * 64, "CPUExecutionProvider"),
        settings=CropSettings(),
        main_person=MainPerson(),
        reasoning=Reasoning(),
        shots=tuple(
            ShotRecord(ShotType(kind), to_pixels(box, 60, 40), box, box, f"{name}.{kind}.jpg", None)
            for kind, box in ((kind, from_permille(sides)) for kind, sides in SHOTS.items())
        ),
    )
    document = {**json.loads(content.to_bytes()), **changes}
    (folder / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")


class Fake:
    """Answers by the shade of the photo: the third one is unreadable, the fourth is without people."""

    identity = ModelIdentity("fake", "0" * 64, "CPUExecutionProvider")
    thumbnail_size = (32, 32)

    def __init__(self) -> None:
        self.batches: list[int] = []

    def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float]) -> list[Answer]:
        self.batches.append(len(thumbnails))
        assert all(image.size == (32, 32) and image.mode == "RGB" for image in thumbnails)
        assert list(aspects) == [1.5] * len(thumbnails)
        by_shade = {0: triple(Baseline.CENTRE), 1: triple(Baseline.FULL), 2: AnswerError("gibberish")}
        shades = [round(image.getpixel((16, 16))[0] / 40) for image in thumbnails]  # type: ignore[index]
        return [by_shade.get(shade, NoSubject()) for shade in shades]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    composer = Fake()
    module = ModuleType("shotcrop_cli.model.load")
    module.find_model = lambda model: model  # type: ignore[attr-defined]
    module.load_composer = lambda bundle, device="auto", **options: composer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shotcrop_cli.model.load", module)
    return composer


def test_baseline_alone_prints_its_own_figures(dataset: Path) -> None:
    result = run(dataset, "--baseline", "full", "--json")
    values = figures(result)
    assert values["iou", "medium"] == pytest.approx(0.36)
    assert values["no_subject_recall", None] == 0.0
    assert ("gain", None) not in values
    content = json.loads(result.stdout)
    assert (content["photos"], content["photos_without_people"], content["skipped"]) == (3, 1, 1)
    assert content["answers"] == "baseline full"
    assert "1 photos without annotation are skipped" in result.stderr


def test_table_shows_shots_mean_and_interval_on_stdout(dataset: Path) -> None:
    result = run(dataset, "--baseline", "full")
    assert result.exit_code == 0
    for words in (
        "establishing",
        "medium",
        "close_up",
        "mean",
        "95 % interval",
        "iou",
        "0.360",
        "3 annotated",
    ):
        assert words in result.stdout
    assert "…" not in result.stdout.replace(" … ", "")


def test_mean_baseline_can_be_taken_from_a_dataset(dataset: Path) -> None:
    assert figures(run(dataset, "--baseline", "mean", "--mean-from", dataset, "--json"))["iou", None] == pytest.approx(
        1.0
    )
    assert run(dataset, "--baseline", "full", "--mean-from", dataset).exit_code == 2


def test_captions_are_judged_by_what_a_training_set_teaches(dataset: Path, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
        sidecar(tmp_path, name)
        path = tmp_path / f"{name}.json"
        content = json.loads(path.read_text("utf-8"))
        shots = [shot | {"caption": f"Somebody, {shot['shot']}"} for shot in content["shots"]]
        path.write_text(json.dumps(content | {"shots": shots}), encoding="utf-8")
    assert ("caption_retrieval", None) not in figures(run(dataset, "--predictions", tmp_path, "--json"))
    judged = figures(run(dataset, "--predictions", tmp_path, "--captions-from", dataset, "--json"))
    # The training set calls every box alike, so that nothing can be learned from it.
    assert judged["caption_retrieval", None] == pytest.approx(1 / 3)


def test_sidecars_are_scored_with_gain_over_a_baseline(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "shots"
    out.mkdir()
    sidecar(out, "a.jpg")
    sidecar(out, "b.jpg", status="no_subject", shots=[])
    sidecar(out, "d.jpg", status="no_subject", shots=[])
    result = run(dataset, "--predictions", out, "--baseline", "full", "--json")
    values = figures(result)
    assert values["iou", None] == pytest.approx(1 / 3)
    assert values["complete", None] == pytest.approx(1 / 3)
    assert values["gain", "establishing"] == pytest.approx(1 / 3 - 1)
    assert values["no_subject_recall", None] == 1.0
    assert values["no_subject_false_alarm", None] == pytest.approx(1 / 3)
    assert "c.jpg" in result.stderr and json.loads(result.stdout)["failed"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "failed"},
        {"shots": []},
        {"shots": [{"shot": "wide", "box_norm": [0, 0, 1, 1]}] * 3},
        {"shots": [{"shot": "medium", "box_norm": [0.5, 0, 0.2, 1]}] * 3},
        {"shots": 3},
    ],
)
def test_a_spoilt_sidecar_counts_as_no_answer(dataset: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    sidecar(tmp_path, "a.jpg", **changes)
    result = run(dataset, "--predictions", tmp_path, "--limit", "1", "--json")
    assert figures(result)["complete", None] == 0.0
    assert "no answer for a.jpg" in result.stderr


def test_a_folder_without_any_sidecar_is_an_error(dataset: Path, tmp_path: Path) -> None:
    result = run(dataset, "--predictions", tmp_path)
    assert isinstance(result.exception, ShotcropError) and "no sidecar" in result.exception.message


def test_model_answers_are_scored_in_batches(dataset: Path, fake: Fake) -> None:
    result = run(dataset, "--baseline", "full", "--model", "fake", "-b", "3", "--json")
    values = figures(result)
    assert fake.batches == [3, 1]
    assert values["complete", None] == pytest.approx(2 / 3)
    assert values["no_subject_recall", None] == 1.0 and values["no_subject_false_alarm", None] == 0.0
    assert ("gain", None) in values
    assert "c.jpg: gibberish" in result.stderr
    assert json.loads(result.stdout)["answers"] == "fake on CPUExecutionProvider"


def test_the_default_model_answers_without_options_and_a_broken_photo_ends_nothing(dataset: Path, fake: Fake) -> None:
    (dataset / "a.jpg").write_bytes(b"no picture")
    result = run(dataset, "--json")
    assert fake.batches == [3]
    assert figures(result)["complete", None] == pytest.approx(1 / 3)
    assert "a.jpg" in result.stderr


def test_limit_takes_the_first_photos(dataset: Path) -> None:
    assert json.loads(run(dataset, "--baseline", "full", "--limit", "2", "--json").stdout)["photos"] == 2


def test_options_that_contradict_are_a_usage_error(dataset: Path) -> None:
    result = run(dataset, "--model", "x", "--predictions", dataset)
    assert result.exit_code == 2 and "exclude each other" in result.stderr


def test_dataset_without_annotation_is_an_error(dataset: Path) -> None:
    (dataset / "metadata.jsonl").write_text(
        json.dumps({"file_name": "e.jpg", "width": 6, "height": 4}), encoding="utf-8"
    )
    result = run(dataset, "--baseline", "full")
    assert isinstance(result.exception, ShotcropError) and "no annotated photo" in result.exception.message


@pytest.mark.parametrize(("width", "by_shot"), [(60, False), (100, True), (0, True)])
def test_a_narrow_terminal_gets_a_table_without_a_column_per_shot(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, width: int, by_shot: bool
) -> None:
    monkeypatch.setattr(sys.modules[eval_command.callback.__module__], "terminal_width", lambda _stream: width)
    shown = run(dataset, "--baseline", "centre")
    assert ("close_up" in shown.stdout) is by_shot
    assert ("too narrow" in shown.stderr) is not by_shot
    assert max(map(len, shown.stdout.splitlines())) <= (width or 100)
