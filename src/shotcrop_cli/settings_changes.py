"""Name the options whose values differ between two runs, so that people know what a run changes."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from shotcrop_cli.crop_settings import CropSettings, XmpMode
from shotcrop_cli.framing import Framing
from shotcrop_cli.ratio_sets import RatioSet

SHAPES = ("aspect", "pad", "min-size", "max-size", "set", "upscale", "fit", "background")
"""The options that decide the shape and size of a crop."""
_OFF, _ON, _NONE = "off", "on", "none"


@dataclass(frozen=True, slots=True)
class Change:
    """An option with another value than in an earlier run.

    Args:
        option: Its name without dashes.
        old: The earlier value, as users write it.
        new: The value now.
        is_default: Whether the earlier value is the one without the option.
    """

    option: str
    old: str
    new: str
    is_default: bool

    def __str__(self) -> str:
        return f"{self.option} {self.old} to {self.new}"

    @property
    def option_text(self) -> str:
        """The option as the earlier run had it, to be given again."""
        return f"--{self.option}" if self.old == _ON else f"--{self.option} {shlex.quote(self.old)}"


def settings_changes(old: CropSettings, new: CropSettings) -> tuple[Change, ...]:
    """Return the options that differ. A ratio set that only one of the two has is no difference.

    Args:
        old: The settings of finished crops.
        new: The settings of this run for them.
    """
    without = dict(_values(CropSettings()))
    found = [
        Change(option, before, now, before == without[option])
        for (option, before), (_, now) in zip(_values(old), _values(new), strict=True)
        if before != now
    ]
    for before in old.sets:
        if (now := new.ratio_set(before.name)) is not None:
            found += _set_changes(before, now)
    return tuple(dict.fromkeys(found))


def how_to_repeat(changes: Collection[Change]) -> str:
    """Return an instruction that brings back the earlier values; empty without changes."""
    given = " ".join(change.option_text for change in changes if not change.is_default)
    left_out = ", ".join(f"--{change.option}" for change in changes if change.is_default)
    parts = (f"add {given}" if given else "", f"leave out {left_out}" if left_out else "")
    return " and ".join(filter(None, parts))


def _values(settings: CropSettings) -> Iterator[tuple[str, str]]:
    yield "language", settings.language
    yield "captions", str(settings.captions)
    yield "xmp", _OFF if settings.xmp is XmpMode.NONE else str(settings.xmp)
    yield "keywords", _switch(settings.keywords)
    yield "prefer-own-captions", _switch(settings.prefer_own_captions)
    yield "aspect", _aspects(settings.framing)
    yield "pad", f"{100 * settings.framing.pad:g}%"
    yield "min-size", _number(settings.framing.min_size)
    yield "max-size", _number(settings.max_size)
    yield "format", str(settings.format)
    yield "quality", str(settings.quality)
    yield "metadata", str(settings.metadata)
    yield "to-srgb", _switch(settings.to_srgb)
    yield "lossless", _switch(settings.lossless)


def _set_changes(old: RatioSet, new: RatioSet) -> Iterator[Change]:
    if old.ratios != new.ratios:
        yield Change("set", f"{old.name}={_ratios(old)}", f"{new.name}={_ratios(new)}", is_default=False)
    without = RatioSet(old.name, old.ratios)
    for option in ("upscale", "fit", "background"):
        before, now, default = (_text(getattr(one, option)) for one in (old, new, without))
        if before != now:
            yield Change(option, before, now, before == default)


def _text(value: object) -> str:
    return _switch(value) if isinstance(value, bool) else str(value)


def _switch(is_on: bool) -> str:
    return _ON if is_on else _OFF


def _number(pixels: int | None) -> str:
    return _NONE if pixels is None else str(pixels)


def _aspects(framing: Framing) -> str:
    return ",".join(f"{shot}={aspect}" for shot, aspect in framing.aspects) or _NONE


def _ratios(ratio_set: RatioSet) -> str:
    ratios = [str(ratio) for _, ratio in ratio_set.ratios]
    if len(set(ratios)) == 1 and len(ratios) > 1:
        return ratios[0]
    return ",".join(f"{shot}={ratio}" for shot, ratio in ratio_set.ratios)
