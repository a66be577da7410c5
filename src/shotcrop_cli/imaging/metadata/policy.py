"""Which metadata of a photo its crops keep.

EXIF, IPTC and XMP have modules that edit them. This module applies the chosen policy to all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from shotcrop_cli.imaging.metadata import exif, iptc, xmp
from shotcrop_cli.imaging.metadata.capture import CaptureInfo, read_capture_info
from shotcrop_cli.imaging.metadata.embedded_images import contains_image
from shotcrop_cli.imaging.metadata.resolution import Resolution

_SWAPPED_SIDES = (5, 6, 7, 8)
"""Orientations that exchange width and height."""
COMMENT = "Comment"
"""The keyword of a text without a kind."""


class MetadataPolicy(str, Enum):
    """How much of a photo's metadata its crops keep.

    The colour profile belongs to the pixels and always stays. No policy keeps thumbnails and previews, because they
    show what was cropped away, or MakerNotes, because they hold more previews and break when moved. None keeps what
    describes or identifies only the photo: regions, edits and unique ids. docs/metadata.md lists everything.
    """

    SAFE = "safe"
    """Keep EXIF, IPTC, XMP and comments, but no coordinates, serial numbers, or XMP of unknown kinds. Names of places
    stay, because editors write them on purpose."""
    ALL = "all"
    """Keep these as well."""
    NONE = "none"
    """Keep nothing."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Comment:
    """A readable text in a JPEG, PNG or GIF.

    Args:
        keyword: The kind of text, one that the PNG specification registers.
        text: The text.
    """

    keyword: str
    text: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata of one photo as stored. A field is empty if the photo has none of its kind.

    Args:
        exif: An EXIF block, with or without its header.
        xmp: An XMP packet.
        iptc: An IPTC-IIM block.
        comments: Its readable texts.
        resolution: Pixels per inch or centimetre, where its format has a place of its own for them.
        notes: What could not be read or kept, one sentence each.
    """

    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    comments: tuple[Comment, ...] = ()
    resolution: Resolution | None = None
    notes: tuple[str, ...] = ()

    def for_crop(self, policy: MetadataPolicy, width: int, height: int) -> Metadata:
        """Return the metadata for a crop.

        Args:
            policy: Which entries to keep.
            width: Width of the written crop in pixels, for entries that repeat it.
            height: Its height in pixels.
        """
        if policy is MetadataPolicy.NONE:
            return NO_METADATA
        keep_gps = policy is MetadataPolicy.ALL
        packet, notes = xmp.for_crop(self.xmp, width, height, keep_gps=keep_gps)
        return Metadata(
            exif=exif.for_crop(self.exif, width, height, keep_gps=keep_gps, turned=self._is_turned),
            xmp=xmp.mark_as_crop(packet),
            iptc=iptc.for_crop(self.iptc, keep_gps=keep_gps),
            comments=tuple(comment for comment in self.comments if not contains_image(comment.text)),
            resolution=self.resolution and (self.resolution.turned if self._is_turned else self.resolution),
            notes=(*self.notes, *notes, *self._too_long(), *(self._without_map() if keep_gps else ())),
        )

    def without_descriptions(self, *, of_cameras_only: bool) -> Metadata:
        """Return the metadata without the description in EXIF, which some programs show before that in XMP.

        Args:
            of_cameras_only: Whether to leave out only a text that cameras write into every photo.
        """
        return replace(self, exif=exif.without_description(self.exif, of_cameras_only=of_cameras_only))

    @property
    def orientation(self) -> int:
        """Orientation of the stored pixels, 1 to 8; 1 (upright) if it is absent or invalid.

        That of XMP counts if EXIF has none: Adobe's programs turn photos without EXIF this way, and Pillow's
        `exif_transpose`, with which others apply the boxes of sidecars, reads it too.
        """
        stored = exif.orientation(self.exif)
        return (xmp.orientation(self.xmp) if stored is None else stored) or 1

    def capture_info(self) -> CaptureInfo:
        """Return what the sidecar records about the capture, with None for what cannot be read."""
        return read_capture_info(self.exif, self.xmp, self.iptc)

    @property
    def _is_turned(self) -> bool:
        return self.orientation in _SWAPPED_SIDES

    def _without_map(self) -> tuple[str, ...]:
        is_mapped = exif.is_on_a_map(self.exif)
        return ("the place on the map was left out: a GeoTIFF gives it for the whole photo",) if is_mapped else ()

    def _too_long(self) -> tuple[str, ...]:
        return ("the IPTC is far too long and was left out",) if len(self.iptc) > iptc.MAX_BLOCK_BYTES else ()


NO_METADATA = Metadata()
