"""The options of `shotcrop crop` that say whom to crop and in which formats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import click

from shotcrop_cli.cli.config import SETS
from shotcrop_cli.cli.help import option, option_group
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.imaging.background import BLUR, parse_background
from shotcrop_cli.ratio_sets import PRESETS, Fit, Ratio, RatioSet
from shotcrop_cli.shots import DEFAULT_SET, MAIN, SHOT_TYPES, ShotType
from shotcrop_cli.subjects import CHOICES, Subjects

_MOST = 1000
"""Largest number of a person, far above what models report."""
_ALL = 0
"""What stands for everybody, because None means that the option is not given."""


def _subjects(value: str) -> int:
    """Read `main`, `all` or a number of people."""
    wanted = value.strip().casefold()
    if wanted in (MAIN, "all"):
        return 1 if wanted == MAIN else _ALL
    if wanted.isascii() and wanted.isdecimal() and 1 <= int(wanted) <= _MOST:
        return int(wanted)
    hint = f" To choose one, use --subject {wanted}." if wanted in CHOICES else ""
    raise click.BadParameter(f"{value!r} is neither main, all nor a number of people.{hint}")


def _subject(value: str) -> str:
    """Read whom to crop: a word or a number."""
    wanted = value.strip().casefold()
    wanted = "centre" if wanted == "center" else wanted
    if wanted in CHOICES:
        return wanted
    if wanted.isascii() and wanted.isdecimal() and 1 <= int(wanted) <= _MOST:
        return str(int(wanted))
    hint = " To crop everybody, use --subjects all." if wanted == "all" else ""
    raise click.BadParameter(f"{value!r} is neither {', '.join(CHOICES)} nor the number of a person.{hint}")


def _background(value: str) -> str:
    """Read `blur` or a colour."""
    try:
        return parse_background(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error


people_options = option_group(
    "People",
    option(
        "--subjects",
        type=_subjects,
        metavar="main|all|N",
        help="Crop the main subject, everybody, or the N most probable people. Default: main.",
    ),
    option(
        "--subject",
        type=_subject,
        metavar="WHO",
        help=f"Crop one subject instead: {', '.join(CHOICES)}, or the number of a person.",
    ),
    option(
        "--person",
        "persons",
        multiple=True,
        metavar="NAME",
        help="Crop only people with this name in the face regions that a photo program wrote; repeatable.",
    ),
)

set_options = option_group(
    "Ratio sets",
    option(
        "--set",
        "sets",
        multiple=True,
        metavar="NAME=RATIO[:WxH]",
        help="Make a set of crops in a ratio, such as story=9:16:1080x1920; repeatable. NAME alone takes a set of your "
        "configuration or of a preset; default means ordinary crops.",
    ),
    option(
        "--preset",
        "presets",
        multiple=True,
        type=click.Choice([*PRESETS]),
        help="Make the sets of a publication; repeatable.",
    ),
    option("--upscale", is_flag=True, help="Enlarge crops that have fewer pixels than their set."),
    option(
        "--fit",
        type=click.Choice([str(fit) for fit in Fit]),
        default=str(Fit.LEAVE_OUT),
        show_default=True,
        help="If a ratio cannot hold the heads: leave the crop out, or pad it.",
    ),
    option(
        "--background",
        type=_background,
        default=BLUR,
        show_default=True,
        metavar="blur|COLOUR",
        help="Background of padded crops.",
    ),
)


def to_subjects(values: Mapping[str, Any]) -> Subjects:
    """Return whom to crop, by the values of `people_options`.

    Raises:
        click.UsageError: Two of them contradict each other.
    """
    number, choice, names = values["subjects"], values["subject"] or "", tuple(values["persons"])
    given = {"--subjects": number is not None, "--subject": bool(choice), "--person": bool(names)}
    named = [name for name, is_given in given.items() if is_given]
    if len(named) > 1:
        raise click.UsageError(f"{named[0]} and {named[1]} contradict each other. Use one of them.")
    if any(not name.strip() for name in names):
        raise click.UsageError("--person: the name is empty.")
    return Subjects(1 if number is None else None if number == _ALL else number, choice, names)


def to_sets(values: Mapping[str, Any], configured: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[RatioSet, ...]]:
    """Return the names of the sets to make, and the sets, by the values of `set_options`.

    Args:
        values: The values.
        configured: The sets of the configuration: what stands after `NAME=` on the command line, by name.

    Raises:
        ShotcropError: A set cannot be read or is given twice, or there is no such set.
    """
    preset_sets = {one.name: one for preset in PRESETS.values() for one in preset}
    found: dict[str, RatioSet | None] = {}
    for one in [one for preset in values["presets"] for one in PRESETS[preset]]:
        found.setdefault(one.name, one)
    for text in values["sets"]:
        name, equals, ratios = (part.strip() for part in text.partition("="))
        if name in found and (equals or name not in preset_sets):
            raise ShotcropError(f"--set {text}: there are two sets '{name}'", hint="give one of them another name")
        if equals:
            found[name] = _read(name, ratios, f"--set {text}")
        elif name in configured:
            found[name] = _read(name, configured[name], f"[{SETS}] {name}")
        elif name == DEFAULT_SET:
            found[name] = None
        elif name in preset_sets:
            found[name] = preset_sets[name]
        else:
            raise _unknown(name, (*configured, *preset_sets, DEFAULT_SET))
    how = {"upscale": values["upscale"], "fit": Fit(values["fit"])}
    background = values["background"] if how["fit"] is Fit.PAD else BLUR
    sets = tuple(replace(one, **how, background=background) for one in found.values() if one is not None)
    return tuple(found) or (DEFAULT_SET,), sets


def _read(name: str, text: str, where: str) -> RatioSet:
    """Read what stands after `NAME=`: a ratio for all shots, or `SHOT=RATIO,SHOT=RATIO`."""
    try:
        ratios: dict[ShotType, Ratio] = {}
        for part in text.split(","):
            shot, equals, ratio = part.rpartition("=")
            shots = (ShotType(shot.strip().replace("-", "_")),) if equals else SHOT_TYPES
            for one in shots:
                if one in ratios:
                    raise ValueError(f"two ratios for {one}")
                ratios[one] = Ratio.parse(ratio)
        return RatioSet.of(name, ratios)
    except ValueError as error:
        message = str(error)
        if "is not a valid ShotType" in message:
            message = f"there is no shot {message.split(' is not')[0]}; use one of: {', '.join(map(str, SHOT_TYPES))}"
        raise ShotcropError(
            f"{where}: {message}", hint="write a set as story=9:16:1080x1920, or web=establishing=16:9,medium=4:5"
        ) from error


def _unknown(name: str, known: Iterable[str]) -> ShotcropError:
    names = [*dict.fromkeys(known)]
    close = get_close_matches(name, names, n=1)
    suggestion = f"; did you mean '{close[0]}'?" if close else ""
    with suppress(ValueError):
        Ratio.parse(name)
        return ShotcropError(
            f"--set {name}: a ratio without a name", hint=f"give the set a name, as in --set web={name}"
        )
    return ShotcropError(
        f"--set {name}: there is no set '{name}'{suggestion}",
        hint=f"give its ratio, as in --set {name or 'NAME'}=4:5, or use one of: {', '.join(names)}",
    )
