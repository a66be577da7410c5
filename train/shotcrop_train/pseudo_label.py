"""Stage 2, first half: pseudo labels, shots of unlabelled photos that every criterion rates as good.

The algorithm, for each photo and each of its three shots:
1. Every proposer, a checkpoint or the rules over detections, gives a box. Near-identical boxes are merged.
2. Every scorer judges every proposal, 0..1: an MLLM's rubric, CLIP's similarity of crop and caption, aesthetics.
3. A proposal that is strictly best on all of them, each at least .85, is accepted. The shot is hard when all means are
   below .60, otherwise rejected. `decision` states this exactly.

The criteria of step 2 are in the paper's abstract. Steps 1 and 3 are second-hand, from a transcription of its text.

    shotcrop train pseudo-label --config qwen3-vl-pseudo --data DATA -o runs/labels \
        --proposer runs/sft/final --proposer models/qwen3-vl-4b --proposer rule-based

Three choices are our own: rules may propose; the scores of CLIP, aesthetics and the stand-ins are mapped between
percentiles of the experts' crops of the same shot; stand-ins may replace the three criteria.

The run folder becomes a dataset: one row per photo in `metadata.jsonl`, and links to the photos. A row's `pseudo` holds
every proposal with its scores, so that any decision can be checked and made again. Photos are processed in chunks, and
each chunk's rows are on disk before the next chunk is read. An interrupted run continues after its last complete row.
At the end it writes `hard.jsonl`, the rows of photos with a hard shot, and the report of `pseudo.report`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path, PurePath
from typing import Any, TypeVar

from tqdm import tqdm

from shotcrop_cli.errors import OutputError, PhotoError, ShotcropError
from shotcrop_cli.evaluation.data_source import Data, open_dataset, open_datasets
from shotcrop_cli.evaluation.dataset import METADATA, Record, read_row
from shotcrop_cli.geometry import to_permille
from shotcrop_cli.run_options import RayOptions
from shotcrop_cli.shots import SHOT_TYPES, ShotType
from shotcrop_train.data.samples import held_back
from shotcrop_train.data.skipped_photos import CollectedPhotos, SkippedPhotos
from shotcrop_train.pseudo.decision import Accepted, Calibration, Hard, Rule, Span, calibrate
from shotcrop_train.pseudo.labeller import Label, Labeller, Verdict, expert_figures, open_photo
from shotcrop_train.pseudo.proposers import NEAR_DUPLICATE, load_proposers
from shotcrop_train.pseudo.report import write_report
from shotcrop_train.pseudo.team import Labellers, Load, Team, labellers
from shotcrop_train.recipe import ModelRecipe
from shotcrop_train.runs import provenance
from shotcrop_train.scorers import Photo, ScorerRecipe, load_scorers

T = TypeVar("T")
CALIBRATION = "calibration.json"


@dataclass(frozen=True)
class PseudoLabelRecipe:
    """How photos are labelled.

    Args:
        experts: Datasets whose expert crops calibrate the scorers, without the held-back tenth.
        unlabelled: Datasets to label. Rows with an annotation or without people are skipped.
        criteria: Names of the scorers; all of them must agree.
        rule: When a proposal is accepted.
        scorers: Models that the scorers use.
        model: How the proposers' checkpoints are loaded.
        near_duplicate: Boxes with a higher IoU are merged.
        max_side: Photos are shrunk to this many pixels on their longer side.
        chunk: Photos in memory at a time; their rows are written together.
        batch_size: Photos per batch of a proposer.
    """

    experts: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    criteria: tuple[str, ...] = ("mllm", "clip", "aesthetic")
    rule: Rule = field(default_factory=Rule)
    scorers: ScorerRecipe = field(default_factory=ScorerRecipe)
    model: ModelRecipe = field(default_factory=ModelRecipe)
    near_duplicate: float = NEAR_DUPLICATE
    max_side: int = 1536
    chunk: int = 64
    batch_size: int = 16

    def __post_init__(self) -> None:
        if not self.experts or not self.unlabelled:
            raise ValueError("name datasets under `experts` and under `unlabelled`")
        if not self.criteria or len(set(self.criteria)) < len(self.criteria):
            raise ValueError("name at least one criterion, each once")
        if min(self.chunk, self.batch_size, self.max_side) < 1:
            raise ValueError("chunk, batch_size and max_side must be at least 1")


@dataclass(frozen=True)
class Labelling:
    """Everything that decides what a run writes. A run folder continues only with the same."""

    recipe: PseudoLabelRecipe
    proposers: tuple[str, ...]
    limit: int | None


def label(
    recipe: PseudoLabelRecipe,
    data: Data,
    output: Path,
    proposers: Sequence[str | Path],
    *,
    offline: bool = False,
    limit: int | None = None,
    ray: RayOptions | None = None,
) -> Path:
    """Label photos and return the folder of the dataset.

    Args:
        recipe: The run's recipe.
        data: Data folder that holds the recipe's datasets.
        output: Folder of the dataset. It is created here; an interrupted run in it continues.
        proposers: Checkpoint folders or hub ids, and the word `rule-based`.
        offline: Use only models on this machine.
        limit: Number of photos to label, from the first on; None for all.
        ray: Where Ray workers label; None to label in this process. Both write the same.

    Raises:
        ShotcropError: A dataset, model or scorer is missing, or the folder holds a different run.
    """
    names = tuple(str(name) for name in proposers)
    provenance.record(
        output,
        stage="pseudo-label",
        recipe=Labelling(recipe, names, limit),
        datasets=open_datasets(data, (*recipe.experts, *recipe.unlabelled)),
        helpers=names,
    )
    return write_labels(recipe, data, output, partial(load_team, recipe, names, offline), limit, ray)


def load_team(recipe: PseudoLabelRecipe, names: Sequence[str], offline: bool) -> Team:
    """Load the models of a recipe."""
    proposers = load_proposers(names, recipe.model, recipe.batch_size, offline=offline)
    return Team(proposers, load_scorers(recipe.criteria, recipe.scorers, offline=offline))


def write_labels(
    recipe: PseudoLabelRecipe,
    data: Data,
    output: Path,
    load: Load,
    limit: int | None,
    ray: RayOptions | None = None,
) -> Path:
    """Label photos with what `load` returns; see `label`."""
    skipped = SkippedPhotos(output)
    with labellers(load, ray) as workers:
        calibration = _calibration(recipe, data, output, workers, skipped)
        rows = chain.from_iterable(_unlabelled(data, name) for name in recipe.unlabelled)
        done = _whole_rows(output / METADATA)
        chunks = _chunks(islice(rows, done, limit), recipe.chunk)
        # Show the bar on a terminal only; elsewhere the growing file shows the progress.
        with (
            (output / METADATA).open("a", encoding="utf-8") as file,
            tqdm(initial=done, unit="photo", disable=None) as bar,
        ):
            for chunk, labelled in workers.map(partial(_label_chunk, recipe, calibration), chunks):
                for text in _rows(chunk, labelled, recipe, output, skipped):
                    file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
                bar.update(len(chunk))
    write_report(output, recipe.criteria, recipe.rule)
    return output


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk


@dataclass(frozen=True, slots=True)
class Row:
    """A row of an unlabelled dataset: its content, and the record read from it."""

    dataset: str
    record: Record
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Labelled:
    """How a photo was labelled.

    Args:
        label: Its label; None if it has none.
        failure: Why not.
        unreadable: Why the photo cannot be opened; empty if it can.
    """

    label: Label | None = None
    failure: str = "no proposer proposes anything"
    unreadable: str = ""


def _label_chunk(
    recipe: PseudoLabelRecipe, calibration: Calibration, team: Team, chunk: Sequence[Row]
) -> list[Labelled]:
    """Label a chunk of photos, perhaps on another machine."""
    labeller = Labeller(team.proposers, team.scorers, calibration, recipe.rule, recipe.near_duplicate)
    photos: dict[int, Photo] = {}
    labelled = [Labelled()] * len(chunk)
    for index, row in enumerate(chunk):
        try:
            photos[index] = open_photo(row.record, recipe.max_side)
        except PhotoError as error:
            labelled[index] = Labelled(failure=error.message, unreadable=str(error.__cause__ or error))
    for index, label in zip(photos, labeller.label(list(photos.values())), strict=True):
        labelled[index] = Labelled(label)
    return labelled


def _rows(
    chunk: Sequence[Row],
    labelled: Sequence[Labelled],
    recipe: PseudoLabelRecipe,
    output: Path,
    skipped: SkippedPhotos,
) -> Iterator[str]:
    """Link a chunk of photos, and yield their rows as JSON."""
    for row, one in zip(chunk, labelled, strict=True):
        if one.unreadable:
            skipped.add(row.record.path, one.unreadable)
        content = dict(row.content) | {"file_name": _link(row, output)}
        if one.label is None:
            content["pseudo"] = {"failure": one.failure}
        else:
            content["annotation"] = _annotation(one.label)
            content["pseudo"] = {
                shot.value: _trace(verdict, recipe.criteria)
                for shot, verdict in zip(SHOT_TYPES, one.label.verdicts, strict=True)
            }
        yield json.dumps(content, ensure_ascii=False)


def _annotation(label: Label) -> dict[str, Any]:
    grounding, shots = label.grounding, {}
    for kind, verdict in zip(SHOT_TYPES, label.verdicts, strict=True):
        shot = verdict.proposals[verdict.chosen].shot
        shots[kind.value] = {
            "box": list(to_permille(shot.box)),
            "caption": shot.caption,
            "accepted": isinstance(verdict.decision, Accepted),
        }
    known = {
        "people": grounding.people or None,
        "setting": grounding.setting,
        "facing": grounding.facing,
        "native_scale": grounding.native_scale,
    }
    return {
        **{key: value for key, value in known.items() if value is not None},
        "scene": label.reasoning.scene,
        "subject": label.reasoning.subject,
        "story": label.reasoning.story,
        "shots": shots,
    }


def _trace(verdict: Verdict, criteria: Sequence[str]) -> dict[str, Any]:
    outcome = {Accepted: "accepted", Hard: "hard"}.get(type(verdict.decision), "rejected")
    proposals = [
        {
            "proposers": list(proposal.proposers),
            "box": list(to_permille(proposal.shot.box)),
            "scores": {
                name: None if score is None else round(score, 4) for name, score in zip(criteria, scores, strict=True)
            },
        }
        for proposal, scores in zip(verdict.proposals, verdict.scores, strict=True)
    ]
    return {"outcome": outcome, "chosen": verdict.chosen, "proposals": proposals}


def _link(row: Row, output: Path) -> str:
    """Link a photo into the dataset and return its name there, which starts with the name of its own dataset."""
    # A name that points out of its own dataset must not point out of this one.
    source = PurePath(row.content["file_name"])
    inside = [part for part in source.parts if part not in ("..", source.anchor)]
    link = output / row.dataset / Path(*inside)
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(row.record.path.resolve())
    except OSError as error:
        raise OutputError(
            f"{link} cannot be linked: {error.strerror}",
            hint="choose an output folder on a file system with symbolic links",
        ) from error
    return link.relative_to(output).as_posix()


def _unlabelled(data: Data, name: str) -> Iterator[Row]:
    """Yield the rows of a dataset to label, one at a time."""
    for record, line in _stream(open_dataset(data, name).folder):
        if record.composition is None and not record.no_subject:
            yield Row(name, record, json.loads(line))


def _stream(folder: Path) -> Iterator[tuple[Record, str]]:
    path = folder / METADATA
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield read_row(folder, line), line
            except (ValueError, OverflowError, RecursionError) as error:
                raise ShotcropError(f"{path}, line {number}: {error}", hint="fix or delete that line") from error


def _whole_rows(path: Path) -> int:
    """Count the rows that an earlier part of the run wrote, and remove an incomplete row at the end."""
    if not path.exists():
        return 0
    rows = end = 0
    with path.open("r+b") as file:
        for line in file:
            if line.endswith(b"\n"):
                rows, end = rows + 1, end + len(line)
        file.truncate(end)
    return rows


def _calibration(
    recipe: PseudoLabelRecipe,
    data: Data,
    output: Path,
    workers: Labellers,
    skipped: SkippedPhotos,
) -> Calibration:
    """Read the calibration that an earlier part of the run wrote, or compute it from the experts' crops."""
    path = output / CALIBRATION
    if path.exists():
        entries = json.loads(path.read_text(encoding="utf-8"))
        return Calibration(
            {(one["criterion"], ShotType(one["shot"])): Span(one["low"], one["high"]) for one in entries}
        )
    names = next(workers.map(_calibrated, [None]))[1]
    raws: dict[tuple[str, ShotType], list[float]] = {(name, shot): [] for name in names for shot in SHOT_TYPES}
    experts = chain.from_iterable(_stream(open_dataset(data, name).folder) for name in recipe.experts)
    triples = (record for record, _ in experts if record.composition is not None and not held_back(record))
    chunks = _chunks(triples, recipe.chunk) if names else ()
    for _, (figures, unreadable) in workers.map(partial(_expert_chunk, recipe.max_side), chunks):
        for path, reason in unreadable.items():
            skipped.add(path, reason)
        for scorer, shot, raw in figures:
            raws[scorer, shot].append(raw)
    calibration = calibrate(raws)
    entries = [
        {"criterion": criterion, "shot": shot.value, "low": span.low, "high": span.high}
        for (criterion, shot), span in calibration.spans.items()
    ]
    temporary = path.with_suffix(".json.new")
    temporary.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
    return calibration


def _calibrated(team: Team, _: None) -> tuple[str, ...]:
    """Return the names of the scorers that need a calibration."""
    return tuple(scorer.name for scorer in team.scorers if scorer.calibrated)


def _expert_chunk(
    max_side: int, team: Team, chunk: Sequence[Record]
) -> tuple[list[tuple[str, ShotType, float]], dict[Path, str]]:
    """Score the experts' crops of some photos, perhaps on another machine; also return the photos that are skipped."""
    judges = [scorer for scorer in team.scorers if scorer.calibrated]
    # Only agreement needs the proposers' boxes for the experts' photos.
    rivals = team.proposers if any(scorer.name == "agreement" for scorer in judges) else ()
    collected = CollectedPhotos()
    return list(expert_figures(chunk, max_side, rivals, judges, collected)), collected.reasons
