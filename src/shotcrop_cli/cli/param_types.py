"""Types of the options that choose shots and frame them.

Each reads a text from the command line, an environment variable or a configuration file.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from typing import Literal

import click

from shotcrop_cli.crop_settings import XmpMode
from shotcrop_cli.framing import Aspect
from shotcrop_cli.imaging.formats import SAME_QUALITY
from shotcrop_cli.library.remote import refuse_remote
from shotcrop_cli.shots import SHOT_TYPES, ShotType
from shotcrop_cli.storage.location import UrlPath, place

Aspects = tuple[tuple[ShotType, Aspect], ...]
"""Ratios as `framing.Framing` takes them."""

# click.ParamType is generic for type checkers since click 8.5, and not before.


class LocalPath(click.Path):
    """A path on this machine.

    A URL such as `s3://bucket/photos` is refused, and an empty text, which would mean the current folder.
    """

    @classmethod
    def like(cls, path: click.Path) -> LocalPath:
        """Return a type with the same checks as another one."""
        return cls(
            exists=path.exists,
            file_okay=path.file_okay,
            dir_okay=path.dir_okay,
            writable=path.writable,
            readable=path.readable,
            resolve_path=path.resolve_path,
            allow_dash=path.allow_dash,
            path_type=path.type,
            executable=path.executable,
        )

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Read a path.

        Raises:
            ShotcropError: It has a scheme.
            click.BadParameter: It is empty, or fails the checks of `click.Path`.
        """
        if not os.fspath(value):
            self.fail("The path is empty.", param, ctx)
        if value == "-" and not self.allow_dash:
            self.fail(_NO_DASH, param, ctx)
        refuse_remote(value)
        return super().convert(value, param, ctx)


_NO_DASH = "- stands for standard input or output only where the help page says so. Name a file or folder."


class PlacePath(click.Path):
    """A path on this machine, or the URL of an object store; then it gets no checks, which would cost requests."""

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Read a path or URL.

        Raises:
            ShotcropError: It has a scheme that shotcrop does not know.
            click.BadParameter: It is empty, or fails the checks of `click.Path`.
        """
        if not os.fspath(value):
            self.fail("The path is empty.", param, ctx)
        if value == "-":
            self.fail(_NO_DASH, param, ctx)
        found = place(value)
        return found if isinstance(found, UrlPath) else super().convert(found, param, ctx)


class ShotsType(click.ParamType):  # type: ignore[type-arg]
    """Shots such as `establishing,close_up`, as a tuple in the order of `SHOT_TYPES`."""

    name = "shots"

    def convert(
        self, value: str | tuple[ShotType, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[ShotType, ...]:
        """Read the names of shots; a repeated name counts once.

        Raises:
            click.BadParameter: There is no such shot, or the text is empty.
        """
        if isinstance(value, tuple):
            return value
        try:
            named = {_shot(name) for name in value.split(",")}
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return tuple(shot for shot in SHOT_TYPES if shot in named)


class AspectsType(click.ParamType):  # type: ignore[type-arg]
    """Ratios such as `establishing=16:9,close_up=1:1`, or `4:5` for all shots."""

    name = "aspects"

    def convert(self, value: str | Aspects, param: click.Parameter | None, ctx: click.Context | None) -> Aspects:
        """Read ratios. One for a shot wins over one for all shots.

        Raises:
            click.BadParameter: A ratio or the name of a shot cannot be read, or a shot has two ratios.
        """
        if isinstance(value, tuple):
            return value
        try:
            ratios = [_aspect(item) for item in value.split(",")]
        except ValueError as error:
            self.fail(str(error), param, ctx)
        given = dict(ratios)
        if len(given) < len(ratios):
            shots = [shot for shot, _ in ratios]
            twice = next(shot for shot in shots if shots.count(shot) > 1)
            self.fail(f"{value!r} has two ratios for {twice or 'all shots'}. Name one.", param, ctx)
        wanted = ((shot, given.get(shot, given.get(None))) for shot in SHOT_TYPES)
        return tuple((shot, aspect) for shot, aspect in wanted if aspect is not None)


class PadType(click.ParamType):  # type: ignore[type-arg]
    """A share such as `10%` or `0.1`, from 0 to 1."""

    name = "share"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a share of a shot's side.

        Raises:
            click.BadParameter: It is not a share from 0 to 1.
        """
        if isinstance(value, float):
            return value
        number = re.fullmatch(r"(\d+\.?\d*|\.\d+)(\s*%)?", value.strip(), re.ASCII)
        if number is None:
            self.fail(f"{value!r} is not a share such as 10% or 0.1.", param, ctx)
        share = float(number[1]) / (100 if number[2] else 1)
        if share > 1.0:
            self.fail(f"{value!r} is more than 100%.", param, ctx)
        return share


class PixelsType(click.ParamType):  # type: ignore[type-arg]
    """A number of pixels such as `200000000`, or of megapixels such as `200MP`."""

    name = "pixels"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a number of pixels.

        Raises:
            click.BadParameter: It is not a positive number of pixels or megapixels.
        """
        number = re.fullmatch(r"(\d+)\s*(MP)?", str(value).strip(), re.ASCII | re.IGNORECASE)
        if number is None or int(number[1]) == 0:
            self.fail(f"{value!r} is not a number of pixels such as 200000000 or 200MP.", param, ctx)
        return int(number[1]) * (10**6 if number[2] else 1)


class QualityType(click.ParamType):  # type: ignore[type-arg]
    """A quality from 1 to 100, or `same`."""

    name = "quality"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | Literal["same"]:
        """Read a quality.

        Raises:
            click.BadParameter: It is neither `same` nor a whole number from 1 to 100.
        """
        text = str(value).strip()
        if text == SAME_QUALITY:
            return SAME_QUALITY
        if not re.fullmatch(r"\d{1,3}", text, re.ASCII) or not 1 <= int(text) <= 100:
            self.fail(f"{value!r} is neither {SAME_QUALITY} nor a whole number from 1 to 100.", param, ctx)
        return int(text)


class XmpType(click.ParamType):  # type: ignore[type-arg]
    """Where captions go: `embedded`, `sidecar`, `both` or `none`. As in earlier versions, true stands for `sidecar`."""

    name = "xmp"
    bare = str(XmpMode.SIDECAR)
    """What the option means without a value."""

    def convert(self, value: str | bool | XmpMode, param: click.Parameter | None, ctx: click.Context | None) -> XmpMode:
        """Read a place.

        Raises:
            click.BadParameter: There is no such place.
        """
        text = str(value).strip().lower()
        if text in _YES or text in _NO:
            return XmpMode.SIDECAR if text in _YES else XmpMode.NONE
        try:
            return XmpMode(text)
        except ValueError:
            self.fail(f"{value!r} is not one of embedded, sidecar, both, none.", param, ctx)

    def takes(self, text: str) -> bool:
        """Return whether a text is a value, if only a wrong one: a single word that is no file or folder."""
        if text.lower() in tuple(XmpMode):
            return True
        return re.fullmatch("[A-Za-z]+", text) is not None and not os.path.lexists(text)


_YES, _NO = ("true", "1", "yes", "on", "t", "y"), ("false", "0", "no", "off", "f", "n", "")
"""How people and environment variables spell switches."""


def _aspect(item: str) -> tuple[ShotType | None, Aspect]:
    """Read `SHOT=W:H`, or `W:H` with None for all shots."""
    name, equals, ratio = item.rpartition("=")
    return _shot(name) if equals else None, Aspect.parse(ratio.strip())


def _shot(name: str) -> ShotType:
    known = [str(shot) for shot in SHOT_TYPES]
    spelled = name.strip().replace("-", "_")
    if spelled in known:
        return ShotType(spelled)
    close = get_close_matches(spelled, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"use one of: {', '.join(known)}"
    raise ValueError(f"there is no shot {name.strip()!r}, {hint}")
