"""Find images inside metadata, such as thumbnails: they would show what was cropped away."""

from __future__ import annotations

import re

_BINARY = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n")
_ENCODED = re.compile(rb"/9j/|iVBORw0KGgo|(?i:ffd8ff[0-9a-f]{20})|(?<![A-Za-z0-9+/=])[A-Za-z0-9+/=]{1000}")
"""The first characters of JPEG and PNG in base64 and of JPEG in hexadecimal, and any run of base64 characters that is
too long to be a word (our choice: 1,000)."""
_LINE_BREAKS = b"\t\r\n"


def contains_image(value: bytes | str) -> bool:
    """Return whether a value holds an image, or data that may be one, in binary or as encoded text."""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogatepass")
    return _BINARY.search(value) is not None or _ENCODED.search(value.translate(None, _LINE_BREAKS)) is not None
