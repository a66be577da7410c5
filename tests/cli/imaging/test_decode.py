import os
import struct
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageOps, TiffImagePlugin, TiffTags
from PIL.PngImagePlugin import PngInfo

from camera_files import orientation_exif, turned
from conftest import jpeg_bytes, open_image, picture, rich_exif, write_photo
from metadata_samples import KEPT, packet, resources
from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging import decode as decoding
from shotcrop_cli.imaging.codestream import jpeg_xl_pixels, read_codestream
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.formats import AVIF
from shotcrop_cli.imaging.metadata.capture import CaptureInfo
from shotcrop_cli.imaging.metadata.policy import Comment
from shotcrop_cli.imaging.open_image import open_image as open_image_of
from shotcrop_cli.imaging.photo import Photo


def _decode(path: Path) -> Photo:
    return decode(read_source(path))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg", ".avif"])
def test_every_orientation_is_turned_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    stored = turned(picture(), orientation)
    options = {
        ".jpg": {"quality": 100, "subsampling": 0},
        ".avif": {"quality": 100, "subsampling": "4:4:4"},
        ".webp": {"lossless": True},
    }.get(suffix, {})
    path = write_photo(tmp_path / f"a{suffix}", stored, exif=orientation_exif(orientation), **options)
    photo = _decode(path)
    assert (photo.width, photo.height, photo.orientation) == (120, 80, orientation)
    difference = np.asarray(photo.pixels).astype(int) - np.asarray(picture())
    assert np.abs(difference).max() <= (5 if suffix in (".jpg", ".avif") else 0)


@pytest.mark.parametrize("name", ["a.webp", "a.gif", "a.png"])
def test_animation_yields_first_frame_with_a_warning(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if name == "a.webp" else {}
    photo = _decode(write_photo(tmp_path / name, frames[0], save_all=True, append_images=frames[1:], **options))
    assert photo.pixels.convert("RGB").getpixel((4, 4)) == (255, 0, 0)
    assert photo.warnings == ("animated: only the first frame is used",)
    assert photo.lossless


def test_further_tiff_pages_are_ignored_with_a_warning(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    photo = _decode(write_photo(tmp_path / "a.tif", pages[0], save_all=True, append_images=pages[1:]))
    assert photo.pixels.getpixel((4, 4)) == (255, 0, 0)
    assert photo.warnings == ("more than one page: only the first is used",)


def test_mpo_yields_its_first_image_with_a_warning(tmp_path: Path) -> None:
    other = Image.new("RGB", (120, 80), "blue")
    photo = _decode(write_photo(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[other], quality=95))
    assert np.abs(np.asarray(photo.pixels).astype(int) - np.asarray(picture())).mean() < 2
    assert photo.warnings == ("another picture was left out",)


def test_progressive_jpeg_is_read(tmp_path: Path) -> None:
    photo = _decode(write_photo(tmp_path / "a.jpg", progressive=True, quality=95))
    assert np.abs(np.asarray(photo.pixels).astype(int) - np.asarray(picture())).mean() < 2


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png(header: bytes, rows: bytes, *chunks: bytes) -> bytes:
    parts = (_chunk(b"IHDR", header), *chunks, _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


_TINY = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0), b"\x00\x01\x02\x03"


def test_16_bit_colour_is_scaled_not_clipped_with_a_warning(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 16 * 3).astype(">u2").reshape(16, 3)
    rows = b"\x00" + values.tobytes()
    (tmp_path / "a.png").write_bytes(_png(struct.pack(">IIBBBBB", 16, 1, 16, 2, 0, 0, 0), rows))
    photo = _decode(tmp_path / "a.png")
    assert np.abs(np.asarray(photo.pixels)[0].astype(float) - values / 257).max() <= 1
    assert photo.warnings == ("16 bits per channel were reduced to 8",)


def _tiff(rows: list[tuple[int, int, int, bytes]], data: bytes, following: int = 0) -> bytes:
    """Return a little-endian TIFF that stores long values after its pixels."""
    pixels_at = 8 + 2 + 12 * (len(rows) + 1) + 4
    table, values = struct.pack("<H", len(rows) + 1), data
    for tag, kind, count, value in sorted([*rows, (273, 4, 1, struct.pack("<I", pixels_at))]):
        if len(value) > 4:
            place = struct.pack("<I", pixels_at + len(values))
            values += value
            value = place
        table += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\x00")
    return b"II*\x00\x08\x00\x00\x00" + table + struct.pack("<I", following) + values


def _rows(width: int, height: int, bits: int, channels: int) -> list[tuple[int, int, int, bytes]]:
    def shorts(*values: int) -> bytes:
        return struct.pack(f"<{len(values)}H", *values)

    return [
        *((256, 3, 1, shorts(width)), (257, 3, 1, shorts(height)), (258, 3, channels, shorts(*[bits] * channels))),
        *((259, 3, 1, shorts(1)), (262, 3, 1, shorts(2 if channels == 3 else 1)), (277, 3, 1, shorts(channels))),
        *((278, 3, 1, shorts(height)), (279, 4, 1, struct.pack("<I", width * height * channels * bits // 8))),
    ]


def test_16_bit_tiff_is_scaled_not_clipped_with_a_warning(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 16 * 3).astype("<u2").reshape(16, 3)
    (tmp_path / "a.tif").write_bytes(_tiff(_rows(16, 1, 16, 3), values.tobytes()))
    photo = _decode(tmp_path / "a.tif")
    assert np.abs(np.asarray(photo.pixels)[0].astype(float) - values / 257).max() <= 1
    assert photo.warnings == ("16 bits per channel were reduced to 8",)


@pytest.mark.parametrize("kind", ["<u2", ">u2"])
def test_16_bit_gray_keeps_every_bit(tmp_path: Path, kind: str) -> None:
    deep = np.linspace(0, 65535, 120 * 80).reshape(80, 120).astype(kind)
    photo = _decode(write_photo(tmp_path / "a.tif", Image.fromarray(deep)))
    assert np.array_equal(np.asarray(photo.pixels), deep)
    assert photo.warnings == ()


def test_10_bit_heic_is_scaled_with_a_warning(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 120 * 80).reshape(80, 120, 1).repeat(3, 2)
    pillow_heif.from_bytes("RGB;16", (120, 80), deep.astype(np.uint16).tobytes()).save(tmp_path / "a.heic", quality=95)
    photo = _decode(tmp_path / "a.heic")
    assert np.abs(np.asarray(photo.pixels) - deep / 257).mean() < 3
    assert photo.warnings == ("10 bits per channel were reduced to 8",)


@pytest.mark.parametrize(("flags", "bits", "subsampling"), [(0x0C, 8, 2), (0x48, 10, 1), (0x60, 12, 0)])
def test_avif_bit_depth_and_chroma_are_read(flags: int, bits: int, subsampling: int) -> None:
    stream = read_codestream(picture(), b"....av1C\x81\x00" + bytes((flags,)), AVIF)
    assert (stream.bits, stream.subsampling) == (bits, subsampling)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_is_upright(tmp_path: Path, orientation: int) -> None:
    pillow_heif.register_heif_opener()
    path = write_photo(
        tmp_path / "a.heic", turned(picture(), orientation), exif=orientation_exif(orientation), quality=100
    )
    photo = _decode(path)
    assert (photo.width, photo.height, photo.orientation) == (120, 80, orientation)
    difference = np.asarray(photo.pixels).astype(int) - np.asarray(picture())
    assert np.abs(difference).mean() < 8


def test_heic_capture_info_is_read(tmp_path: Path) -> None:
    pillow_heif.register_heif_opener()
    path = write_photo(tmp_path / "a.heic", exif=rich_exif(jpeg_bytes(picture(16, 12))))
    facts = _decode(path).metadata.capture_info()
    assert facts == CaptureInfo("2024-05-06T07:08:09+02:00", "Canon EOS R5", has_gps=True)


def _truncated(path: Path) -> None:
    path.write_bytes(jpeg_bytes(picture())[:-400])


def _bomb(path: Path) -> None:
    path.write_bytes(jpeg_bytes(picture()))
    data = bytearray(path.read_bytes())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = b"\xff\xdc\xff\xdc"  # 65500 x 65500 pixels
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_bytes(b"<html>not found</html>"), "cannot be read as an image"),
        (_truncated, "damaged or incomplete"),
        (_bomb, "has 4290 megapixels, more than 500 megapixels"),
        (lambda path: None, "cannot be read: No such file"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
    ],
    ids=["empty", "html", "truncated", "bomb", "missing", "folder"],
)
def test_bad_files_give_an_error_with_path_and_hint(tmp_path: Path, make: object, message: str) -> None:
    path = tmp_path / "bad.jpg"
    make(path)  # type: ignore[operator]
    with pytest.raises(PhotoError, match=message) as caught:
        _decode(path)
    assert caught.value.message.startswith(str(path))
    assert caught.value.hint


def test_source_hash_and_size_match_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"abc")
    source = read_source(path)
    assert source.size_bytes == 3
    assert source.mtime_ns == path.stat().st_mtime_ns
    assert source.sha256.startswith("ba7816bf")  # of "abc", FIPS 180-2


def test_metadata_survives_decoding(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.jpg", exif=rich_exif(jpeg_bytes(picture(16, 12))))
    assert _decode(path).metadata.capture_info().camera == "Canon EOS R5"


def test_tiff_metadata_is_kept_without_its_pixel_layout(tmp_path: Path) -> None:
    exif = rich_exif(jpeg_bytes(picture(16, 12)))
    metadata = _decode(write_photo(tmp_path / "a.tif", picture(600, 400), exif=exif)).metadata
    assert metadata.capture_info().captured_at == "2024-05-06T07:08:09+02:00"
    kept = Image.Exif()
    kept.load(metadata.exif)
    assert not {0x0100, 0x0111, 0x0117} & set(kept)  # width, strip offsets, strip sizes
    assert len(metadata.exif) < 1000


@pytest.mark.parametrize("declared", [1, 4, 7])
def test_tiff_iptc_is_read_with_any_declared_type(tmp_path: Path, declared: int) -> None:
    block = KEPT + bytes(-len(KEPT) % 4)
    row = (0x83BB, declared, len(block) // 4 if declared == 4 else len(block), block)
    (tmp_path / "a.tif").write_bytes(_tiff([*_rows(1, 1, 8, 3), row], b"\x01\x02\x03\x00"))
    assert _decode(tmp_path / "a.tif").metadata.iptc == KEPT  # without the padding


def test_iptc_in_tiff_image_resources_is_read(tmp_path: Path) -> None:
    block = resources((0x040C, b"thumbnail"), (0x0404, KEPT)).removeprefix(b"Photoshop 3.0\x00")
    (tmp_path / "a.tif").write_bytes(_tiff([*_rows(1, 1, 8, 3), (0x8649, 7, len(block), block)], b"\x01\x02\x03\x00"))
    metadata = _decode(tmp_path / "a.tif").metadata
    assert metadata.iptc == KEPT
    assert b"thumbnail" not in metadata.exif


def test_jpeg_comments_are_read_in_any_encoding(tmp_path: Path) -> None:
    for stored in ("Zürich".encode(), "Zürich".encode("latin-1")):
        path = write_photo(tmp_path / "a.jpg", comment=stored)
        assert _decode(path).metadata.comments == (Comment("Comment", "Zürich"),)


def test_png_texts_are_read_only_under_registered_keywords(tmp_path: Path) -> None:
    texts = [_chunk(b"tEXt", b"Title\x00Ana"), _chunk(b"tEXt", b"parameters\x00a prompt")]
    (tmp_path / "a.png").write_bytes(_png(*_TINY, *texts))
    assert _decode(tmp_path / "a.png").metadata.comments == (Comment("Title", "Ana"),)


def _raw_profile(name: bytes, block: bytes) -> bytes:
    digits = block.hex().encode()
    lines = b"\n".join(digits[start : start + 72] for start in range(0, len(digits), 72))
    text = b"\n" + name + b" profile\n%8d\n" % len(block) + lines + b"\n"
    return _chunk(b"zTXt", b"Raw profile type " + name + b"\x00\x00" + zlib.compress(text))


def test_imagemagick_profiles_in_png_are_read(tmp_path: Path) -> None:
    exif = rich_exif(jpeg_bytes(picture(16, 12)), orientation=6)
    hidden = [
        _raw_profile(b"exif", exif),
        _raw_profile(b"iptc", resources((0x0404, KEPT)).removeprefix(b"Photoshop 3.0\x00")),
        _raw_profile(b"xmp", packet()),
    ]
    (tmp_path / "a.png").write_bytes(_png(*_TINY, *hidden))
    photo = _decode(tmp_path / "a.png")
    assert photo.orientation == 6
    assert photo.metadata.capture_info().camera == "Canon EOS R5"
    assert (photo.metadata.iptc, photo.metadata.xmp) == (KEPT, packet())


@pytest.mark.parametrize("block", [b"http://ns.adobe.com/xap/1.0/\x00" + packet(), b"Exif\x00\x00II*\x00"])
def test_app1_profile_in_png_is_exif_or_xmp(tmp_path: Path, block: bytes) -> None:
    (tmp_path / "a.png").write_bytes(_png(*_TINY, _raw_profile(b"APP1", block)))
    metadata = _decode(tmp_path / "a.png").metadata
    assert (metadata.exif, metadata.xmp) == ((b"", packet()) if block.startswith(b"http") else (block, b""))


def test_damaged_xmp_is_dropped_with_a_warning(tmp_path: Path) -> None:
    photo = _decode(write_photo(tmp_path / "a.jpg", xmp=packet()[:-200]))
    assert photo.metadata.xmp == b""
    assert photo.warnings == ("the XMP is damaged or larger than 4 MiB and was left out",)


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    start = time.monotonic()
    with pytest.raises(PhotoError, match=r"a\.jpg: not a regular file") as caught:
        read_source(tmp_path / "a.jpg")
    assert caught.value.hint
    assert time.monotonic() - start < 1


def test_a_device_file_is_refused_without_waiting(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to("/dev/zero")
    with pytest.raises(PhotoError, match=r"a\.jpg: not a regular file"):
        read_source(tmp_path / "a.jpg")


def test_a_file_above_the_size_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.tif").open("wb") as file:
        file.truncate((2 << 30) + 1)  # sparse: it takes no space
    with pytest.raises(PhotoError, match="larger than 2 GiB"):
        read_source(tmp_path / "a.tif")


def _ztxt_bomb(path: Path) -> None:
    text = b"Comment\x00\x00" + zlib.compress(bytes(100 << 20))
    path.with_suffix(".png").write_bytes(_png(*_TINY, _chunk(b"zTXt", text)))


def _profile_bomb(path: Path) -> None:
    path.with_suffix(".png").write_bytes(_png(*_TINY, _chunk(b"iCCP", b"a\x00\x00" + zlib.compress(bytes(100 << 20)))))


def _entries_that_share_their_bytes(path: Path) -> None:
    shared = [(40_000 + i, 7, 1 << 20, b"") for i in range(2000)]
    rows = [(tag, kind, count, struct.pack("<I", 8)) for tag, kind, count, _ in shared]
    path.with_suffix(".tif").write_bytes(_tiff([*_rows(1, 1, 8, 3), *rows], bytes(2 << 20)))


def _pages_without_end(path: Path) -> None:
    rows, pixel = _rows(1, 1, 8, 3), b"\x01\x02\x03\x00"
    size = len(_tiff(rows, pixel))
    pages = (struct.pack("<HHHIII", 1, 256, 3, 1, 1, size + 18 * (i + 1)) for i in range(100_000))
    path.with_suffix(".tif").write_bytes(_tiff(rows, pixel, following=size) + b"".join(pages))


def _chunks_without_end(path: Path) -> None:
    path.with_suffix(".png").write_bytes(_png(*_TINY, _chunk(b"tEXt", b"Comment\x00" + bytes(900)) * 20_000))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize(
    "make",
    [_ztxt_bomb, _profile_bomb, _entries_that_share_their_bytes, _pages_without_end, _chunks_without_end],
    ids=["text", "profile", "entries", "pages", "chunks"],
)
def test_small_files_cannot_cost_much_memory_or_time(tmp_path: Path, make: object) -> None:
    make(tmp_path / "a")  # type: ignore[operator]
    (path,) = tmp_path.iterdir()
    source = read_source(path)
    start = time.process_time()
    tracemalloc.start()
    try:
        decode(source)
    except PhotoError as error:
        assert str(path) in str(error)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6
    assert time.process_time() - start < 10


def test_large_photos_are_decoded_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_LARGE_PHOTO_PIXELS", 120 * 80 - 1)
    inside, most, upright = [], [], decoding._to_photo

    def slow(*arguments: object) -> Photo:
        inside.append(None)
        most.append(len(inside))
        time.sleep(0.02)
        photo = upright(*arguments)  # type: ignore[arg-type]
        inside.pop()
        return photo

    monkeypatch.setattr(decoding, "_to_photo", slow)
    large = read_source(write_photo(tmp_path / "a.png"))
    threads = [threading.Thread(target=decode, args=(large,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_a_numeric_colour_profile_does_not_fail_the_photo(tmp_path: Path) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[34675] = TiffTags.LONG
    tags[34675] = 7
    path = write_photo(tmp_path / "a.tif", tiffinfo=tags)
    assert open_image(path).info["icc_profile"] == 7
    assert decode(read_source(path)).icc_profile == b""


def test_16_bits_for_a_whole_pixel_are_not_16_bits_per_channel(tmp_path: Path) -> None:
    red, green = 0b11111 << 11, 0b111111 << 5
    masks = struct.pack("<III", red, green, 0b11111)
    header = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 16, 3, 4, 0, 0, 0, 0)  # 3: the masks follow
    start = 14 + len(header) + len(masks)
    head = b"BM" + struct.pack("<IHHI", start + 4, 0, 0, start)
    (tmp_path / "a.bmp").write_bytes(head + header + masks + struct.pack("<HH", red, green))
    photo = _decode(tmp_path / "a.bmp")
    assert np.asarray(photo.pixels).tolist() == [[[255, 0, 0], [0, 255, 0]]]
    assert photo.warnings == ()


@pytest.mark.parametrize("form", ['tiff:Orientation="6"', "<tiff:Orientation>6</tiff:Orientation>"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_orientation_in_xmp_alone_turns_the_photo_as_pillow_does(tmp_path: Path, suffix: str, form: str) -> None:
    described = packet(form) if form.startswith("<") else packet("", form)
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", described.decode())
    options = {".png": {"pnginfo": text}, ".tif": {"tiffinfo": {700: described}}}.get(suffix, {"xmp": described})
    path = write_photo(tmp_path / f"a{suffix}", **options)
    photo = decode(read_source(path))
    assert (photo.orientation, photo.width, photo.height) == (6, 80, 120)
    expected = ImageOps.exif_transpose(open_image(path))
    assert np.array_equal(np.asarray(photo.pixels), np.asarray(expected))


@pytest.mark.parametrize(
    ("header", "pixels"),
    [
        # 1 bit small; then 5 bits of height / 8, or 2 bits of length and the height; 3 bits of ratio; the width alike.
        (0b1 | 9 << 1 | 1 << 6, 80 * 80),
        (0b1 | 9 << 1 | 0 << 6 | 14 << 9, 80 * 120),
        (0b0 | 0 << 1 | 79 << 3 | 4 << 12, 80 * 120),
        (0b0 | 3 << 1 | 99_999 << 3 | 7 << 33, 100_000 * 200_000),
        (0b0 | 1 << 1 | 4999 << 3 | 0 << 16 | 2 << 19 | 59_999 << 21, 5000 * 60_000),
    ],
)
@pytest.mark.parametrize("box", [b"", b"jxlc", b"jxlp"])
def test_a_jpeg_xl_with_too_many_pixels_is_refused_by_its_header(
    tmp_path: Path, header: int, pixels: int, box: bytes
) -> None:
    data = b"\xff\x0a" + header.to_bytes(9, "little")
    if box:
        content = (b"\x80\x00\x00\x00" if box == b"jxlp" else b"") + data
        start = b"\x00\x00\x00\x0cJXL \r\n\x87\n\x00\x00\x00\x14ftypjxl \x00\x00\x00\x00jxl "
        data = start + struct.pack(">I", len(content) + 8) + box + content
    assert jpeg_xl_pixels(data) == pixels
    with pytest.raises(PhotoError, match="more than"):
        open_image_of(tmp_path / "a.jxl", data, max_pixels=pixels - 1)
    for end in range(len(data)):
        assert jpeg_xl_pixels(data[:end]) in (0, pixels)


def test_12_bit_gray_is_scaled_to_16_bits(tmp_path: Path) -> None:
    values = np.linspace(0, 4095, 64).astype(int)
    packed = int("".join(f"{value:012b}" for value in values), 2).to_bytes(96, "big")
    rows = [row for row in _rows(64, 1, 12, 1) if row[0] != 279] + [(279, 4, 1, struct.pack("<I", 96))]
    (tmp_path / "a.tif").write_bytes(_tiff(rows, packed))
    photo = _decode(tmp_path / "a.tif")
    assert np.abs(np.asarray(photo.pixels)[0] - values * (65535 / 4095)).max() < 1
    assert photo.warnings == ()


def test_a_jpeg_is_handed_to_the_decoder_in_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    get_decoder, parts = Image._getdecoder, list[int]()

    class Watched:
        """A decoder that other threads may interrupt after each part."""

        def __init__(self, *arguments: object) -> None:
            self._decoder = get_decoder(*arguments)

        def __getattr__(self, name: str) -> object:
            return getattr(self._decoder, name)

        def decode(self, part: bytes) -> tuple[int, int]:
            parts.append(len(part))
            return self._decoder.decode(part)

    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    path = write_photo(tmp_path / "a.jpg", Image.fromarray(noise), quality=100, subsampling=0)
    assert path.stat().st_size > 3 * 65536
    monkeypatch.setattr(Image, "_getdecoder", Watched)
    photo = decode(read_source(path))
    assert len(parts) == 1
    monkeypatch.undo()
    assert np.array_equal(np.asarray(photo.pixels), np.asarray(open_image(path)))
