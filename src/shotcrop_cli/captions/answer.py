"""Read what a captioner answers, whoever it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from shotcrop_cli.shots import PhotoText, ShotText, ShotType


def read_answer(content: str, shots: Sequence[ShotType]) -> PhotoText:
    """Read the JSON of an answer, also if a model wrote something around it.

    Raises:
        ValueError: It does not follow the schema.
    """
    start, end = content.find("{"), content.rfind("}")
    try:
        document = msgspec.json.decode(content[start : end + 1]) if 0 <= start < end else None
        texts = [document[str(shot)] for shot in shots]  # type: ignore[index]
        found = [ShotText(_line(text["caption"]), _line(text["alt_text"])) for text in texts]
        return PhotoText(tuple(found), _line(document["story"]))  # type: ignore[index]
    except (msgspec.DecodeError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise ValueError("its answer does not follow the JSON schema") from error


def _line(text: object) -> str:
    """Return a text in one line, without characters that neither a terminal nor XML can show."""
    if not isinstance(text, str):
        raise TypeError("not a text")
    printable = "".join(character if character.isprintable() else " " for character in text)
    return re.sub(r"\s+", " ", printable).strip()
