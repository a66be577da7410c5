"""How the captions of a photo ended, whoever wrote them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from shotcrop_cli.errors import OutputError, ShotcropError
from shotcrop_cli.library.output_files import OutputFiles


class CaptionStatus(Enum):
    """How the captions of a photo ended."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    """They are up to date, or a person edited them all, or there are no crops."""
    LEFT = "left"
    """`--max-captions` was reached."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CaptionOutcome:
    """How the captions of a photo ended, and why they failed.

    Args:
        status: How they ended.
        reason: Why they failed; otherwise empty.
        notes: What a person should know, such as an XMP file that keeps its own caption.
    """

    status: CaptionStatus
    reason: str = ""
    notes: tuple[str, ...] = ()


class CaptionWriter(Protocol):
    """Writes the captions of finished crops: a captioner's, or those by rule.

    Attributes:
        files: Where the crops are; None in a folder of this machine.
    """

    files: OutputFiles | None

    def write_captions(self, path: Path, root: Path) -> CaptionOutcome:
        """Write the captions of one photo, or say why that failed.

        Args:
            path: The sidecar.
            root: The output folder, resolved.

        Raises:
            OutputError: The output is full, gone or read-only.
        """
        ...

    def would_write(self, path: Path, root: Path) -> bool:
        """Say whether a photo has captions to write, without writing any.

        Args:
            path: The sidecar.
            root: The output folder, resolved.

        Raises:
            ShotcropError: The sidecar cannot be read, or leads out of the output folder.
            OSError: A file cannot be read.
        """
        ...


def outcome_of(path: Path, write: Callable[[], CaptionOutcome], files: OutputFiles | None) -> CaptionOutcome:
    """Write the captions of a sidecar, and turn errors into its outcome.

    Args:
        path: The sidecar.
        write: Writes its captions.
        files: Where the crops are; see `CaptionWriter`.

    Raises:
        OutputError: The output is full, gone or read-only.
    """
    try:
        return write()
    except OutputError:
        raise
    except (ShotcropError, OSError) as error:
        reason = str(error).removeprefix(f"{path}: ")
        return CaptionOutcome(CaptionStatus.FAILED, reason if files is None else files.show_text(reason))
    except Exception as error:  # one strange file must not end a run of thousands
        return CaptionOutcome(CaptionStatus.FAILED, f"unexpected {type(error).__name__}: {error}")
