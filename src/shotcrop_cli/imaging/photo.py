"""A decoded photo: upright pixels in the file's own mode and colour space, and what its crops keep of the file."""

from __future__ import annotations

from dataclasses import dataclass, replace

from PIL import Image

from shotcrop_cli.imaging.formats import Format
from shotcrop_cli.imaging.hdr import HdrColour
from shotcrop_cli.imaging.metadata.policy import NO_METADATA, Metadata
from shotcrop_cli.imaging.quality import StoredQuality
from shotcrop_cli.imaging.tiff import TiffCoding


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A decoded photo.

    Args:
        pixels: The upright first frame in its own mode and colour space.
        format: The format of the file.
        orientation: EXIF orientation of the stored pixels, 1 to 8.
        icc_profile: The colour profile, embedded or made from what the file declares; empty for sRGB and HDR.
        hdr: The colour space of HDR pixels (PQ or HLG); None for others.
        metadata: EXIF, XMP, IPTC and comments as stored.
        subsampling: Chroma subsampling for JPEG and AVIF crops of this photo: 0 (4:4:4), 1 (4:2:2) or 2 (4:2:0).
        block_size: Width and height of a JPEG coding unit in pixels of the upright photo; (1, 1) for other formats.
        lossless: Whether the pixels were stored without loss.
        quality: The quality it was saved with; None if it was stored without loss.
        tiff: How a TIFF stores its pixels; None for other formats.
        warnings: What was lost in reading, one sentence each.
        full_size: Width and height of a photo whose `pixels` are reduced, or dropped and only a placeholder.
    """

    pixels: Image.Image
    format: Format
    orientation: int = 1
    icc_profile: bytes = b""
    hdr: HdrColour | None = None
    metadata: Metadata = NO_METADATA
    subsampling: int = 0
    block_size: tuple[int, int] = (1, 1)
    lossless: bool = False
    quality: StoredQuality | None = None
    tiff: TiffCoding | None = None
    warnings: tuple[str, ...] = ()
    full_size: tuple[int, int] | None = None

    @property
    def width(self) -> int:
        """Width in pixels of the upright photo."""
        return (self.full_size or self.pixels.size)[0]

    @property
    def height(self) -> int:
        """Height in pixels of the upright photo."""
        return (self.full_size or self.pixels.size)[1]

    def without_pixels(self) -> Photo:
        """Return the photo without its pixels, to free their memory."""
        return replace(self, pixels=Image.new(self.pixels.mode, (1, 1)), full_size=(self.width, self.height))
