"""How well `shotcrop learn` learns three simulated house styles from 20, 50 and 200 corrected photos.

    python -m benchmarks.quality.styles DATA --markdown docs/learning.md

A simulated person changes the experts' boxes by a rule: tighter close-ups, centred subjects, or generous headroom. They
look at photos of `train` that the model has cropped, leave boxes that are close to their wish and move the others, not
quite exactly. The style is learned from the photos in which they moved a box. It is measured against their wishes on
all photos of `dev`, which no one corrected.
"""

from __future__ import annotations

import argparse
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks.figures import Figures, add_markdown, publish
from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.evaluation.dataset import Record, read_dataset
from shotcrop_cli.geometry import clamp, to_pixels
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.formats import DEFAULT_MAX_PIXELS
from shotcrop_cli.imaging.thumbnail import thumbnail
from shotcrop_cli.interchange.corrections import JudgedBox, JudgedPhoto, Verdict
from shotcrop_cli.interchange.recorded_photo import RecordedPhoto
from shotcrop_cli.learning.fitting import Gain, cross_validate, fit_style
from shotcrop_cli.learning.lessons import iou, lesson_of
from shotcrop_cli.model.load import find_model, load_composer
from shotcrop_cli.model.nano.composer import SMALLEST_SIDE, NanoComposer, Proposal, widened
from shotcrop_cli.model.nano.facts import to_even
from shotcrop_cli.model.nano.manifest import FaultCosts, Style
from shotcrop_cli.model.nano.preprocess import squash
from shotcrop_cli.model.nano.refinement import Subject, refine_all
from shotcrop_cli.model.nano.scene import Floats, Scene
from shotcrop_cli.model.nano.shown_person import find_person
from shotcrop_cli.model.nano.style import restyle
from shotcrop_cli.shots import SHOT_TYPES, ModelIdentity, Reasoning
from shotcrop_cli.sidecar import MainPerson, ShotRecord, Sidecar, SidecarStatus, SourceRecord

COUNTS, REPEATS = (20, 50, 200), 3
LEFT_ALONE = 0.85
"""The person leaves a box that overlaps their wish by at least this (IoU)."""
UNSTEADY = 0.015
"""Standard deviation of the person's edges, as a share of the box's sides."""
TIGHTER, LARGEST_HEAD, BELOW = 0.72, 0.8, 0.08
"""Tighter close-ups: their size, unless the head would be higher than this share of the crop; how far their middle is
below that of the head, in heads."""
KEPT_WIDTH = 0.6
"""Centred establishing shots keep this share of their longer side at least."""
HEADROOM = {1: 0.22, 2: 0.28}
"""Generous headroom above the head, as a share of the crop's height, by shot."""
EVERY = 3
"""One in so many photos of `train` is used, which is enough for 200 corrections."""
AT_ONCE = 16

Rule = Callable[[Floats, Floats, float], Floats]
"""Changes an expert's boxes (3, 4), given the head (4,) and the width of the photo, all in the even frame."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A photo as the model sees it.

    Args:
        record: Its row of the dataset.
        triple: The expert's boxes (3, 4) in the photo frame.
        scene: What the detector sees.
        proposal: What the composer proposes.
        person: Whom the expert's close-up shows.
    """

    record: Record
    triple: Floats
    scene: Scene
    proposal: Proposal
    person: int

    def subject(self) -> Subject:
        """Return the model's own main subject."""
        main = self.proposal.main
        return Subject(self.proposal.candidates.members[main], widened(self.proposal.boxes[main], SMALLEST_SIDE))


def tighter(triple: Floats, head: Floats, _width: float) -> Floats:
    """Shrink the close-up around the head."""
    height = head[3] - head[1]
    factor = max(TIGHTER, min(1.0, height / LARGEST_HEAD / (triple[2, 3] - triple[2, 1])))
    middle = np.array([(head[0] + head[2]) / 2, (head[1] + head[3]) / 2 + BELOW * height] * 2)
    triple[2] = middle + (triple[2] - middle) * factor
    return triple


def centred(triple: Floats, head: Floats, width: float) -> Floats:
    """Put the head in the middle between left and right; the photo's edge makes a crop narrower."""
    x = (head[0] + head[2]) / 2
    for shot in (1, 2):
        half = min((triple[shot, 2] - triple[shot, 0]) / 2, max(x, 0.01), max(width - x, 0.01))
        triple[shot, 0], triple[shot, 2] = x - half, x + half
    sides = x - triple[0, 0], triple[0, 2] - x
    half = max(min(sides), KEPT_WIDTH * max(sides))
    triple[0, 0], triple[0, 2] = max(triple[0, 0], x - half), min(triple[0, 2], x + half)
    return triple


def roomy(triple: Floats, head: Floats, _width: float) -> Floats:
    """Raise the upper edge of medium shots and close-ups as far as the photo reaches."""
    for shot, room in HEADROOM.items():
        triple[shot, 1] = max(0.0, min(triple[shot, 1], (head[1] - room * triple[shot, 3]) / (1 - room)))
    return triple


RULES: Mapping[str, Rule] = {"tighter close-ups": tighter, "centred subjects": centred, "generous headroom": roomy}


def wish(seen: Seen, rule: Rule, rng: np.random.Generator) -> Floats:
    """Return where the person wants the boxes (3, 4) of a photo, in the photo frame."""
    aspect = seen.scene.aspect
    even = rule(to_even(seen.triple, aspect), to_even(seen.scene.head[seen.person], aspect), aspect)
    even += rng.normal(0, UNSTEADY, even.shape) * np.tile(even[:, 2:] - even[:, :2], 2)
    even[:, 0::2] /= aspect
    return np.array([list(clamp(*box)) for box in even.tolist()])


def look(folder: Path, composer: NanoComposer, every: int = 1) -> Iterator[Seen]:
    """Show the photos of a dataset to the model, and yield those with an expert's triple of a person it sees."""
    rows = [one for one in read_dataset(folder) if one.composition is not None][::every]
    for start in range(0, len(rows), AT_ONCE):
        batch = rows[start : start + AT_ONCE]
        side, size = composer.manifest.image_size, composer.thumbnail_size
        images = [thumbnail(decode(read_source(one.path), DEFAULT_MAX_PIXELS), size) for one in batch]
        pixels = np.stack([np.asarray(squash(image, side)) for image in images])
        scenes = [one.scene for one in composer.detector.detect(pixels, [one.aspect for one in batch])]
        for record, scene, proposal in zip(batch, scenes, composer.network.propose(scenes), strict=True):
            assert record.composition is not None
            triple = np.array([list(shot.box) for shot in record.composition.shots])
            person = None if proposal is None else find_person(scene, triple[2])
            if proposal is not None and person is not None:
                yield Seen(record, triple, scene, proposal, person)


def crops(photos: Sequence[Seen], style: Style, costs: FaultCosts) -> Floats:
    """Return the boxes (n, 3, 4) that the model with a style crops."""
    wanted = [(one.scene, restyle(style, one.scene, [one.subject()])) for one in photos]
    return np.stack([boxes[0] for boxes in refine_all(wanted, costs)])


def judged(seen: Seen, crop: Floats, wanted: Floats) -> JudgedPhoto:
    """Return what the person does to the model's crops (3, 4) of a photo, given their wish (3, 4)."""
    record, kept = seen.record, iou(crop, wanted) >= LEFT_ALONE
    boxes = np.where(kept[:, None], crop, wanted).tolist()
    shots, verdicts = [], []
    for shot, model_box, box, stays in zip(SHOT_TYPES, crop.tolist(), boxes, kept.tolist(), strict=True):
        pixels = to_pixels(clamp(*box), record.width, record.height)
        shots.append(ShotRecord(shot, pixels, clamp(*box), clamp(*model_box), None, None, edited=not stays))
        verdicts.append(JudgedBox(shot, clamp(*box), Verdict.KEPT if stays else Verdict.SET))
    sidecar = Sidecar(
        SidecarStatus.DONE,
        SourceRecord(str(record.path), 1, "", "", "JPEG", record.width, record.height),
        ModelIdentity("", "", ""),
        CropSettings(),
        MainPerson(),
        Reasoning(),
        tuple(shots),
    )
    return JudgedPhoto(RecordedPhoto(Path(), Path(), sidecar), record.path, tuple(verdicts))


@dataclass(frozen=True)
class Trial:
    """A style that was learned once.

    Args:
        promised: What cross-validation over the person's own corrections says.
        real: The gain on photos that no one corrected.
    """

    promised: Gain
    real: Gain


@dataclass(frozen=True, eq=False)
class Exam:
    """The photos, with the boxes (n, 3, 4) that the model without a style crops."""

    train: Sequence[Seen]
    dev: Sequence[Seen]
    train_crops: Floats
    dev_crops: Floats
    costs: FaultCosts


def learn(rule: Rule, count: int, seed: int, exam: Exam) -> Trial:
    """Learn a style from the corrections of some photos and measure it on others."""
    rng, lessons, costs = np.random.default_rng(seed), [], exam.costs
    for number in rng.permutation(len(exam.train)).tolist():
        one = exam.train[number]
        photo = judged(one, exam.train_crops[number], wish(one, rule, rng))
        if any(box.verdict is Verdict.SET for box in photo.boxes):
            lessons.append(lesson_of(photo, one.scene, one.proposal))
        if len(lessons) == count:
            break
    chance = np.random.default_rng(0)
    wishes = np.stack([wish(one, rule, chance) for one in exam.dev])
    real = Gain(iou(exam.dev_crops, wishes), iou(crops(exam.dev, fit_style(lessons), costs), wishes))
    return Trial(cross_validate(lessons, costs), real)


def row(name: str, count: int, trials: Sequence[Trial]) -> tuple[str, ...]:
    """Return a row of the table: means over the trials."""
    real, promised = [one.real for one in trials], [one.promised for one in trials]

    def change(pairs: Sequence[tuple[float, float]]) -> str:
        before, after = (fmean(values) for values in zip(*pairs, strict=True))
        return f"{before:.3f} -> {after:.3f}"

    low, high = (fmean(values) for values in zip(*(one.interval() for one in real), strict=True))
    return (
        name,
        str(count),
        change([one.means for one in real]),
        f"{low:+.3f} to {high:+.3f}",
        *(change([one.of_shot(shot) for one in real]) for shot in range(len(SHOT_TYPES))),
        f"{fmean(one.closer for one in real):.0f} / {fmean(one.farther for one in real):.0f}",
        change([one.means for one in promised]),
        f"{sum(one.is_sure for one in promised)} of {len(trials)}",
    )


HEADINGS = (
    "style",
    "corrected photos",
    "mean IoU",
    "95 % interval of the gain",
    *map(str, SHOT_TYPES),
    "closer / farther",
    "as `learn` reports it",
    "written",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="DATA", help="a folder with train and dev")
    parser.add_argument("--cache", type=Path, metavar="FILE", help="keep here what the model sees in the photos")
    parser.add_argument("--repeats", type=int, default=REPEATS, metavar="N", help="people per row")
    add_markdown(parser)
    arguments = parser.parse_args()
    bundle = find_model()
    composer = load_composer(bundle, "cpu")
    assert isinstance(composer, NanoComposer)
    if arguments.cache is not None and arguments.cache.exists():
        train, dev = pickle.loads(arguments.cache.read_bytes())
    else:
        train = list(look(arguments.data / "train", composer, EVERY))
        dev = list(look(arguments.data / "dev", composer))
        if arguments.cache is not None:
            arguments.cache.write_bytes(pickle.dumps((train, dev)))
    costs = composer.manifest.refinement
    exam = Exam(train, dev, crops(train, Style(), costs), crops(dev, Style(), costs), costs)
    rows = []
    for name, rule in RULES.items():
        for count in COUNTS:
            rows.append(row(name, count, [learn(rule, count, seed, exam) for seed in range(arguments.repeats)]))
            print(*rows[-1], sep=", ", file=sys.stderr)  # so that an interrupted run shows something
    note = (
        f"Mean IoU of the three shots with the person's wish on {len(dev)} photos of `dev`, before and after learning; "
        f"means of {arguments.repeats} simulated people with different photos of `train`. "
        "`python -m benchmarks.quality.styles DATA` measures it again."
    )
    publish("styles", [Figures("Simulated house styles", HEADINGS, tuple(rows), names=1)], [note], arguments.markdown)


if __name__ == "__main__":
    main()
