"""Name the output files of every photo, and refuse photos whose files would meet others, without touching the disk."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from shotcrop_cli.errors import ShotcropError, with_fix
from shotcrop_cli.imaging.formats import FORMATS, JPEG, CropFormat, Format, format_of_name, output_format
from shotcrop_cli.library.name_template import NameTemplate, TemplateNames, folded
from shotcrop_cli.library.plan import SIDECAR_SUFFIX, Target
from shotcrop_cli.library.shard import Shard
from shotcrop_cli.library.source import Source
from shotcrop_cli.shots import SHOT_TYPES, CropKey, ShotType


@dataclass(frozen=True, slots=True)
class Refused:
    """A photo that cannot be cropped because of its name, and why, with the fix."""

    source: Source
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the files of all photos go.

    Args:
        targets: The photos that can be cropped.
        refused: Those that cannot.
    """

    targets: tuple[Target, ...]
    refused: tuple[Refused, ...] = ()

    def part(self, shard: Shard | None) -> Plan:
        """Return what belongs to a shard; everything for None."""
        if shard is None:
            return self
        return Plan(
            tuple(target for target in self.targets if shard.owns(target.source.relative)),
            tuple(refused for refused in self.refused if shard.owns(refused.source.relative)),
        )


def plan(
    sources: Sequence[Source],
    output: Path,
    template: NameTemplate = NameTemplate(),  # noqa: B008 - it is frozen
    crop_format: CropFormat = CropFormat.SAME,
    content_format: Callable[[Source], Format | None] = lambda _: None,
    keys: Sequence[CropKey | ShotType] = SHOT_TYPES,
) -> Plan:
    """Name the output files of every photo. The output folder gets the same subfolders as the photos.

    It refuses photos that would write the same file, on this file system or on one that ignores case or Unicode
    composition, and photos whose files would leave the output folder or replace a folder in it.

    Args:
        sources: The photos.
        output: The output folder.
        template: Names of the crops.
        crop_format: The format that the user wants for crops.
        content_format: Returns the format that the content of a photo has; None for the one of its extension. Called
            only for photos whose crops differ by their extension alone.
        keys: The crops that a photo may get.
    """
    folders = {folder: output / folder.relative for folder in {source.folder for source in sources}}
    names = {form: TemplateNames(template, output_format(form, crop_format).suffix) for form in set(FORMATS.values())}
    targets = [Target(source, folders[source.folder], names[format_of_name(source.name) or JPEG]) for source in sources]
    refused: list[Refused] = []
    if not template.is_default:
        targets, refused = _drop_unnameable(targets)
        _name_by_content(targets, template, crop_format, content_format)
    reasons = _collisions(targets, {folder.relative for folder in folders}, output, template, keys)
    refused += [Refused(targets[at].source, reason) for at, reason in sorted(reasons.items())]
    kept = tuple(target for at, target in enumerate(targets) if at not in reasons) if reasons else tuple(targets)
    return Plan(kept, tuple(refused))


def _drop_unnameable(targets: Sequence[Target]) -> tuple[list[Target], list[Refused]]:
    """Split off photos whose names would lead out of the output folder."""
    kept, refused = [], []
    for target in targets:
        try:
            _ = target.crop_names
        except ShotcropError as error:
            refused.append(Refused(target.source, str(error)))
        else:
            kept.append(target)
    return kept, refused


def _name_by_content(
    targets: list[Target],
    template: NameTemplate,
    crop_format: CropFormat,
    content_format: Callable[[Source], Format | None],
) -> None:
    """Find the real extensions of crops that differ by nothing else, as those of `a.jpg` and `a.png` may.

    The extensions of other crops may turn out to be wrong later, when the photos are read.
    """
    if "{ext}" not in template.text:
        return
    alike: dict[tuple[PurePath, str], list[int]] = {}
    for at, target in enumerate(targets):
        key = target.source.folder.relative, folded(target.names.with_suffix("").of(target.source.name)[0])
        alike.setdefault(key, []).append(at)
    for group in alike.values():
        for at in group if len(group) > 1 else ():
            targets[at] = targets[at].for_format(content_format(targets[at].source), crop_format)


def _collisions(
    targets: Sequence[Target],
    parents: Collection[PurePath],
    output: Path,
    template: NameTemplate,
    keys: Sequence[CropKey | ShotType],
) -> dict[int, str]:
    """Return by number which targets would write files of others, and why that cannot be, with the fix."""
    starts = {parent: f"{folded(str(parent))}/" for parent in parents}
    taken: dict[str, int] = {}
    sharing: dict[int, dict[int, None]] = {}  # the first target with a name, and all others
    for at, target in enumerate(targets):
        start = starts[target.source.folder.relative]
        # With the default template all names start with the photo's name, so it is enough to compare that.
        for name in (target.source.name,) if template.is_default else _files(target, keys):
            first = taken.setdefault(start + folded(name), at)
            if first != at:
                sharing.setdefault(first, {first: None})[at] = None
    reasons: dict[int, str] = {}
    for group in sharing.values():
        for at in group:
            others = [str(targets[other].source.path) for other in group if other != at]
            reasons.setdefault(at, _would_share(others, output))
    used = {folded(str(folder)) for parent in parents for folder in (parent, *parent.parents)}
    # Folders are seldom named like a crop or a sidecar. Only if one is, every file has to be compared.
    if not template.is_default or any(PurePath(folder).suffix in _OUTPUT_SUFFIXES for folder in used):
        for at, target in enumerate(targets):
            for name in _files(target, keys):
                if folded(str(target.source.folder.relative / name)) in used:
                    reasons.setdefault(at, _would_replace(target.folder / name))
    return reasons


_OUTPUT_SUFFIXES = {SIDECAR_SUFFIX, *(form.suffix for form in FORMATS.values())}
_NAMED_OTHERS = 3
"""How many other photos an error names; each of them fails with an error of its own (our choice)."""


def _would_share(others: Sequence[str], output: Path) -> str:
    named = ", ".join(others[:_NAMED_OTHERS])
    more = f" and {len(others) - _NAMED_OTHERS} more photos" if len(others) > _NAMED_OTHERS else ""
    return with_fix(
        f"it would write the same files below {output} as {named}{more}",
        "rename all but one of them, or crop them to different --output folders",
    )


def _would_replace(path: Path) -> str:
    return with_fix(
        f"it would write {path}, but that is a folder of other crops",
        "rename the photo or the folder, or crop them to different --output folders",
    )


def _files(target: Target, keys: Sequence[CropKey | ShotType]) -> tuple[str, ...]:
    more = (target.crop_name(key) for key in keys if key not in SHOT_TYPES)
    return *target.crop_names, *more, target.sidecar_name
