"""Read what people decided about boxes: those they set, kept and rejected. Training and `shotcrop learn` start here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.framing import frame_shot
from shotcrop_cli.geometry import from_pixels
from shotcrop_cli.interchange.recorded_photo import RecordedPhoto, recorded_photos
from shotcrop_cli.library.output_folder import read_roots
from shotcrop_cli.library.recrop import find_source, output_root
from shotcrop_cli.shots import SHOT_TYPES, Box, PixelBox, ShotType
from shotcrop_cli.sidecar import ShotRecord, Sidecar, SidecarStatus

SAME_BOX = 0.97
"""A box that a person accepted counts as kept if it overlaps the model's by at least this (IoU), otherwise as set."""


class Verdict(str, Enum):
    """What a person said of a box."""

    SET = "set"
    """They moved it."""
    KEPT = "kept"
    """They accepted the model's box, or left it alone while they changed another box of the photo."""
    REJECTED = "rejected"
    """They do not want it."""
    UNSEEN = "unseen"
    """Nothing; maybe no one looked."""

    def __str__(self) -> str:
        return self.value


WANTED = (Verdict.SET, Verdict.KEPT)
"""Verdicts that say where the box should be."""


@dataclass(frozen=True, slots=True)
class JudgedBox:
    """A box and what a person said of it.

    Args:
        shot: Which of the three shots.
        box: Where it is, relative to the photo.
        verdict: What the person said.
    """

    shot: ShotType
    box: Box
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class JudgedPhoto:
    """A photo of which a person judged at least one box.

    Args:
        photo: Its sidecar.
        path: The photo.
        boxes: The three boxes, widest shot first.
    """

    photo: RecordedPhoto
    path: Path
    boxes: tuple[JudgedBox, ...]

    @property
    def record(self) -> Sidecar:
        """The content of the sidecar."""
        return self.photo.record

    @property
    def is_wanted(self) -> bool:
        """Whether the person said of any box where it should be."""
        return any(one.verdict in WANTED for one in self.boxes)


@dataclass(frozen=True)
class Judgements:
    """What people said of the boxes in some output folders.

    Args:
        photos: The photos with a judged box.
        problems: Why sidecars or photos are left out.
        counts: Number of boxes by verdict, in these photos.
    """

    photos: tuple[JudgedPhoto, ...]
    problems: tuple[str, ...]
    counts: Counter[Verdict]


def read_judgements(folders: Sequence[Path], photos: Sequence[Path] = (), *, reviewed: bool = False) -> Judgements:
    """Read what people said of the boxes in output folders.

    Args:
        folders: Output folders of `shotcrop crop`, or folders in them. A sidecar in several of them counts once.
        photos: Folders to look for the photos in; empty for those that `crop` recorded.
        reviewed: Whether a person looked at every photo, so that boxes they left alone count as kept.

    Raises:
        ShotcropError: A folder is not an output folder.
    """
    found: dict[Path, JudgedPhoto] = {}
    problems: list[str] = []
    for folder in folders:
        root = output_root(folder)
        roots = tuple(photos) or read_roots(root)
        for one in _recorded(folder, root):
            if isinstance(one, ShotcropError):
                problems.append(str(one))
                continue
            boxes = judge(one.record, reviewed=reviewed)
            if all(box.verdict is Verdict.UNSEEN for box in boxes):
                continue
            try:
                mirrored = one.sidecar.parent.relative_to(root)
                source = find_source(one.sidecar, mirrored, one.record, roots)
            except ShotcropError as error:
                problems.append(str(error))
                continue
            found.setdefault(one.sidecar, JudgedPhoto(one, source.path, boxes))
    counts = Counter(box.verdict for photo in found.values() for box in photo.boxes)
    return Judgements(tuple(found.values()), tuple(problems), counts)


def _recorded(folder: Path, root: Path) -> Iterator[RecordedPhoto | ShotcropError]:
    for one in recorded_photos(folder.resolve()):
        yield one if isinstance(one, ShotcropError) else RecordedPhoto(root, one.sidecar, one.record)


def judge(record: Sidecar, *, reviewed: bool = False) -> tuple[JudgedBox, ...]:
    """Return what a person said of the boxes of a photo, widest shot first; nothing for a photo without people.

    Args:
        record: The sidecar, in which deleted crops are rejected.
        reviewed: See `read_judgements`.
    """
    if record.status is not SidecarStatus.DONE or [shot.shot for shot in record.shots] != list(SHOT_TYPES):
        return ()
    verdicts = [_verdict(record, shot) for shot in record.shots]
    if reviewed or any(verdict is not Verdict.UNSEEN for verdict in verdicts):
        verdicts = [Verdict.KEPT if verdict is Verdict.UNSEEN else verdict for verdict in verdicts]
    size = record.source.width, record.source.height
    return tuple(
        JudgedBox(shot.shot, from_pixels(shot.box, *size) if verdict is Verdict.SET else shot.model_box, verdict)
        for shot, verdict in zip(record.shots, verdicts, strict=True)
    )


def _verdict(record: Sidecar, shot: ShotRecord) -> Verdict:
    if record.rejected or shot.rejected:
        return Verdict.REJECTED
    if not shot.edited:
        return Verdict.UNSEEN
    return Verdict.KEPT if overlap(shot.box, framed(record, shot.shot, shot.model_box)) >= SAME_BOX else Verdict.SET


def framed(record: Sidecar, shot: ShotType, box: Box) -> PixelBox:
    """Return a model's box as the settings of a sidecar frame it."""
    person, size = record.main_person, (record.source.width, record.source.height)
    close_up = record.shots[-1].model_box
    return frame_shot(shot, box, *size, record.settings.framing, person.body, person.head, close_up).box


def overlap(a: PixelBox, b: PixelBox) -> float:
    """Return the IoU of two boxes."""
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a.corners, b.corners
    width, height = min(ax1, bx1) - max(ax0, bx0), min(ay1, by1) - max(ay0, by0)
    shared = max(0, width) * max(0, height)
    return shared / (a.width * a.height + b.width * b.height - shared)
