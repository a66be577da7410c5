"""Crop JPEG photos without loss: copy and turn their coded blocks, and encode no pixel again.

The program jpegtran of libjpeg-turbo does the work. None of its Python bindings can both crop and turn.
"""

from __future__ import annotations

import errno
import shutil
import signal
import subprocess

from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging import jpeg
from shotcrop_cli.imaging.encode import EncodedCrop, jpeg_markers
from shotcrop_cli.imaging.formats import JPEG, CropFormat, output_format
from shotcrop_cli.imaging.metadata import resolution
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.imaging.open_image import open_image
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.shots import PixelBox

PROGRAM = "jpegtran"
MISSING = (
    f"{PROGRAM} is not installed, so --lossless encodes the crops. They stay encoded until --overwrite. "
    "Fix: apt install libjpeg-turbo-progs, or brew install jpeg-turbo"
)
_TIMEOUT_S = 300
"""Seconds that jpegtran may take for a crop. About 0.2 are usual; the limit is our choice."""
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None), getattr(signal, "SIGKILL", None))
"""Signals that a person or the system sends, so that the next run can succeed. A crash would come again."""
_TEMPORARY_ERRORS = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""Too few processes, memory or open files: another run can succeed."""
_TURN_OPTIONS = {
    2: ("-flip", "horizontal"),
    3: ("-rotate", "180"),
    4: ("-flip", "vertical"),
    5: ("-transpose",),
    6: ("-rotate", "90"),
    7: ("-transverse",),
    8: ("-rotate", "270"),
}
"""Options of jpegtran that turn the stored blocks upright, by EXIF orientation."""
_LEFT_EDGE_INCOMPLETE, _TOP_EDGE_INCOMPLETE = (2, 3, 6, 7), (3, 4, 7, 8)
"""Orientations whose left or upper edge is the stored photo's right or lower edge, where blocks may be incomplete."""
_JFIF = b"\xff\xe0"


class LosslessError(Exception):
    """A crop cannot be made without loss; the message says why."""


def is_installed() -> bool:
    """Return whether jpegtran is installed."""
    return shutil.which(PROGRAM) is not None


def supports_lossless(photo: Photo, form: CropFormat) -> bool:
    """Return whether crops of a photo can copy its blocks: both the photo and its crops must be JPEG."""
    return photo.format is JPEG and output_format(photo.format, form) is JPEG


def align_to_blocks(photo: Photo, box: PixelBox) -> PixelBox:
    """Move a box so that its upper left corner is the corner of the nearest block; keep its size.

    jpegtran cannot turn incomplete blocks. A box that is as wide or high as the photo loses those of the turned edge.

    Args:
        photo: A JPEG, upright.
        box: A box inside the photo, in pixels of the upright photo.
    """
    (across, down), (left, upper) = photo.block_size, _first_block(photo)
    x, width = _align(box.x, box.width, photo.width, left, across)
    y, height = _align(box.y, box.height, photo.height, upper, down)
    return PixelBox(x, y, width, height)


def _first_block(photo: Photo) -> tuple[int, int]:
    """Return x and y of the first block that can be turned, in pixels of the upright photo."""
    across, down = photo.block_size
    return (
        photo.width % across if photo.orientation in _LEFT_EDGE_INCOMPLETE else 0,
        photo.height % down if photo.orientation in _TOP_EDGE_INCOMPLETE else 0,
    )


def _align(start: int, length: int, whole: int, first: int, step: int) -> tuple[int, int]:
    """Return the nearest start among `first`, `first + step`, ... from which the length fits into the whole."""
    length = min(length, whole - first)
    last = (whole - length - first) // step
    return first + step * max(0, min(round((start - first) / step), last)), length


def crop_lossless(photo: Photo, stored: bytes, box: PixelBox, policy: MetadataPolicy) -> EncodedCrop:
    """Crop a photo by copying its blocks.

    Args:
        photo: A JPEG, upright.
        stored: The content of its file.
        box: The box from `align_to_blocks`, in pixels of the upright photo.
        policy: Which metadata of the photo the crop keeps.

    Raises:
        LosslessError: jpegtran is missing or cannot crop this photo.
        PhotoError: jpegtran was stopped or could not start now; another run may succeed.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise LosslessError(f"{PROGRAM} is not installed")
    left, upper = _first_block(photo)  # jpegtran counts from there
    where = f"{box.width}x{box.height}+{box.x - left}+{box.y - upper}"
    command = [program, "-copy", "none", "-optimize", *_TURN_OPTIONS.get(photo.orientation, ()), "-crop", where]
    try:
        # Its own session keeps Ctrl-C away from jpegtran, so that the run can finish the photo.
        done = subprocess.run(
            command,
            input=jpeg.with_end(stored),  # without the marker jpegtran reports damage
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise LosslessError(f"{PROGRAM} took longer than {_TIMEOUT_S} s") from error
    except OSError as error:
        if error.errno in _TEMPORARY_ERRORS:
            raise PhotoError(f"{PROGRAM} could not start: {error.strerror}", hint="run shotcrop again") from error
        raise LosslessError(f"{PROGRAM} could not start: {error.strerror}") from error
    if -done.returncode in _STOP_SIGNALS:
        raise PhotoError(f"{PROGRAM} was stopped by signal {-done.returncode}", hint="run shotcrop again")
    if done.returncode != 0 or _size(done.stdout) != (box.width, box.height):
        output = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = "its crop has another size" if done.returncode >= 0 else f"signal {-done.returncode}"
        raise LosslessError(f"{PROGRAM} failed: {output[0] if output else reason}")
    metadata = photo.metadata.for_crop(policy, box.width, box.height)
    markers, notes = jpeg_markers(photo, metadata)
    content = resolution.insert_into_jpeg(_with_markers(done.stdout, markers), metadata.resolution)
    return EncodedCrop(content, box.width, box.height, notes)


def _size(content: bytes) -> tuple[int, int]:
    try:
        return open_image("", content).size
    except PhotoError:
        return 0, 0


def _with_markers(content: bytes, markers: bytes) -> bytes:
    """Insert markers at the start, but after the JFIF marker."""
    place = 4 + int.from_bytes(content[4:6], "big") if content[2:4] == _JFIF else 2
    return content[:place] + markers + content[place:]
