"""The options that choose photos of an output folder by how they ended."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.help import option, option_group
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.library.output_files import OutputFiles
from shotcrop_cli.library.recrop import output_root
from shotcrop_cli.library.selection import read_list
from shotcrop_cli.shots import DEFAULT_SET, GROUP, MAIN, person_key, person_number
from shotcrop_cli.sidecar import SidecarStatus
from shotcrop_cli.storage.location import is_url

if TYPE_CHECKING:
    from shotcrop_cli.report.entry import Choice, Chosen

_MOST = 1000
"""Largest number of a person, far above what models report."""


def _person(value: str) -> str:
    """Read whom to show, as names of crops call them."""
    wanted = value.strip().casefold().removeprefix("person")
    if wanted in (MAIN, GROUP):
        return wanted
    if not (wanted.isascii() and wanted.isdecimal() and 1 <= int(wanted) <= _MOST):
        raise click.BadParameter(f"{value!r} is neither main, group nor the number of a person.")
    return person_key(int(wanted))


photo_filter_options = option_group(
    "Photos",
    option("--limit", type=click.IntRange(1), metavar="N", help="Take only the first N photos."),
    option(
        "--status",
        type=click.Choice([str(status) for status in SidecarStatus]),
        help="Take only photos that are done, or only those without people (no_subject).",
    ),
    option(
        "--below-score",
        type=click.FloatRange(0.0, 1.0),
        metavar="X",
        help="Take only photos with a crop that scores below X and that you did not edit or accept.",
    ),
    option(
        "--files-from",
        type=click.Path(dir_okay=False, allow_dash=True),
        metavar="FILE|-",
        help="Take only the photos listed in FILE or on stdin, such as a --review-list of shotcrop crop.",
    ),
    option("-0", "--null", is_flag=True, help="Names in that list end with NUL instead of a newline."),
    option(
        "--set",
        "set_name",
        metavar="NAME",
        help="Show the crops of this ratio set, of photos that have some. Default: ordinary crops, or the first set if "
        "there are none.",
    ),
    option(
        "--subject",
        type=_person,
        default=MAIN,
        show_default=True,
        metavar="main|group|N",
        help="Show the crops of this person, by the number in the names of the crops, of photos that have some.",
    ),
    option(
        "--sort",
        type=click.Choice(["name", "score"]),
        default="name",
        show_default=True,
        help="Order of the photos; score begins with the lowest.",
    ),
)


ALL_PHOTOS: Mapping[str, Any] = {
    "limit": None,
    "status": None,
    "below_score": None,
    "files_from": None,
    "null": False,
    "set_name": None,
    "subject": MAIN,
    "sort": "name",
}
"""The values of these options if the user gives none."""


class NothingToShowError(ShotcropError):
    """No photo of the output folder fits."""


def choose_photos(
    files: OutputFiles,
    values: Mapping[str, Any],
    console: Console,
    *,
    needs_crops: bool = False,
    count: Callable[[], None] = lambda: None,
) -> Chosen:
    """Return the photos that the values of `photo_filter_options` choose, and warn of files that are not sidecars.

    Args:
        files: The files of an output of `shotcrop crop`.
        values: The values of the options.
        console: Receives the warnings.
        needs_crops: Whether to leave out photos without crops.
        count: Called for each photo.

    Raises:
        NothingToShowError: There is no such photo.
        ShotcropError: The list cannot be read, or the folder is not an output folder.
    """
    from shotcrop_cli.report.entry import ALL, choose

    shots_dir, choice = files.place, _choice(values, files)
    by_score = values["sort"] == "score"
    chosen = choose(files, values["limit"], choice, lowest_first=by_score, needs_crops=needs_crops, count=count)
    for error in chosen.errors:
        console.warn(str(error))
    if not chosen.sidecars and chosen.not_shown:
        raise _not_shown(chosen, shots_dir)
    for number, why in (
        (chosen.without_crops, "without crops"),
        (chosen.rejected, "that you rejected"),
        (chosen.not_shown, f"without crops of {_wanted(choice)}"),
    ):
        if number:
            console.info(f"left out {number} photo{'' if number == 1 else 's'} {why}")
    if chosen.sidecars:
        return chosen
    if not chosen.seen and not is_url(shots_dir):
        output_root(shots_dir)  # otherwise a fix below could name a folder of photos as the output
    if choice != ALL:
        raise NothingToShowError(
            f"{shots_dir}: no photo in this folder matches these options", hint="leave out one of them"
        )
    crop = f"shotcrop crop PHOTOS -o {shlex.quote(str(shots_dir))}"
    if chosen.rejected:
        raise NothingToShowError(
            f"{shots_dir}: you rejected all crops in this folder",
            hint="bring them back with --restore-rejected of shotcrop crop, or draw a contact sheet",
        )
    if chosen.without_crops:
        raise NothingToShowError(f"{shots_dir}: no photo in this folder has crops", hint=crop)
    raise NothingToShowError(f"{shots_dir}: there is no sidecar in this folder", hint=crop)


def _wanted(choice: Choice) -> str:
    """Name whose crops, and of which ratio set, the options ask for."""
    number = person_number(choice.person)
    who = f"person {number}" if number is not None else f"the {choice.person}" if choice.person != MAIN else ""
    return " in ".join(filter(None, (who, f"the set '{choice.set_name}'" if choice.set_name else "")))


def _not_shown(chosen: Chosen, shots_dir: Path) -> NothingToShowError:
    """Say which people or ratio sets there are instead of those that the options ask for."""
    choice = chosen.choice
    people, sets = ({pair[at] for pair in chosen.crops_of} for at in (0, 1))
    message = f"{shots_dir}: no photo has crops of {_wanted(choice)}"
    if choice.set_name and choice.set_name not in sets:
        return NothingToShowError(message, hint=f"use --set with one of: {', '.join(sorted(sets)) or DEFAULT_SET}")
    if choice.person not in people:
        named = sorted(people, key=lambda person: (person_number(person) or 0, person))
        there = ", ".join(str(person_number(person) or person) for person in named) or MAIN
        return NothingToShowError(
            message, hint=f"use --subject with one of: {there}; or crop more people with shotcrop crop --subjects all"
        )
    return NothingToShowError(message, hint="leave out one of the options that choose photos")


def _choice(values: Mapping[str, Any], files: OutputFiles) -> Choice:
    """Return which photos the options choose.

    Raises:
        ShotcropError: The list cannot be read.
    """
    from shotcrop_cli.report.entry import Choice

    photos = None
    if (files_from := values["files_from"]) is not None:
        listed = read_list(files_from, null=values["null"])
        # Sidecars record absolute paths. A list may have others, or lead there by links.
        photos = frozenset(chain.from_iterable(_spellings(photo, files) for photo in listed))
    status = None if values["status"] is None else SidecarStatus(values["status"])
    return Choice(status, values["below_score"], photos, values["subject"], values["set_name"] or "")


def _spellings(photo: Path, files: OutputFiles) -> Iterator[Path]:
    """Yield the paths that a sidecar may have for a photo of a list."""
    if is_url(photo):
        yield files.copy_of(photo)
    else:
        yield from (Path(path(photo)) for path in (os.path.abspath, os.path.realpath))
