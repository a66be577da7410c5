"""What the crops of a photo are called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from string import Formatter
from typing import Protocol

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.shots import SHOT_TYPES, ShotType

DEFAULT_TEMPLATE = "{name}.{shot}.{ext}"
"""The photo's extension stays in the name, so that IMG_1.jpg and IMG_1.png never collide."""

FIELDS = {
    "name": "the photo's file name",
    "stem": "the same without its extension",
    "shot": "establishing, medium or close_up",
    "ext": "the crop's extension, such as jpg",
}
"""What a template may name, and what stands for it."""


@dataclass(frozen=True, slots=True)
class NameTemplate:
    """How a crop's path below its photo's folder in the output is made.

    Args:
        text: Such as `{shot}/{stem}.{ext}`; `/` makes folders.
    """

    text: str = DEFAULT_TEMPLATE

    @classmethod
    def parse(cls, text: str) -> NameTemplate:
        """Read a template that a user wrote.

        Raises:
            ShotcropError: It names unknown fields, gives several crops one name, or leaves the output folder.
        """
        known = ", ".join(f"{{{field}}}" for field in FIELDS)
        try:
            fields = {field for _, field, spec, how in Formatter().parse(text) if field is not None}
            plain = all(not spec and not how for _, field, spec, how in Formatter().parse(text) if field is not None)
        except ValueError as error:
            raise ShotcropError(f"name template {text!r}: {error}", hint=f"use {known}") from error
        if not fields <= FIELDS.keys() or not plain:
            odd = ", ".join(f"{{{field}}}" for field in sorted(fields - FIELDS.keys())) or "a format or conversion"
            raise ShotcropError(f"name template {text!r}: {odd} is unknown", hint=f"use {known}")
        if "shot" not in fields or not fields & {"name", "stem"}:
            raise ShotcropError(
                f"name template {text!r} would give several crops one name", hint="use {shot}, and {name} or {stem}"
            )
        if not is_inside(text):
            raise ShotcropError(
                f"name template {text!r} leaves the output folder", hint="use relative folders without . or .."
            )
        if re.search(r"[\x00-\x1f\\]", text):
            raise ShotcropError(f"name template {text!r} holds odd characters", hint="use / between folders")
        return cls(text)

    @property
    def grows_from_the_name(self) -> bool:
        """Whether crops of photos with different names cannot have the same name."""
        return self.text == DEFAULT_TEMPLATE

    def render(self, photo: str, shot: ShotType, suffix: str) -> str:
        """Return a crop's path below its photo's folder in the output, `/` between its parts.

        Args:
            photo: File name of the photo.
            shot: Which shot.
            suffix: The crop's extension with its dot.

        Raises:
            ShotcropError: The photo's name would lead out of the folder.
        """
        name = self.text.format(name=photo, stem=PurePath(photo).stem, shot=shot, ext=suffix.removeprefix("."))
        if not is_inside(name):
            raise ShotcropError(
                f"{photo}: name template {self.text!r} would lead out of the output folder", hint="rename the photo"
            )
        return name


class Names(Protocol):
    """Knows what the crops of a photo are called."""

    def files(self, photo: str) -> tuple[str, ...]:
        """Return the crops' paths below their photo's folder in the output, widest first, `/` between the parts."""
        ...


class TemplateNames:
    """Names by a template, for all photos whose crops have the same extension.

    Args:
        template: How names are made.
        suffix: The crops' extension with its dot.
    """

    def __init__(self, template: NameTemplate, suffix: str) -> None:
        self._template, self._suffix = template, suffix
        self._endings = [f".{shot}{suffix}" for shot in SHOT_TYPES]

    def files(self, photo: str) -> tuple[str, ...]:
        """Return the crops' paths; see `NameTemplate.render`."""
        if self._template.grows_from_the_name:  # as nearly all do, and large libraries feel it
            return tuple([photo + ending for ending in self._endings])
        return tuple(self._template.render(photo, shot, self._suffix) for shot in SHOT_TYPES)


@dataclass(frozen=True, slots=True)
class RecordedNames:
    """Names that a sidecar records, widest shot first; empty for shots that were not cut."""

    recorded: tuple[str, ...]

    def files(self, photo: str) -> tuple[str, ...]:
        """Return the crops' paths, whatever the photo is called."""
        return self.recorded


def is_inside(path: str) -> bool:
    """Tell whether a relative path, `/` between its parts, names a file below the folder it starts from."""
    return "\x00" not in path and all(part not in ("", ".", "..") for part in path.split("/"))
