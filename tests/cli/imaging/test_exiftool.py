"""What an independent reader finds in crops of photos that an independent writer described."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pillow_heif
import pytest

from camera_files import dng
from colour_profiles import PROFILES
from conftest import jpeg_bytes, picture, rich_exif, write_photo
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.encode import encode_crop
from shotcrop_cli.imaging.formats import CropFormat, output_format
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.shots import PixelBox

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not on PATH"),
]

_SOURCES = ["a.jpg", "a.png", "a.webp", "a.tif", "a.avif", "a.heic", "a.dng"]
_FORMS = list(CropFormat)
_POLICIES = list(MetadataPolicy)
_LAYOUT = {
    *("BitsPerSample", "Compression", "ImageHeight", "ImageWidth", "PhotometricInterpretation", "PlanarConfiguration"),
    *("RowsPerStrip", "SamplesPerPixel", "StripByteCounts", "StripOffsets", "ExifByteOrder", "SampleFormat"),
    "Predictor",
}
"""EXIF tags that any TIFF has."""
_UNKNOWN_RESOLUTION = {"XResolution": 1, "YResolution": 1, "ResolutionUnit": 1}
"""TIFF requires these, too. The values say nothing."""


def _exiftool(*arguments: object) -> str:
    done = subprocess.run(["exiftool", "-m", *map(str, arguments)], capture_output=True, text=True, check=True)
    return done.stdout


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    """Return every tag of every file in a folder, by `Group:Name`, doubles and unknown ones included."""
    found = json.loads(_exiftool("-j", "-G", "-a", "-u", "-n", "-ee", folder))
    return {Path(tags["SourceFile"]).name: tags for tags in found}


def _describe(path: Path, thumbnail: Path) -> None:
    places = ["-EXIF:GPSLatitude=47.5", "-EXIF:GPSLatitudeRef=N", "-EXIF:GPSLongitude=8.5", "-EXIF:GPSLongitudeRef=E"]
    texts = [
        "-XMP-dc:Title=Ana",
        "-XMP-photoshop:City=Zurich",
        "-XMP-exif:GPSLatitude=47.5",
        "-XMP-tiff:Orientation#=6",
    ]
    if path.suffix in (".jpg", ".png", ".tif"):
        texts += ["-IPTC:City=Zurich", "-IPTC:Caption-Abstract=Ana am Fluss"]
    if path.suffix in (".jpg", ".png"):
        texts += ["-Comment=by hand"]
    texts += [f"-XMP-xmp:ThumbnailImage<={thumbnail}", "-XMP-xmp:ThumbnailFormat=JPEG"]
    _exiftool("-q", "-overwrite_original", "-EXIF:LensModel=RF85mm", *places, *texts, path)
    if path.suffix in (".jpg", ".tif"):
        _exiftool("-q", "-overwrite_original", f"-EXIF:ThumbnailImage<={thumbnail}", path)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write one photo of each format, richly described."""
    pytest.importorskip("rawpy", reason="needs the extra `raw`")
    pillow_heif.register_heif_opener()
    folder = tmp_path_factory.mktemp("photos")
    thumbnail = tmp_path_factory.mktemp("thumbnail") / "t.jpg"
    thumbnail.write_bytes(jpeg_bytes(picture(16, 12)))
    for name in _SOURCES:
        if name == "a.dng":
            (folder / name).write_bytes(dng(picture()))
        else:
            exif = rich_exif(thumbnail.read_bytes())
            write_photo(folder / name, icc_profile=PROFILES["display p3"], exif=exif)
        _describe(folder / name, thumbnail)
    return folder


@pytest.fixture(scope="module")
def crops(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Crop every photo in every format with every policy and return what exiftool finds."""
    folder = tmp_path_factory.mktemp("crops")
    for name in _SOURCES:
        photo = decode(read_source(photos / name))
        for form in _FORMS:
            for policy in _POLICIES:
                crop = encode_crop(photo, PixelBox(10, 20, 60, 40), form=form, quality=95, policy=policy, max_size=30)
                suffix = output_format(photo.format, form).suffix
                (folder / f"{name}.{form}.{policy}{suffix}").write_bytes(crop.content)
    return _read(folder)


def _tags(crops: dict[str, dict[str, Any]], name: str, form: CropFormat, policy: MetadataPolicy) -> dict[str, Any]:
    (tags,) = (tags for crop, tags in crops.items() if crop.startswith(f"{name}.{form}.{policy}."))
    assert "ExifTool:Error" not in tags
    assert "ExifTool:Warning" not in tags
    return tags


def test_the_sample_photos_contain_what_must_be_removed(photos: Path) -> None:
    found = _read(photos)
    assert set(found) == set(_SOURCES)
    for name, tags in found.items():
        assert any("GPSLatitude" in tag for tag in tags), name
        assert any("ThumbnailImage" in tag for tag in tags), name
        assert (b"secret maker note" in (photos / name).read_bytes()) == (name != "a.dng")


@pytest.mark.parametrize("policy", _POLICIES)
@pytest.mark.parametrize("form", _FORMS)
@pytest.mark.parametrize("name", _SOURCES)
def test_no_policy_keeps_images_or_maker_notes(
    crops: dict[str, dict[str, Any]], name: str, form: CropFormat, policy: MetadataPolicy
) -> None:
    for tag in _tags(crops, name, form, policy):
        for leak in ("Thumbnail", "Preview", "JpgFromRaw", "MakerNote", "OtherImage", "DNG"):
            assert leak not in tag, tag


@pytest.mark.parametrize("policy", _POLICIES)
@pytest.mark.parametrize("form", _FORMS)
@pytest.mark.parametrize("name", _SOURCES)
def test_crops_have_their_own_orientation_size_and_colours(
    crops: dict[str, dict[str, Any]], name: str, form: CropFormat, policy: MetadataPolicy
) -> None:
    tags = _tags(crops, name, form, policy)
    assert tags["Composite:ImageSize"] in ("30 20", "30x20")
    for tag, value in tags.items():
        group, _, key = tag.partition(":")
        if key in ("Orientation", "Rotation"):
            assert value == (1 if key == "Orientation" else 0), tag
        if key == "ExifImageWidth":
            assert value == 30
        if key == "ExifImageHeight":
            assert value == 20
        assert group != "ICC_Profile" or name != "a.dng"
    if name != "a.dng":
        assert tags["ICC_Profile:ProfileDescription"] == "Display P3 like"


@pytest.mark.parametrize("form", _FORMS)
@pytest.mark.parametrize("name", _SOURCES)
def test_safe_policy_keeps_descriptions_but_no_gps(
    crops: dict[str, dict[str, Any]], name: str, form: CropFormat
) -> None:
    tags = _tags(crops, name, form, MetadataPolicy.SAFE)
    assert not [tag for tag in tags if "GPS" in tag]
    assert tags["EXIF:Model"] == "Canon EOS R5"
    assert tags["EXIF:LensModel"] == "RF85mm"
    assert (tags["XMP:Title"], tags["XMP:City"]) == ("Ana", "Zurich")
    if name in ("a.jpg", "a.png", "a.tif"):
        assert (tags["IPTC:City"], tags["IPTC:Caption-Abstract"]) == ("Zurich", "Ana am Fluss")


@pytest.mark.parametrize("form", _FORMS)
@pytest.mark.parametrize("name", _SOURCES)
def test_all_policy_keeps_gps(crops: dict[str, dict[str, Any]], name: str, form: CropFormat) -> None:
    tags = _tags(crops, name, form, MetadataPolicy.ALL)
    assert (tags["EXIF:GPSLatitude"], tags["EXIF:GPSLongitude"]) == (47.5, 8.5)
    assert tags["XMP:GPSLatitude"] == 47.5


@pytest.mark.parametrize("form", _FORMS)
@pytest.mark.parametrize("name", _SOURCES)
def test_none_policy_keeps_only_colour(crops: dict[str, dict[str, Any]], name: str, form: CropFormat) -> None:
    for tag, value in _tags(crops, name, form, MetadataPolicy.NONE).items():
        group, _, key = tag.partition(":")
        assert group not in ("IPTC", "XMP", "MakerNotes", "Photoshop"), tag
        assert group != "EXIF" or key in _LAYOUT or _UNKNOWN_RESOLUTION.get(key) == value, tag
        assert key != "Comment", tag


def test_comments_are_kept_where_the_format_has_them(crops: dict[str, dict[str, Any]]) -> None:
    for name in ("a.jpg", "a.png"):
        for form, group in ((CropFormat.JPEG, "File"), (CropFormat.PNG, "PNG")):
            assert _tags(crops, name, form, MetadataPolicy.SAFE)[f"{group}:Comment"] == "by hand"


def _complaints(path: Path) -> set[str]:
    done = subprocess.run(["exiftool", "-validate", "-warning", "-error", "-a", "-j", path], capture_output=True)
    (tags,) = json.loads(done.stdout)
    found = [tags.get(name, []) for name in ("Warning", "Error")]
    return {text for texts in found for text in ([texts] if isinstance(texts, str) else texts)}


@pytest.fixture(scope="module")
def valid_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write photos as valid as exiftool makes them."""
    pillow_heif.register_heif_opener()
    folder = tmp_path_factory.mktemp("valid")
    of_camera = ["-EXIF:Make=Canon", "-EXIF:ExposureTime=1/250", "-EXIF:DateTimeOriginal=2024:05:06 07:08:09"]
    of_camera += ["-EXIF:CreateDate=2024:05:06 07:08:09", "-EXIF:UserComment=Grüße", "-EXIF:LensInfo=24 70 2.8 2.8"]
    described = ["-XMP-dc:Title=Ana", "-XMP-xmpMM:DocumentID=xmp.did:1", "-EXIF:YCbCrPositioning#=2"]
    for name in ("a.jpg", "gray.jpg", "a.png", "a.webp", "a.tif", "lzw.tif", "a.avif", "a.heic"):
        options = {"compression": "tiff_lzw"} if name == "lzw.tif" else {}
        image = picture().convert("L") if name == "gray.jpg" else picture()
        write_photo(folder / name, image, **options)
        texts = ["-IPTC:City=Zurich"] if name.endswith((".jpg", ".png", ".tif")) else []
        _exiftool("-q", "-overwrite_original", *of_camera, *described, *texts, folder / name)
    return folder


@pytest.mark.parametrize("form", _FORMS)
@pytest.mark.parametrize("name", ["a.jpg", "gray.jpg", "a.png", "a.webp", "a.tif", "lzw.tif", "a.avif", "a.heic"])
def test_exiftool_finds_no_more_faults_in_crops_than_in_photos(
    valid_photos: Path, tmp_path: Path, name: str, form: CropFormat
) -> None:
    photo = decode(read_source(valid_photos / name))
    crop = encode_crop(photo, PixelBox(10, 20, 60, 40), form=form, quality=95, policy=MetadataPolicy.SAFE)
    path = tmp_path / f"crop{output_format(photo.format, form).suffix}"
    path.write_bytes(crop.content)
    # exiftool 12.57 calls the Deflate compression invalid, which Adobe added to TIFF.
    beyond_baseline = {"Invalid value for IFD0 tag 0x0103 Compression"}
    assert _complaints(path) - beyond_baseline <= _complaints(valid_photos / name)
