import io
import re
import struct
import subprocess
import sys
import threading
import weakref
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import shotcrop_cli
from conftest import FIXED_BOXES, FakeComposer, jpeg_bytes, no_people, open_image, picture, rich_exif, write_photo
from shotcrop_cli import Cropper, CropResult, InputError, NoPeopleError, PhotoError
from shotcrop_cli.imaging.in_memory import photo_of_image
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.shots import FULL_FRAME, SHOT_TYPES, Box, Composition, Grounding, PixelBox, Shot, ShotType
from shotcrop_cli.shots import Person as FoundPerson

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(
    r"<!-- example: (\w+) -->\n```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text("utf-8"), re.DOTALL
)


@pytest.fixture
def cropper(composer: FakeComposer, monkeypatch: pytest.MonkeyPatch) -> Cropper:
    monkeypatch.setattr("shotcrop_cli.cropper.find_model", lambda _model, *, offline: None)
    monkeypatch.setattr("shotcrop_cli.cropper.load_on_devices", lambda *_: composer)
    return Cropper()


@pytest.mark.parametrize("name", shotcrop_cli.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(shotcrop_cli, name) is not None
    assert name in dir(shotcrop_cli)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Croper'"):
        shotcrop_cli.Croper  # noqa: B018


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ("numpy", "PIL", "onnxruntime", "torch", "transformers", "click")
    script = f"import sys, shotcrop_cli; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"


@pytest.mark.parametrize(("name", "code"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_the_examples_of_the_docs_run(
    name: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    portrait = (ROOT / "examples" / "photos" / "astronaut.jpg").read_bytes()
    (tmp_path / "photos").mkdir()
    for path in ("photo.jpg", "photos/a.jpg", "photos/b.jpg"):
        (tmp_path / path).write_bytes(portrait)
    (tmp_path / "photos" / "c.jpg").write_bytes(b"no photo")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, f"docs/python.md:{name}", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    if name == "one":
        assert "PixelBox(" in printed
        assert open_image(tmp_path / "close-up.jpg").format == "JPEG"
    elif name == "many":
        assert printed.count("PixelBox(") == 2
        assert "c.jpg" in printed
    elif name == "library":
        assert "2 cropped, 1 failed" in printed
        assert (tmp_path / "shots" / "a.jpg.close_up.jpg").is_file()


def test_the_docs_have_five_examples() -> None:
    assert len(EXAMPLES) == 5


def test_a_crop_is_where_its_box_says(cropper: Cropper) -> None:
    image = picture(400, 300)
    result = cropper.crop(image)
    assert (result.width, result.height) == (400, 300)
    for crop, box in zip(result.crops, FIXED_BOXES.values(), strict=True):
        assert crop.box.corners == tuple(
            round(side * size) for side, size in zip(box, (400, 300, 400, 300), strict=True)
        )
        assert np.array_equal(np.asarray(crop.image), np.asarray(image.crop(crop.box.corners)))
    assert result["medium"] is result.medium
    assert result.has_people


def test_every_kind_of_input_gives_the_same_crop(cropper: Cropper, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    picture(320, 240).save(path)
    data = path.read_bytes()
    with path.open("rb") as file:
        results = [
            cropper.crop(photo)
            for photo in (
                path,
                str(path),
                data,
                file,
                io.BytesIO(data),
                Image.open(path),
                np.asarray(picture(320, 240)),
            )
        ]
    first = np.asarray(results[0].close_up.image)
    assert all(np.array_equal(np.asarray(result.close_up.image), first) for result in results)


def test_orientation_is_applied_to_files_and_images(cropper: Cropper) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = jpeg_bytes(picture(400, 300), exif=exif.tobytes())
    for photo in (data, Image.open(io.BytesIO(data))):
        result = cropper.crop(photo)
        assert (result.width, result.height) == (300, 400)


def test_the_colour_profile_stays_with_the_crop(cropper: Cropper, tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = jpeg_bytes(picture(400, 300), icc_profile=profile)
    crop = cropper.crop(data).medium
    assert crop.image.info["icc_profile"] == profile
    for suffix in (".jpg", ".png", ".webp", ".tif"):
        crop.save(tmp_path / f"crop{suffix}")
        assert open_image(tmp_path / f"crop{suffix}").info["icc_profile"] == profile


def test_a_transparent_colour_stays_with_the_crop(cropper: Cropper) -> None:
    image = Image.new("RGB", (80, 60), (1, 2, 3))
    image.info |= {"transparency": (1, 2, 3), "comment": "about the whole photo"}
    crop = cropper.crop(image).medium.image
    assert crop.info == {"transparency": (1, 2, 3)}
    assert crop.convert("RGBA").getextrema()[3] == (0, 0)


def test_saving_keeps_metadata_by_the_policy(cropper: Cropper, tmp_path: Path) -> None:
    crop = cropper.crop(jpeg_bytes(picture(400, 300), exif=rich_exif(jpeg_bytes(picture(16, 12))))).medium
    kept = {}
    for policy in ("safe", "all", "none"):
        crop.save(tmp_path / "crop.jpg", metadata=policy)
        kept[policy] = open_image(tmp_path / "crop.jpg").getexif()
    assert dict(kept["none"]) == {}
    assert not kept["safe"].get_ifd(0x8825)
    assert kept["all"].get_ifd(0x8825)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("crop.gif",), "crop.gif"),
        (("crop",), "crop"),
        (("crop.jpg", 0), "quality=0"),
        (("crop.jpg", "best"), "quality='best'"),
        (("crop.jpg", 95, "some"), "metadata='some'"),
    ],
)
def test_saving_with_a_wrong_argument_names_it(
    cropper: Cropper, tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    name, *rest = arguments
    with pytest.raises(InputError, match=message):
        cropper.crop(picture(100, 100)).medium.save(
            tmp_path / str(name),
            **dict(zip(("quality", "metadata"), rest, strict=False)),  # type: ignore[arg-type]
        )
    assert list(tmp_path.iterdir()) == []


def test_a_photo_without_people_has_no_crops(cropper: Cropper, composer: FakeComposer) -> None:
    composer.answer = no_people
    result = cropper.crop(picture(100, 100))
    assert not result.has_people
    assert result.crops == result.people == ()
    with pytest.raises(NoPeopleError, match="no people"):
        _ = result.close_up


def test_ratios_hold_for_all_shots_or_by_shot(cropper: Cropper) -> None:
    square = cropper.crop(picture(400, 300), aspect="1:1")
    assert all(crop.box.width == crop.box.height for crop in square.crops)
    one = cropper.crop(picture(400, 300), aspect={"close_up": "1:1"})
    assert one.close_up.box.width == one.close_up.box.height
    assert one.medium.box == cropper.crop(picture(400, 300)).medium.box


def test_a_wish_that_the_photo_cannot_meet_is_a_warning(cropper: Cropper) -> None:
    result = cropper.crop(picture(100, 80), min_size=500)
    assert any("not 500" in warning for warning in result.warnings)


@pytest.mark.parametrize(
    "arguments",
    [{"aspect": "wide"}, {"aspect": {"closeup": "1:1"}}, {"pad": 2.0}, {"min_size": 0}, {"aspect": "0:1"}],
)
def test_wrong_framing_is_an_input_error(cropper: Cropper, arguments: dict[str, object]) -> None:
    with pytest.raises(InputError):
        cropper.crop(picture(100, 100), **arguments)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        cropper.crop_many([], **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint16)],
)
def test_an_array_that_is_no_photo_says_its_shape_and_type(cropper: Cropper, array: "np.ndarray") -> None:  # type: ignore[type-arg]
    with pytest.raises(InputError, match="array: shape"):
        cropper.crop(array)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((40, 60), np.uint8),
        np.zeros((40, 60, 1), np.uint8),
        np.zeros((40, 60), np.uint16),
        np.zeros((40, 60, 4), np.uint8),
    ],
)
def test_grey_deep_and_transparent_arrays_are_photos(cropper: Cropper, array: "np.ndarray") -> None:  # type: ignore[type-arg]
    assert (cropper.crop(array).width, cropper.crop(array).height) == (60, 40)


def test_wrong_types_are_type_errors(cropper: Cropper) -> None:
    with pytest.raises(TypeError, match="not int"):
        cropper.crop(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="binary mode"):
        cropper.crop(io.StringIO("text"))  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [b"", b"no photo", jpeg_bytes(picture(64, 64))[:200]])
def test_broken_bytes_are_a_photo_error(cropper: Cropper, data: bytes) -> None:
    with pytest.raises(PhotoError):
        cropper.crop(data)


class GoneFile(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError("the disk is gone")


def _closed(file: io.BytesIO) -> io.BytesIO:
    file.close()
    return file


def _closed_image(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.close()
    return image


@pytest.mark.parametrize(
    "photo",
    [
        _closed(io.BytesIO(b"x")),
        GoneFile(),
        _closed_image(jpeg_bytes(picture(64, 64))),
        Image.open(io.BytesIO(jpeg_bytes(picture(200, 200))[:2000])),
    ],
    ids=["closed file", "lost file", "closed image", "truncated image"],
)
def test_an_open_photo_that_cannot_be_read_does_not_end_a_stream(
    cropper: Cropper, photo: "io.BytesIO | Image.Image"
) -> None:
    first, second, third = cropper.crop_many([picture(40, 40), photo, picture(40, 40)])
    assert isinstance(second, PhotoError)
    assert "cannot be read" in str(second)
    assert isinstance(first, CropResult)
    assert isinstance(third, CropResult)


@pytest.mark.parametrize("exif", [b"Exif\0\0no TIFF", "text"])
def test_damaged_exif_data_of_an_image_turn_nothing(cropper: Cropper, exif: object) -> None:
    image = picture(60, 40)
    image.info["exif"] = exif
    assert cropper.crop(image).width == 60


@pytest.mark.parametrize("orientation", ["abc", (6, 6), 70000])
def test_an_impossible_orientation_turns_nothing(cropper: Cropper, orientation: object) -> None:
    image = picture(60, 40)
    image.getexif()[0x0112] = orientation
    assert cropper.crop(image).width == 60


@pytest.mark.parametrize("name", ["", "/"])
def test_an_open_file_needs_no_name(cropper: Cropper, name: str) -> None:
    file = io.BytesIO(jpeg_bytes(picture(60, 40)))
    file.name = name  # type: ignore[attr-defined]
    assert cropper.crop(file).width == 60


def test_bytes_with_too_many_pixels_say_so(cropper: Cropper, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Cropper(max_pixels=2_000_000)
    for photo in (jpeg_bytes(picture(2000, 1100)), io.BytesIO(jpeg_bytes(picture(2000, 1100)))):
        with pytest.raises(PhotoError, match=r"has 2\.2 megapixels, more than 2 megapixels"):
            small.crop(photo)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)  # Pillow warns from here, refuses from twice that
    crop = cropper.crop(jpeg_bytes(picture(2000, 1100))).establishing
    assert crop.image.size == (crop.box.width, crop.box.height)


def test_only_heic_needs_pillow_heif(cropper: Cropper, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ImportError("libheif.so: cannot open shared object file")

    monkeypatch.setattr("shotcrop_cli.imaging.open_image.register_heif", broken)
    assert cropper.crop(jpeg_bytes(picture(60, 40))).width == 60


def test_a_stream_holds_one_batch(cropper: Cropper, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[weakref.ref[object]] = []
    most = 0

    def load(photo: Image.Image, max_pixels: int) -> Photo:
        nonlocal most
        loaded = photo_of_image(photo)
        held.append(weakref.ref(loaded.pixels))
        most = max(most, sum(pixels() is not None for pixels in held))
        return loaded

    monkeypatch.setattr("shotcrop_cli.cropper._load_or_error", load)
    for result in cropper.crop_many([picture(40, 40) for _ in range(12)], batch_size=3):
        del result
    assert len(held) == 12
    assert most <= 3


def test_a_missing_file_is_a_photo_error_that_names_it(cropper: Cropper, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"missing\.jpg"):
        cropper.crop(tmp_path / "missing.jpg")


@pytest.mark.parametrize("path", ["a\0.jpg", "\ud800.jpg"])
def test_a_path_that_no_file_can_have_is_a_photo_error(cropper: Cropper, path: str) -> None:
    with pytest.raises(PhotoError, match=r"cannot be read: .*Fix: check the path"):
        cropper.crop(path)


def test_a_stream_keeps_its_order_and_yields_errors(cropper: Cropper, tmp_path: Path) -> None:
    paths = [write_photo(tmp_path / f"{index}.jpg", picture(100 + index, 80)) for index in range(5)]
    paths[2].write_bytes(b"broken")
    results = list(cropper.crop_many(paths, batch_size=2))
    assert isinstance(results[2], PhotoError)
    widths = [result.width for result in results if isinstance(result, CropResult)]
    assert widths == [100, 101, 103, 104]


def test_a_stream_takes_only_what_it_needs(cropper: Cropper) -> None:
    taken: list[int] = []

    def photos() -> object:
        for index in range(100):
            taken.append(index)
            yield picture(40, 40)

    stream = cropper.crop_many(photos(), batch_size=4)  # type: ignore[arg-type]
    next(stream)
    assert len(taken) == 4


def test_people_are_in_pixels_of_the_upright_photo(cropper: Cropper, composer: FakeComposer) -> None:
    grounding = Grounding(main_person=FIXED_BOXES[ShotType.MEDIUM], head=FIXED_BOXES[ShotType.CLOSE_UP])
    shots = tuple(Shot(kind, FULL_FRAME) for kind in SHOT_TYPES)
    composer.answer = lambda *_: Composition(shots, grounding=grounding)
    (person,) = cropper.crop(picture(200, 100)).people
    assert person.body is not None and person.head is not None
    assert person.body.corners == tuple(
        round(a * b) for a, b in zip(FIXED_BOXES[ShotType.MEDIUM], (200, 100, 200, 100), strict=True)
    )


def test_everybody_is_reported_with_crops_of_their_own(cropper: Cropper, composer: FakeComposer) -> None:
    left, right = Box(0.1, 0.2, 0.4, 1.0), Box(0.6, 0.2, 0.9, 1.0)
    shots = tuple(Shot(kind, FULL_FRAME, "everybody") for kind in SHOT_TYPES)
    people = tuple(
        FoundPerson(body, None, body, probability, tuple(Shot(kind, body, score=0.5) for kind in SHOT_TYPES))
        for body, probability in ((right, 0.7), (left, 0.3))
    )
    composer.answer = lambda *_: Composition(shots, people=people)
    result = cropper.crop(picture(200, 100), aspect={"close_up": "1:1"})
    assert result.medium.box.corners == (0, 0, 200, 100)
    main, other = result.people
    assert main.head is None
    assert main.body == main.face == PixelBox(120, 20, 60, 80) and other.body == PixelBox(20, 20, 60, 80)
    assert (main.probability, other.probability) == (0.7, 0.3)
    wide, medium, close_up = other.crops
    assert wide.box == medium.box == other.body and medium.image.size == (60, 80)
    assert close_up.box.width == close_up.box.height
    assert (medium.caption, medium.score) == ("", 0.5)


def test_threads_share_a_cropper(cropper: Cropper, composer: FakeComposer) -> None:
    inside, most = 0, 0
    answer = composer.compose

    def compose(*arguments: object) -> object:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        try:
            return answer(*arguments)  # type: ignore[arg-type]
        finally:
            inside -= 1

    composer.compose = compose  # type: ignore[method-assign, assignment]
    results: list[CropResult] = []
    threads = [threading.Thread(target=lambda: results.append(cropper.crop(picture(80, 60)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert most == 1


def test_the_image_of_an_hdr_photo_has_standard_range(cropper: Cropper, tmp_path: Path) -> None:
    content = write_photo(tmp_path / "a.png").read_bytes()
    chunk = b"cICP" + bytes((9, 16, 0, 1))
    (tmp_path / "a.png").write_bytes(
        content[:33] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[33:]
    )
    image = cropper.crop(tmp_path / "a.png").establishing.image
    assert "BT.2020".encode("utf-16-be") in image.info["icc_profile"]
    assert np.asarray(image).max() == 255  # the brightest of the photo
    cropper.crop(tmp_path / "a.png").medium.save(tmp_path / "b.jpg", to_srgb=True)
    assert "icc_profile" not in open_image(tmp_path / "b.jpg").info
