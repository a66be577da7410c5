from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path

import pytest

from conftest import write_photo
from shards import add, rows_of, write_parquets, write_tar, write_tars
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.shards import ParquetShard, Shard, TarShard

ROW = {"width": 30, "height": 20}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset of ten rows, some without people."""
    folder = tmp_path / "train"
    rows = [
        ROW | {"file_name": f"{number}.jpg", "source": "made"} | ({"no_subject": True} if number % 3 else {})
        for number in range(10)
    ]
    for row in rows:
        write_photo(folder / str(row["file_name"]))
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return folder


def tar(path: Path) -> TarShard:
    return TarShard(str(path), lambda: path.open("rb"))


def parquet(path: Path) -> ParquetShard:
    pytest.importorskip("pyarrow")
    return ParquetShard(str(path), lambda: path.open("rb"), path.parent)


def shard_of(kind: str, folder: Path, tmp_path: Path) -> Shard:
    if kind == "tar":
        return tar(write_tars(folder, str(tmp_path / "train-{}.tar"), 1)[0])
    pytest.importorskip("pyarrow")
    return parquet(write_parquets(folder, str(tmp_path / "train-{}.parquet"), 1)[0])


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_shard_gives_the_rows_and_photos_of_the_folder(kind: str, folder: Path, tmp_path: Path) -> None:
    shard = shard_of(kind, folder, tmp_path)
    shard.check()
    given = [(dict(row.content), row.read()) for row in shard.rows()]
    assert [(row, photo) for row, photo in given] == rows_of(folder)
    assert [row.number for row in shard.rows(7)] == [7, 8, 9, 10]
    bare = list(shard.rows(7, photos=False))
    assert [row.record for row in bare] == [row.record for row in shard.rows(7)]
    assert bare[0].record.path == Path(shard.name) / "6.jpg" and bare[0].record.no_subject is False


@pytest.mark.parametrize("kind", ["tar", "parquet"])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_torn_shard_is_named_in_one_line(kind: str, share: float, folder: Path, tmp_path: Path) -> None:
    shard = shard_of(kind, folder, tmp_path)
    path = Path(shard.name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    if kind == "parquet" or len(content) * (1 - share) > 10240:  # Less is only padding behind the end of a tar archive.
        with pytest.raises(ShotcropError, match=rf"^{path} cannot be read: .*Fix: copy or download"):
            list(shard.rows())
        with pytest.raises(ShotcropError, match=f"^{path} cannot be read"):
            shard.check()


def test_an_archive_that_is_cut_off_or_damaged_between_two_files_is_found(folder: Path, tmp_path: Path) -> None:
    shard = tar(tmp_path / "train.tar")
    write_tar(Path(shard.name), rows_of(folder))
    with tarfile.open(shard.name) as archive:
        third = archive.getmembers()[4].offset
    content = Path(shard.name).read_bytes()
    Path(shard.name).write_bytes(content[:third])
    with pytest.raises(ShotcropError, match="its end is missing"):
        list(shard.rows())
    Path(shard.name).write_bytes(content[:third] + b"\xff" * 512 + content[third + 512 :])
    shard.check()
    with pytest.raises(ShotcropError, match="no readable file after row 2"):
        list(shard.rows())


def test_parts_of_samples_and_other_files_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "train.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, "README.md", b"about")
        add(archive, "./ana/a.b.json", json.dumps(ROW).encode())
        add(archive, "./ana/a.b.JPG", b"photo")
        add(archive, "./ana/a.txt", b"words")
        add(archive, "./ana/._a.jpg", b"resource fork")
        add(archive, "b.seg.png", b"mask")
        add(archive, "b.png", b"photo b")
        add(archive, "b.json", json.dumps(ROW | {"file_name": "mine.png"}).encode())
    rows = list(tar(path).rows())
    assert [row.read() for row in rows] == [b"photo", b"photo b"]
    assert [row.content["file_name"] for row in rows] == ["./ana/a.b.JPG", "mine.png"]


def broken_tar(path: Path, *files: tuple[str, bytes]) -> Shard:
    with tarfile.open(path, "w") as archive:
        for name, content in files:
            add(archive, name, content)
    return tar(path)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([("a.jpg", b"photo")], r"row 1 \(a\): it has no .json"),
        ([("a.json", json.dumps(ROW).encode())], r"row 1 \(a\): it holds no photo"),
        ([("a.jpg", b"photo"), ("a.json", b"{")], r"row 1 \(a\): Expecting property"),
        ([("a.jpg", b"photo"), ("a.json", b"[]")], "the row must be a JSON object"),
        ([("a.jpg", b"photo"), ("a.json", b'{"width": 0, "height": 2}')], "width must be a whole number"),
    ],
)
def test_a_sample_that_is_no_row_is_named(files: list[tuple[str, bytes]], said: str, tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match=said):
        list(broken_tar(tmp_path / "train.tar", *files).rows())


def test_parquet_files_without_photos_are_refused_and_paths_of_this_machine_are_read(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow
    from pyarrow.parquet import write_table

    def written(*rows: dict[str, object]) -> ParquetShard:
        write_table(pyarrow.Table.from_pylist(list(rows)), tmp_path / "train.parquet")
        return parquet(tmp_path / "train.parquet")

    with pytest.raises(ShotcropError, match=r"train.parquet has no image column"):
        list(written(ROW | {"image": "a.jpg"}).rows())
    gone = ROW | {"image": {"bytes": None, "path": "/gone/a.jpg"}}
    with pytest.raises(ShotcropError, match=r"row 1: it holds no photo, and there is no file /gone/a.jpg"):
        list(written(gone).rows())
    with pytest.raises(ShotcropError, match="row 2: it holds no photo"):
        list(written(ROW | {"image": {"bytes": b"photo", "path": None}}, ROW | {"image": None}).rows())
    (nameless,) = written(ROW | {"image": {"bytes": b"photo", "path": None}}).rows()
    assert nameless.content["file_name"] == "train-000001.jpg"
    photo = write_photo(tmp_path / "photos" / "a.jpg")
    near, far = written(
        ROW | {"image": {"bytes": None, "path": str(photo)}}, ROW | {"image": {"bytes": None, "path": "photos/a.jpg"}}
    ).rows()
    assert near.read() == far.read() == photo.read_bytes()
    assert [near.content["file_name"], far.content["file_name"]] == ["a.jpg", "photos/a.jpg"]


def test_reading_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    path = tmp_path / "train.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(ShotcropError, match=r"needs the package 'pyarrow.*parquet"):
        list(ParquetShard(str(path), lambda: path.open("rb")).rows())
