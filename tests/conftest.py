"""Fixtures: a composer that needs no model, and photos made on the spot."""

from __future__ import annotations

import io
import signal
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image, ImageCms

from shotcrop_cli import install_hint
from shotcrop_cli.shots import (
    Answer,
    Box,
    Composition,
    ModelIdentity,
    NoSubject,
    Reasoning,
    Shot,
    ShotType,
)

pytest_plugins = ["object_store", "store_emulators"]

# No deadline: a machine that is busy with other things is no bug of the code under test. The same examples everywhere:
# `--hypothesis-profile=search` looks for new ones.
settings.register_profile("shotcrop", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=2_000)
settings.load_profile("shotcrop")

# Where the tests run in the background of a script, SIGINT is ignored and every process they start inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

FIXED_BOXES = {
    ShotType.ESTABLISHING: Box(0.0, 0.1, 1.0, 0.9),
    ShotType.MEDIUM: Box(0.25, 0.25, 0.75, 0.75),
    ShotType.CLOSE_UP: Box(0.4, 0.3, 0.6, 0.5),
}


def fixed_composition() -> Composition:
    shots = tuple(Shot(kind, box, f"the {kind} shot", 0.9) for kind, box in FIXED_BOXES.items())
    return Composition(shots, Reasoning("A field.", "A man with a camera.", "He waits for the light."))


@dataclass
class FakeComposer:
    """Answers every photo with the same boxes, or as `answer` decides, and keeps what it was shown."""

    answer: Callable[[Image.Image, float], Answer] = lambda _image, _aspect: fixed_composition()
    sha256: str = "ab" * 32
    provider: str = "cpu"
    thumbnail_size: tuple[int, int] = (64, 64)
    seen: list[Image.Image] = field(default_factory=list)
    aspects: list[float] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    @property
    def identity(self) -> ModelIdentity:
        return ModelIdentity("fake", self.sha256, self.provider)

    def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float]) -> list[Answer]:
        self.seen += thumbnails
        self.aspects += aspects
        self.batches.append(len(thumbnails))
        self.threads.add(threading.current_thread().name)
        return [self.answer(image, aspect) for image, aspect in zip(thumbnails, aspects, strict=True)]


def no_people(_image: Image.Image, _aspect: float) -> Answer:
    return NoSubject(0.97)


@pytest.fixture
def composer(monkeypatch: pytest.MonkeyPatch) -> FakeComposer:
    """Return the composer that `shotcrop crop` gets in this test, whatever model it asks for."""
    fake = FakeComposer()
    module = SimpleNamespace(
        find_model=lambda _model, *, offline: SimpleNamespace(sha256=fake.sha256),
        load_composer=lambda _bundle, _device, **_options: fake,
    )
    monkeypatch.setitem(sys.modules, "shotcrop_cli.model.load", module)
    return fake


@pytest.fixture(autouse=True)
def installed_with_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let messages name pip's commands, however shotcrop was installed for the tests."""
    monkeypatch.setattr(install_hint, "installation", install_hint.Installation)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return where the photos of this test lie, once it has written some."""
    return tmp_path / "photos"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Return the output folder of this test, which does not exist yet."""
    return tmp_path / "shots"


def picture(width: int = 120, height: int = 80) -> Image.Image:
    """Return a smooth picture, no two regions of which look alike, so that a wrong turn shows."""
    x = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    y = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    return Image.fromarray(np.stack([x, y, (x + y) / 4], axis=2).astype(np.uint8))


def write_photo(path: Path, image: Image.Image | None = None, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or picture()).save(path, **options)
    return path


def open_image(path: Path) -> Image.Image:
    """Open an image without keeping its file open."""
    return Image.open(io.BytesIO(path.read_bytes()))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _swapped_profile() -> bytes:
    """Return an RGB profile whose red is sRGB's green, so that a conversion cannot be missed."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for i in range(int.from_bytes(profile[128:132], "big")):
        entry = 132 + 12 * i
        name = bytes(profile[entry : entry + 4])
        profile[entry : entry + 4] = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(name, name)
    text = bytes(profile)
    return text.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be")).replace(b"sRGB", b"swap")


SWAPPED_PROFILE = _swapped_profile()


def jpeg_bytes(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def rich_exif(thumbnail: bytes, orientation: int = 1) -> bytes:
    """Return an EXIF block as cameras write it: times, MakerNote, GPS and a thumbnail in IFD1."""

    def directory(rows: list[tuple[int, int, int, bytes]], start: int, following: int) -> bytes:
        table = struct.pack("<H", len(rows))
        values = b""
        behind = start + 2 + 12 * len(rows) + 4
        for tag, kind, count, value in rows:
            if len(value) > 4:
                place = struct.pack("<I", behind + len(values))
                values += value + b"\x00" * (len(value) % 2)
                value = place
            table += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\x00")
        return table + struct.pack("<I", following) + values

    def ascii_row(tag: int, text: str) -> tuple[int, int, int, bytes]:
        return tag, 2, len(text) + 1, text.encode() + b"\x00"

    def block(exif_at: int, gps_at: int, ifd1_at: int) -> tuple[bytes, bytes, bytes, bytes]:
        ifd0 = directory(
            [
                ascii_row(0x010F, "Canon"),
                ascii_row(0x0110, "Canon EOS R5"),
                (0x0112, 3, 1, struct.pack("<H", orientation)),
                (0x8769, 4, 1, struct.pack("<I", exif_at)),
                (0x8825, 4, 1, struct.pack("<I", gps_at)),
            ],
            8,
            ifd1_at,
        )
        exif = directory(
            [
                (0x829A, 5, 1, struct.pack("<II", 1, 250)),
                ascii_row(0x9003, "2024:05:06 07:08:09"),
                ascii_row(0x9011, "+02:00"),
                (0x927C, 7, 20, b"secret maker note 42"),
                (0xA002, 3, 1, struct.pack("<H", 6000)),
                (0xA003, 3, 1, struct.pack("<H", 4000)),
            ],
            exif_at,
            0,
        )
        gps = directory([(1, 2, 2, b"N\x00"), (2, 5, 3, struct.pack("<6I", 47, 1, 22, 1, 0, 1))], gps_at, 0)
        data_at = ifd1_at + 2 + 12 * 2 + 4
        ifd1 = directory(
            [
                (0x0201, 4, 1, struct.pack("<I", data_at)),
                (0x0202, 4, 1, struct.pack("<I", len(thumbnail))),
            ],
            ifd1_at,
            0,
        )
        return ifd0, exif, gps, ifd1 + thumbnail

    ifd0, exif, gps, _ = block(0, 0, 0)
    exif_at = 8 + len(ifd0)
    gps_at = exif_at + len(exif)
    parts = block(exif_at, gps_at, gps_at + len(gps))
    return b"Exif\x00\x00II*\x00\x08\x00\x00\x00" + b"".join(parts)
