"""`shotcrop train import-data --from-shots`: turn the boxes that people corrected into a dataset for training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shotcrop_cli.errors import OutputError, ShotcropError
from shotcrop_cli.evaluation.dataset import METADATA
from shotcrop_cli.geometry import to_permille
from shotcrop_cli.interchange.corrections import WANTED, JudgedPhoto, read_judgements
from shotcrop_train.data.importer import link_photo


@dataclass(frozen=True)
class Imported:
    """A dataset made of corrections.

    Args:
        folder: The dataset.
        photos: Number of its photos.
        boxes: Number of boxes to learn from: those that people set or kept.
        problems: Why sidecars or photos are left out.
    """

    folder: Path
    photos: int
    boxes: int
    problems: tuple[str, ...]


def import_shots(
    outputs: Sequence[Path], output: Path, photos: Sequence[Path] = (), *, reviewed: bool = False
) -> Imported:
    """Make a dataset of the photos whose boxes a person set or kept.

    A rejected box, or one that no one judged, is in the dataset with `accepted: false`: training does not learn from
    it. Photos without a box to learn from are left out.

    Args:
        outputs: Output folders of `shotcrop crop`.
        output: The dataset's folder.
        photos: Folders to look for the photos in; empty for those that `crop` recorded.
        reviewed: Whether a person looked at every photo, so that boxes they left alone count as kept.

    Raises:
        ShotcropError: There is nothing to learn from, or two photos have the same name.
        OutputError: The dataset cannot be written or exists already.
    """
    target = output / METADATA
    if target.exists():
        raise OutputError(f"{target} exists already", hint="name a new folder with --output")
    judgements = read_judgements(outputs, photos, reviewed=reviewed)
    wanted: dict[str, JudgedPhoto] = {}
    for one in judgements.photos:
        if not one.is_wanted:
            continue
        if (other := wanted.setdefault(one.photo.name, one)) is not one:
            raise ShotcropError(
                f"{one.photo.sidecar} and {other.photo.sidecar} would be one photo of the dataset",
                hint="import one output folder at a time",
            )
    if not wanted:
        raise ShotcropError(
            f"{', '.join(map(str, outputs))}: no one has set or kept a box here",
            hint="edit boxes in the sidecars, or add --reviewed if you looked at all photos and changed none",
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, one in wanted.items():
            link_photo(one.path, output / name)
        partial = target.with_suffix(".part")
        partial.write_text("".join(f"{line}\n" for line in _rows(wanted)), encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        raise OutputError(
            f"{output} cannot be written: {error}", hint="check its permissions and free space"
        ) from error
    boxes = sum(box.verdict in WANTED for one in wanted.values() for box in one.boxes)
    return Imported(output, len(wanted), boxes, judgements.problems)


def _rows(photos: dict[str, JudgedPhoto]) -> Iterator[str]:
    for name, one in photos.items():
        record = one.record
        shots: dict[str, dict[str, Any]] = {}
        for box, shot in zip(one.boxes, record.shots, strict=True):
            shots[str(box.shot)] = {"box": list(to_permille(box.box)), "caption": shot.caption}
            if box.verdict not in WANTED:
                shots[str(box.shot)]["accepted"] = False
        reasoning = record.reasoning
        yield json.dumps(
            {
                "file_name": name,
                "width": record.source.width,
                "height": record.source.height,
                "annotation": {
                    **{"scene": reasoning.scene, "subject": reasoning.subject, "story": reasoning.story},
                    "shots": shots,
                },
            },
            ensure_ascii=False,
        )
