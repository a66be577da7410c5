"""Pictures that hide in metadata, where they would show what was cropped away."""

from __future__ import annotations

import re

_BINARY = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n")
_SPELLED = re.compile(rb"/9j/|iVBORw0KGgo|(?i:ffd8ff[0-9a-f]{20})|(?<![A-Za-z0-9+/=])[A-Za-z0-9+/=]{1000}")
"""How JPEG and PNG begin in base64, JPEG in hexadecimal, and any word that is too long to be one [O]."""
_LINE_BREAKS = b"\t\r\n"


def holds_picture(value: bytes | str) -> bool:
    """Tell whether a value holds a picture, or data that may be one, as it is or spelled in letters and digits."""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogatepass")
    return _BINARY.search(value) is not None or _SPELLED.search(value.translate(None, _LINE_BREAKS)) is not None
