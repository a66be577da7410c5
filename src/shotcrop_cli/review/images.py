"""Pictures for the page: photos and crops, scaled down, upright and in sRGB.

Photos are read only from the folders of the photos, crops only from below the output folder, whatever a sidecar says.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.decode import decode, guard_memory, read_source
from shotcrop_cli.imaging.formats import DEFAULT_MAX_PIXELS
from shotcrop_cli.imaging.own_mark import mark_options
from shotcrop_cli.imaging.thumbnail import least_sides, thumbnail
from shotcrop_cli.library.name_template import can_name, leads_into
from shotcrop_cli.library.output_files import OutputFiles
from shotcrop_cli.library.recrop import find_source
from shotcrop_cli.review.photo_state import crop_file

SIZES = {"small": (480, 78), "large": (2400, 88)}
"""Pixels of the longer side and quality of each kind of picture (our choice)."""
_CACHE_BYTES = 96 << 20
_AT_ONCE = 2
"""Pictures that are decoded at the same time."""


class Images:
    """Makes pictures and remembers the last ones. Threads may share it.

    Args:
        files: The output.
        max_pixels: Pixels that a photo may have.
    """

    def __init__(self, files: OutputFiles, max_pixels: int = DEFAULT_MAX_PIXELS) -> None:
        self._files, self._root, self._max_pixels = files, files.root, max_pixels
        self._cache = _Cache(_CACHE_BYTES)
        self._slots = threading.BoundedSemaphore(_AT_ONCE)

    def photo(self, path: Path, size: str) -> bytes:
        """Return the photo of a sidecar as a JPEG.

        Raises:
            ShotcropError: The sidecar cannot be read, or its photo cannot be shown.
            FileNotFoundError: There is no such sidecar.
        """
        record = sidecars.read(path)
        self._files.bring_photo(path, record)
        photo = find_source(path, path.parent.relative_to(self._root), record, self._files.photos)
        return self._scaled(photo.path, size)

    def crop(self, path: Path, key: str, size: str) -> bytes:
        """Return the crop of a shot as a JPEG.

        Raises:
            ShotcropError: The sidecar cannot be read, or there is no crop that may be shown.
            FileNotFoundError: There is no such sidecar.
        """
        name = crop_file(path, sidecars.read(path), key)
        if name is None or not can_name(path.parent, name, self._root):
            raise PhotoError(f"{path}: there is no such crop", hint="run `shotcrop crop` again")
        crop = path.parent / name
        if not leads_into(crop, self._root):
            raise PhotoError(f"{crop}: a link that leads out of the output folder", hint="replace it with the crop")
        self._files.bring(crop)
        return self._scaled(crop, size)

    def _scaled(self, path: Path, size: str) -> bytes:
        try:
            status = path.stat()
        except OSError as error:
            raise PhotoError(f"{path}: cannot be read: {error.strerror}", hint="check that it exists") from error
        key = (str(path), size, status.st_size, status.st_mtime_ns)
        return self._cache.get(key, lambda: self._encode(path, size))

    def _encode(self, path: Path, size: str) -> bytes:
        long_side, quality = SIZES[size]
        with self._slots:
            source = read_source(path)
            with guard_memory(source):
                photo = decode(source, self._max_pixels, least_sides=least_sides((0, long_side)))
                picture = thumbnail(photo, (0, long_side))
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=quality, **mark_options("JPEG"))
        return out.getvalue()


class _Cache:
    """Keeps the values that were used last, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self._limit, self._bytes = limit, 0
        self._values: OrderedDict[object, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object, make: Callable[[], bytes]) -> bytes:
        with self._lock:
            if (value := self._values.get(key)) is not None:
                self._values.move_to_end(key)
                return value
        value = make()
        with self._lock:
            if key not in self._values:
                self._values[key] = value
                self._bytes += len(value)
            while self._bytes > self._limit:
                _, dropped = self._values.popitem(last=False)
                self._bytes -= len(dropped)
        return value
