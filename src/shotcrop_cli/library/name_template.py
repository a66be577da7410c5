"""Names of the crops of a photo, made from a template."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from string import Formatter
from typing import Protocol

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.shots import DEFAULT_SET, MAIN, SHOT_TYPES, CropKey, ShotType

DEFAULT_TEMPLATE = "{name}.{shot}.{ext}"
"""Keeps the photo's extension in the name, so that IMG_1.jpg and IMG_1.png never collide."""

FIELDS = {
    "name": "the photo's file name",
    "stem": "the file name without its extension",
    "shot": "establishing, medium or close_up",
    "person": "main, person2 and so on, or group",
    "set": "the name of the ratio set, or default",
    "ext": "the crop's extension, such as jpg",
}
"""The fields of a template, and what replaces each."""


@dataclass(frozen=True, slots=True)
class NameTemplate:
    """Makes the path of a crop below the output folder of its photo.

    Without `{person}` and `{set}`, `{shot}` says both where a crop does not show the main person or belongs to a ratio
    set: `person2-medium`, `medium-story`, `person2-medium-story`.

    Args:
        text: A template such as `{shot}/{stem}.{ext}`; `/` makes folders.
    """

    text: str = DEFAULT_TEMPLATE

    @classmethod
    def parse(cls, text: str) -> NameTemplate:
        """Check a template that a user wrote.

        Raises:
            ShotcropError: It has unknown fields, gives several crops one name, or leaves the output folder.
        """
        known = ", ".join(f"{{{field}}}" for field in FIELDS)
        try:
            parsed = [(field, spec, conversion) for _, field, spec, conversion in Formatter().parse(text)]
        except ValueError as error:
            raise ShotcropError(f"name template {text!r}: {error}", hint=f"use {known}") from error
        fields = {field for field, _, _ in parsed if field is not None}
        plain = not any(spec or conversion for field, spec, conversion in parsed if field is not None)
        if not fields <= FIELDS.keys() or not plain:
            unknown = ", ".join(f"{{{field}}}" for field in sorted(fields - FIELDS.keys())) or "a format or conversion"
            raise ShotcropError(f"name template {text!r}: {unknown} is unknown", hint=f"use {known}")
        if "shot" not in fields or not fields & {"name", "stem"}:
            raise ShotcropError(
                f"name template {text!r} would give several crops the same name",
                hint="use {shot}, and {name} or {stem}",
            )
        if not is_inside(text):
            raise ShotcropError(
                f"name template {text!r} leads out of the output folder", hint="use relative folders without . or .."
            )
        if re.search(r"[\x00-\x1f\\]", text):
            raise ShotcropError(
                f"name template {text!r} has a backslash or control character", hint="put / between folders"
            )
        return cls(text)

    @property
    def is_default(self) -> bool:
        """Whether every name starts with the photo's own name, so that different photos never share a name."""
        return self.text == DEFAULT_TEMPLATE

    def render(self, photo: str, key: CropKey | ShotType, suffix: str) -> str:
        """Return the path of a crop below the output folder of its photo, with `/` between its parts.

        Args:
            photo: File name of the photo.
            key: Which crop.
            suffix: The crop's extension with its dot.

        Raises:
            ShotcropError: The photo's name would lead out of the folder.
        """
        key = CropKey.of(key)
        rest = CropKey(
            key.shot,
            MAIN if "{person}" in self.text else key.person,
            DEFAULT_SET if "{set}" in self.text else key.set_name,
        )
        name = self.text.format(
            name=photo,
            stem=PurePath(photo).stem,
            shot=rest,
            person=key.person,
            set=key.set_name,
            ext=suffix.removeprefix("."),
        )
        if not is_inside(name):
            raise ShotcropError(
                f"{photo}: name template {self.text!r} would lead out of the output folder", hint="rename the photo"
            )
        return name


class Names(Protocol):
    """Names the crops of a photo."""

    def of(self, photo: str) -> tuple[str, ...]:
        """Return the paths of the ordinary crops below the output folder of their photo, widest shot first.

        Args:
            photo: File name of the photo.
        """
        ...

    def name(self, photo: str, key: CropKey | ShotType) -> str:
        """Return the path of one crop.

        Args:
            photo: File name of the photo.
            key: Which crop.
        """
        ...

    def with_suffix(self, suffix: str) -> Names:
        """Return the names for crops with another extension, such as `.png`."""
        ...


class TemplateNames:
    """Names the crops by a template, for all photos whose crops have the same extension.

    Args:
        template: Makes the names.
        suffix: The crops' extension with its dot.
    """

    def __init__(self, template: NameTemplate, suffix: str) -> None:
        self._template, self._suffix = template, suffix
        self._endings = [f".{shot}{suffix}" for shot in SHOT_TYPES]

    def with_suffix(self, suffix: str) -> TemplateNames:
        """Return the names of crops with another extension."""
        return self if suffix == self._suffix else TemplateNames(self._template, suffix)

    def of(self, photo: str) -> tuple[str, ...]:
        """Return the paths of the crops; see `NameTemplate.render`."""
        if self._template.is_default:  # a short cut, because large libraries call this 100,000 times
            return tuple([photo + ending for ending in self._endings])
        return tuple(self._template.render(photo, shot, self._suffix) for shot in SHOT_TYPES)

    def name(self, photo: str, key: CropKey | ShotType) -> str:
        """Return the path of one crop; see `NameTemplate.render`."""
        return self._template.render(photo, key, self._suffix)


@dataclass(frozen=True, slots=True)
class RecordedNames:
    """Names of the crops in a sidecar.

    Args:
        recorded: Those of the ordinary crops, widest shot first; empty for shots without a crop.
        more: Those of other crops, by their keys.
    """

    recorded: tuple[str, ...]
    more: Mapping[CropKey, str] = field(default_factory=dict)

    def of(self, photo: str) -> tuple[str, ...]:
        """Return the recorded paths, whatever the name of the photo."""
        return self.recorded

    def name(self, photo: str, key: CropKey | ShotType) -> str:
        """Return the recorded path of one crop; empty without a crop."""
        key = CropKey.of(key)
        return self.recorded[SHOT_TYPES.index(key.shot)] if key.is_ordinary else self.more.get(key, "")

    def with_suffix(self, suffix: str) -> RecordedNames:
        """Return the same names, because they are given."""
        return self


def is_inside(path: str) -> bool:
    """Say whether a relative path, with `/` between its parts, stays below the folder it starts from."""
    return "\x00" not in path and all(part not in ("", ".", "..") for part in path.split("/"))


def leads_into(path: Path, folder: Path) -> bool:
    """Say whether a path, with all links followed, is below a folder. Paths that cannot exist are not.

    Args:
        path: The path, perhaps from a sidecar.
        folder: The folder, already resolved.
    """
    try:
        return path.resolve().is_relative_to(folder)
    except (OSError, ValueError, RuntimeError):  # too long, with characters that no name can have, or a loop of links
        return False


def can_name(folder: Path, name: str, root: Path) -> bool:
    """Say whether a sidecar, which anybody may have edited, names a file that shotcrop may write or remove.

    Args:
        folder: Folder of the sidecar.
        name: Path of the file, relative to that folder.
        root: The output folder, already resolved.
    """
    if not is_inside(name):
        return False
    parent = (folder / name).parent
    if not leads_into(parent, root):
        return False
    try:
        return parent.is_dir() or not os.path.lexists(parent)
    except OSError:  # too long
        return False


def folded(relative: str) -> str:
    """Return a path without what some file systems ignore: case and Unicode composition."""
    if relative.isascii():
        return relative.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", relative).casefold())
