"""Lessons: photos as the model sees them, with the boxes that a person wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from shotcrop_cli.errors import PhotoError
from shotcrop_cli.geometry import clamp
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.thumbnail import thumbnail
from shotcrop_cli.interchange.corrections import WANTED, JudgedPhoto, Verdict, framed
from shotcrop_cli.model.nano.composer import SMALLEST_SIDE, NanoComposer, Proposal, widened
from shotcrop_cli.model.nano.manifest import FaultCosts, Style
from shotcrop_cli.model.nano.preprocess import squash
from shotcrop_cli.model.nano.refinement import Subject, refine_all
from shotcrop_cli.model.nano.scene import Floats, Mask, Scene
from shotcrop_cli.model.nano.shown_person import find_person
from shotcrop_cli.model.nano.style import describe_boxes, moves_between, restyle
from shotcrop_cli.resources import usable_processors
from shotcrop_cli.shots import SHOT_TYPES

AT_ONCE = 16
"""Photos that are decoded at once."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """A photo with boxes that a person wants.

    Args:
        photo: The photo and its sidecar.
        scene: What the detector sees.
        proposal: What the composer proposes.
        person: The candidate whom the person's boxes show.
        features: What a style knows of these boxes, (3, f).
        wanted: The person's boxes (3, 4) in the photo frame.
        counts: Which of the three the person set or kept, (3,).
    """

    photo: JudgedPhoto
    scene: Scene
    proposal: Proposal
    person: int
    features: Floats
    wanted: Floats
    counts: Mask

    @property
    def triple(self) -> Floats:
        """The boxes (3, 4) that the model proposes for this candidate, not refined."""
        return _boxes(self.proposal, self.person)

    @property
    def moves(self) -> Floats:
        """How far the person would move the edges of these boxes (3, 4)."""
        return moves_between(self.triple, self.wanted, self.scene.aspect)

    @property
    def is_set(self) -> bool:
        """Whether the person moved any of the boxes."""
        return any(box.verdict is Verdict.SET for box in self.photo.boxes)


def lesson_of(photo: JudgedPhoto, scene: Scene, proposal: Proposal) -> Lesson:
    """Return the lesson of a photo with people.

    Args:
        photo: The photo, with at least one box that the person set or kept.
        scene: What the detector sees.
        proposal: What the composer proposes.
    """
    wanted = np.array([list(box.box) for box in photo.boxes], np.float32)
    counts = np.array([box.verdict in WANTED for box in photo.boxes])
    person = _person(scene, proposal, wanted, counts)
    members = proposal.candidates.members[person]
    features = describe_boxes(scene, [members], _boxes(proposal, person)[None])[0]
    return Lesson(photo, scene, proposal, person, features, wanted, counts)


def _boxes(proposal: Proposal, candidate: int) -> Floats:
    return widened(proposal.boxes[candidate], SMALLEST_SIDE)


def _person(scene: Scene, proposal: Proposal, wanted: Floats, counts: Mask) -> int:
    """Return whom the person's boxes show: the model's main subject if it is part of that, else one other person."""
    main = proposal.candidates.members[proposal.main]
    for shot in reversed(range(1, len(wanted))):  # the close-up shows best who is meant
        if counts[shot] and (person := find_person(scene, wanted[shot])) is not None:
            return proposal.main if person in main else proposal.candidates.members.index((person,))
    return proposal.main


def study(
    photos: Sequence[JudgedPhoto],
    composer: NanoComposer,
    max_pixels: int,
    advance: Callable[[], None] = lambda: None,
) -> tuple[list[Lesson], list[str]]:
    """Show photos to the model.

    Args:
        photos: Photos with boxes that a person set or kept.
        composer: The model, without a style.
        max_pixels: Pixels that a photo may have.
        advance: Called once per photo.

    Returns:
        The lessons, and why some photos give none.
    """
    lessons, problems = [], []
    waiting = iter(photos)
    with ThreadPoolExecutor(usable_processors(), thread_name_prefix="decode") as decoders:
        while batch := list(islice(waiting, AT_ONCE)):
            read = partial(_thumbnail, size=composer.thumbnail_size, max_pixels=max_pixels)
            seen = list(decoders.map(read, (one.path for one in batch)))
            good = [(one, image) for one, image in zip(batch, seen, strict=True) if isinstance(image, Image.Image)]
            problems += [f"{one.path}: {why}" for one, why in zip(batch, seen, strict=True) if isinstance(why, str)]
            for one, scene, proposal in _proposals(good, composer):
                if proposal is None:
                    problems.append(f"{one.path}: the model sees no people")
                else:
                    lessons.append(lesson_of(one, scene, proposal))
            for _ in batch:
                advance()
    return lessons, problems


def _proposals(
    seen: Sequence[tuple[JudgedPhoto, Image.Image]], composer: NanoComposer
) -> Iterator[tuple[JudgedPhoto, Scene, Proposal | None]]:
    if not seen:
        return
    pixels = np.stack([np.asarray(squash(image, composer.manifest.image_size)) for _, image in seen])
    aspects = [one.record.source.width / one.record.source.height for one, _ in seen]
    scenes = [detection.scene for detection in composer.detector.detect(pixels, aspects)]
    yield from zip((one for one, _ in seen), scenes, composer.network.propose(scenes), strict=True)


def _thumbnail(path: Path, size: tuple[int, int], max_pixels: int) -> Image.Image | str:
    """Return a photo's thumbnail, or why it cannot be read."""
    try:
        return thumbnail(decode(read_source(path), max_pixels), size)
    except (PhotoError, OSError) as error:
        return str(error)


def crops_with(style: Style, lessons: Sequence[Lesson], costs: FaultCosts) -> Floats:
    """Return the boxes (n, 3, 4) that the model with a style crops, in the photo frame, before they are framed."""
    wanted = []
    for lesson in lessons:
        main = lesson.proposal.main
        subject = Subject(lesson.proposal.candidates.members[main], _boxes(lesson.proposal, main))
        wanted.append((lesson.scene, restyle(style, lesson.scene, [subject])))
    return np.stack([boxes[0] for boxes in refine_all(wanted, costs)])


def overlaps(lessons: Sequence[Lesson], boxes: Floats) -> Floats:
    """Return the IoU (n, 3) of boxes (n, 3, 4) with the person's, both as whole pixels of the crop.

    The boxes are framed by the settings of the sidecar, as `shotcrop crop` does. NaN where the person's box is unknown.
    """
    ious = np.full((len(lessons), len(SHOT_TYPES)), np.nan)
    for row, (lesson, triple) in enumerate(zip(lessons, boxes.tolist(), strict=True)):
        record = lesson.photo.record
        size = np.array([record.source.width, record.source.height] * 2)
        for place in np.nonzero(lesson.counts)[0]:
            shot = SHOT_TYPES[place]
            crop = np.array(framed(record, shot, clamp(*triple[place])).corners)
            aim = lesson.wanted[place] * size
            if lesson.photo.boxes[place].verdict is Verdict.KEPT:
                aim = np.array(framed(record, shot, lesson.photo.boxes[place].box).corners)
            ious[row, place] = iou(crop, aim)
    return ious


def iou(a: Floats, b: Floats) -> Floats:
    """Return the IoU (...) of boxes (..., 4) with others, each with its own."""
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clip(0).prod(-1)
    total = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    result: Floats = shared / np.maximum(total, 1e-9)
    return result
