from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import shotcrop_train.pseudo_label as stage
from clip import save_tiny_clip
from conftest import open_image
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.dataset import read_dataset, read_row
from shotcrop_cli.ray_engine.actors import Chunk
from shotcrop_cli.run_options import RayOptions
from shotcrop_cli.shots import FULL_FRAME, SHOT_TYPES, Box, Composition, Grounding, Reasoning, Shot, ShotType
from shotcrop_train.composer.nano_recipe import load_nano_recipe
from shotcrop_train.data.samples import expert_samples, held_back
from shotcrop_train.data.skipped_photos import LIST as SKIPPED
from shotcrop_train.pseudo import team
from shotcrop_train.pseudo.decision import Rule
from shotcrop_train.pseudo.labeller import Labeller
from shotcrop_train.pseudo_label import PseudoLabelRecipe, label
from shotcrop_train.recipe import ModelRecipe, load_recipe
from shotcrop_train.scorers import Judged, Photo, ScorerRecipe
from shotcrop_train.torch_composer import TorchComposer
from training import vary_experts, write_dataset
from vlm import save_tiny_vlm

RECIPE = PseudoLabelRecipe(
    experts=("experts",), unlabelled=("proposals",), criteria=("m", "c"), max_side=64, chunk=2, batch_size=2
)
LEFT, RIGHT = Box(0.0, 0.0, 0.5, 1.0), Box(0.5, 0.0, 1.0, 1.0)


@dataclass
class Fixed:
    """Proposes the same box for every shot of every photo."""

    name: str
    box: Box
    seen: list[int] = field(default_factory=list)

    def propose(self, photos: Sequence[Photo]) -> list[Composition | None]:
        self.seen.append(len(photos))
        shots = tuple(Shot(kind, self.box, f"{self.name} sees it") for kind in SHOT_TYPES)
        thought = Reasoning(f"{self.name} thinks.", "A figure.", "It stands.")
        return [Composition(shots, thought, Grounding(people=1, facing="left")) for _ in photos]


class Silent:
    """Proposes nothing."""

    name = "silent"

    def propose(self, photos: Sequence[Photo]) -> list[Composition | None]:
        return [None] * len(photos)


@dataclass
class Planted:
    """Scores by a function that the test gives."""

    name: str
    figure: Callable[[Judged], float | None]
    calibrated: bool = False

    def score(self, judged: Sequence[Judged]) -> list[float | None]:
        return [self.figure(one) for one in judged]


def by_shot_and_side(judged: Judged) -> float:
    """Make the left box good for the medium shot, nothing good for the close-up, all fair for the wide shot."""
    medium = 0.95 if judged.shot.box == LEFT else 0.3
    return {ShotType.ESTABLISHING: 0.7, ShotType.MEDIUM: medium, ShotType.CLOSE_UP: 0.2}[judged.shot.type]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "data" / "experts", 24, "experts")
    write_dataset(tmp_path / "data" / "proposals", 5, "proposals", seed=1)
    return tmp_path / "data"


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put proposers and scorers in the place of those that would be loaded."""

    def put(proposers: Sequence[Any], scorers: Sequence[Any]) -> None:
        monkeypatch.setattr(stage, "load_proposers", lambda *_, **__: list(proposers))
        monkeypatch.setattr(stage, "load_scorers", lambda *_, **__: list(scorers))

    put([Fixed("a", LEFT), Fixed("b", RIGHT)], [Planted("m", by_shot_and_side), Planted("c", by_shot_and_side)])
    return put


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.usefixtures("plant")
def test_labels_are_a_dataset_with_accepted_flags_and_a_trace_of_every_proposal(data: Path, tmp_path: Path) -> None:
    output = label(RECIPE, data, tmp_path / "out", ["a", "b"])
    records = read_dataset(output)
    assert [record.accepted for record in records] == [(False, True, False)] * 5
    first = records[0]
    assert first.composition is not None
    assert first.composition[ShotType.MEDIUM].box == LEFT
    assert first.composition[ShotType.MEDIUM].caption == "a sees it"
    assert first.composition.reasoning.scene == "a thinks."
    assert first.composition.grounding == Grounding(people=1, facing="left")
    trace = rows_of(output)[0]["pseudo"]
    assert {shot: trace[shot]["outcome"] for shot in trace} == {
        "establishing": "rejected", "medium": "accepted", "close_up": "hard",
    }  # fmt: skip
    assert trace["medium"]["proposals"] == [
        {"proposers": ["a"], "box": [0, 0, 500, 1000], "scores": {"m": 0.95, "c": 0.95}},
        {"proposers": ["b"], "box": [500, 0, 1000, 1000], "scores": {"m": 0.3, "c": 0.3}},
    ]
    assert [shot.weight for shot in expert_samples(records)[0].shots] == [0.0, 1.0, 0.0]


@pytest.mark.usefixtures("plant")
def test_photos_are_linked_and_what_the_row_said_is_kept(data: Path, tmp_path: Path) -> None:
    output = label(RECIPE, data, tmp_path / "out", ["a", "b"])
    before, after = read_dataset(data / "proposals"), read_dataset(output)
    for old, new in zip(before, after, strict=True):
        assert new.path.is_symlink()
        assert new.path.resolve() == old.path.resolve()
        assert (new.captions, new.detections, new.source) == (old.captions, old.detections, old.source)


@pytest.mark.usefixtures("plant")
def test_the_report_counts_rates_proposers_and_hard_cases(data: Path, tmp_path: Path) -> None:
    output = label(RECIPE, data, tmp_path / "out", ["a", "b"])
    summary = json.loads((output / "summary.json").read_text("utf-8"))
    assert summary["photos"] == {"all": 5, "labelled": 5, "failed": 0}
    assert summary["acceptance_rate"] == pytest.approx(1 / 3, abs=1e-4)
    assert summary["shots"]["medium"]["acceptance_rate"] == 1.0
    assert summary["shots"]["close_up"] == {
        "accepted": 0, "rejected": 0, "hard": 5, "acceptance_rate": 0.0, "hard_rate": 1.0,
    }  # fmt: skip
    assert summary["proposers"] == {
        "a": {"proposed": 15, "accepted": 5},
        "b": {"proposed": 15, "accepted": 0},
    }
    hard = [read_row(output, line) for line in (output / "hard.jsonl").read_text("utf-8").splitlines()]
    assert [record.path for record in hard] == [record.path for record in read_dataset(output)]
    assert open_image(output / "histograms.png").format == "PNG"
    sheet = open_image(output / "contact-sheet.jpg")
    assert len(sheet.convert("L").getcolors(256) or []) > 50


def test_an_interrupted_run_continues_where_it_was_and_ends_like_one_without_interruption(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[..., None]
) -> None:
    whole = label(RECIPE, data, tmp_path / "whole", ["a", "b"])
    real = Labeller.label

    def cut(self: Labeller, photos: Sequence[Photo]) -> Any:
        if (tmp_path / "out" / "metadata.jsonl").stat().st_size:
            raise KeyboardInterrupt
        return real(self, photos)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Labeller, "label", cut)
        label(RECIPE, data, tmp_path / "out", ["a", "b"])
    assert len(rows_of(tmp_path / "out")) == RECIPE.chunk
    assert not (tmp_path / "out" / "summary.json").exists()
    with (tmp_path / "out" / "metadata.jsonl").open("a") as file:
        file.write('{"file_name": "half a r')
    again = Fixed("a", LEFT)
    plant([again, Fixed("b", RIGHT)], [Planted("m", by_shot_and_side), Planted("c", by_shot_and_side)])
    output = label(RECIPE, data, tmp_path / "out", ["a", "b"])
    assert again.seen == [2, 1]
    for name in ("metadata.jsonl", "hard.jsonl", "summary.json"):
        assert (output / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.usefixtures("plant")
def test_another_recipe_or_other_proposers_in_the_same_folder_are_refused(data: Path, tmp_path: Path) -> None:
    label(RECIPE, data, tmp_path / "out", ["a", "b"])
    with pytest.raises(ShotcropError, match=r"recipe\.recipe\.rule\.accept: 0\.85, not 0\.9"):
        label(replace(RECIPE, rule=Rule(accept=0.9)), data, tmp_path / "out", ["a", "b"])
    with pytest.raises(ShotcropError, match=r"recipe\.proposers"):
        label(RECIPE, data, tmp_path / "out", ["a"])


@pytest.mark.usefixtures("plant")
def test_a_limit_labels_the_first_photos_only(data: Path, tmp_path: Path) -> None:
    output = label(RECIPE, data, tmp_path / "out", ["a", "b"], limit=3)
    names = [record.path.name for record in read_dataset(data / "proposals")]
    assert [record.path.name for record in read_dataset(output)] == names[:3]


def test_no_more_photos_than_a_chunk_are_ever_proposed_at_a_time(
    data: Path, tmp_path: Path, plant: Callable[..., None]
) -> None:
    proposer = Fixed("a", LEFT)
    plant([proposer], [Planted("m", lambda _: 0.9)])
    label(replace(RECIPE, criteria=("m",)), data, tmp_path / "out", ["a"])
    assert proposer.seen == [2, 2, 1]


@pytest.mark.usefixtures("plant")
def test_a_damaged_photo_costs_its_own_label_only(data: Path, tmp_path: Path) -> None:
    broken = read_dataset(data / "proposals")[1].path
    broken.write_bytes(b"no picture")
    output = label(RECIPE, data, tmp_path / "out", ["a", "b"])
    rows = rows_of(output)
    assert str(broken) in rows[1]["pseudo"]["failure"]
    assert [record.composition is not None for record in read_dataset(output)] == [True, False, True, True, True]
    assert json.loads((output / "summary.json").read_text("utf-8"))["photos"]["failed"] == 1


def test_a_damaged_expert_photo_is_skipped_and_named_while_scorers_are_calibrated(
    data: Path, tmp_path: Path, plant: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    plant([Fixed("a", LEFT)], [Planted("m", lambda judged: judged.shot.box.area, calibrated=True)])
    vary_experts(data / "experts")
    broken = next(record.path for record in read_dataset(data / "experts") if not held_back(record))
    broken.write_bytes(broken.read_bytes()[:200])
    output = label(replace(RECIPE, criteria=("m",)), data, tmp_path / "out", ["a"])
    assert len(rows_of(output)) == 5
    (listed,) = (json.loads(line) for line in (output / "skipped_photos.jsonl").read_text("utf-8").splitlines())
    assert listed["photo"] == str(broken)
    assert f"{broken}: skipped" in capsys.readouterr().err


def test_a_photo_without_any_proposal_keeps_its_row(data: Path, tmp_path: Path, plant: Callable[..., None]) -> None:
    plant([Silent()], [Planted("m", lambda _: 0.9)])
    output = label(replace(RECIPE, criteria=("m",)), data, tmp_path / "out", ["silent"])
    assert {row["pseudo"]["failure"] for row in rows_of(output)} == {"no proposer proposes anything"}
    assert [record.composition for record in read_dataset(output)] == [None] * 5


@pytest.mark.usefixtures("plant")
def test_rows_with_an_annotation_or_without_a_person_are_passed_over(data: Path, tmp_path: Path) -> None:
    write_dataset(data / "empty", 3, "empty")
    recipe = replace(RECIPE, unlabelled=("experts", "empty", "proposals"))
    output = label(recipe, data, tmp_path / "out", ["a", "b"])
    assert {record.path.parent.name for record in read_dataset(output)} == {"proposals"}


@pytest.mark.usefixtures("plant")
def test_a_name_that_leads_out_of_its_dataset_stays_inside_the_output(data: Path, tmp_path: Path) -> None:
    rows = (data / "proposals" / "metadata.jsonl").read_text("utf-8").replace('"proposals-', '"../proposals/proposals-')
    (data / "proposals" / "metadata.jsonl").write_text(rows, "utf-8")
    output = label(RECIPE, data, tmp_path / "out", ["a", "b"])
    assert all(row["file_name"].startswith("proposals/proposals/") for row in rows_of(output))
    assert all(record.path.exists() for record in read_dataset(output))


def test_scores_are_mapped_between_percentiles_of_expert_crops_of_the_same_shot(
    data: Path, tmp_path: Path, plant: Callable[..., None]
) -> None:
    def where_the_face_is(judged: Judged) -> float:
        return judged.photo.detections.faces[0].box.centre[0] * (2.0 if judged.shot.type is ShotType.MEDIUM else 0.5)

    plant([Fixed("a", FULL_FRAME)], [Planted("c", where_the_face_is, calibrated=True)])
    output = label(replace(RECIPE, criteria=("c",)), data, tmp_path / "out", ["a"])
    spans = {one["shot"]: one for one in json.loads((output / "calibration.json").read_text("utf-8"))}
    assert 0.6 <= spans["medium"]["low"] < spans["medium"]["high"] <= 1.4
    assert 0.15 <= spans["close_up"]["low"] < spans["close_up"]["high"] <= 0.35
    raw = read_dataset(output)[0].detections.faces[0].box.centre[0]
    for shot, factor in (("medium", 2.0), ("close_up", 0.5)):
        low, high = spans[shot]["low"], spans[shot]["high"]
        score = rows_of(output)[0]["pseudo"][shot]["proposals"][0]["scores"]["c"]
        assert score == pytest.approx(min(max((raw * factor - low) / (high - low), 0.0), 1.0), abs=1e-3)


def test_the_geometry_veto_is_off_by_default_and_strikes_cut_faces_when_on(
    data: Path, tmp_path: Path, plant: Callable[..., None]
) -> None:
    # A sliver at the foot of the photo shows no face.
    plant([Fixed("a", Box(0.0, 0.9, 1.0, 1.0))], [Planted("m", lambda _: 0.9)])
    recipe = replace(RECIPE, criteria=("m",))
    plain = label(recipe, data, tmp_path / "plain", ["a"])
    veto = label(replace(recipe, rule=Rule(veto=True)), data, tmp_path / "veto", ["a"])
    assert [record.accepted for record in read_dataset(plain)] == [(True, True, True)] * 5
    assert [record.accepted for record in read_dataset(veto)] == [(True, False, False)] * 5


def test_real_checkpoints_and_a_stand_in_label_photos(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TorchComposer.__init__, "__defaults__", (16, 4))  # a random model never ends its answer
    vary_experts(data / "experts")
    checkpoint = save_tiny_vlm(tmp_path / "vlm")
    recipe = replace(RECIPE, criteria=("composition",), model=ModelRecipe(max_pixels=0), chunk=8)
    output = label(recipe, data, tmp_path / "out", [checkpoint, "rule-based"], offline=True)
    assert len(read_dataset(output)) == 5
    assert len(json.loads((output / "calibration.json").read_text("utf-8"))) == 3


def test_real_models_of_the_three_criteria_label_photos(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from clip import WIDTH

    monkeypatch.setattr("shotcrop_train.scorers.mllm.ANSWER_TOKENS", 4)
    clip = save_tiny_clip(tmp_path / "clip")
    torch.save({"weight": torch.randn(1, WIDTH), "bias": torch.zeros(1)}, tmp_path / "head.pth")
    scorers = ScorerRecipe(
        mllm=str(save_tiny_vlm(tmp_path / "vlm")),
        clip=str(clip),
        aesthetic_clip=str(clip),
        aesthetic_head=str(tmp_path / "head.pth"),
    )
    recipe = replace(RECIPE, criteria=("mllm", "clip", "aesthetic"), scorers=scorers, chunk=8)
    output = label(recipe, data, tmp_path / "out", ["rule-based"], offline=True)
    scores = rows_of(output)[0]["pseudo"]["medium"]["proposals"][0]["scores"]
    # A random judge writes no marks, and the rules write no caption: neither may be taken for agreement.
    assert scores["mllm"] is None
    assert scores["clip"] is None
    assert 0.0 <= scores["aesthetic"] <= 1.0
    assert not any(any(record.accepted) for record in read_dataset(output))


@pytest.mark.parametrize(
    "values", [{"experts": ()}, {"unlabelled": ()}, {"criteria": ()}, {"criteria": ("clip", "clip")}, {"chunk": 0}]
)
def test_a_recipe_that_cannot_run_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        replace(RECIPE, **values)


def test_the_large_recipe_is_the_papers_and_the_compact_one_says_that_it_stands_in() -> None:
    large, nano = load_recipe("qwen3-vl-pseudo", PseudoLabelRecipe), load_nano_recipe("nano").pseudo_label
    assert large.criteria == ("mllm", "clip", "aesthetic")
    assert large.rule == Rule()
    assert not {"mllm", "clip", "aesthetic"} & set(nano.criteria)
    text = (Path(stage.__file__).with_name("recipes") / "nano.toml").read_text("utf-8")
    assert "stand-ins" in text.partition("\ncriteria =")[0]


def test_a_broken_line_is_named_before_anything_is_labelled_behind_it(
    data: Path, tmp_path: Path, plant: Callable[..., None]
) -> None:
    with (data / "proposals" / "metadata.jsonl").open("a") as file:
        file.write("{broken\n")
    with pytest.raises(ShotcropError, match="line 6"):
        label(RECIPE, data, tmp_path / "out", ["a", "b"])


def test_the_contact_sheet_shows_the_box_and_the_crop(tmp_path: Path) -> None:
    from shotcrop_train.pseudo.report import Counts, draw_sheet

    Image.new("RGB", (100, 100), (0, 160, 0)).save(tmp_path / "green.png")
    shot = {
        "outcome": "accepted",
        "chosen": 0,
        "proposals": [{"proposers": ["a"], "box": [0, 0, 500, 1000], "scores": {"m": 0.9}}],
    }
    counts = Counts(("m",))
    counts.add(tmp_path, {"file_name": "green.png", "pseudo": {kind.value: shot for kind in SHOT_TYPES}})
    sheet = draw_sheet(counts)
    green = sum(count for count, colour in sheet.getcolors(1 << 20) or [] if colour == (0, 160, 0))
    assert green > 3 * 100 * 100


BY_RULES = replace(RECIPE, criteria=("composition",), chunk=2)


def labels_of(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "metadata.jsonl").read_bytes(), (folder / "calibration.json").read_bytes()


class Pool:
    """Two Ray workers in this process; the second one is always faster."""

    def __init__(self, _options: RayOptions, kind: Any, assignment: object, _reporter: object) -> None:
        self.workers = [kind(pickle.loads(pickle.dumps(assignment))) for _ in range(2)]

    def results(self, chunks: Iterable[Chunk[Any]], lost: object) -> Iterator[tuple[Chunk[Any], Any]]:
        remaining = iter(chunks)
        while some := list(islice(remaining, 2)):
            for worker, chunk in reversed([*zip(self.workers, some, strict=False)]):
                job = pickle.loads(pickle.dumps(chunk.job))
                yield chunk, pickle.loads(pickle.dumps(worker.work(job, again=False)))

    def close(self) -> None:
        self.workers.clear()


def test_ray_workers_write_the_labels_of_one_process(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(team, "ActorPool", Pool)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # a worker hides the GPUs from its process
    vary_experts(data / "experts")
    next((data / "proposals").glob("*.jpg")).write_bytes(b"no photo")
    local = label(BY_RULES, data, tmp_path / "local", ["rule-based"])
    ray = label(BY_RULES, data, tmp_path / "ray", ["rule-based"], ray=RayOptions())
    assert labels_of(ray) == labels_of(local)
    assert (ray / SKIPPED).read_bytes() == (local / SKIPPED).read_bytes()


def test_photos_that_end_their_workers_end_the_run() -> None:
    chunk = Chunk((0, repr, None), attempts=2)
    assert list(team._lost(chunk)) == [chunk]
    with pytest.raises(ShotcropError, match="3 Ray workers ended"):
        team._lost(replace(chunk, attempts=3))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_ray_cluster_writes_the_labels_of_one_process(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the package ray is not installed")
    vary_experts(data / "experts")
    local = label(BY_RULES, data, tmp_path / "local", ["rule-based"])
    ray = label(BY_RULES, data, tmp_path / "ray", ["rule-based"], ray=RayOptions(workers=2))
    assert labels_of(ray) == labels_of(local)
