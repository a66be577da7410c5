"""Pictures that hide in metadata, where they would show what was cropped away."""

from __future__ import annotations

import re

_BINARY = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n")
_TEXT = re.compile(rb"/9j/|iVBORw0KGgo|(?i:ffd8ff[0-9a-f]{20})|[A-Za-z0-9+/=]{1000}")
"""How JPEG and PNG begin in base64, JPEG in hexadecimal, and any word that is too long to be one [O]."""
_LINE_ENDS = re.compile(rb"\s*[\r\n]\s*")


def holds_picture(value: bytes) -> bool:
    """Tell whether a binary value holds a picture."""
    return _BINARY.search(value) is not None


def spells_picture(text: str) -> bool:
    """Tell whether a text holds a picture, or data that may be one, in base64 or hexadecimal."""
    spelled = _LINE_ENDS.sub(b"", text.encode("utf-8", "surrogatepass"))
    return holds_picture(spelled) or _TEXT.search(spelled) is not None
