import json
from dataclasses import replace
from pathlib import Path, PurePath

import pytest

from shotcrop_cli.crop_settings import CropSettings, XmpMode
from shotcrop_cli.library.name_template import NameTemplate, TemplateNames
from shotcrop_cli.library.plan import Target, Wanted, decide
from shotcrop_cli.library.source import Folder, Source
from shotcrop_cli.library.up_to_date import INDEX_NAME, Index, UpToDateCheck
from shotcrop_cli.shots import SHOT_TYPES, ShotType
from shotcrop_cli.sidecar import Sidecar, SidecarStatus, parse
from sidecar_examples import example

WANTED = Wanted("m", CropSettings())
PHOTO = (10, 20, 30, 40)
STAMP = (PHOTO, (50, 60))
FOLDER = "/photos/\udcff"


def _saved(root: Path) -> Index:
    index = Index(root, WANTED, "{name}")
    index.add("a/\udcff.jpg.json", STAMP, FOLDER, no_subject=False)
    index.add("b.jpg.json", STAMP, FOLDER, no_subject=True)
    index.save()
    return Index(root, WANTED, "{name}")


def test_the_next_run_finds_the_entries(tmp_path: Path) -> None:
    index = _saved(tmp_path)
    assert index.find("a/\udcff.jpg.json", STAMP, FOLDER) is False
    assert index.find("b.jpg.json", STAMP, FOLDER) is True
    assert index.find("c.jpg.json", STAMP, FOLDER) is None


def test_runs_that_work_at_the_same_time_add_to_one_index(tmp_path: Path) -> None:
    _saved(tmp_path)
    one, other = Index(tmp_path, WANTED, "{name}"), Index(tmp_path, WANTED, "{name}")
    for index, name, folder in ((one, "c", "/one"), (other, "d", "/other")):
        index.add(f"{name}.jpg.json", STAMP, folder, no_subject=True)
        index.save(merge=True)
    both = Index(tmp_path, WANTED, "{name}")
    for name, folder in (("b", FOLDER), ("c", "/one"), ("d", "/other")):
        assert both.find(f"{name}.jpg.json", STAMP, folder) is True
    assert both.find("c.jpg.json", STAMP, "/other") is None


def test_a_copy_in_another_folder_is_unknown(tmp_path: Path) -> None:
    index = _saved(tmp_path)
    assert index.find("b.jpg.json", STAMP, "/backup") is None
    index.add("b.jpg.json", STAMP, "/backup", no_subject=False)
    index.save()
    again = Index(tmp_path, WANTED, "{name}")
    assert again.find("b.jpg.json", STAMP, "/backup") is False
    assert again.find("b.jpg.json", STAMP, FOLDER) is None
    assert again.find("a/\udcff.jpg.json", STAMP, FOLDER) is False


@pytest.mark.parametrize("place", range(6))
def test_a_photo_or_sidecar_with_another_stamp_is_unknown(tmp_path: Path, place: int) -> None:
    one, two, three, four, five, six = (
        value + (number == place) for number, value in enumerate((*STAMP[0], *STAMP[1]))
    )
    assert _saved(tmp_path).find("b.jpg.json", ((one, two, three, four), (five, six)), FOLDER) is None


@pytest.mark.parametrize("wanted", [WANTED, replace(WANTED, model_sha256="n")])
def test_a_photo_that_another_file_replaced_under_its_size_and_time_may_have_changed(
    tmp_path: Path, wanted: Wanted
) -> None:
    _saved(tmp_path)
    index = Index(tmp_path, wanted, "{name}")
    index.add_photo("new.jpg.json", PHOTO, FOLDER)
    for path in ("b.jpg.json", "new.jpg.json"):
        assert not index.may_have_changed(path, PHOTO, FOLDER)
        assert index.may_have_changed(path, (10, 20, 31, 40), FOLDER)
        assert index.may_have_changed(path, (10, 20, 30, 41), FOLDER)
        # The sidecar tells these by size and time; and of other photos the index knows nothing.
        assert not index.may_have_changed(path, (11, 20, 31, 40), FOLDER)
        assert not index.may_have_changed(path, (10, 21, 31, 40), FOLDER)
        assert not index.may_have_changed(path, (10, 20, 31, 40), "/backup")
    assert not index.may_have_changed("unknown.json", (10, 20, 31, 40), FOLDER)


def test_a_photo_without_an_up_to_date_sidecar_is_remembered_but_not_found(tmp_path: Path) -> None:
    index = Index(tmp_path, WANTED, "{name}")
    index.add_photo("b.jpg.json", PHOTO, FOLDER)
    index.save()
    again = Index(tmp_path, WANTED, "{name}")
    assert again.find("b.jpg.json", (PHOTO, (-1, -1)), FOLDER) is None
    assert again.may_have_changed("b.jpg.json", (10, 20, 31, 40), FOLDER)


@pytest.mark.parametrize(
    ("wanted", "template"),
    [
        (replace(WANTED, model_sha256="n"), "{name}"),
        (replace(WANTED, settings=CropSettings(quality=1)), "{name}"),
        (replace(WANTED, shots=(ShotType.MEDIUM,)), "{name}"),
        (WANTED, "{stem}"),
    ],
)
def test_entries_of_another_kind_of_run_do_not_count(tmp_path: Path, wanted: Wanted, template: str) -> None:
    _saved(tmp_path)
    assert Index(tmp_path, wanted, template).find("b.jpg.json", STAMP, FOLDER) is None


@pytest.mark.parametrize("change", [lambda _: b"", lambda _: b"[]", lambda good: good[:-5], lambda _: b"\xff"])
def test_a_damaged_index_is_as_good_as_none(tmp_path: Path, change: object) -> None:
    _saved(tmp_path)
    path = tmp_path / INDEX_NAME
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    assert Index(tmp_path, WANTED, "{name}").find("b.jpg.json", STAMP, FOLDER) is None


@pytest.mark.parametrize(
    "entry",
    [
        *(None, [], "text", {"0": 1}, dict.fromkeys("abcdefgh", 1), "8 chars."),
        *([*PHOTO, 50, 60, 0], [*PHOTO, 50, 60, 0, "x"], [*PHOTO, 50, 60, -1, True], [*PHOTO, None, None, 0, True]),
    ],
)
def test_a_damaged_entry_never_says_that_there_are_no_people(tmp_path: Path, entry: object) -> None:
    _saved(tmp_path)
    path = tmp_path / INDEX_NAME
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps({**document, "photos": {"b.jpg.json": entry}}), encoding="ascii")
    for wanted in (WANTED, replace(WANTED, model_sha256="n")):
        index = Index(tmp_path, wanted, "{name}")
        assert not index.find("b.jpg.json", STAMP, FOLDER)
        assert not index.may_have_changed("b.jpg.json", PHOTO, FOLDER)


def test_nothing_new_is_not_written(tmp_path: Path) -> None:
    Index(tmp_path, WANTED, "{name}").save()
    assert list(tmp_path.iterdir()) == []


def _target(path: str = "/photos/a.jpg") -> Target:
    folder, _, name = path.rpartition("/")
    source = Source(Folder(Path(folder), PurePath()), name, 1234, 1_000)
    return Target(source, Path("/shots"), TemplateNames(NameTemplate(), ".jpg"))


def _check(content: bytes, target: Target, wanted: Wanted, missing: str = "") -> bool | None:
    """Check a sidecar, and that the full decision agrees whenever the check is sure."""
    present = {target.sidecar_name, *target.crop_names, *(f"{name}.xmp" for name in target.crop_names)} - {missing}
    no_subject = UpToDateCheck(wanted).check(content, target, present)
    if no_subject is not None:
        task = decide(target, parse(content), present, wanted, lambda: "")
        assert (task.is_due, task.no_subject) == (False, no_subject)
    return no_subject


CURRENT = Wanted("d" * 64, CropSettings())


def test_a_sidecar_as_written_is_up_to_date() -> None:
    assert _check(example().to_bytes(), _target(), CURRENT) is False


def test_a_sidecar_in_another_layout_is_up_to_date() -> None:
    document = json.loads(example().to_bytes())
    content = json.dumps(dict(reversed(document.items())), separators=(",", ":")).encode()
    assert _check(content, _target(), CURRENT) is False


def test_a_photo_without_people_is_up_to_date() -> None:
    sidecar = replace(example(), status=SidecarStatus.NO_SUBJECT, shots=())
    assert _check(sidecar.to_bytes(), _target(), CURRENT) is True


def test_a_shot_without_a_crop_matters_only_if_it_is_asked_for() -> None:
    first, *others = example().shots
    content = replace(example(), shots=(replace(first, file=None, size=None), *others)).to_bytes()
    missing = first.file or ""
    assert _check(content, _target(), CURRENT, missing) is None
    assert _check(content, _target(), replace(CURRENT, shots=SHOT_TYPES[1:]), missing) is False


@pytest.mark.parametrize(
    "changed",
    [
        replace(example(), source=replace(example().source, size_bytes=1235)),
        replace(example(), source=replace(example().source, mtime="1970-01-01T00:00:00.000002Z")),
        replace(example(), source=replace(example().source, path="/photos/b.jpg")),
        replace(example(), model=replace(example().model, sha256="e" * 64)),
        replace(example(), settings=CropSettings(quality=94)),
        replace(example(), shots=(replace(example().shots[0], file="b.jpg"), *example().shots[1:])),
    ],
)
def test_anything_else_needs_the_whole_sidecar(changed: Sidecar) -> None:
    assert _check(changed.to_bytes(), _target(), CURRENT) is None


@pytest.mark.parametrize("missing", ["a.jpg.medium.jpg", "a.jpg.medium.jpg.xmp"])
def test_a_missing_file_needs_the_whole_sidecar(missing: str) -> None:
    settings = CropSettings(xmp=XmpMode.SIDECAR)
    content = replace(example(), settings=settings).to_bytes()
    assert _check(content, _target(), Wanted("d" * 64, settings)) is False
    assert _check(content, _target(), Wanted("d" * 64, settings), missing) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        example().to_bytes().replace(b"shotcrop/1", b"shotcrop/2"),
        example().to_bytes().replace(b'"shot": "medium"', b'"shot": "close_up"'),
        example().to_bytes().replace(b'"status": "done"', b'"status": "no_subject"'),
        example("/photos/\udcff.jpg").to_bytes(),
    ],
)
def test_what_is_not_a_plain_sidecar_needs_the_whole_sidecar(content: bytes) -> None:
    assert _check(content, _target(), CURRENT) is None
