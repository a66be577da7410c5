"""`learn_style`: read what a person corrected, fit a style, and write it if it is better for this person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shotcrop_cli.errors import ExitCode, ModelError, ShotcropError
from shotcrop_cli.imaging.formats import DEFAULT_MAX_PIXELS
from shotcrop_cli.interchange.corrections import Verdict, read_judgements
from shotcrop_cli.learning.fitting import Gain, cross_validate, fit_style
from shotcrop_cli.learning.lessons import study
from shotcrop_cli.learning.style_folder import StyleRecord, read_style_record, write_style
from shotcrop_cli.library.results import Reporter
from shotcrop_cli.model.nano.composer import NanoComposer
from shotcrop_cli.model.nano.manifest import NanoManifest
from shotcrop_cli.shots import SHOT_TYPES

FEWEST_PHOTOS = 8
"""Photos with a box that the person moved, below which nothing can be learned or measured."""


@dataclass(frozen=True)
class LearnOptions:
    """What `learn_style` should do.

    Args:
        shots: Output folders of `crop_photos` in which a person corrected boxes.
        output: Folder for the model with the style.
        photos: Folders to look for the photos in; empty for those that `crop_photos` recorded.
        model: The model to start from; None for the default one.
        offline: Whether to use only models that are on this machine.
        reviewed: Whether the person looked at every photo, so that boxes they left alone count as kept.
        dry_run: Whether to measure only, and write nothing.
        max_pixels: Pixels that a photo may have.
    """

    shots: tuple[Path, ...]
    output: Path
    photos: tuple[Path, ...] = ()
    model: str | None = None
    offline: bool = False
    reviewed: bool = False
    dry_run: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS


@dataclass(frozen=True)
class Learned:
    """What came out.

    Args:
        gain: How much closer the style is to the person's boxes, by cross-validation.
        counts: Number of boxes by verdict.
        shots: For each shot whether the style changes it, widest first.
        folder: The model with the style; None if nothing was written.
    """

    gain: Gain
    counts: Mapping[Verdict, int]
    shots: tuple[bool, ...]
    folder: Path | None

    @property
    def is_better(self) -> bool:
        """Whether the style is better for this person than the model."""
        return self.gain.is_sure and any(self.shots)


def learn_style(options: LearnOptions, reporter: Reporter | None = None) -> Learned:
    """Learn a style from boxes that a person corrected, and write it if it is better for this person.

    No photo leaves the machine.

    Args:
        options: What to do.
        reporter: Receives warnings and progress; None to report nothing.

    Raises:
        ShotcropError: There is too little to learn from, or the style in `output` was learned from more.
        ModelError: The model has no composer that a style can correct.
        OutputError: `output` cannot be written, or is something else.
    """
    reporter = reporter or Reporter()
    former = read_style_record(options.output)
    judgements = read_judgements(options.shots, options.photos, reviewed=options.reviewed)
    for problem in judgements.problems:
        reporter.warn(problem)
    wanted = [one for one in judgements.photos if one.is_wanted]
    _check_number(sum(any(box.verdict is Verdict.SET for box in one.boxes) for one in wanted))
    # Imported here, because the checks so far need no model.
    from shotcrop_cli.model.load import find_model, load_composer

    bundle = find_model(options.model, offline=options.offline)
    if not isinstance(bundle.manifest, NanoManifest):
        raise ModelError(f"{bundle.folder}: a style needs a compact model", hint="leave out --model")
    if bundle.manifest.style.shots:
        raise ModelError(
            f"{bundle.folder} has a style already, and a style is learned for a model without one",
            hint="leave out --model: shotcrop learns again from all your corrections",
        )
    composer = load_composer(bundle, "cpu", notices=reporter)
    assert isinstance(composer, NanoComposer)
    with reporter.progress(len(wanted)) as advance:
        lessons, problems = study(wanted, composer, options.max_pixels, advance)
    for problem in problems:
        reporter.warn(problem)
    _check_number(sum(lesson.is_set for lesson in lessons))
    counts = Counter(box.verdict for one in judgements.photos for box in one.boxes)
    if former is not None and former.photos > len(lessons):
        raise ShotcropError(
            f"{options.output} was learned from {former.photos} photos, and here are {len(lessons)}",
            hint="name all output folders that you corrected, or choose another --output",
        )
    gain, style = cross_validate(lessons, bundle.manifest.refinement), fit_style(lessons)
    changed = tuple(bool(shot.weights) for shot in style.shots)
    learned = Learned(gain, counts, changed, None)
    if learned.is_better and not options.dry_run:
        boxes, means = int(sum(lesson.counts.sum() for lesson in lessons)), gain.means
        record = StyleRecord(len(lessons), boxes, round(means[0], 4), round(means[1], 4))
        learned = replace(learned, folder=write_style(bundle, style, record, options.output).folder)
    return learned


def _check_number(moved: int) -> None:
    if moved < FEWEST_PHOTOS:
        raise ShotcropError(
            f"{moved} photos with a box that you moved are too few to learn from",
            hint=f"correct boxes in at least {FEWEST_PHOTOS} photos, better 20",
            exit_code=ExitCode.NOT_BETTER,
        )


def describe(learned: Learned) -> Sequence[str]:
    """Say in a few lines what came out."""
    gain, counts = learned.gain, learned.counts
    before, after = gain.means
    low, high = gain.interval()
    equal = len(gain.differences) - gain.closer - gain.farther
    lines = [
        f"{len(gain.differences)} photos: you moved {counts[Verdict.SET]} boxes, kept {counts[Verdict.KEPT]} and "
        f"rejected {counts[Verdict.REJECTED]}",
        f"closer to your boxes on {gain.closer} of {len(gain.differences)} photos, farther on {gain.farther}, equal on "
        f"{equal}: mean IoU {before:.3f} -> {after:.3f}",
        f"difference {after - before:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}, on photos that it had not learned "
        "from",
    ]
    for shot, kind in enumerate(SHOT_TYPES):
        values = gain.of_shot(shot)
        if values[0] == values[0]:  # not NaN
            changes = "" if learned.shots[shot] else ", left as it is"
            lines.append(f"  {kind}: {values[0]:.3f} -> {values[1]:.3f}{changes}")
    return lines
