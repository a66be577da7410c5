"""Keep track of photos that were renamed, moved or deleted since the last run, and decide for each what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from shotcrop_cli.errors import with_fix
from shotcrop_cli.library.follow import Renamed, find_renamed, follow, vacate
from shotcrop_cli.library.hand_work import edits
from shotcrop_cli.library.orphans import Orphan, find_orphans
from shotcrop_cli.library.output_state import OutputState
from shotcrop_cli.library.plan import Action, Target, Task


class PhotoTracker:
    """Lets crops follow their photos, and refuses to guess where two photos may be meant.

    Args:
        root: The output folder.
        state: What earlier runs left in it.
        read_only: Whether to move nothing, for a dry run.

    Attributes:
        former: By the path of a photo, the sidecar that it had under another name.
        orphans: The sidecars whose photo is gone.
    """

    def __init__(self, root: Path, state: OutputState, *, read_only: bool = False) -> None:
        self.former: dict[Path, Orphan] = {}
        self.orphans: list[Orphan] = []
        self._root, self._state, self._read_only = root, state, read_only

    def search(self, library: Sequence[Target], targets: Sequence[Target], roots: Sequence[Path]) -> None:
        """Find the photos that are gone, and let their crops follow those that only have another name.

        Args:
            library: All photos, those of other shards included.
            targets: The photos of this run.
            roots: The folders that they are in.

        Raises:
            OutputError: The output cannot be written.
        """
        claimed = {f"{target.folder}/{target.sidecar_name}" for target in library}
        self.orphans = list(find_orphans(self._root, roots, claimed, listed=self._state.list_folder))
        if self.orphans:
            self._follow(tuple(find_renamed(self.orphans, filter(self._state.is_new, targets))))

    def decide(self, targets: Iterable[Target]) -> Iterator[Task]:
        """Decide what to do with each photo. Those that are new or changed come last.

        Raises:
            OutputError: The output cannot be read or written.
        """
        open_tasks: list[Task] = []
        edited: list[Orphan] = []
        for target in targets:
            task = self._state.decide(target)
            if not (task.photo_changed or (task.is_first and task.is_due)):
                yield task
                continue
            if task.photo_changed and task.record is not None and task.record.edited:
                edited.append(Orphan(target.sidecar, task.record))
            open_tasks.append(self._state.suspend(task))
        changed = [task.target for task in open_tasks if task.photo_changed]
        is_tangled = bool(edited or (self.orphans and changed))
        reasons = self._untangle(open_tasks, changed, edited) if is_tangled else {}
        for task in open_tasks:
            if (reason := reasons.get(task.target.sidecar)) is not None:
                yield replace(task, action=Action.REFUSE, reason=reason)
            elif task.target.source.path in self.former and not self._read_only:
                yield self._state.decide(task.target)
            else:
                yield self._state.resume(task)

    def _untangle(self, tasks: Sequence[Task], changed: Sequence[Target], edited: Sequence[Orphan]) -> dict[Path, str]:
        """Find photos that took the name of another, and return by sidecar why some of them cannot be cropped."""
        reasons: dict[Path, str] = {}
        for one in find_renamed(edited, [task.target for task in tasks]):
            sidecar, path = one.orphan.sidecar, one.target.source.path
            reasons[sidecar] = with_fix(
                f"its boxes or captions were edited for another content, which {path} has now",
                f"if it is still the same photo, run `shotcrop apply {sidecar}`; if not, rename it for one run",
            )
            reasons[one.target.sidecar] = with_fix(
                f"it has the content that {one.orphan.photo} had when its boxes or captions were edited",
                "see what to do about that photo",
            )
        free: list[Renamed] = []
        for one in find_renamed(self.orphans, [target for target in changed if target.sidecar not in reasons]):
            if self._has_work(one.target):
                reasons[one.target.sidecar] = with_fix(
                    f"it has the content of {one.orphan.photo}, but its name belonged to a photo with edited crops",
                    f"move {one.target.sidecar} and the crops next to it away",
                )
            else:
                free.append(one)
        if not self._read_only:
            for one in free:
                vacate(one.target, self._state.record(one.target))
        self._follow(free)
        return reasons

    def _has_work(self, target: Target) -> bool:
        record = self._state.record(target)
        if record is None:
            return True
        is_rejected = record.rejected or any(shot.rejected for shot in record.all_crops)
        return is_rejected or next(edits(target.folder, record), None) is not None

    def _follow(self, renamed: Iterable[Renamed]) -> None:
        for one in renamed:
            if self._read_only or follow(one, self._root):
                self.former[one.target.source.path] = one.orphan
        followed = {orphan.sidecar for orphan in self.former.values()}
        self.orphans = [orphan for orphan in self.orphans if orphan.sidecar not in followed]
        if followed and not self._read_only:
            self._state.forget_listings()
