"""Make the tables of quality.py: scores by model, group and threshold."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.figures import Figures
from shotcrop_cli.evaluation.bootstrap import HIT, Metric, Scores
from shotcrop_cli.evaluation.calibration import JudgedShot, by_score, doubtful
from shotcrop_cli.evaluation.dataset import Record
from shotcrop_cli.evaluation.scoring import score
from shotcrop_cli.shots import Answer, ShotType


@dataclass(frozen=True, slots=True)
class Column:
    """A metric as a column.

    Args:
        heading: Its name in the table.
        metric: The name of the metric.
        shot: The shot, or None for the mean over the shots.
        interval: Whether to show the interval.
    """

    heading: str
    metric: str
    shot: ShotType | None = None
    interval: bool = False


OVERLAPS = (
    Column("mean IoU", "iou", interval=True),
    Column("establishing", "iou", ShotType.ESTABLISHING),
    Column("medium", "iou", ShotType.MEDIUM),
    Column("close-up", "iou", ShotType.CLOSE_UP),
    Column(f"IoU >= {HIT:g}", f"acc@{HIT:g}"),
    Column("face inside", "face_inside", ShotType.CLOSE_UP),
)
CRAFT = (
    Column("joint cut", "joint_cut"),
    Column("chin cut", "chin_cut"),
    Column("area order", "area_order"),
    Column("nesting", "nesting"),
    Column("caption retrieval", "caption_retrieval", interval=True),
)
NO_PEOPLE = (
    Column("precision", "no_subject_precision", interval=True),
    Column("recall", "no_subject_recall", interval=True),
    Column("false alarms", "no_subject_false_alarm", interval=True),
)
_LEADS = {
    **dict.fromkeys(("man", "men", "guy", "gentleman", "groom", "father"), "man"),
    **dict.fromkeys(("woman", "women", "lady", "bride", "mother"), "woman"),
    **dict.fromkeys(("child", "children", "boy", "boys", "girl", "girls", "baby", "toddler", "kid", "kids"), "child"),
}
"""Words for people in experts' captions, and the group of each."""
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Values of `--min-score` in the table."""


@dataclass(frozen=True, slots=True)
class Row:
    """Scores with a name."""

    name: str
    scores: Scores


def scores_table(title: str, rows: Sequence[Row], columns: Sequence[Column], heading: str = "") -> Figures:
    """Put scores into a table. Columns without any value are left out.

    Args:
        title: The title of the table.
        rows: The scores.
        columns: The metrics to show.
        heading: The heading above the rows' names.
    """
    measured = [one for one in columns if any(row.scores.get(one.metric, one.shot) for row in rows)]
    cells = tuple((row.name, *(_cell(row.scores.get(one.metric, one.shot), one) for one in measured)) for row in rows)
    return Figures(title, (heading, *(one.heading for one in measured)), cells)


def _cell(metric: Metric | None, column: Column) -> str:
    if metric is None:
        return "-"
    return f"{metric.value:.3f}" + (f" ({metric.low:.3f} to {metric.high:.3f})" if column.interval else "")


def groups(records: Sequence[Record], answers: Sequence[Answer], key: Callable[[Record], str]) -> list[Row]:
    """Score photos group by group, the largest group first.

    Args:
        records: Annotated photos.
        answers: One per record.
        key: Returns the name of a photo's group.
    """
    held: dict[str, list[tuple[Record, Answer]]] = {}
    for record, answer in zip(records, answers, strict=True):
        held.setdefault(key(record), []).append((record, answer))
    return [
        Row(f"{name} ({len(pairs)})", score(*zip(*pairs, strict=True)).scores)
        for name, pairs in sorted(held.items(), key=lambda group: -len(group[1]))
    ]


def source(record: Record) -> str:
    """Return the collection that a photo comes from."""
    return record.source or "unknown"


def native_scale(record: Record) -> str:
    """Return how the photo itself frames its main person, as the expert sees it."""
    known = record.composition.grounding if record.composition else None
    return (known.native_scale if known else None) or "unknown"


def lead(record: Record) -> str:
    """Return the group of the first word for a person in the expert's captions. It groups words, not people."""
    captions = " ".join(shot.caption for shot in record.composition.shots) if record.composition else ""
    return next((_LEADS[word] for word in re.findall(r"[a-z]+", captions.lower()) if word in _LEADS), "other words")


def calibration_table(title: str, shots: Sequence[JudgedShot]) -> Figures:
    """Show, for each range of scores, the share of shots that are right."""
    rows = (
        (f"{one.low:g} to {one.high:g}", f"{one.n}", f"{one.score:.3f}", f"{one.right:.3f}", f"{one.iou:.3f}")
        for one in by_score(shots)
    )
    return Figures(title, ("score", "shots", "mean score", f"share with IoU >= {HIT:g}", "mean IoU"), tuple(rows))


def review_table(title: str, shots: Sequence[JudgedShot]) -> Figures:
    """Show what `--min-score` would list for review, by threshold."""
    rows = []
    for threshold in THRESHOLDS:
        found = doubtful(shots, threshold)
        rows.append(
            (f"{threshold:g}", f"{found.n}", _share(found.wrong, found.n), _share(found.wrong, found.all_wrong))
        )
    headings = ("--min-score", "shots below", "share wrong", "share of all wrong shots")
    return Figures(title, headings, tuple(rows))


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "-"
