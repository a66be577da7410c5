"""The mark of pictures that shotcrop makes besides crops, such as sheets, so that later runs do not crop them."""

from __future__ import annotations

from typing import Any

from PIL.PngImagePlugin import PngInfo

from shotcrop_cli.imaging.metadata.xmp import mark_as_crop


def mark_options(form: str) -> dict[str, Any]:
    """Return options for `Image.save` that write the mark.

    Args:
        form: `JPEG` or `PNG`.
    """
    packet = mark_as_crop(b"")
    if form == "JPEG":
        return {"xmp": packet}
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet.decode("utf-8"))
    return {"pnginfo": info}
