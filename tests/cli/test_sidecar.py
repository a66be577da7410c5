import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from shotcrop_cli.crop_facts import CropFacts, Part, Who
from shotcrop_cli.crop_settings import CropSettings, XmpMode
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.framing import Aspect, Framing
from shotcrop_cli.imaging.formats import CropFormat
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.shots import Box, Person, Shot, ShotType
from shotcrop_cli.sidecar import (
    iso_mtime,
    parse,
    read,
)
from sidecar_examples import SCHEMA, example


@given(caption=st.text(), path=st.text(st.characters(codec="utf-8"), min_size=1))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, caption: str, path: str) -> None:
    file = tmp_path_factory.getbasetemp() / "a.json"
    sidecar = example(path, caption)
    file.write_bytes(sidecar.to_bytes())
    assert read(file) == sidecar


def test_it_conforms_to_the_shipped_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA.schema)
    SCHEMA.validate(json.loads(example().to_bytes()))


@pytest.mark.parametrize(
    ("key", "value"), [("status", "failed"), ("shots", []), ("schema", "shotcrop/2"), ("extra", 1)]
)
def test_the_schema_refuses_what_is_wrong(key: str, value: object) -> None:
    assert not SCHEMA.is_valid({**json.loads(example().to_bytes()), key: value})


def test_people_are_read_back_in_their_order() -> None:
    boxes = [Box(0.1 * i, 0.2, 0.5 + 0.1 * i, 0.9) for i in range(3)]
    shots = tuple(Shot(kind, box, score=0.5) for kind, box in zip(ShotType, boxes, strict=True))
    people = (Person(boxes[0], boxes[1], None, 0.75, shots), Person(None, None, None, 0.25, shots))
    sidecar = replace(example(), people=people)
    document = json.loads(sidecar.to_bytes())
    SCHEMA.validate(document)
    assert list(document["people"][0]) == ["probability", "body", "head", "face", "shots"]
    assert document["people"][0]["shots"][1] == {"shot": "medium", "model_box": [0.1, 0.2, 0.6, 0.9], "score": 0.5}
    assert parse(sidecar.to_bytes()) == sidecar


def test_what_is_known_of_the_crops_of_people_is_read_back() -> None:
    shots = tuple(Shot(kind, Box(0.1, 0.2, 0.5, 0.9), score=0.5) for kind in ShotType)
    facts = (CropFacts(Who.PEOPLE), CropFacts(Who.ONE, colour="red"), CropFacts(Who.ONE, Part.FACE))
    sidecar = replace(example(), people=(Person(None, None, None, 0.5, shots, facts=facts),))
    document = json.loads(sidecar.to_bytes())
    SCHEMA.validate(document)
    assert document["people"][0]["shots"][1]["facts"] == {"who": "one", "colour": "red"}
    assert parse(sidecar.to_bytes()) == sidecar and sidecar.facts_about("person1") == facts
    assert sidecar.facts_about("person2") == sidecar.facts_about("group") == ()
    document["people"][0]["shots"][1]["facts"] = {"who": "a robot"}
    assert parse(json.dumps(document).encode()).people[0].facts == ()


def test_a_sidecar_of_an_earlier_version_has_no_people() -> None:
    document = json.loads(example().to_bytes())
    assert document.pop("people") == []
    SCHEMA.validate(document)
    assert parse(json.dumps(document).encode()) == example()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"probability": 1.5}, "people[0].probability"),
        ({"name": 5}, "people[0].name"),
        ({"nickname": "Ana"}, "people[0]"),
        ({"face": [0, 0, 1]}, "people[0].face"),
        ({"shots": []}, "people[0].shots"),
    ],
)
def test_wrong_people_are_named(change: dict[str, object], complaint: str) -> None:
    shots = tuple(Shot(kind, Box(0.1, 0.1, 0.9, 0.9)) for kind in ShotType)
    document = json.loads(replace(example(), people=(Person(None, None, None, 0.5, shots),)).to_bytes())
    document["people"][0] |= change
    with pytest.raises(ValueError) as caught:
        parse(json.dumps(document).encode())
    assert str(caught.value).startswith(complaint)


def test_keys_come_in_the_documented_order() -> None:
    document = json.loads(example().to_bytes())
    assert list(document) == [
        "schema",
        "status",
        "source",
        "model",
        "settings",
        "lead",
        "people",
        "reasoning",
        "shots",
        "rejected",
        "warnings",
        "timing_ms",
        "shotcrop",
        "created",
    ]
    assert list(document["source"]) == [
        "path",
        "size_bytes",
        "mtime",
        "sha256",
        "format",
        "width",
        "height",
        "exif_orientation",
        "captured_at",
        "camera",
        "lens",
        "has_gps",
    ]
    assert list(document["shots"][0]) == [
        "shot",
        "box",
        "box_norm",
        "model_box",
        "file",
        "size",
        "caption",
        "score",
        "edited",
        "text_edited",
        "rejected",
        "retouched",
        "written",
    ]


def test_it_is_utf8_with_two_spaces() -> None:
    content = example(caption="Grüße 写真").to_bytes()
    assert "Grüße 写真" in content.decode("utf-8")
    assert content.startswith(b'{\n  "schema": "shotcrop/1",\n')


def test_file_names_that_are_no_utf8_survive(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(example(path="/photos/\udcff.jpg").to_bytes())
    path.read_bytes().decode("utf-8")
    assert read(path).source.path == "/photos/\udcff.jpg"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "Expecting value"),
        (b"[]", 'the document: .* is not of type "object"'),
        (b'{"schema": "shotcrop/9"}', "its schema is 'shotcrop/9'"),
        (b"\xff\xfe", "utf"),
        (b"[" * 100_000, "recursion"),
        (b" " * 2_000_000, "far too large"),
        (
            example().to_bytes().replace(b'"width": 30', b'"width": "30"', 1),
            r'shots\[0\]\.box\.width: "30" is not of type "integer"',
        ),
        (example().to_bytes().replace(b'"size_bytes": 1234', b'"size_bytes": true'), "source.size_bytes"),
        (example().to_bytes().replace(b'"close_up"', b'"far_away"'), r'shots\[2\]\.shot: "close_up" was expected'),
        (
            example().to_bytes().replace(b'"width": 100', b'"width": 1' + b"0" * 400),
            "a number is too large: int too large to convert to float",
        ),
        (example().to_bytes().replace(b"0.1,", b"", 1), "lead.body: .* has less than 4 items"),
        (example().to_bytes().replace(b"0.4,", b"0.05,", 1), "box must have"),
        (example().to_bytes().replace(b'"x": 10', b'"x": 71'), "the box of establishing is not inside the photo"),
        (
            example().to_bytes().replace(b'"1:1"', b'"0:1"').replace(b'"aspect": {}', b'"aspect": {"medium": "0:1"}'),
            "0:1",
        ),
    ],
)
def test_a_damaged_sidecar_is_named_with_its_fault(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ShotcropError, match=f"(?i){complaint}") as caught:
        read(path)
    assert caught.value.message.startswith(str(path))


def test_a_missing_sidecar_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "a.json")


def test_timing_and_creation_may_be_left_out(tmp_path: Path) -> None:
    document = json.loads(example().to_bytes())
    del document["timing_ms"], document["created"]
    SCHEMA.validate(document)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert read(path).timing_ms is None
    assert read(path).created is None


def test_file_times_are_exact_to_the_microsecond() -> None:
    assert iso_mtime(1_700_000_000_123_456_789) == "2023-11-14T22:13:20.123456Z"
    assert iso_mtime(-1_000_000_000) == "1969-12-31T23:59:59.000000Z"
    assert iso_mtime(1 << 70).startswith("9999-12-31T23:59:59")


@pytest.mark.parametrize(
    "changed",
    [
        CropSettings(quality=94),
        CropSettings(format=CropFormat.PNG),
        CropSettings(metadata=MetadataPolicy.NONE),
        CropSettings(xmp=XmpMode.SIDECAR),
        CropSettings(max_size=1000),
        CropSettings(lossless=True),
        CropSettings(to_srgb=True),
        CropSettings(framing=Framing(pad=0.1)),
        CropSettings(framing=Framing(min_size=100)),
        CropSettings(framing=Framing(aspects=((ShotType.MEDIUM, Aspect(4, 5)),))),
    ],
)
def test_every_setting_changes_the_hash_and_is_read_back(tmp_path: Path, changed: CropSettings) -> None:
    assert changed.hash != CropSettings().hash == CropSettings(quality="same").hash
    path = tmp_path / "a.json"
    path.write_bytes(replace(example(), settings=changed).to_bytes())
    SCHEMA.validate(json.loads(path.read_bytes()))
    assert read(path).settings == changed
