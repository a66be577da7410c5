"""`shotcrop crop --no-images` writes sidecars; a later run makes the crops from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from conftest import FakeComposer, names_in, no_people, picture, write_photo
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.library.plan import SIDECAR_SUFFIX
from shotcrop_cli.main import cli
from shotcrop_cli.pipeline import steps

pytestmark = pytest.mark.usefixtures("composer")


def crop(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, ["crop", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def record(output: Path, name: str = "a.jpg") -> dict[str, object]:
    document: dict[str, object] = json.loads((output / f"{name}{SIDECAR_SUFFIX}").read_bytes())
    return document


def shots(output: Path, name: str = "a.jpg") -> list[dict[str, object]]:
    found = record(output, name)["shots"]
    assert isinstance(found, list)
    return found


def files(output: Path) -> list[str]:
    return [name for name in names_in(output) if not name.startswith(".shotcrop")]


def test_only_sidecars_are_written_and_a_later_run_crops_from_them(
    photos: Path, output: Path, tmp_path: Path, composer: FakeComposer
) -> None:
    write_photo(photos / "a.jpg")
    result = crop(photos, "-o", output, "--no-images")
    assert "1 done, 0 unchanged" in result.stderr
    assert result.stderr.splitlines()[-1].endswith("To make the crops, run the same command without --no-images.")
    assert files(output) == ["a.jpg.json"]
    assert [(shot["file"], shot["size"]) for shot in shots(output)] == [(None, None)] * 3
    assert [shot["caption"] for shot in shots(output)] != [""] * 3
    composer.seen.clear()
    crop(photos, "-o", output)
    assert composer.seen == []
    crop(photos, "-o", tmp_path / "direct")
    assert files(output) == files(tmp_path / "direct")
    keys = ("box", "box_norm", "model_box", "file", "size", "caption", "score", "written")
    for one, other in zip(shots(output), shots(tmp_path / "direct"), strict=True):
        assert [one[key] for key in keys] == [other[key] for key in keys]
        name = str(one["file"])
        assert (output / name).read_bytes() == (tmp_path / "direct" / name).read_bytes()


@pytest.mark.parametrize("answer", [None, no_people])
def test_a_second_run_without_images_does_nothing(
    answer: object, photos: Path, output: Path, composer: FakeComposer
) -> None:
    if answer is not None:
        composer.answer = no_people
    write_photo(photos / "a.jpg")
    crop(photos, "-o", output, "--no-images")
    composer.seen.clear()
    for removed in ((), (".shotcrop.index",)):
        for name in removed:
            (output / name).unlink()
        assert "0 done, 1 unchanged, 0 without people" in crop(photos, "-o", output, "--no-images").stderr
    assert composer.seen == []


def test_boxes_of_lossless_crops_start_at_the_same_blocks(photos: Path, output: Path, tmp_path: Path) -> None:
    for orientation in (1, 3, 6, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        write_photo(photos / f"{orientation}.jpg", picture(603, 457), exif=exif)
    crop(photos, "-o", output, "--lossless", "--no-images")
    crop(photos, "-o", tmp_path / "direct", "--lossless")
    for orientation in (1, 3, 6, 8):
        name = f"{orientation}.jpg"
        boxes = [
            [(shot["box"], shot["box_norm"]) for shot in shots(root, name)] for root in (output, tmp_path / "direct")
        ]
        assert boxes[0] == boxes[1]
    crop(photos, "-o", output, "--lossless")
    for path in (tmp_path / "direct").glob("*.jpg"):
        assert path.read_bytes() == (output / path.name).read_bytes()


def test_changed_settings_change_the_boxes_without_the_model(
    photos: Path, output: Path, tmp_path: Path, composer: FakeComposer
) -> None:
    write_photo(photos / "a.jpg")
    crop(photos, "-o", output, "--no-images")
    composer.seen.clear()
    before = shots(output)
    crop(photos, "-o", output, "--no-images", "--aspect", "1:1")
    assert composer.seen == []
    assert files(output) == ["a.jpg.json"]
    assert [shot["box"] for shot in shots(output)] != [shot["box"] for shot in before]
    assert "1 unchanged" in crop(photos, "-o", output, "--no-images", "--aspect", "1:1").stderr
    crop(photos, "-o", tmp_path / "direct", "--aspect", "1:1")
    assert [shot["box"] for shot in shots(output)] == [shot["box"] for shot in shots(tmp_path / "direct")]


def test_the_model_sees_changed_photos_again_and_a_person_keeps_their_box(
    photos: Path, output: Path, composer: FakeComposer
) -> None:
    write_photo(photos / "a.jpg")
    crop(photos, "-o", output, "--no-images")
    document = record(output)
    edited = {"x": 1, "y": 2, "width": 30, "height": 20}
    document["shots"][0]["box"] = edited  # type: ignore[index]
    (output / "a.jpg.json").write_text(json.dumps(document), "utf-8")
    composer.seen.clear()
    composer.sha256 = "cd" * 32
    crop(photos, "-o", output, "--no-images")
    assert composer.seen == []
    assert shots(output)[0]["box"] == edited
    crop(photos, "-o", output)
    with Image.open(output / str(shots(output)[0]["file"])) as image:
        assert image.size == (30, 20)
    write_photo(photos / "b.jpg")
    crop(photos, "-o", output, "--no-images")
    write_photo(photos / "b.jpg", picture(60, 60))
    composer.seen.clear()
    crop(photos, "-o", output, "--no-images")
    assert len(composer.seen) == 1
    assert record(output, "b.jpg")["source"]["width"] == 60  # type: ignore[index]


def test_rejected_photos_stay_rejected(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    crop(photos, "-o", output, "--no-images")
    document = record(output)
    (output / "a.jpg.json").write_text(json.dumps({**document, "rejected": True}), "utf-8")
    assert "1 unchanged" in crop(photos, "-o", output, "--no-images", "--aspect", "1:1").stderr
    assert "3 rejected crops left out" in crop(photos, "-o", output).stderr
    assert files(output) == ["a.jpg.json"]


def test_crops_that_exist_are_kept_up_to_date(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    crop(photos, "-o", output, "--shots", "medium")
    before = (output / "a.jpg.medium.jpg").read_bytes()
    assert "1 unchanged" in crop(photos, "-o", output, "--no-images").stderr
    crop(photos, "-o", output, "--no-images", "--quality", "20")
    assert files(output) == ["a.jpg.json", "a.jpg.medium.jpg"]
    assert (output / "a.jpg.medium.jpg").read_bytes() != before


def test_shots_and_no_images_exclude_each_other(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    result = crop(photos, "-o", output, "--no-images", "--shots", "medium", code=ExitCode.USAGE)
    assert "--no-images makes no shots" in result.stderr


def test_a_dry_run_names_the_sidecar(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    result = crop(photos, "-o", output, "--no-images", "--dry-run")
    assert result.stdout == f"{photos / 'a.jpg'} -> {output / 'a.jpg.json'} (new)\n"


def test_a_photo_that_is_gone_is_listed(photos: Path, output: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        write_photo(photos / name, picture(64, 64 + len(name) + ord(name[0])))
    crop(photos, "-o", output, "--no-images")
    (photos / "a.jpg").unlink()
    assert "it is gone, but its sidecar is still there" in crop(photos, "-o", output, "--no-images").stderr


def test_a_damaged_photo_still_fails(photos: Path, output: Path) -> None:
    content = write_photo(photos / "a.jpg", picture(1200, 900)).read_bytes()
    (photos / "a.jpg").write_bytes(content[: len(content) // 2])
    assert "failed" in crop(photos, "-o", output, "--no-images", code=ExitCode.SOME_FAILED).stderr


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_reduced_photo_is_the_same_photo(orientation: int, mode: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write_photo(tmp_path / "a.jpg", picture(330, 211).convert(mode), exif=exif)
    source = read_source(path)
    whole, reduced = decode(source), decode(source, least_sides=(50, 50))
    assert (reduced.width, reduced.height) == (whole.width, whole.height) == (reduced.full_size)
    assert max(reduced.pixels.size) == 83
    assert min(reduced.pixels.size) == 53
    assert reduced.pixels.mode == whole.pixels.mode
    assert (reduced.block_size, reduced.subsampling, reduced.orientation) == (
        (whole.block_size, whole.subsampling, whole.orientation)
    )
    small = whole.pixels.resize(reduced.pixels.size, Image.Resampling.BOX)
    pairs = zip(small.tobytes(), reduced.pixels.tobytes(), strict=True)
    assert sum(abs(a - b) for a, b in pairs) / len(small.tobytes()) < 6


def test_other_formats_and_small_photos_are_decoded_whole(tmp_path: Path) -> None:
    for name, least in (("a.png", (10, 10)), ("a.jpg", (41, 41)), ("b.jpg", (1, 61))):
        photo = decode(read_source(write_photo(tmp_path / name)), least_sides=least)
        assert photo.full_size is None
        assert photo.pixels.size == (120, 80)


def test_photos_are_reduced_only_without_crops(photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def spy(*arguments: object, least_sides: object = None) -> object:
        asked.append(least_sides)
        return decode(*arguments, least_sides=least_sides)  # type: ignore[arg-type]

    monkeypatch.setattr(steps, "decode", spy)
    write_photo(photos / "a.jpg", picture(1200, 900))
    crop(photos, "-o", output, "--no-images")
    crop(photos, "-o", output)
    assert asked == [(128, 128), None]
