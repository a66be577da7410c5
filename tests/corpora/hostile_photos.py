"""Files that pretend to be photos, made from a seed: damaged, truncated, lying about their size, or something else.

Sound photos of every format are made in memory, then mutated; a few dozen files are hostile by design. The first
files of a corpus are those, so that a small corpus is the meanest.
"""

from __future__ import annotations

import os
import random
import re
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from PIL import TiffTags

from corpora.sound_photos import PNG_START, exif_block, picture, png, saved, sound_photos

_STRUCTURE = {
    b"\xff\xd8": re.compile(rb"\xff[\xc0-\xfe]"),
    b"\x89P": re.compile(rb"IHDR|PLTE|IDAT|IEND|tRNS|acTL|fcTL|fdAT|iCCP|eXIf|iTXt"),
    b"RI": re.compile(rb"RIFF|VP8[ LX]|ANIM|ANMF|ALPH|ICCP|EXIF|XMP "),
    b"II": re.compile(rb"II[*+]\x00|[\x00-\xff][\x00\x01\x87][\x02-\x05\x10]\x00[\x00-\xff]{2}\x00\x00"),
    b"GI": re.compile(rb"GIF8[79]a|!\xf9|!\xff|,\x00\x00\x00\x00"),
    b"BM": re.compile(rb"BM|\x28\x00\x00\x00"),
    b"\x00\x00": re.compile(rb"ftyp|meta|hdlr|pitm|iloc|iinf|infe|iprp|ipco|ipma|ispe|moov|stsz|mdat|hvcC|av1C"),
}
"""Patterns that find the parts of a file, by its first bytes: markers, chunks, directory entries, boxes."""
_EXTREMES = (b"\x00\x00\x00\x00", b"\x00\x00\x00\x01", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\xff\xff\xff\xff")

Mutation = Callable[[random.Random, bytes], bytes]


def hostile_files(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents, the same for the same seed and library versions.

    Args:
        count: How many, at least as many as are hostile by design.
        seed: Of the mutations.
    """
    designed = [*_designed()]
    for index, (name, content) in enumerate(designed):
        yield f"{index:04}-{name}", content
    rng = random.Random(seed)
    originals = [*sound_photos()]
    mutations = [*MUTATIONS.items()]
    for index in range(len(designed), count):
        name, content = originals[index % len(originals)]
        how, mutate = mutations[rng.randrange(len(mutations))]
        mutated = mutate(rng, content)
        if mutated.startswith(PNG_START) and rng.random() < 0.7:
            mutated = _with_sound_checksums(mutated)  # or little but the checksum is ever put to the test
        yield f"{index:04}-{how}-{name}", mutated


def write_corpus(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Fill a folder with hostile files, then with what is no file at all but is named like a photo.

    Returns:
        What a run that follows links has to tell of.
    """
    folder.mkdir()
    paths = []
    for name, content in hostile_files(count, seed):
        paths.append(folder / name)
        paths[-1].write_bytes(content)
    odd = folder / "zz-odd"
    inner = odd / "folder.jpg" / "empty.jpg"
    inner.mkdir(parents=True)
    within = inner.with_name("within.jpg")
    within.write_bytes(saved(picture(), "JPEG"))
    os.mkfifo(odd / "fifo.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(odd)  # a socket's path may have 107 bytes
        listener.bind("socket.jpg")
        os.chdir(here)
    links = {"nowhere.jpg": "absent.jpg", "itself.png": "itself.png", "to-fifo.jpg": "fifo.jpg"}
    for name, target in links.items():
        (odd / name).symlink_to(target)
    (odd / "up.jpg").symlink_to("..")  # a loop of folders
    return [*paths, inner.parent, inner, within, *(odd / name for name in ("fifo.jpg", "socket.jpg", *links))]


def _with_sound_checksums(content: bytes) -> bytes:
    parts, place = [PNG_START], len(PNG_START)
    while place + 12 <= len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        body = content[place + 4 : place + 8 + size]
        parts.append(content[place : place + 4] + body + struct.pack(">I", zlib.crc32(body)))
        place += 12 + size
    return b"".join(parts) + content[place:]


def _flipped(rng: random.Random, content: bytes, reach: int) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 32))):
        changed[rng.randrange(min(reach, len(changed)))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _boundary(rng: random.Random, content: bytes) -> int:
    return rng.choice([match.start() for match in _STRUCTURE[content[:2]].finditer(content)])


def _span(rng: random.Random, content: bytes) -> tuple[int, int]:
    start = rng.randrange(len(content))
    return start, min(len(content), start + rng.choice((1, 4, 16, 256, 4096)))


def _zeroed(rng: random.Random, content: bytes) -> bytes:
    start, end = _span(rng, content)
    return content[:start] + bytes(end - start) + content[end:]


def _doubled(rng: random.Random, content: bytes) -> bytes:
    start, end = _span(rng, content)
    return content[:end] + content[start:end] * rng.choice((1, 1, 50)) + content[end:]


def _cut_out(rng: random.Random, content: bytes) -> bytes:
    start, end = _span(rng, content)
    return content[:start] + content[end:]


def _wrong_length(rng: random.Random, content: bytes) -> bytes:
    """Overwrite one of the four-byte words around a marker, where lengths and sizes stand."""
    place = max(0, _boundary(rng, content) + rng.choice((-4, -2, 2, 4, 8, 12, 16)))
    value = rng.choice((*_EXTREMES, rng.randbytes(4)))[: rng.choice((2, 4))]
    return content[:place] + value + content[place + len(value) :]


def _noise(rng: random.Random, content: bytes) -> bytes:
    place = _boundary(rng, content)
    return content[:place] + rng.randbytes(rng.choice((1, 64, 2048))) + content[place:]


MUTATIONS: dict[str, Mutation] = {
    "header": lambda rng, content: _flipped(rng, content, 200),
    "body": lambda rng, content: _flipped(rng, content, len(content)),
    "short": lambda rng, content: content[: rng.randrange(len(content))],
    "ended": lambda rng, content: content[: _boundary(rng, content) + rng.choice((0, 2, 4, 8))],
    "zeroed": _zeroed,
    "doubled": _doubled,
    "cut-out": _cut_out,
    "length": _wrong_length,
    "noise": _noise,
    "spliced": lambda rng, content: content[: len(content) // 2] + rng.randbytes(rng.randrange(1, len(content))),
    "trailer": lambda rng, content: content + rng.randbytes(rng.randrange(1, 5000)),
}
"""What is done to sound files, by the name that the damaged file bears."""


def _designed() -> Iterator[tuple[str, bytes]]:
    """Yield files that are hostile by design."""
    rgb = picture()
    jpeg, tiff, gif, bmp = (saved(rgb, form) for form in ("JPEG", "TIFF", "GIF", "BMP"))
    webp = saved(rgb, "WEBP", exif=exif_block())
    for suffix in ("jpg", "png", "webp", "tif", "gif", "bmp", "heic", "avif", "dng"):
        yield f"zero-bytes.{suffix}", b""
        yield f"random.{suffix}", random.Random(suffix).randbytes(3000)
        if suffix != "png":
            yield f"is-a-png.{suffix}", saved(rgb, "PNG")
    yield "only-its-start.jpg", b"\xff\xd8"
    yield "text.jpg", b"this is no photo\n"
    yield "page.png", b"<!doctype html><script>alert(1)</script>"
    yield "postscript.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n"
    yield "vectors.png", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    # Bombs: a small file that says it is huge, and one that is.
    yield "huge.png", _blank_png(60_000, 60_000, b"\x00" * 1000)
    yield "just-legal.png", _blank_png(13_000, 13_000, zlib.compress(b"\x00" * 100))
    yield "blank.png", _blank_png(9_000, 9_000, _nothing(9001 * 9000))
    yield "huge.gif", gif[:6] + b"\xff\xff\xff\xff" + gif[10:]
    yield "huge-frame.gif", gif.replace(b",\x00\x00\x00\x00\xa0\x00\x78\x00", b",\x00\x00\x00\x00\xff\xff\xff\xff")
    yield "huge.bmp", bmp[:18] + struct.pack("<ii", 60_000, 60_000) + bmp[26:]
    yield "upside-down.bmp", bmp[:18] + struct.pack("<ii", 160, -(2**31)) + bmp[26:]
    frame = jpeg.index(b"\xff\xc0") + 5
    yield "huge.jpg", jpeg[:frame] + b"\xff\xdc\xff\xdc" + jpeg[frame + 4 :]
    yield "flat.jpg", jpeg[:frame] + b"\x00\x00\x00\x00" + jpeg[frame + 4 :]
    place = webp.index(b"VP8X") + 12
    yield "huge.webp", webp[:place] + b"\xfe\x3f\x00\xfe\x3f\x00" + webp[place + 6 :]
    yield "larger-than-any.webp", webp[:place] + b"\xff" * 6 + webp[place + 6 :]
    for name, width in (("huge", 65_535), ("none", 0), ("negative", 2**31 + 5)):
        yield f"{name}.tif", _tiff_with(tiff, {256: width, 257: width})
    yield "strip-too-long.tif", _tiff_with(tiff, {279: 2**32 - 1})
    yield "strip-elsewhere.tif", _tiff_with(tiff, {273: 2**31})
    tagged = saved(rgb, "TIFF", exif=exif_block(), icc_profile=bytes(500), xmp=b"<x/>")
    for name, tag in (("xmp", 700), ("exif", 34665), ("profile", 34675), ("orientation", 274)):
        yield f"{name}-is-a-number.tif", _tiff_with(tagged, {tag: 7})
    bomb = _nothing(64 << 20)  # in some 100 kB
    sound = (b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(72)))
    for kind, start in ((b"zTXt", b"a\x00\x00"), (b"iCCP", b"a\x00\x00"), (b"iTXt", b"a\x00\x01\x00\x00\x00")):
        yield f"bomb-{kind.decode()}.png", png(sound[0], (kind, start + bomb), sound[1], (b"IEND", b""))
    yield "bomb-behind-the-pixels.png", png(*sound, (b"zTXt", b"a\x00\x00" + bomb), (b"IEND", b""))
    # Metadata that leads round in circles, or nowhere.
    for name, block in _evil_exif():
        yield f"exif-{name}.jpg", saved(rgb, "JPEG", exif=b"Exif\x00\x00" + block)
        yield f"exif-{name}.png", saved(rgb, "PNG", exif=block)
        yield f"exif-{name}.webp", saved(rgb, "WEBP", exif=block)
        yield f"exif-{name}.tif", block
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(12))
    evil_xmp = f"<!DOCTYPE x [{laughs}]><x>&l11;</x>".encode()
    yield "laughing-xmp.jpg", saved(rgb, "JPEG", xmp=evil_xmp)
    yield "laughing-xmp.webp", saved(rgb, "WEBP", xmp=evil_xmp)
    for name, profile in (("noise", random.Random(1).randbytes(500)), ("long", bytes(300_000)), ("short", b"\x00")):
        yield f"profile-of-{name}.jpg", saved(rgb, "JPEG", icc_profile=profile)
        yield f"profile-of-{name}.tif", saved(rgb, "TIFF", icc_profile=profile)
    yield "one-pixel.png", saved(rgb.crop((0, 0, 1, 1)), "PNG")
    yield "one-row.jpg", saved(rgb.resize((9000, 1)), "JPEG")
    yield "one-column.tif", saved(rgb.resize((1, 9000)), "TIFF")


@cache
def _nothing(size: int) -> bytes:
    return zlib.compress(bytes(size), 1)


def _blank_png(width: int, height: int, data: bytes) -> bytes:
    return png((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))


def _tiff_with(content: bytes, values: dict[int, int]) -> bytes:
    """Overwrite values in the directory of a little-endian TIFF."""
    changed = bytearray(content)
    directory = int.from_bytes(content[4:8], "little")
    for row in range(int.from_bytes(content[directory : directory + 2], "little")):
        place = directory + 2 + 12 * row
        tag = int.from_bytes(content[place : place + 2], "little")
        if tag in values:
            changed[place + 2 : place + 12] = struct.pack("<HII", TiffTags.LONG, 1, values[tag])
    return bytes(changed)


def _evil_exif() -> Iterator[tuple[str, bytes]]:
    """Yield TIFF structures, as they stand in EXIF blocks."""

    def block(*rows: tuple[int, int, int, int], following: int = 0, count: int | None = None) -> bytes:
        table = b"".join(struct.pack("<HHII", *row) for row in rows)
        start = struct.pack("<H", len(rows) if count is None else count)
        return b"II*\x00\x08\x00\x00\x00" + start + table + struct.pack("<I", following)

    upright = (0x0112, 3, 1, 1)
    yield "next-is-itself", block(upright, following=8)
    yield "directory-is-itself", block(upright, (0x8769, 4, 1, 8), (0x8825, 4, 1, 8))
    yield "sub-directory-is-itself", block(upright, (0x014A, 4, 1, 8))
    yield "everything-counts-billions", block((0x010F, 2, 2**32 - 1, 8), (0x9286, 7, 2**31, 30), upright)
    yield "more-rows-than-bytes", block(upright, count=65_535)
    yield "unknown-types", block((0x010F, 99, 4, 8), (0x0112, 0, 1, 1), (0x8769, 12, 1, 8))
    yield "orientation-9", block((0x0112, 3, 1, 9))
    yield "orientation-of-many", block((0x0112, 3, 1000, 8))
    yield "orientation-is-text", block((0x0112, 2, 4, 0x00393939))
    yield "beyond-the-end", b"II*\x00\xf0\xff\xff\xff"
    yield "thumbnail-elsewhere", block(upright, (0x0201, 4, 1, 2**31), (0x0202, 4, 1, 2**32 - 1), following=8)
