"""Count the faults that editors see first, and read the crops of a second expert.

Both need fields of a dataset's rows that no other command reads: `annotation_second`, a second expert's triple, and
`heads` and `centerfaces` among the detections.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.figures import Figures
from benchmarks.quality.rivals import Rival
from shotcrop_cli.evaluation.dataset import Record, read_lines, read_row
from shotcrop_cli.geometry import PERMILLE, clip, iou, visible_share
from shotcrop_cli.shots import Answer, Box, Composition

SURE_HEAD, SURE_FACE = 0.5, 0.6
"""Detections count from these scores on."""
CUT_HEAD = (0.2, 0.85)
"""A head is cut if more than the first and less than the second share of it is in the crop."""
CUT_FACE = 0.95
"""A face is cut if the crop shows less than this share of it."""
SHOWN_HEAD = 0.5
"""A crop shows a head if it holds at least this share of it."""


@dataclass(frozen=True, slots=True)
class Details:
    """More about an annotated photo.

    Args:
        heads: Heads of which the detector is sure.
        faces: Faces of which the detector is sure.
        second: The triple of a second expert, or None.
    """

    heads: tuple[Box, ...] = ()
    faces: tuple[Box, ...] = ()
    second: Composition | None = None


def read_details(folder: Path, records: Sequence[Record]) -> list[Details]:
    """Read the details of some photos of a dataset, in the order of the photos."""
    rows = {folder / row["file_name"]: row for _, line in read_lines(folder) for row in [json.loads(line)]}
    return [_details(folder, rows[record.path]) for record in records]


def _details(folder: Path, row: Mapping[str, Any]) -> Details:
    second = row.get("annotation_second")
    found = row.get("detections") or {}
    return Details(
        _boxes(found.get("heads"), SURE_HEAD),
        _boxes(found.get("centerfaces"), SURE_FACE),
        None if second is None else read_row(folder, json.dumps({**row, "annotation": second})).composition,
    )


def _boxes(entries: Sequence[Mapping[str, Any]] | None, least: float) -> tuple[Box, ...]:
    clipped = (clip(*(side / PERMILLE for side in one["box"])) for one in entries or () if one["score"] > least)
    return tuple(box for box in clipped if box is not None)


def second_expert(details: Sequence[Details]) -> list[Rival]:
    """Return the second expert's crops if there are some of every photo, else nothing."""
    triples = tuple(one.second for one in details if one.second is not None)
    return [Rival("a second expert", triples)] if len(triples) == len(details) else []


def better_expert(records: Sequence[Record], details: Sequence[Details], answers: Sequence[Answer]) -> list[Record]:
    """Return the photos with the triple of the expert whose boxes have the higher mean IoU with the answer."""
    return [
        replace(record, composition=max((record.composition, more.second), key=lambda one: _overlap(one, answer)))
        for record, more, answer in zip(records, details, answers, strict=True)
    ]


def _overlap(expert: Composition | None, answer: Answer) -> float:
    if expert is None or not isinstance(answer, Composition):
        return 0.0
    return sum(iou(wanted.box, shot.box) for wanted, shot in zip(expert.shots, answer.shots, strict=True))


def faults(answer: Composition, details: Details) -> tuple[bool, bool, bool, bool]:
    """Say which faults crops have; see `FAULTS`."""
    _, medium, close_up = (shot.box for shot in answer.shots)
    shares = [(visible_share(head, medium), visible_share(head, close_up)) for head in details.heads]
    shown = [(visible_share(face, close_up), face.area) for face in details.faces]
    most = max(shown, key=lambda one: (round(one[0], 2), one[1]), default=(0.0, 0.0))[0]
    return (
        any(CUT_HEAD[0] < share < CUT_HEAD[1] for share, _ in shares),
        any(CUT_HEAD[0] < share < CUT_HEAD[1] for _, share in shares),
        bool(shares) and all(share < SHOWN_HEAD for _, share in shares),
        1 - CUT_FACE < most < CUT_FACE,
    )


FAULTS = (
    "the medium shot cuts somebody's head",
    "the close-up cuts somebody's head",
    "the close-up holds no head though one is visible",
    "the close-up cuts the face that it shows most of",
)
"""The faults, in the order of `faults`."""


def faults_table(title: str, details: Sequence[Details], answers: Mapping[str, Sequence[Answer]]) -> Figures:
    """Count the photos with each fault.

    Args:
        title: The title of the table.
        details: The photos.
        answers: One per photo, by the name of who gave them.
    """
    counts = []
    for given in answers.values():
        found = [faults(one, more) for one, more in zip(given, details, strict=True) if isinstance(one, Composition)]
        counts.append([sum(flags) for flags in zip(*found, strict=True)] or [0] * len(FAULTS))
    rows = zip(FAULTS, *counts, strict=True)
    return Figures(title, ("photos where", *answers), tuple((name, *map(str, numbers)) for name, *numbers in rows))
