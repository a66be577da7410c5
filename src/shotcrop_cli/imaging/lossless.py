"""Crops of JPEG photos without a generation loss: their blocks are copied and turned, and no pixel is coded anew.

libjpeg-turbo's own program does it. None of its Python bindings both cuts and turns.
"""

from __future__ import annotations

import errno
import io
import shutil
import signal
import subprocess

from PIL import Image

from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.decode import Photo
from shotcrop_cli.imaging.encode import EncodedCrop, jpeg_markers
from shotcrop_cli.imaging.formats import JPEG, CropFormat, written_as
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.shots import PixelBox

PROGRAM = "jpegtran"
MISSING = (
    f"{PROGRAM} is not installed, so that --lossless encodes crops all the same, which stay so until --overwrite: "
    "apt install libjpeg-turbo-progs, or brew install jpeg-turbo"
)
_PATIENCE = 300
"""Seconds that the program may take for a crop; some 0.2 are usual [O]."""
_SENT = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None), getattr(signal, "SIGKILL", None))
"""Signals that somebody sends: the next run will do better. Those of a crash come back with the photo."""
_PASSING = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""Want of processes, memory or open files, which passes."""
_TURNS = {
    2: ("-flip", "horizontal"),
    3: ("-rotate", "180"),
    4: ("-flip", "vertical"),
    5: ("-transpose",),
    6: ("-rotate", "90"),
    7: ("-transverse",),
    8: ("-rotate", "270"),
}
"""What turns stored blocks upright, by EXIF orientation."""
_FROM_THE_RIGHT, _FROM_BELOW = (2, 3, 6, 7), (3, 4, 7, 8)
"""Orientations whose left or upper edge is the stored photo's right or lower one, where blocks may be incomplete."""
_JFIF = b"\xff\xe0"


class LossError(Exception):
    """A crop cannot be cut without loss; the message says why."""


def is_installed() -> bool:
    """Tell whether the program that cuts is there."""
    return shutil.which(PROGRAM) is not None


def can_be_kept(photo: Photo, form: CropFormat) -> bool:
    """Tell whether a photo's crops can consist of its own blocks: a JPEG's that stays one."""
    return photo.format is JPEG and written_as(photo.format, form) is JPEG


def on_blocks(photo: Photo, box: PixelBox) -> PixelBox:
    """Move a box to the nearest place where its upper left corner is a block's, its size kept.

    A box that is as wide or high as the photo loses the incomplete blocks of an edge that cannot be turned.

    Args:
        photo: A JPEG, upright.
        box: Inside the photo.
    """
    (across, down), (left, upper) = photo.block, _first_block(photo)
    x, width = _moved(box.x, box.width, photo.width, left, across)
    y, height = _moved(box.y, box.height, photo.height, upper, down)
    return PixelBox(x, y, width, height)


def _first_block(photo: Photo) -> tuple[int, int]:
    """Return where the first block begins that can be turned."""
    across, down = photo.block
    return (
        photo.width % across if photo.orientation in _FROM_THE_RIGHT else 0,
        photo.height % down if photo.orientation in _FROM_BELOW else 0,
    )


def _moved(start: int, length: int, whole: int, first: int, step: int) -> tuple[int, int]:
    """Return the nearest of the places `first`, `first + step`... from which a length fits into the whole."""
    length = min(length, whole - first)
    last = (whole - length - first) // step
    return first + step * max(0, min(round((start - first) / step), last)), length


def cut(photo: Photo, stored: bytes, box: PixelBox, policy: MetadataPolicy) -> EncodedCrop:
    """Cut a crop.

    Args:
        photo: A JPEG, upright.
        stored: Its file.
        box: Where to cut, as `on_blocks` returns it.
        policy: What of the photo's metadata the crop inherits.

    Raises:
        LossError: The program is missing or cannot do it.
        PhotoError: The program was stopped or could not start, which another run may mend.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise LossError(f"{PROGRAM} is not installed")
    left, upper = _first_block(photo)  # from where the program counts
    where = f"{box.width}x{box.height}+{box.x - left}+{box.y - upper}"
    command = [program, "-copy", "none", "-optimize", *_TURNS.get(photo.orientation, ()), "-crop", where]
    try:
        # In a session of its own, or Ctrl-C would stop the program while the run means to finish the photo.
        done = subprocess.run(
            command, input=stored, capture_output=True, timeout=_PATIENCE, check=False, start_new_session=True
        )
    except subprocess.TimeoutExpired as error:
        raise LossError(f"{PROGRAM} took longer than {_PATIENCE} s") from error
    except OSError as error:
        if error.errno in _PASSING:
            raise PhotoError(f"{PROGRAM} could not start: {error.strerror}", hint="run shotcrop again") from error
        raise LossError(f"{PROGRAM} could not start: {error.strerror}") from error
    if -done.returncode in _SENT:
        raise PhotoError(f"{PROGRAM} was stopped by signal {-done.returncode}", hint="run shotcrop again")
    if done.returncode != 0 or _size(done.stdout) != (box.width, box.height):
        told = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = "it cut something else" if done.returncode >= 0 else f"signal {-done.returncode}"
        raise LossError(f"{PROGRAM} failed: {told[0] if told else reason}")
    markers = jpeg_markers(photo, policy, box.width, box.height)
    return EncodedCrop(_with_markers(done.stdout, markers), box.width, box.height)


def _size(content: bytes) -> tuple[int, int]:
    try:
        return Image.open(io.BytesIO(content), formats=(JPEG.name,)).size
    except OSError:
        return 0, 0


def _with_markers(content: bytes, markers: bytes) -> bytes:
    """Put markers where they belong: first, but behind that of JFIF."""
    place = 4 + int.from_bytes(content[4:6], "big") if content[2:4] == _JFIF else 2
    return content[:place] + markers + content[place:]
