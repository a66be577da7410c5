"""Let crops in an object store follow photos that were renamed or moved, recognised by their content."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.formats import format_of_name
from shotcrop_cli.library.atomic_write import NewFile, put_in_place
from shotcrop_cli.library.follow import Renamed, find_renamed, under_new_name
from shotcrop_cli.library.name_template import can_name
from shotcrop_cli.library.orphans import Orphan
from shotcrop_cli.library.plan import SIDECAR_SUFFIX, Target
from shotcrop_cli.remote.listing import is_file_name, parts
from shotcrop_cli.remote.staging import Root, Staging
from shotcrop_cli.storage.interface import Entry
from shotcrop_cli.storage.location import is_url


class RemoteTracker:
    """Finds sidecars whose photo is gone, once there are new photos, and moves what belongs to them.

    Args:
        staging: The place for copies.
        roots: The folders of photos in stores; none if the photos are on this machine.
        local_roots: The folders of photos on this machine.
        on_follow: Called with a photo and what it had under its former name.
    """

    def __init__(
        self,
        staging: Staging,
        roots: Sequence[Root],
        local_roots: Sequence[str],
        on_follow: Callable[[Target, Orphan], None],
    ) -> None:
        self._staging, self._output = staging, staging.output
        self._roots, self._local_roots = roots, local_roots
        self._on_follow = on_follow
        self._orphans: list[Orphan] | None = None

    def follow(self, targets: Sequence[Target]) -> None:
        """Let crops follow those photos that only have another name."""
        new = [target for target in targets if self._name(target.sidecar) not in self._staging.names(target)]
        if not new:
            return
        if self._orphans is None:
            self._orphans = list(self._find_orphans())
        sizes = {orphan.record.source.size_bytes for orphan in self._orphans}
        alike = [target for target in new if target.source.size_bytes in sizes]
        for target in alike:
            with suppress(PhotoError):  # decoding will say what is wrong
                self._staging.bring(target)
        for renamed in tuple(find_renamed(self._orphans, alike)):
            if self._move(renamed):
                self._orphans = [one for one in self._orphans if one.sidecar != renamed.orphan.sidecar]
                self._on_follow(renamed.target, renamed.orphan)

    def _find_orphans(self) -> Iterator[Orphan]:
        for name in sorted(self._unclaimed()):
            try:
                content = self._output.read(name)
                record = sidecars.parse(content.data)
            except (FileNotFoundError, ValueError, RecursionError):
                continue  # a run over its photo would say so
            photo = self._gone(str(record.source.path))
            sidecar = self._staging.root / name
            if photo is None or f"{photo.name}{SIDECAR_SUFFIX}" != sidecar.name:
                continue
            shots = (
                shot
                if shot.file is None or can_name(sidecar.parent, shot.file, self._staging.root)
                else replace(shot, file=None)
                for shot in record.all_crops
            )
            record = replace(record, source=replace(record.source, path=str(photo))).with_crops(shots)
            yield Orphan(sidecar, record)

    def _gone(self, recorded: str) -> Path | None:
        """Return the place of a photo, or of its copy, if it is gone from the folders of this run; None if not."""
        if not is_url(recorded):
            is_here = any(Path(recorded).is_relative_to(root) for root in self._local_roots)
            return Path(recorded) if is_here and not os.path.lexists(recorded) else None
        for root in self._roots:
            url = f"{root.storage.url}/"
            if recorded.startswith(url) and root.storage.stat(recorded.removeprefix(url)) is None:
                return self._staging.copy_of(recorded)
        return None

    def _unclaimed(self) -> set[str]:
        """Return the names of sidecars that have no photo at their place."""
        if next((entry for entry in self._output.list() if _is_sidecar(entry)), None) is None:
            return set()
        if not self._roots:
            return {
                entry.name
                for entry in self._output.list()
                if _is_sidecar(entry)
                and not any(
                    os.path.lexists(f"{root}/{entry.name.removesuffix(SIDECAR_SUFFIX)}") for root in self._local_roots
                )
            }
        found: set[str] | None = None
        for root in self._roots:
            names: set[str] = set()

            def take(entry: Entry, names: set[str] = names) -> None:
                if _is_sidecar(entry):
                    names.add(entry.name)

            photos = (entry for entry in root.storage.list() if format_of_name(entry.name) is not None)
            for _ in parts(photos, self._output, unclaimed=take):
                pass
            found = names if found is None else found & names
        return found or set()

    def _move(self, renamed: Renamed) -> bool:
        """Move the files of a photo to its new name, and say whether that was possible.

        What is new comes first, the new sidecar after the crops, and the old sidecar goes last: if the process is
        killed, the next run recognises the photo again, or finds the rest gone with `shotcrop prune`.
        """
        orphan, staging = renamed.orphan, self._staging
        self._bring(orphan)
        record, moves = under_new_name(renamed)
        if any(new.exists() and new.read_bytes() != old.read_bytes() for old, new in moves.items()):
            return False
        new = [NewFile(path, old.read_bytes(), old.stat().st_mtime_ns) for old, path in moves.items()]
        put_in_place([*new, NewFile(renamed.target.sidecar, record.to_bytes())], root=staging.root)
        for path in (*moves, orphan.sidecar):
            staging.remove(path)
        return True

    def _bring(self, orphan: Orphan) -> None:
        """Copy the crops of a photo that is gone, and what is next to them."""
        photo = self._name(orphan.sidecar).removesuffix(SIDECAR_SUFFIX)
        starts = {f"{photo}."}
        for shot in orphan.record.all_crops:
            if shot.file is not None:
                name = self._name(orphan.sidecar.parent / shot.file)
                if not name.startswith(f"{photo}."):
                    starts.add(PurePath(name).with_suffix("").as_posix() + ".")
        for start in sorted(starts):
            for entry in self._output.list(below=start):
                path = self._staging.root / entry.name
                if is_file_name(entry.name) and path != orphan.sidecar:
                    self._staging.take(path, self._output.read(entry.name), entry)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._staging.root).as_posix()


def _is_sidecar(entry: Entry) -> bool:
    photo = entry.name.removesuffix(SIDECAR_SUFFIX)
    return photo != entry.name and format_of_name(photo) is not None and is_file_name(entry.name)
