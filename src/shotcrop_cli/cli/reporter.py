"""Tell people and programs how photos end: messages, JSON Lines, and lists of photos that failed or need a review."""

from __future__ import annotations

import json
import os.path
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.photo_list import PhotoList
from shotcrop_cli.cli.streams import result
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.geometry import from_pixels
from shotcrop_cli.interchange.recorded_photo import read_record
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, Reporter, RunResult, duration
from shotcrop_cli.sidecar import BOX_DIGITS, SCORE_DIGITS
from shotcrop_cli.subjects import folded_name

_IN_WORDS = {
    PhotoStatus.DONE: "done",
    PhotoStatus.UNCHANGED: "unchanged",
    PhotoStatus.NO_SUBJECT: "without people",
    PhotoStatus.FAILED: "failed",
}
"""The statuses of the summary, as people read them."""
_FINISHED = (PhotoStatus.DONE, PhotoStatus.UNCHANGED, PhotoStatus.NO_SUBJECT)
"""The statuses of photos whose sidecar is up to date."""
_NAMED_WITHOUT_PEOPLE = 20
"""How many photos without people a run names on stderr (our choice)."""
_NAMED_PEOPLE = 10
"""How many names in the photos the summary lists if none is the one that was asked for."""
_LISTED_OF_SETS, _NAMED_OF_SETS = 5, 3
"""How many photos with crops that are left out or too small the summary names, and how many crops of each."""
_STDOUT = Path("-")
"""A list with this path goes to stdout."""
_NAMED_CHANGES = 3
"""How many different changes of options the summary names (our choice)."""
_LISTED_ORPHANS = 20
"""How many photos that are gone the summary lists (our choice)."""


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What the user wants to know.

    Args:
        as_json: Whether to print results as JSON Lines.
        failed_list: File for the paths of failed photos; None for none.
        review_list: File for the paths of photos to review; None for none.
        no_people_list: File for the paths of photos without people; None for none.
        null: Whether names in lists end with NUL instead of a newline.
        reviews: Whether the summary says how many photos need a review.
        no_images: Whether the run makes only sidecars.
        manifest: File for a table of all crops; None for none.
        output: The output folder, to say where the crops are; None if there are several.
        persons: The names of the people whom the run crops; empty if it goes by other things.
    """

    as_json: bool = False
    failed_list: Path | None = None
    review_list: Path | None = None
    no_people_list: Path | None = None
    null: bool = False
    reviews: bool = False
    no_images: bool = False
    manifest: Path | None = None
    output: Path | None = None
    persons: tuple[str, ...] = ()


class ConsoleReporter(Reporter):
    """Prints what a run does.

    Args:
        options: What the user wants to know.
        console: Where to print messages.
    """

    def __init__(self, options: ReportOptions, console: Console) -> None:
        self._options, self._console = options, console
        self._failed: PhotoList | None = None
        self._review: PhotoList | None = None
        self._no_people: PhotoList | None = None
        self._crops = 0
        self._mislabelled: list[PhotoResult] = []
        self._own_crops = 0
        self.wants_unchanged = options.as_json or console.tells_details

    def start(self) -> None:
        """Check that the lists can be written, before the work and not after.

        Raises:
            OutputError: A list cannot be written.
        """
        options = self._options
        if options.failed_list is not None:
            self._failed = PhotoList(options.failed_list, "--failed-list", null=options.null)
        if options.review_list is not None:
            self._review = PhotoList(options.review_list, "--review-list", null=options.null)
        if options.no_people_list is not None:
            self._no_people = PhotoList(options.no_people_list, "--no-people-list", null=options.null)

    def info(self, text: str) -> None:
        """Print a message."""
        self._console.info(text)

    def warn(self, text: str) -> None:
        """Print a warning."""
        self._console.warn(text)

    def detail(self, text: str) -> None:
        """Print a message with `--verbose`."""
        self._console.detail(text)

    @contextmanager
    def progress(self, total: int) -> Iterator[Callable[[], None]]:
        """Show the progress of a number of photos."""
        with self._console.progress(total) as progress:
            yield progress.advance

    def photo(self, photo: PhotoResult) -> None:
        """Print the result of a photo.

        Raises:
            OutputError: stdout cannot be written.
        """
        if photo.status is PhotoStatus.DONE:
            self._crops += len(photo.crops)
        self._own_crops += photo.is_own_crop
        if photo.content:
            self._mislabelled.append(photo)
        if photo.status is PhotoStatus.PLANNED:
            if not self._options.as_json:
                keeps = f"; keeps {', '.join(path.name for path in photo.kept)}" if photo.kept else ""
                files = _in_one_path(photo.crops) if photo.crops else photo.sidecar
                result(f"{photo.source} -> {files} ({photo.reason}{keeps})", folded=True)
        else:
            for backup in photo.backups:
                self._console.info(f"{backup}: the file that was replaced is kept under this name")
            words = _IN_WORDS.get(photo.status, str(photo.status))
            self._console.photo(photo.source, str(photo.status), photo.reason or _scores(photo), words)
        if self._options.as_json:
            result(_json_line(photo))

    def finish(self, run: RunResult) -> None:
        """Print the summary, write the lists, and say what to do next.

        Raises:
            OutputError: A list cannot be written.
        """
        if self._mislabelled:
            number, first = len(self._mislabelled), min(self._mislabelled, key=lambda photo: photo.source)
            have = "photo has" if number == 1 else "photos have"
            self._console.warn(
                f"{number} {have} the extension of another format, such as {first.source} ({first.content})"
            )
        if self._own_crops:
            are = "photo is a crop or sheet" if self._own_crops == 1 else "photos are crops or sheets"
            self._console.info(f"{self._own_crops} {are} by shotcrop and skipped; to crop them, add --include-crops")
        say = self._console.always if run.failed or run.left else self._console.info
        say(summary(run, reviews=self._options.reviews))
        for line in _failures(run.failed):
            self._console.always(line)
        for line in _changes(run):
            self._console.info(line)
        for photo in run.to_review:
            self._console.info(f"review: {photo.source}: {_scores(photo)}")
        for line in _without_people(run, self._options.no_people_list):
            self._console.info(line)
        for photo in run.orphans[:_LISTED_ORPHANS]:
            self._console.info(f"gone: {photo.source}: {photo.reason}")
        for path in _kept(run):
            self._console.info(f"kept: {path}: somebody changed it")
        manifest = self._options.manifest
        for line in (*_of_sets("left out", run.left_out, manifest), *_of_sets("small", run.small, manifest)):
            self._console.info(line)
        for line in _without_subject(run, self._options.persons):
            self._console.warn(line)
        lists = (self._failed, run.failed), (self._review, run.to_review), (self._no_people, run.without_people)
        for photo_list, photos in lists:
            if photo_list is not None:
                photo_list.write(photo.source for photo in photos)
        if not run.dry_run:
            self._console.detail(f"the model ran on {run.provider}" if run.provider else "no model needed")
        for line in _next_steps(run, self._options, self._crops):
            self._console.info(line)


def summary(run: RunResult, *, reviews: bool = False) -> str:
    """Sum up a run in one line.

    Args:
        run: The result of the run.
        reviews: Whether to say how many photos need a review.

    Returns:
        Such as `1204 done, 310 unchanged, 2 without people, 3 failed in 4 m 12 s (4.8 photos/s)`. The rate counts the
        photos that were cropped or had no people.
    """
    if run.dry_run:
        planned, unchanged = (run.counts.get(status, 0) for status in (PhotoStatus.PLANNED, PhotoStatus.UNCHANGED))
        failed = f", {len(run.failed)} failed" if run.failed else ""
        return f"dry run: {planned} to do, {unchanged} unchanged{failed}{_hand_work(run)}; nothing was written"
    counts = ", ".join(f"{run.counts.get(status, 0)} {words}" for status, words in _IN_WORDS.items())
    rate = f" ({run.photos_per_second:.1f} photos/s)" if run.photos_per_second else ""
    review = f", {len(run.to_review)} to review" if reviews else ""
    left = f", {run.left} left when the time was over" if run.left else ""
    return f"{counts} in {duration(run.seconds)}{rate}{review}{_hand_work(run)}{left}"


def _failures(failed: Sequence[PhotoResult]) -> Iterator[str]:
    """Yield a line for each failed photo. A reason that many photos share is written once, with the first of them."""
    reasons: dict[str, list[PhotoResult]] = {}
    for photo in failed:
        reasons.setdefault(photo.reason or "no people found", []).append(photo)
    for reason, (first, *others) in reasons.items():
        yield f"failed: {first.source}: {reason}"
        yield from (f"failed: {photo.source}: for the same reason" for photo in others)


def _changes(run: RunResult) -> Iterator[str]:
    """Yield lines about options that changed since earlier runs made crops."""
    for words, number in [*run.changes.items()][:_NAMED_CHANGES]:
        yield f"settings changed for {_counted(number, 'finished photo')}: {words}"
    if (more := sum([*run.changes.values()][_NAMED_CHANGES:])) > 0:
        yield f"settings changed for {_counted(more, 'more finished photo')}"


def _without_people(run: RunResult, no_people_list: Path | None) -> Iterator[str]:
    """Yield lines that name the photos in which this run found no people, unless a list or the failures name them."""
    found = [photo for photo in run.without_people if photo.status is PhotoStatus.NO_SUBJECT]
    if no_people_list is None and not set(found) & set(run.failed):
        yield from (f"without people: {photo.source}" for photo in found[:_NAMED_WITHOUT_PEOPLE])
        if (more := len(found) - _NAMED_WITHOUT_PEOPLE) > 0:
            yield f"without people: {more} more; to list all, add --no-people-list FILE"


def _without_subject(run: RunResult, persons: Sequence[str]) -> Iterator[str]:
    """Yield lines about photos that do not show whom the run asks for, and about names that no photo has."""
    found = {folded_name(name) for name in run.names}
    for person in persons if any(run.counts.values()) and not run.dry_run else ():
        if folded_name(person) not in found:
            names = [f"{name} ({_counted(number, 'photo')})" for name, number in run.names.items()][:_NAMED_PEOPLE]
            more = f" and {len(run.names) - len(names)} more" if len(run.names) > len(names) else ""
            yield f"no photo names {person!r} in a face region; there are {', '.join(names) or 'no names'}{more}"
    if run.without_subject and not run.dry_run:
        do = "photo does" if run.without_subject == 1 else "photos do"
        yield f"{run.without_subject} {do} not show whom you asked for"


def _of_sets(word: str, photos: Sequence[PhotoResult], manifest: Path | None) -> Iterator[str]:
    """Yield lines about crops of ratio sets that are left out or smaller than their set."""
    for photo in photos[:_LISTED_OF_SETS]:
        what = photo.left_out if word == "left out" else photo.small
        more = f" and {len(what) - _NAMED_OF_SETS} more" if len(what) > _NAMED_OF_SETS else ""
        yield f"{word}: {photo.source}: {', '.join(what[:_NAMED_OF_SETS])}{more}"
    if (rest := len(photos) - _LISTED_OF_SETS) > 0:
        where = "--manifest FILE" if manifest is None else manifest
        yield f"{word}: crops of {_counted(rest, 'more photo')}; {where} lists all"


def _kept(run: RunResult) -> list[Path]:
    return [path for photo in run.kept for path in photo.kept]


def _hand_work(run: RunResult) -> str:
    kept = len(_kept(run))
    rejected = f", {_counted(run.rejected, 'rejected crop')} left out" if run.rejected else ""
    followed = f", {_counted(run.followed, 'renamed photo')} recognised" if run.followed else ""
    orphans = f", {_counted(len(run.orphans), 'photo')} gone" if run.orphans else ""
    left_out = sum(len(photo.left_out) for photo in run.left_out)
    small = sum(len(photo.small) for photo in run.small)
    sets = f", {_counted(left_out, 'crop')} left out because heads would be cut" if left_out else ""
    sets += f", {_counted(small, 'crop')} smaller than their set" if small else ""
    unapplied = f", {_counted(run.unapplied, 'photo')} with edits not applied" if run.unapplied else ""
    return (
        (f", {_counted(kept, 'edited file')} kept" if kept else "") + unapplied + rejected + followed + orphans + sets
    )


def _next_steps(run: RunResult, options: ReportOptions, crops: int) -> Iterator[str]:
    """Yield lines that say where the results are, and what to do next."""
    if run.changes and run.dry_run:
        yield "To keep what those options made, give them again, or write them into shotcrop.toml."
    for path, photos in ((options.failed_list, run.failed), (options.review_list, run.to_review)):
        if path not in (None, _STDOUT) and photos:
            what = "failed" if photos is run.failed else "to review"
            yield f"{_counted(len(photos), 'photo')} {what}: see {path}"
    if options.no_people_list not in (None, _STDOUT) and run.without_people:
        yield f"{_counted(len(run.without_people), 'photo')} without people: see {options.no_people_list}"
    if run.left:
        yield f"To crop the {_counted(run.left, 'photo')} that --max-time left, run the same command again."
    if run.beyond_limit:
        how = "leave out --limit" if run.dry_run else "run the same command again, or without --limit"
        yield f"--limit leaves {_counted(run.beyond_limit, 'photo')} to do. For the rest, {how}."
    if run.left_out:
        yield "To put crops that were left out on a background, add --fit pad."
    if run.small:
        yield "To enlarge crops that are smaller than their set, add --upscale."
    if run.kept:
        yield "To replace edited crops, add --overwrite-edited. The old files stay as NAME.bak."
    if run.orphans:
        root = "OUT" if options.output is None else shlex.quote(str(options.output))
        yield f"To see and delete all crops of photos that are gone: shotcrop prune {root}"
    if run.unapplied and options.output is not None:  # what `apply` itself leaves is kept, as is said above
        what = f"{_counted(run.unapplied, 'photo')} with edited boxes or captions that are not applied yet"
        yield f"{what}. To apply them: shotcrop apply {shlex.quote(str(options.output))}"
    if run.rejected:
        yield "To bring back crops that you rejected or deleted, run `shotcrop crop` with --restore-rejected."
    if run.dry_run:
        if run.counts.get(PhotoStatus.PLANNED):
            yield "To do this, run the same command without --dry-run."
    elif options.no_images and options.output is not None and not crops:
        yield f"The sidecars are in {options.output}/. To make the crops, run the same command without --no-images."
    elif options.output is not None and (crops or run.counts.get(PhotoStatus.UNCHANGED)):
        folder = f"{options.output}/"
        found = f"{_counted(crops, 'crop')} in {folder}" if crops else _up_to_date(run, folder)
        yield f"{found}. Review: shotcrop sheet {shlex.quote(str(options.output))} -o sheet.jpg"


def _up_to_date(run: RunResult, folder: str) -> str:
    """Say what is up to date, if a run made no crops: only some photos if others failed, wait or have new edits."""
    if not run.failed and not run.left and not run.unapplied:
        return f"The crops in {folder} are up to date"
    number = run.counts[PhotoStatus.UNCHANGED] - run.unapplied
    if number < 1:
        return f"The crops are in {folder}"
    return f"{_counted(number, 'other photo')} in {folder} {'is' if number == 1 else 'are'} up to date"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _scores(photo: PhotoResult) -> str:
    return ", ".join(map(str, photo.low_scores))


def _in_one_path(crops: Sequence[Path]) -> str:
    """Write the paths of some crops as one, such as `/shots/a.jpg.{medium,close_up}.jpg`."""
    names = list(map(str, crops))
    if len(names) == 1:
        return names[0]
    start = os.path.commonprefix(names)  # noqa: RUF071 - of characters, not of folders
    end = os.path.commonprefix([name[len(start) :][::-1] for name in names])[::-1]  # noqa: RUF071
    return f"{start}{{{','.join(name[len(start) : len(name) - len(end)] for name in names)}}}{end}"


def _json_line(photo: PhotoResult) -> str:
    return json.dumps(
        {
            "source": str(photo.source),
            "status": str(photo.status),
            "sidecar": None if photo.sidecar is None else str(photo.sidecar),
            "crops": [str(crop) for crop in photo.crops],
            "reason": photo.reason or None,
            "review": [{"shot": str(low.shot), "score": low.score} for low in photo.low_scores],
            "kept": [str(path) for path in photo.kept],
            "backups": [str(path) for path in photo.backups],
            "rejected": [str(shot) for shot in photo.rejected],
            "unapplied": [str(shot) for shot in photo.unapplied],
            "former": None if photo.former is None else str(photo.former),
            "shots": _shots(photo),
        },
        ensure_ascii=False,
    )


def _shots(photo: PhotoResult) -> list[dict[str, object]]:
    """Return what the sidecar of a finished photo says of its shots; none if it cannot be read."""
    if photo.sidecar is None or photo.status not in _FINISHED:
        return []
    try:
        record = photo.record or read_record(photo.sidecar)
    except (ShotcropError, FileNotFoundError):
        return []
    return [
        {
            "shot": str(shot.shot),
            "person": shot.person,
            "set": shot.set_name,
            "box": {side: getattr(shot.box, side) for side in ("x", "y", "width", "height")},
            "box_norm": [
                round(side, BOX_DIGITS) for side in from_pixels(shot.box, record.source.width, record.source.height)
            ],
            "file": None if shot.file is None else str(photo.sidecar.parent / shot.file),
            "size": None if shot.size is None else {"width": shot.size.width, "height": shot.size.height},
            "caption": shot.caption,
            "alt_text": shot.alt_text,
            "score": None if shot.score is None else round(shot.score, SCORE_DIGITS),
            "edited": shot.edited,
            "rejected": shot.rejected or record.rejected,
            "left_out": shot.left_out or None,
        }
        for shot in record.all_crops
    ]
