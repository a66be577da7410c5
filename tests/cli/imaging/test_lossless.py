import io
import json
import os
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from colour_profiles import PROFILES
from conftest import names_in, open_image, picture, rich_exif, write_photo
from metadata_samples import data_set
from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.encode import encode_crop
from shotcrop_cli.imaging.formats import JPEG, RAW, CropFormat
from shotcrop_cli.imaging.lossless import (
    MISSING,
    PROGRAM,
    LosslessError,
    align_to_blocks,
    crop_lossless,
    supports_lossless,
)
from shotcrop_cli.imaging.metadata import jpeg
from shotcrop_cli.imaging.metadata.policy import Metadata, MetadataPolicy
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.main import cli
from shotcrop_cli.pipeline.crop import copies_blocks, make_crop
from shotcrop_cli.shots import PixelBox
from shotcrop_cli.sidecar import Sidecar, read

ORIENTATIONS = range(1, 9)
ANYWHERE = PixelBox(37, 21, 70, 50)
ROUNDING = 4
"""Of 255: decoders round rows and columns one after the other, which differs once they have changed places. To encode
such noise anew with quality 95 costs 9 and more."""
MODES = ["L", "RGB", "CMYK"]


@pytest.fixture
def jpegtran() -> None:
    """Fail where the program is missing: to skip the test would hide that nothing was cropped without loss."""
    if shutil.which(PROGRAM) is None:
        remedy = "apt install libjpeg-turbo-progs, or brew install jpeg-turbo"
        pytest.fail(f"{PROGRAM} is not installed. Fix: {remedy}", pytrace=False)


def _noise(width: int = 150, height: int = 110) -> Image.Image:
    """Return a picture in which every pixel differs from its neighbours, with no multiple of 16 on any side."""
    values = np.random.default_rng(5).integers(0, 256, (height // 2, width // 2, 3), np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.NEAREST)


def _stored(path: Path, image: Image.Image | None = None, orientation: int = 1, **options: object) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return write_photo(path, image or _noise(), exif=exif, quality=90, **options)


def _cut(path: Path, box: PixelBox, policy: MetadataPolicy = MetadataPolicy.SAFE) -> tuple[Photo, PixelBox, bytes]:
    source = read_source(path)
    photo = decode(source)
    box = align_to_blocks(photo, box)
    return photo, box, crop_lossless(photo, source.data, box, policy).content


def _inside(image: Image.Image, margin: int) -> Any:
    return np.asarray(image)[margin:-margin, margin:-margin]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.usefixtures("jpegtran")
def test_lossless_crop_has_the_photos_pixels(tmp_path: Path, subsampling: str, orientation: int) -> None:
    path = _stored(tmp_path / "a.jpg", orientation=orientation, subsampling=subsampling)
    photo, box, content = _cut(path, ANYWHERE)
    crop = Image.open(io.BytesIO(content))
    assert crop.size == (box.width, box.height)
    # Decoders smooth halved chroma across the edge of the crop, of which the photo knows both sides.
    difference = _inside(crop, 3).astype(int) - _inside(photo.pixels.crop(box.corners), 3)
    assert np.abs(difference).max() <= (0 if orientation == 1 else ROUNDING)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.usefixtures("jpegtran")
def test_lossless_gray_crop_is_exact_up_to_the_edge(tmp_path: Path, orientation: int) -> None:
    photo, box, content = _cut(_stored(tmp_path / "a.jpg", _noise().convert("L"), orientation), ANYWHERE)
    crop = Image.open(io.BytesIO(content))
    assert crop.mode == "L"
    assert np.abs(np.asarray(crop, int) - np.asarray(photo.pixels.crop(box.corners), int)).max() <= ROUNDING


@pytest.mark.usefixtures("jpegtran")
def test_lossless_crop_keeps_the_quantisation_tables(tmp_path: Path) -> None:
    path = _stored(tmp_path / "a.jpg")
    _, _, content = _cut(path, ANYWHERE)
    assert Image.open(io.BytesIO(content)).quantization == open_image(path).quantization


@pytest.mark.usefixtures("jpegtran")
def test_a_progressive_photo_is_cropped_without_loss(tmp_path: Path) -> None:
    photo, box, content = _cut(_stored(tmp_path / "a.jpg", progressive=True), ANYWHERE)
    expected = photo.pixels.crop(box.corners)
    assert np.array_equal(_inside(Image.open(io.BytesIO(content)), 3), _inside(expected, 3))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.usefixtures("jpegtran")
def test_the_whole_photo_loses_only_incomplete_blocks(tmp_path: Path, orientation: int) -> None:
    photo = decode(read_source(_stored(tmp_path / "a.jpg", orientation=orientation, subsampling="4:4:4")))
    photo, box, content = _cut(tmp_path / "a.jpg", PixelBox(0, 0, photo.width, photo.height))
    assert (photo.width - box.width < 8, photo.height - box.height < 8) == (True, True)
    crop = np.asarray(Image.open(io.BytesIO(content)), int)
    assert np.abs(crop - np.asarray(photo.pixels.crop(box.corners), int)).max() <= ROUNDING


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("policy", MetadataPolicy)
@pytest.mark.usefixtures("jpegtran")
def test_lossless_crop_has_the_metadata_of_an_encoded_one(tmp_path: Path, policy: MetadataPolicy, mode: str) -> None:
    profile = PROFILES["adobe rgb"] if mode == "RGB" else None
    exif = rich_exif(b"\xff\xd8thumbnail\xff\xd9", orientation=6)
    path = write_photo(
        tmp_path / "a.jpg", _noise().convert(mode), exif=exif, icc_profile=profile, comment=b"by hand", dpi=(300, 300)
    )
    photo, box, content = _cut(path, ANYWHERE, policy)
    encoded = encode_crop(photo, box, quality=95, policy=policy).content
    copied, other = Image.open(io.BytesIO(content)), Image.open(io.BytesIO(encoded))
    assert (copied.mode, copied.size) == (other.mode, other.size)
    for key in ("exif", "icc_profile", "comment", "xmp", "adobe"):
        assert copied.info.get(key) == other.info.get(key), key
    assert b"thumbnail" not in content


@pytest.mark.usefixtures("jpegtran")
def test_lossless_crop_keeps_iptc_captions(tmp_path: Path) -> None:
    caption = data_set(2, 120, b"Ana by the river")
    path = _stored(tmp_path / "a.jpg")
    path.write_bytes(jpeg.insert(path.read_bytes(), Metadata(iptc=caption))[0])
    _, _, content = _cut(path, ANYWHERE)
    (tmp_path / "crop.jpg").write_bytes(content)
    assert decode(read_source(tmp_path / "crop.jpg")).metadata.iptc == caption


@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from([8, 16, 32]), st.sampled_from(ORIENTATIONS), st.data())
def test_aligned_boxes_begin_at_blocks_and_stay_inside(
    width: int, height: int, side: int, orientation: int, data: st.DataObject
) -> None:
    photo = Photo(Image.new("L", (width + side, height + side)), JPEG, orientation, block_size=(side, 8))
    x, y = data.draw(st.integers(0, photo.width - 1)), data.draw(st.integers(0, photo.height - 1))
    box = PixelBox(x, y, data.draw(st.integers(1, photo.width - x)), data.draw(st.integers(1, photo.height - y)))
    moved = align_to_blocks(photo, box)
    left, upper, right, lower = moved.corners
    assert 0 <= left < right <= photo.width
    assert 0 <= upper < lower <= photo.height
    assert (left - (photo.width % side if orientation in (2, 3, 6, 7) else 0)) % side == 0
    assert (upper - (photo.height % 8 if orientation in (3, 4, 7, 8) else 0)) % 8 == 0
    assert box.width - moved.width < side
    assert box.height - moved.height < 8
    assert align_to_blocks(photo, moved) == moved


def test_a_box_moves_to_the_nearest_block() -> None:
    photo = Photo(Image.new("RGB", (160, 160)), JPEG, block_size=(16, 8))
    assert align_to_blocks(photo, PixelBox(25, 11, 30, 30)) == PixelBox(32, 8, 30, 30)
    assert align_to_blocks(photo, PixelBox(125, 130, 30, 30)) == PixelBox(128, 128, 30, 30)
    assert align_to_blocks(photo, PixelBox(129, 129, 31, 31)) == PixelBox(128, 128, 31, 31)


@pytest.mark.parametrize(
    ("subsampling", "orientation", "block"),
    [("4:4:4", 1, (8, 8)), ("4:2:0", 6, (16, 16)), ("4:2:2", 3, (16, 8)), ("4:2:2", 6, (8, 16))],
)
def test_block_size_is_that_of_the_upright_photo(
    tmp_path: Path, subsampling: str, orientation: int, block: tuple[int, int]
) -> None:
    path = _stored(tmp_path / "a.jpg", orientation=orientation, subsampling=subsampling)
    assert decode(read_source(path)).block_size == block


def test_block_size_of_gray_and_of_other_formats(tmp_path: Path) -> None:
    assert decode(read_source(_stored(tmp_path / "a.jpg", _noise().convert("L")))).block_size == (8, 8)
    assert decode(read_source(write_photo(tmp_path / "a.png"))).block_size == (1, 1)


def test_only_jpeg_to_jpeg_is_lossless() -> None:
    photo = Photo(picture(), JPEG)
    assert [form for form in CropFormat if supports_lossless(photo, form)] == [CropFormat.SAME, CropFormat.JPEG]
    assert not supports_lossless(Photo(picture(), RAW), CropFormat.SAME)


def _program(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch, *, run_by: str = "#!/bin/sh\n") -> None:
    """Put another program in place of the real one."""
    folder.mkdir()
    program = folder / PROGRAM
    program.write_text(f"{run_by}{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'Unsupported marker type 0xc9' >&2; exit 1", "jpegtran failed: Unsupported marker type 0xc9"),
        ("cat", "jpegtran failed: its crop has another size"),
        ("exit 0", "jpegtran failed: its crop has another size"),
    ],
)
def test_a_failure_of_jpegtran_gives_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    _program(tmp_path / "bin", script, monkeypatch)
    with pytest.raises(LosslessError) as raised:
        _cut(_stored(tmp_path / "a.jpg"), ANYWHERE)
    assert str(raised.value) == reason


def _crop(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, ["crop", *map(str, arguments)])
    assert result.exit_code == ExitCode.OK, result.output
    return result


def _sidecar(output: Path) -> Sidecar:
    return read(output / "a.jpg.json")


@pytest.mark.usefixtures("jpegtran", "composer")
def test_lossless_crops_match_the_boxes_in_the_sidecar(tmp_path: Path, output: Path) -> None:
    path = _stored(tmp_path / "photos" / "a.jpg", _noise(1200, 800), orientation=8, subsampling="4:4:4")
    result = _crop(path.parent, "-o", output, "--lossless")
    sidecar = _sidecar(output)
    assert sidecar.warnings == ()
    assert sidecar.settings.lossless
    assert MISSING not in result.stderr
    photo = decode(read_source(path))
    for shot in sidecar.shots:
        crop = np.asarray(open_image(output / f"a.jpg.{shot.shot}.jpg"), int)
        assert np.abs(crop - np.asarray(photo.pixels.crop(shot.box.corners), int)).max() <= ROUNDING


@pytest.mark.usefixtures("jpegtran", "composer")
def test_an_edited_box_is_aligned_once(tmp_path: Path, output: Path) -> None:
    path = _stored(tmp_path / "photos" / "a.jpg", _noise(1200, 800), subsampling="4:2:0")
    _crop(path.parent, "-o", output, "--lossless")
    sidecar = output / "a.jpg.json"
    document = json.loads(sidecar.read_text())
    document["shots"][1]["box"] = {"x": 101, "y": 99, "width": 301, "height": 203}
    sidecar.write_text(json.dumps(document))
    for expected in ("1 done", "0 done"):
        result = CliRunner().invoke(cli, ["apply", str(output)])
        assert expected in result.stderr
    assert _sidecar(output).shots[1].box == PixelBox(96, 96, 301, 203)
    assert open_image(output / "a.jpg.medium.jpg").size == (301, 203)
    assert "0 done, 1 unchanged" in _crop(path.parent, "-o", output, "--lossless").stderr


@pytest.mark.usefixtures("jpegtran", "composer")
def test_adding_a_shot_keeps_the_boxes_of_existing_ones(tmp_path: Path, output: Path) -> None:
    _stored(tmp_path / "photos" / "a.jpg", _noise(1200, 800))
    _crop(tmp_path / "photos", "-o", output, "--lossless", "--shots", "medium")
    before = _sidecar(output).shots[1]
    _crop(tmp_path / "photos", "-o", output, "--lossless")
    assert _sidecar(output).shots[1] == before
    assert len([name for name in names_in(output) if name.endswith(".jpg")]) == 3


@pytest.mark.usefixtures("composer")
def test_without_jpegtran_crops_are_encoded_with_one_warning(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("a.jpg", "b.jpg"):
        _stored(tmp_path / "photos" / name)
    result = _crop(tmp_path / "photos", "-o", output, "--lossless")
    assert result.stderr.count(MISSING) == 1
    assert _sidecar(output).warnings == ("encoded again: jpegtran is not installed",)
    assert open_image(output / "a.jpg.close_up.jpg").format == "JPEG"
    written = (output / "a.jpg.medium.jpg").stat().st_ino
    applied = CliRunner().invoke(cli, ["apply", str(output / "a.jpg.json")])
    assert applied.exit_code == ExitCode.OK
    assert applied.stderr.count(MISSING) == 1
    assert (output / "a.jpg.medium.jpg").stat().st_ino != written


@pytest.mark.parametrize(
    ("name", "flags", "warnings"),
    [
        ("a.webp", (), ("encoded again: only crops from JPEG to JPEG are copied",)),
        ("a.jpg", ("--format", "png"), ("encoded again: only crops from JPEG to JPEG are copied",)),
        ("a.jpg", ("--max-size", "9"), ("encoded again: --max-size shrinks it",)),
        ("a.png", (), ()),
    ],
)
@pytest.mark.usefixtures("composer")
def test_crops_that_cannot_be_copied_are_encoded_with_a_warning(
    tmp_path: Path, output: Path, name: str, flags: tuple[str, ...], warnings: tuple[str, ...]
) -> None:
    write_photo(tmp_path / "photos" / name, _noise())
    _crop(tmp_path / "photos", "-o", output, "--lossless", *flags)
    assert read(output / f"{name}.json").warnings == warnings


@pytest.mark.usefixtures("composer")
@pytest.mark.parametrize(
    ("script", "reason"), [("kill -INT $$", "was stopped by signal 2"), ("kill -KILL $$", "was stopped by signal 9")]
)
def test_a_stopped_jpegtran_leaves_the_photo_to_the_next_run(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    _stored(tmp_path / "photos" / "a.jpg")
    _program(tmp_path / "bin", script, monkeypatch)
    result = CliRunner().invoke(cli, ["crop", str(tmp_path / "photos"), "-o", str(output), "--lossless"])
    assert result.exit_code == ExitCode.SOME_FAILED and reason in result.stderr
    assert not (output / "a.jpg.json").exists()


@pytest.mark.usefixtures("composer")
@pytest.mark.parametrize(
    ("run_by", "script", "reason"),
    [
        ("#!/bin/sh\n", "kill -SEGV $$", "jpegtran failed: signal 11"),
        ("", "no program", "jpegtran could not start: Exec format error"),
        ("#!/missing/interpreter\n", "", "jpegtran could not start: No such file or directory"),
    ],
)
def test_a_failing_jpegtran_does_not_fail_the_photo(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch, run_by: str, script: str, reason: str
) -> None:
    _stored(tmp_path / "photos" / "a.jpg")
    _program(tmp_path / "bin", script, monkeypatch, run_by=run_by)
    _crop(tmp_path / "photos", "-o", output, "--lossless")
    assert read(output / "a.jpg.json").warnings[0].startswith(f"encoded again: {reason}")


def test_interrupting_the_run_does_not_stop_jpegtran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, note = _stored(tmp_path / "a.jpg"), tmp_path / "session"
    script = f"import os, pathlib\npathlib.Path('{note}').write_text(str(os.getsid(0)))"
    _program(tmp_path / "bin", script, monkeypatch, run_by=f"#!{sys.executable}\n")
    with pytest.raises(LosslessError):
        _cut(path, ANYWHERE)
    assert int(note.read_text()) != os.getsid(0)


@pytest.mark.usefixtures("composer")
def test_changing_the_lossless_option_crops_again(tmp_path: Path, output: Path) -> None:
    _stored(tmp_path / "photos" / "a.jpg")
    _crop(tmp_path / "photos", "-o", output)
    assert "1 done, 0 unchanged" in _crop(tmp_path / "photos", "-o", output, "--lossless").stderr
    assert "0 done, 1 unchanged" in _crop(tmp_path / "photos", "-o", output, "--lossless").stderr
    assert "1 done, 0 unchanged" in _crop(tmp_path / "photos", "-o", output).stderr


@pytest.mark.usefixtures("jpegtran")
def test_a_photo_without_end_marker_is_cropped_without_loss(tmp_path: Path) -> None:
    path = _stored(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes()[:-2])
    photo, box, content = _cut(path, ANYWHERE)
    assert np.array_equal(_inside(Image.open(io.BytesIO(content)), 3), _inside(photo.pixels.crop(box.corners), 3))


@pytest.mark.usefixtures("jpegtran")
def test_a_crop_that_is_converted_to_srgb_is_encoded(tmp_path: Path) -> None:
    settings = CropSettings(lossless=True, to_srgb=True)
    for profile, copied in ((PROFILES["adobe rgb"], False), (None, True)):
        source = read_source(_stored(tmp_path / "a.jpg", icc_profile=profile))
        photo = decode(source)
        assert copies_blocks(photo, settings) == copied
        crop, loss = make_crop(photo, source.data, align_to_blocks(photo, ANYWHERE), settings)
        assert loss == ("" if copied else "encoded again: --to-srgb converts it")
        assert "icc_profile" not in Image.open(io.BytesIO(crop.content)).info
