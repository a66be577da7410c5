from __future__ import annotations

import builtins
import csv
import importlib.util
import json
import os
import re
import tracemalloc
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from conftest import FakeComposer, no_people, write_photo
from shotcrop_cli.errors import ExitCode, OutputError, ShotcropError
from shotcrop_cli.interchange import manifest_table
from shotcrop_cli.interchange.crop_rows import COLUMNS, CropRow, rows_of
from shotcrop_cli.interchange.manifest_table import check_manifest, write_manifest
from shotcrop_cli.interchange.recorded_photo import RecordedPhoto, recorded_photos
from shotcrop_cli.library.output_folder import LOCK_NAME
from shotcrop_cli.main import cli
from shotcrop_cli.shots import SHOT_TYPES

PAGE = Path(__file__).parents[3] / "docs" / "results.md"
pytestmark = pytest.mark.usefixtures("composer")


def run(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result


def edit(sidecar: Path, change: dict[str, object], shot: int | None = None) -> None:
    document = json.loads(sidecar.read_bytes())
    (document if shot is None else document["shots"][shot]).update(change)
    sidecar.write_text(json.dumps(document), "utf-8")


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def rows(root: Path) -> list[CropRow]:
    return [row for photo in recorded_photos(root) if isinstance(photo, RecordedPhoto) for row in rows_of(photo)]


@pytest.fixture
def shots(photos: Path, output: Path, composer: FakeComposer) -> Path:
    """Return an output folder with two photos of people and one without."""
    write_photo(photos / "b.jpg")
    write_photo(photos / "2026" / "a.jpg")
    run("crop", photos, "-o", output)
    composer.answer = no_people
    write_photo(photos / "empty.jpg")
    run("crop", photos, "-o", output)
    return output


def test_each_column_is_explained_in_order() -> None:
    section = PAGE.read_text("utf-8").partition("| column |")[2].partition("\n\n")[0]
    named = [
        name for cell in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(.*?)`", cell)
    ]
    assert tuple(named) == COLUMNS


def test_a_manifest_says_what_the_sidecars_say(shots: Path, tmp_path: Path) -> None:
    path = tmp_path / "crops.jsonl"
    assert run("export", shots, "--manifest", path).stdout == f"{path}\n"
    found = lines(path)
    assert [(row["sidecar"], row["shot"]) for row in found] == [
        *(("b.jpg.json", str(shot)) for shot in SHOT_TYPES),
        ("empty.jpg.json", None),
        *(("2026/a.jpg.json", str(shot)) for shot in SHOT_TYPES),
    ]
    for row in found:
        assert tuple(row) == COLUMNS
        record = json.loads((shots / str(row["sidecar"])).read_bytes())
        assert (row["photo"], row["status"]) == (record["source"]["path"], record["status"])
        assert (row["photo_width"], row["photo_height"]) == (record["source"]["width"], record["source"]["height"])
        assert (row["model"], row["model_sha256"]) == (record["model"]["id"], record["model"]["sha256"])
        if row["shot"] is None:
            assert row["status"] == "no_subject"
            assert {row[name] for name in COLUMNS[COLUMNS.index("shot") : COLUMNS.index("edited")]} == {None}
            continue
        shot = next(shot for shot in record["shots"] if shot["shot"] == row["shot"])
        assert [row[f"box_{side}"] for side in ("x", "y", "width", "height")] == list(shot["box"].values())
        assert [row[f"box_{side}"] for side in ("x0", "y0", "x1", "y1")] == shot["box_norm"]
        assert (row["width"], row["height"]) == (shot["size"]["width"], shot["size"]["height"])
        assert (row["caption"], row["score"]) == (shot["caption"], shot["score"])
        assert row["alt_text"] == shot.get("alt_text", "")
        assert (shots / str(row["file"])).is_file()


def test_all_formats_hold_the_same_rows(shots: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    for suffix in ("csv", "jsonl", "parquet"):
        run("export", shots, "--manifest", tmp_path / f"crops.{suffix}")
    expected = lines(tmp_path / "crops.jsonl")
    read = parquet.read_table(tmp_path / "crops.parquet")
    assert read.to_pylist() == expected
    assert str(read.schema.field("box_x").type) == "int64"
    assert str(read.schema.field("score").type) == "double"
    assert str(read.schema.field("edited").type) == "bool"
    text = {None: "", True: "true", False: "false"}
    as_text = [
        {key: text[value] if value is None or isinstance(value, bool) else str(value) for key, value in row.items()}
        for row in expected
    ]
    assert table(tmp_path / "crops.csv") == as_text


def test_parquet_is_written_in_groups_of_rows(shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(manifest_table, "_ROWS_PER_GROUP", 3)
    write_manifest(tmp_path / "a.parquet", rows(shots))
    assert parquet.ParquetFile(tmp_path / "a.parquet").num_row_groups == 3
    assert parquet.read_table(tmp_path / "a.parquet").to_pylist() == [asdict(row) for row in rows(shots)]


def test_what_a_person_did_is_in_the_manifest(shots: Path, tmp_path: Path) -> None:
    edit(shots / "b.jpg.json", {"box": {"x": 1, "y": 2, "width": 30, "height": 40}}, shot=0)
    (shots / "b.jpg.medium.jpg").unlink()
    edit(shots / "2026" / "a.jpg.json", {"rejected": True})
    run("export", shots, "--manifest", tmp_path / "crops.jsonl")
    edit(shots / "b.jpg.json", {"alt_text": "Ana laughs."}, shot=2)
    run("export", shots, "--manifest", tmp_path / "crops.jsonl")
    wide, medium, close, empty, *others = lines(tmp_path / "crops.jsonl")
    assert wide["edited"] is True
    assert (wide["box_x"], wide["box_height"]) == (1, 40)
    assert (wide["box_x0"], wide["box_y1"]) == (round(1 / 120, 6), round(42 / 80, 6))
    assert (medium["rejected"], medium["file"], medium["width"]) == (True, None, None)
    assert (close["rejected"], close["alt_text"], empty["rejected"]) == (False, "Ana laughs.", False)
    assert [row["rejected"] for row in others] == [True, True, True]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " =", "\t=", "\uff1d"])
def test_no_cell_of_a_csv_is_a_formula(start: str, shots: Path, tmp_path: Path) -> None:
    evil = start + 'HYPERLINK("http://example.org", "x")\n'
    path = tmp_path / "a.csv"
    write_manifest(path, [replace(rows(shots)[0], caption=evil, score=None)])
    (row,) = table(path)
    assert row["caption"] == f"'{evil}"
    write_manifest(path.with_suffix(".jsonl"), [replace(rows(shots)[0], caption=evil)])
    assert lines(path.with_suffix(".jsonl"))[0]["caption"] == evil


def test_harmless_texts_stay_as_they_are_in_a_csv(shots: Path, tmp_path: Path) -> None:
    for caption in ('A man, "Jo",\nlaughing', "Zoë – 中", "", "   ", "1 = 1"):
        write_manifest(tmp_path / "a.csv", [replace(rows(shots)[0], caption=caption)])
        assert table(tmp_path / "a.csv")[0]["caption"] == caption


def test_spreadsheets_recognise_the_encoding_of_a_csv(shots: Path, tmp_path: Path) -> None:
    run("export", shots, "--manifest", tmp_path / "a.CSV")
    content = (tmp_path / "a.CSV").read_bytes()
    assert content.startswith(b"\xef\xbb\xbfphoto,photo_width,")
    assert content.count(b"\xef\xbb\xbf") == 1
    assert content.count(b"\r\n") == 8


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_name_that_is_not_utf8_can_be_written(suffix: str, shots: Path, tmp_path: Path) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"a.{suffix}"
    write_manifest(path, [replace(rows(shots)[0], photo=os.fsdecode(b"/photos/\xff.jpg"))])
    assert b"\\udcff" in path.read_bytes()


def test_equal_folders_give_equal_manifests(shots: Path, tmp_path: Path) -> None:
    for name in ("1.csv", "2.csv"):
        run("export", shots, "--manifest", tmp_path / name)
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_large_manifest_is_not_held_in_memory(suffix: str, shots: Path, tmp_path: Path) -> None:
    row = rows(shots)[0]
    many = 1_500

    def stream() -> Iterator[CropRow]:
        for number in range(many):
            yield replace(row, caption=f"{number} " + "x" * 600)

    tracemalloc.start()
    assert write_manifest(tmp_path / f"a.{suffix}", stream()) == many
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / f"a.{suffix}").stat().st_size > many * 600
    assert peak < many * 600 / 4


def test_a_manifest_that_fails_leaves_the_last_one(shots: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("last", "utf-8")

    def broken() -> Iterator[CropRow]:
        yield rows(shots)[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"a\.csv: cannot be written: No space left"):
        write_manifest(path, broken())
    assert path.read_text("utf-8") == "last"
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["a.csv"]


def test_a_link_stays_and_a_pipe_is_written(shots: Path, tmp_path: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "real.jsonl")
    run("export", shots, "--manifest", tmp_path / "link.jsonl")
    assert (tmp_path / "link.jsonl").is_symlink()
    assert len(lines(tmp_path / "real.jsonl")) == 7
    os.mkfifo(tmp_path / "pipe.jsonl")
    reader = os.open(tmp_path / "pipe.jsonl", os.O_RDONLY | os.O_NONBLOCK)
    run("export", shots, "--manifest", tmp_path / "pipe.jsonl")
    assert os.read(reader, 1 << 16).count(b"\n") == 7
    os.close(reader)


def test_a_sidecar_that_cannot_be_read_is_named_once_and_left_out(shots: Path, tmp_path: Path) -> None:
    (shots / "b.jpg.json").write_text("{", "utf-8")
    result = run("export", shots, "--manifest", tmp_path / "a.jsonl", code=ExitCode.SOME_FAILED)
    assert result.stderr.count("b.jpg.json: not a sidecar") == 1
    assert len(lines(tmp_path / "a.jsonl")) == 4


def test_a_sidecar_cannot_name_a_file_elsewhere(shots: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"")
    edit(shots / "b.jpg.json", {"file": "../secret.jpg"}, shot=0)
    assert rows(shots)[0].file is None


def test_missing_pyarrow_is_said_before_the_work(
    photos: Path, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photo(photos / "a.jpg")
    found = importlib.util.find_spec
    monkeypatch.setattr(manifest_table, "find_spec", lambda name: None if name == "pyarrow" else found(name))
    result = run("crop", photos, "-o", output, "--manifest", tmp_path / "a.parquet", code=ExitCode.USAGE)
    assert "a.parquet: Parquet support is not installed. Fix: " in result.stderr
    assert "shotcrop-cli[" in result.stderr and "parquet" in result.stderr.partition("Fix:")[2]
    assert not output.exists()


def test_csv_needs_no_pyarrow(shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: object, **options: object) -> object:
        assert not name.startswith("pyarrow")
        return real(name, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    run("export", shots, "--manifest", tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["a.txt", "a", "a.json"])
def test_other_suffixes_are_refused(name: str, shots: Path, tmp_path: Path) -> None:
    result = run("export", shots, "--manifest", tmp_path / name, code=ExitCode.USAGE)
    assert "use .csv, .jsonl or .parquet" in result.stderr
    assert not (tmp_path / name).exists()


def test_a_folder_or_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "a.csv", tmp_path / "file" / "b.csv"):
        with pytest.raises(OutputError):
            check_manifest(path)
    check_manifest(tmp_path / "new" / "folder" / "b.csv")
    assert not (tmp_path / "new").exists()


def test_a_folder_without_sidecars_is_an_error_that_names_the_fix(tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    (tmp_path / "shots" / LOCK_NAME).touch()
    result = run("export", tmp_path / "shots", "--manifest", tmp_path / "a.csv", code=ExitCode.USAGE)
    assert "there is no sidecar in this folder" in result.stderr
    assert not (tmp_path / "a.csv").exists()
    assert "Name a file to write" in run("export", tmp_path, code=ExitCode.USAGE).stderr


def test_crop_writes_the_manifest_also_after_a_failure(photos: Path, output: Path, tmp_path: Path) -> None:
    write_photo(photos / "a.jpg")
    (photos / "broken.jpg").write_bytes(b"no photo")
    path = tmp_path / "a.jsonl"
    result = run("crop", photos, "-o", output, "--manifest", path, code=ExitCode.SOME_FAILED)
    assert f"3 rows in {path}" in result.stderr
    assert {row["photo"] for row in lines(path)} == {str(photos / "a.jpg")}
    write_photo(photos / "b.jpg")
    run("crop", photos / "b.jpg", "-o", output, "--manifest", path)
    assert len(lines(path)) == 6  # the photos of earlier runs, too


def test_a_dry_run_writes_no_manifest(photos: Path, output: Path, tmp_path: Path) -> None:
    write_photo(photos / "a.jpg")
    run("crop", photos, "-o", output, "--dry-run", "--manifest", tmp_path / "a.csv")
    assert not (tmp_path / "a.csv").exists()


def test_a_manifest_in_the_output_folder_does_not_disturb_later_runs(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    run("crop", photos, "-o", output, "--manifest", output / "crops.jsonl")
    assert "1 unchanged" in run("crop", photos, "-o", output, "--manifest", output / "crops.jsonl").stderr
    assert len(lines(output / "crops.jsonl")) == 3


def test_an_error_is_one_that_the_user_can_fix() -> None:
    with pytest.raises(ShotcropError) as caught:
        check_manifest(Path("a.xlsx"))
    assert caught.value.exit_code is ExitCode.USAGE
