"""What of a photo's metadata goes into its crops.

EXIF, IPTC, XMP and comments are each edited by a module of their own; here is which policy asks them for what.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from shotcrop_cli.imaging.metadata import exif, iptc, xmp
from shotcrop_cli.imaging.metadata.capture import CaptureFacts, read_facts
from shotcrop_cli.imaging.metadata.embedded_images import holds_picture


class MetadataPolicy(str, Enum):
    """How much of a photo's metadata its crops inherit.

    The colour profile is none of it: it belongs to the pixels and always stays. No policy keeps thumbnails and
    previews, which show what was cropped away, nor MakerNotes, which hold more previews and break when moved.
    """

    SAFE = "safe"
    """Keep EXIF, IPTC, XMP and comments, but no coordinates; names of places are editorial and stay."""
    ALL = "all"
    """Keep coordinates as well."""
    NONE = "none"
    """Keep nothing."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Comment:
    """A text that a JPEG, PNG or GIF holds in plain view.

    Args:
        keyword: What it is, one of those that the PNG specification registers.
        text: The text.
    """

    keyword: str
    text: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata of one photo as stored; empty where the photo has none.

    Args:
        exif: An EXIF block, with or without its header.
        xmp: An XMP packet.
        iptc: An IPTC-IIM block.
        comments: Its plain texts.
    """

    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    comments: tuple[Comment, ...] = ()

    def inherited(self, policy: MetadataPolicy, width: int, height: int) -> Metadata:
        """Return what a crop inherits.

        Args:
            policy: Which entries to keep.
            width: The crop's width in pixels as it is written, for the entries that repeat it.
            height: Its height in pixels.
        """
        if policy is MetadataPolicy.NONE:
            return NO_METADATA
        places = policy is MetadataPolicy.ALL
        return Metadata(
            exif=exif.of_crop(self.exif, width, height, places=places),
            xmp=xmp.of_crop(self.xmp, width, height, places=places),
            iptc=iptc.without_pictures(self.iptc),
            comments=tuple(comment for comment in self.comments if not holds_picture(comment.text)),
        )

    @property
    def orientation(self) -> int:
        """How the stored pixels are turned, 1..8; 1 (upright) when absent or nonsense."""
        return exif.orientation(self.exif) or 1

    def facts(self) -> CaptureFacts:
        """Return what the sidecar records of the capture, nothing where the metadata is damaged."""
        return read_facts(self.exif, self.xmp)


NO_METADATA = Metadata()
