"""Datasets of the Hugging Face hub: what a repository holds at a revision, and its files, downloaded or read there.

A revision such as `main` is looked up once; everything is then read from that commit.
"""

from __future__ import annotations

import glob
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, cast

from shotcrop_cli.errors import ShotcropError

HUB_DATA = re.compile(
    r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(?:/(?P<dataset>\w[\w./-]*))?(?:@(?P<revision>[\w./-]+))?", re.ASCII
)
"""ORG/NAME, ORG/NAME/DATASET, or one of them with @REVISION."""


class _HubFile(io.RawIOBase):
    """A file of the hub that explains errors while it is read."""

    def __init__(self, file: IO[bytes], explained: Callable[[], AbstractContextManager[None]]) -> None:
        self.file, self.explained = file, explained

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        with self.explained():
            data = self.file.read(len(target))
        target[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def close(self) -> None:
        self.file.close()
        super().close()


@dataclass(frozen=True)
class Snapshot:
    """What a repository holds: the commit, and the files with their sizes in bytes."""

    commit: str
    files: dict[str, int]


@dataclass(frozen=True)
class HubData:
    """A dataset repository.

    Args:
        repository: ORG/NAME.
        revision: Branch, tag or commit; empty for `main`.
        offline: Whether to use only what was downloaded before.
    """

    repository: str
    revision: str = ""
    offline: bool = False

    def __str__(self) -> str:
        return self.repository + (f"@{self.revision}" if self.revision else "")

    @cached_property
    def snapshot(self) -> Snapshot:
        """The commit and its files; without a network what was downloaded of it.

        Raises:
            ShotcropError: The repository or the revision does not exist, may not be read, or cannot be reached.
        """
        from huggingface_hub import HfApi, constants

        if self.offline or constants.HF_HUB_OFFLINE:
            return self._downloaded()
        with self._explained():
            info = HfApi().dataset_info(self.repository, revision=self.revision or None, files_metadata=True)
            files = {one.rfilename: one.size or 0 for one in info.siblings or ()}
            return Snapshot(str(info.sha), files)

    def label(self, name: str) -> str:
        """Return how messages name a dataset or a file of the repository."""
        return self.repository if name == "." else f"{self.repository}/{name}"

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder; `.` is the repository itself."""
        where = PurePosixPath(folder)
        paths = map(PurePosixPath, self.snapshot.files)
        return sorted(path.name for path in paths if path.parent == where)

    def state(self, file: str) -> dict[str, Any]:
        """Return the bytes of a file; the commit says which ones."""
        return {"bytes": self.snapshot.files[file]}

    def download(self, folder: str, files: Sequence[str] = ()) -> Path:
        """Download files of the repository and return the folder that stands for the repository.

        Args:
            folder: Folder of which everything is downloaded.
            files: Only these files instead.

        Raises:
            ShotcropError: They cannot be downloaded.
        """
        patterns = [glob.escape(file) for file in files] or (None if folder == "." else [f"{glob.escape(folder)}/*"])
        commit = self.snapshot.commit
        with self._explained():
            # By the name of the revision, so that it is known without a network, too.
            path = self._snapshot_folder(self.revision, patterns, offline=self._is_offline())
            return path if path.name == commit else self._snapshot_folder(commit, patterns, offline=self._is_offline())

    def open(self, file: str) -> BinaryIO:
        """Open a file: on this machine if it was downloaded before, otherwise on the hub.

        Raises:
            ShotcropError: It cannot be read.
        """
        from huggingface_hub import HfFileSystem, try_to_load_from_cache

        commit = self.snapshot.commit
        kept = try_to_load_from_cache(self.repository, file, revision=commit, repo_type="dataset")
        if isinstance(kept, str):
            return Path(kept).open("rb")
        with self._explained():
            opened = HfFileSystem().open(f"datasets/{self.repository}@{commit}/{file}", "rb")
        return cast(BinaryIO, _HubFile(opened, self._explained))

    def pin(self) -> dict[str, str]:
        """Return what identifies this state of the repository."""
        return {"repository": self.repository, "commit": self.snapshot.commit}

    def _is_offline(self) -> bool:
        from huggingface_hub import constants

        return self.offline or bool(constants.HF_HUB_OFFLINE)

    def _snapshot_folder(self, revision: str, patterns: list[str] | None, *, offline: bool) -> Path:
        from huggingface_hub import snapshot_download

        return Path(
            snapshot_download(
                self.repository,
                repo_type="dataset",
                revision=revision or None,
                allow_patterns=patterns,
                local_files_only=offline,
            )
        )

    def _downloaded(self) -> Snapshot:
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            folder = self._snapshot_folder(self.revision, [], offline=True)
        except LocalEntryNotFoundError as error:
            revision = f" --revision {self.revision}" if self.revision else ""
            raise ShotcropError(
                f"{self} is neither a folder nor a dataset that was downloaded before",
                hint=f"name a folder, or download it: hf download {self.repository} --repo-type dataset{revision}",
            ) from error
        paths = [path for path in folder.rglob("*") if path.is_file()]
        return Snapshot(folder.name, {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths})

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the errors of the hub's client into one line."""
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        try:
            yield
        except GatedRepoError as error:
            raise ShotcropError(
                f"{self}: the hub asks you to accept the terms of this dataset",
                hint=f"open huggingface.co/datasets/{self.repository} and accept them, then log in: hf auth login",
            ) from error
        except RepositoryNotFoundError as error:
            raise ShotcropError(
                f"{self} is neither a folder nor a dataset on the hub that you may read",
                hint="check the name; for a private dataset log in: hf auth login",
            ) from error
        except RevisionNotFoundError as error:
            raise ShotcropError(
                f"{self}: there is no revision {self.revision}", hint="name a branch, a tag or a commit of the dataset"
            ) from error
        except LocalEntryNotFoundError as error:
            reason = "parts of it were not downloaded" if self._is_offline() else "the hub cannot be reached"
            raise ShotcropError(f"{self} cannot be read: {reason}", hint="run again with a network") from error
        except HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status in (401, 403):
                raise ShotcropError(
                    f"{self}: the hub does not let you read this dataset ({status})", hint="log in: hf auth login"
                ) from error
            raise self._failed(error) from error
        except ShotcropError:
            raise
        except Exception as error:  # the hub's client passes on errors of several network libraries
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> ShotcropError:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return ShotcropError(
            f"{self} cannot be read: {reason}",
            hint="check the network; with --offline, what was downloaded before is enough",
        )
