import json
from dataclasses import replace
from pathlib import Path

import pytest

from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.library.plan import Wanted
from shotcrop_cli.library.up_to_date import INDEX_NAME, Index
from shotcrop_cli.shots import ShotType

WANTED = Wanted("m", CropSettings())
LOOK = (10, 20, 30, 40)
FOLDER = "/photos/\udcff"


def _saved(root: Path) -> Index:
    index = Index(root, WANTED, "{name}")
    index.add("a/\udcff.jpg.json", LOOK, FOLDER, nobody=False)
    index.add("b.jpg.json", LOOK, FOLDER, nobody=True)
    index.save()
    return Index(root, WANTED, "{name}")


def test_what_was_seen_is_recalled_by_the_next_run(tmp_path: Path) -> None:
    index = _saved(tmp_path)
    assert index.recall("a/\udcff.jpg.json", LOOK, FOLDER) is False
    assert index.recall("b.jpg.json", LOOK, FOLDER) is True
    assert index.recall("c.jpg.json", LOOK, FOLDER) is None


def test_a_copy_in_another_folder_is_unknown(tmp_path: Path) -> None:
    index = _saved(tmp_path)
    assert index.recall("b.jpg.json", LOOK, "/backup") is None
    index.add("b.jpg.json", LOOK, "/backup", nobody=False)
    index.save()
    again = Index(tmp_path, WANTED, "{name}")
    assert again.recall("b.jpg.json", LOOK, "/backup") is False
    assert again.recall("b.jpg.json", LOOK, FOLDER) is None
    assert again.recall("a/\udcff.jpg.json", LOOK, FOLDER) is False


@pytest.mark.parametrize("place", range(4))
def test_a_photo_or_sidecar_that_looks_otherwise_is_unknown(tmp_path: Path, place: int) -> None:
    other = tuple(value + (number == place) for number, value in enumerate(LOOK))
    assert _saved(tmp_path).recall("b.jpg.json", other, FOLDER) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "template"),
    [
        (replace(WANTED, model_sha256="n"), "{name}"),
        (replace(WANTED, settings=CropSettings(quality=1)), "{name}"),
        (replace(WANTED, shots=(ShotType.MEDIUM,)), "{name}"),
        (WANTED, "{stem}"),
    ],
)
def test_what_was_seen_for_another_run_does_not_count(tmp_path: Path, wanted: Wanted, template: str) -> None:
    _saved(tmp_path)
    assert Index(tmp_path, wanted, template).recall("b.jpg.json", LOOK, FOLDER) is None


@pytest.mark.parametrize("change", [lambda _: b"", lambda _: b"[]", lambda good: good[:-5], lambda _: b"\xff"])
def test_a_damaged_index_is_as_good_as_none(tmp_path: Path, change: object) -> None:
    _saved(tmp_path)
    path = tmp_path / INDEX_NAME
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    assert Index(tmp_path, WANTED, "{name}").recall("b.jpg.json", LOOK, FOLDER) is None


@pytest.mark.parametrize(
    "entry", [None, [], [10, 20, 30, 40, 0], [10, 20, 30, 40, 0, "x"], [10, 20, 30, 40, -1, True], "text", {"0": 1}]
)
def test_a_damaged_entry_never_claims_that_nobody_was_seen(tmp_path: Path, entry: object) -> None:
    _saved(tmp_path)
    path = tmp_path / INDEX_NAME
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps({**document, "photos": {"b.jpg.json": entry}}), encoding="ascii")
    assert not Index(tmp_path, WANTED, "{name}").recall("b.jpg.json", LOOK, FOLDER)


def test_nothing_new_is_not_written(tmp_path: Path) -> None:
    Index(tmp_path, WANTED, "{name}").save()
    assert list(tmp_path.iterdir()) == []
