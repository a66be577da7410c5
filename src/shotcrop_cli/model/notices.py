"""How the runtime speaks to the user without knowing about the terminal.

This is a module of its own because both the loader and the models that it loads need it.
"""

from __future__ import annotations

from typing import Protocol


class Notices(Protocol):
    """Receives lines for the user; `shotcrop_cli.cli.console.Console` is one."""

    def info(self, text: str) -> None:
        """Receive a line of general interest."""
        ...

    def warn(self, text: str) -> None:
        """Receive a warning."""
        ...


class _NoNotices:
    def info(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        pass


NO_NOTICES: Notices = _NoNotices()
"""Drops every line."""
