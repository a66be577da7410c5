"""Split a library into shards, so that several machines can crop it into one output."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePath

from shotcrop_cli.library.name_template import folded


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several parts of a library.

    Args:
        number: Which part, from 1 on.
        count: How many parts there are.

    Raises:
        ValueError: There is no such part.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(f"there is no shard {self}")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `2/8`.

        Raises:
            ValueError: The text is not such a shard.
        """
        numbers = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
        if numbers is None:
            raise ValueError(f"{text!r} is not a shard such as 1/4")
        return cls(int(numbers[1]), int(numbers[2]))

    def owns(self, photo: PurePath) -> bool:
        """Say whether a photo belongs to this shard. Each photo belongs to one, on every machine and in every run.

        Args:
            photo: Path of the photo below the folder that the user named. Case and Unicode composition do not matter,
                because file systems change them.
        """
        digest = hashlib.sha256(folded(photo.as_posix()).encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1
