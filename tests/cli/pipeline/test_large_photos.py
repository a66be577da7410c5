"""Large photos are in memory one at a time, and their limit can be changed."""

import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from camera_files import orientation_exif
from conftest import FakeComposer, open_image, picture, write_photo
from shotcrop_cli.imaging import decode as decoding
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.imaging.pixels import cropped
from shotcrop_cli.main import cli
from shotcrop_cli.pipeline import steps
from shotcrop_cli.sidecar import read


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def _photos(folder: Path) -> None:
    for orientation in (1, 6):
        for name in ("a.jpg", "b.png"):
            path = folder / str(orientation) / name
            write_photo(path, picture(240, 160), exif=orientation_exif(orientation))


def _crops(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("options", [(), ("--lossless",)])
@pytest.mark.usefixtures("composer")
def test_large_photos_get_the_same_crops(
    photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    _photos(photos)
    results = []
    for limit in (60_000_000, 100):
        monkeypatch.setattr(decoding, "_LARGE_PHOTO_PIXELS", limit)
        assert _run("crop", photos, "-o", output / str(limit), "--reproducible", *options).exit_code == 0
        results.append(_crops(output / str(limit)))
    assert results[0] == results[1]
    assert len([name for name in results[0] if name.endswith(".json")]) == 4


@pytest.mark.usefixtures("composer")
def test_only_one_large_photo_is_in_memory(photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_LARGE_PHOTO_PIXELS", 100)
    for number in range(6):
        write_photo(photos / f"{number}.png")
    held: list[weakref.ref[Image.Image]] = []
    most: list[int] = []
    lock, decode = threading.Lock(), steps.decode

    def watched(*arguments: object, **options: object) -> Photo:
        photo = decode(*arguments, **options)  # type: ignore[arg-type]
        with lock:
            held.append(weakref.ref(photo.pixels))
            most.append(sum(pixels() is not None for pixels in held))
        return photo

    monkeypatch.setattr(steps, "decode", watched)
    assert _run("crop", photos, "-o", output, "-j", 4).exit_code == 0
    assert most == [1] * 12  # each is decoded for the model and again for its crops


def test_a_large_photo_that_changes_during_the_run_fails(
    photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch, composer: FakeComposer
) -> None:
    monkeypatch.setattr(decoding, "_LARGE_PHOTO_PIXELS", 100)
    path = write_photo(photos / "a.png")
    answer = composer.answer

    def change(image: Image.Image, aspect: float) -> object:
        write_photo(path, picture(90, 90))
        return answer(image, aspect)

    composer.answer = change  # type: ignore[assignment]
    result = _run("crop", photos, "-o", output)
    assert result.exit_code == 1
    assert "the photo changed during the run" in result.stderr
    assert not (output / "a.png.json").exists()


@pytest.mark.usefixtures("composer")
def test_max_pixels_is_the_limit(photos: Path, output: Path) -> None:
    write_photo(photos / "a.png", picture(1000, 1000))
    for limit in ("999999", "0MP", "x"):
        result = _run("crop", photos, "-o", output, "--max-pixels", limit)
        assert result.exit_code == (1 if limit == "999999" else 2)
        expected = "has 1 megapixels, more than 1 megapixels" if limit == "999999" else "not a number of pixels"
        assert expected in result.stderr
    assert _run("crop", photos, "-o", output, "--max-pixels", "1MP").exit_code == 0
    assert read(output / "a.png.json").source.width == 1000
    (output / "a.png.medium.png").unlink()
    assert _run("apply", output / "a.png.json", "--max-pixels", "10").exit_code == 1


@pytest.mark.usefixtures("composer")
def test_pillows_own_limit_does_not_count(photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photo(photos / "a.png", picture(400, 300).convert("P"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow warns from here, refuses from twice that
    assert _run("crop", photos, "-o", output).exit_code == 0
    monkeypatch.undo()
    box = read(output / "a.png.json").shots[0].box
    expected = open_image(photos / "a.png").convert("RGB").crop(box.corners)
    crop = open_image(output / "a.png.establishing.png").convert("RGB")
    assert np.array_equal(np.asarray(crop), np.asarray(expected))


_MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "F", "I;16"]


@pytest.mark.parametrize("mode", _MODES)
def test_large_parts_have_the_same_pixels(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    gray = picture().convert("L")
    images = {"I;16": gray.convert("I").convert("I;16"), "La": gray.convert("LA").convert("La")}
    image = images.get(mode) or (Image.new("LAB", gray.size, (90, 100, 110)) if mode == "LAB" else picture())
    image = image if mode in (*images, "LAB") else (gray if mode in ("LA", "PA", "I", "F") else image).convert(mode)
    expected = image.crop((10, 20, 70, 60))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    part = cropped(image, (10, 20, 70, 60))
    assert (part.mode, part.tobytes()) == (expected.mode, expected.tobytes())
    assert part.getpalette() == expected.getpalette()
