"""Collect a model's answers to a dataset, or read them from sidecars, and score them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shotcrop_cli import sidecar
from shotcrop_cli.errors import AnswerError, PhotoError, ShotcropError
from shotcrop_cli.evaluation.bootstrap import Scores
from shotcrop_cli.evaluation.caption_retrieval import Exhibit, Matcher, fit
from shotcrop_cli.evaluation.dataset import Record
from shotcrop_cli.evaluation.metrics import Case, evaluate, no_subject_rates
from shotcrop_cli.shots import SHOT_TYPES, Answer, Composer, Composition, NoSubject, Shot
from shotcrop_cli.sidecar import SidecarStatus


@dataclass(frozen=True, slots=True)
class Failure:
    """A photo without a readable answer, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result for one dataset.

    Args:
        annotated: Photos with an expert's triple.
        empty: Photos without people.
        skipped: Photos that are neither, which were not scored.
        failures: Photos of both kinds without a readable answer.
        scores: All metrics.
    """

    annotated: int
    empty: int
    skipped: int
    failures: tuple[Failure, ...]
    scores: Scores


def is_judged(record: Record) -> bool:
    """Whether a row can be scored: it has a triple, or is known to show no people."""
    return record.composition is not None or record.no_subject


def score(
    records: Sequence[Record],
    answers: Sequence[Answer],
    *,
    baseline: Composition | None = None,
    matcher: Matcher | None = None,
    skipped: int = 0,
) -> Evaluation:
    """Score one answer per judged record.

    Args:
        records: Rows for which `is_judged` holds.
        answers: One per record, in the same order.
        baseline: The reference of `gain`, if any.
        matcher: Scores the captions, see `caption_matcher`; None leaves them unmeasured.
        skipped: Number of rows left out before, for the report.
    """
    pairs = list(zip(records, answers, strict=True))
    cases = [
        Case(
            record.composition,
            answer if isinstance(answer, Composition) else None,
            record.detections,
            record.aspect,
        )
        for record, answer in pairs
        if record.composition is not None
    ]
    said_nobody = [(record.no_subject, isinstance(answer, NoSubject)) for record, answer in pairs]
    empty = [said for no_subject, said in said_nobody if no_subject]
    scores = evaluate(cases, baseline=baseline, matcher=matcher).metrics
    if empty:
        peopled = [said for no_subject, said in said_nobody if not no_subject]
        scores += no_subject_rates(empty, peopled).metrics
    failures = tuple(
        Failure(record.path, answer.message) for record, answer in pairs if isinstance(answer, AnswerError)
    )
    return Evaluation(len(cases), len(empty), skipped, failures, Scores(scores))


def caption_matcher(records: Sequence[Record]) -> Matcher:
    """Learn from a training set's captioned triples which words go with which boxes.

    Raises:
        ShotcropError: The training set has no captioned triple.
    """
    triples = [Exhibit(one.composition, one.detections) for one in records if one.composition is not None]
    try:
        return fit(triples)
    except ValueError as error:
        raise ShotcropError(
            f"captions cannot be judged: {error}", hint="name a training set with captioned expert triples"
        ) from None


def model_answers(
    records: Sequence[Record], composer: Composer, batch_size: int, on_batch: Callable[[int], object]
) -> list[Answer]:
    """Let a model answer photos, prepared as `shotcrop crop` prepares them.

    Args:
        records: The photos.
        composer: The model.
        batch_size: Photos per call, at least 1.
        on_batch: Called with the number of photos just done.

    Returns:
        One answer per record; a photo that cannot be read gives an `AnswerError`.
    """
    answers: list[Answer] = []
    for start in range(0, len(records), batch_size):
        batch = records[start : start + batch_size]
        answers += _compose(batch, composer)
        on_batch(len(batch))
    return answers


def _compose(batch: Sequence[Record], composer: Composer) -> list[Answer]:
    from shotcrop_cli.imaging.decode import decode, read_source
    from shotcrop_cli.imaging.thumbnail import thumbnail

    thumbnails, aspects = [], []
    unread: dict[int, AnswerError] = {}
    for place, record in enumerate(batch):
        try:
            photo = decode(read_source(record.path))
        except PhotoError as error:
            unread[place] = AnswerError(str(error))
            continue
        thumbnails.append(thumbnail(photo, composer.thumbnail_size))
        aspects.append(photo.width / photo.height)
    composed: Iterator[Answer] = iter(composer.compose(thumbnails, aspects) if thumbnails else [])
    return [unread[place] if place in unread else next(composed) for place in range(len(batch))]


def sidecar_answers(records: Sequence[Record], dataset: Path, predictions: Path) -> list[Answer]:
    """Read answers from the sidecars of an output folder of `shotcrop crop`.

    Args:
        records: The photos.
        dataset: The folder that was cropped; the output mirrors its tree.
        predictions: The output folder.

    Returns:
        One answer per record; a missing or unreadable sidecar gives an `AnswerError`.

    Raises:
        ShotcropError: There is no sidecar for any of the photos.
    """
    paths = [predictions / f"{record.path.relative_to(dataset)}.json" for record in records]
    if not any(path.is_file() for path in paths):
        raise ShotcropError(
            f"{predictions} has no sidecar for any photo of {dataset}",
            hint=f"name the folder that `shotcrop crop {dataset} -o DIR` wrote",
        )
    return [_sidecar_answer(path) for path in paths]


def _sidecar_answer(path: Path) -> Answer:
    try:
        found = sidecar.read(path)
        if found.status is SidecarStatus.NO_SUBJECT:
            return NoSubject()
        shots = (Shot(shot.shot, shot.box_norm, shot.caption, shot.score) for shot in found.shots)
        return Composition(tuple(sorted(shots, key=lambda shot: SHOT_TYPES.index(shot.type))), found.reasoning)
    except FileNotFoundError:
        return AnswerError(f"{path}: no such sidecar")
    except AnswerError as error:
        return AnswerError(f"{path}: {error}")
    except ShotcropError as error:
        return AnswerError(str(error))
