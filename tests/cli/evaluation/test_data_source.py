"""Datasets by name: on this machine, and on a stand-in of the hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from PIL import Image

import hub_stand_in
from conftest import write_photo
from hub_stand_in import Hub, commit_of
from shards import write_parquets, write_tars
from shotcrop_cli.errors import ExitCode, OutputError, ShotcropError
from shotcrop_cli.evaluation.data_source import HubData, find_data, find_dataset, open_dataset
from shotcrop_cli.evaluation.dataset import read_dataset

REPOSITORY = "datasets/org/photos"


def write_folder(folder: Path, photos: int, prefix: str = "") -> Path:
    rows = [{"file_name": f"{prefix}{number}.jpg", "width": 30, "height": 20} for number in range(photos)]
    for number, row in enumerate(rows):
        write_photo(folder / str(row["file_name"]), Image.new("RGB", (30, 20), (len(prefix), photos, number)))
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with a dataset of two revisions, `v1` with three photos and `main` with five."""
    with hub_stand_in.running() as hub:
        hub.add(REPOSITORY, write_folder(tmp_path / "one" / "train", 3).parent)
        hub.add(REPOSITORY, write_folder(tmp_path / "two" / "train", 5).parent)
        hub.tags[REPOSITORY, "v1"] = 0
        hub.use(tmp_path / "home", monkeypatch)
        yield hub


def names(folder: Path) -> list[str]:
    return [record.path.name for record in read_dataset(folder)]


@pytest.mark.parametrize(
    "pattern",
    [
        "train-{}.tar",
        "train-{}-of-00002.tar",
        "train_{}.tar",
        "train/{}.tar",
        "data/train-{}.tar",
        "train/train-{}.tar",
    ],
)
def test_shards_are_found_by_the_name_of_the_dataset(pattern: str, tmp_path: Path) -> None:
    source, data = write_folder(tmp_path / "source", 5), tmp_path / "data"
    write_tars(source, str(data / pattern), 2)
    (data / "train-old.tar").write_bytes(b"another file")
    dataset = open_dataset(data, "train")
    assert len(dataset.shards) == 2 and dataset.label == str(data / "train")
    assert sorted(names(dataset.folder)) == names(source)
    for record in read_dataset(dataset.folder):
        assert record.path.read_bytes() == (source / record.path.name).read_bytes()
    with pytest.raises(ShotcropError, match=r"dev is not a dataset: it has no metadata.jsonl and no .parquet or .tar"):
        open_dataset(data, "dev")


def test_parquet_files_give_the_photos_of_the_folder(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    source = write_folder(tmp_path / "source", 5)
    write_parquets(source, str(tmp_path / "data" / "no_person" / "train-{}-of-2.parquet"), 2)
    dataset = find_dataset(tmp_path / "data" / "no_person" / "train")
    assert sorted(names(dataset.folder)) == names(source)


def test_a_folder_with_rows_comes_before_shards_and_missing_shards_are_counted(tmp_path: Path) -> None:
    write_tars(write_folder(tmp_path / "train", 3), str(tmp_path / "train-{}-of-00003.tar"), 2)
    assert open_dataset(tmp_path, "train").folder == tmp_path / "train"
    shutil.rmtree(tmp_path / "train")
    with pytest.raises(ShotcropError, match="2 of 3 shards are there"):
        open_dataset(tmp_path, "train")
    (tmp_path / "train-00002-of-00003.parquet").write_bytes(b"")
    with pytest.raises(ShotcropError, match=r"has .parquet and .tar files"):
        open_dataset(tmp_path, "train")


def test_shards_are_unpacked_once_for_each_content(tmp_path: Path, cache: Path) -> None:
    (shard,) = write_tars(write_folder(tmp_path / "source", 3), str(tmp_path / "data" / "train-{}.tar"), 1)
    first = find_dataset(tmp_path / "data" / "train").folder
    changed = (first / "metadata.jsonl").stat().st_mtime_ns
    moved = shutil.move(tmp_path / "data", tmp_path / "moved")
    shard = Path(moved) / shard.name
    again = find_dataset(shard).folder
    assert first.parent == cache / "shotcrop" / "datasets"
    assert (first / "metadata.jsonl").stat().st_mtime_ns == changed
    facts = find_dataset(shard).facts()
    write_tars(write_folder(tmp_path / "other", 4), str(shard), 1)
    assert find_dataset(shard).folder not in (first, again)
    assert find_dataset(shard).facts()["shards"] != facts["shards"] and facts["rows"] == 3


def test_two_photos_of_one_name_and_names_outside_of_the_folder(tmp_path: Path) -> None:
    for number, prefix in enumerate(("a", "b")):
        write_tars(write_folder(tmp_path / prefix, 2), str(tmp_path / "data" / f"train-{number}.tar"), 1)
    folder = open_dataset(tmp_path / "data", "train").folder
    assert names(folder) == ["0.jpg", "1.jpg", "0.jpg", "1.jpg"]
    assert len({record.path for record in read_dataset(folder)}) == 4
    outside = write_folder(tmp_path / "c" / "d", 1, "../")
    write_tars(outside, str(tmp_path / "data" / "dev-{}.tar"), 1)
    (record,) = read_dataset(open_dataset(tmp_path / "data", "dev").folder)
    assert record.path.parent == open_dataset(tmp_path / "data", "dev").folder


def test_a_damaged_shard_leaves_nothing_that_looks_whole(tmp_path: Path, cache: Path) -> None:
    (shard,) = write_tars(write_folder(tmp_path / "source", 3), str(tmp_path / "data" / "train-{}.tar"), 1)
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 3])
    for _ in range(2):
        with pytest.raises(ShotcropError, match="cannot be read") as caught:
            assert find_dataset(shard).folder
        assert caught.value.exit_code is ExitCode.USAGE
    assert not [path for path in (cache / "shotcrop" / "datasets").iterdir() if path.suffix not in (".new", ".lock")]
    shard.write_bytes(content)
    assert len(names(find_dataset(shard).folder)) == 3


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path, cache: Path) -> None:
    (shard,) = write_tars(write_folder(tmp_path / "source", 3), str(tmp_path / "data" / "train-{}.tar"), 1)
    cache.write_bytes(b"a file in its place")
    with pytest.raises(OutputError, match="XDG_CACHE_HOME"):
        assert find_dataset(shard).folder


def test_the_hub_gives_a_dataset_at_a_revision(hub: Hub, tmp_path: Path) -> None:
    newest, tagged = (open_dataset(find_data(name), "train") for name in ("org/photos", "org/photos@v1"))
    assert newest.label == "org/photos/train"
    assert (len(names(newest.folder)), len(names(tagged.folder))) == (5, 3)
    assert newest.facts()["commit"] == commit_of(REPOSITORY, 1) != tagged.facts()["commit"]
    assert find_dataset(f"org/photos/train@{commit_of(REPOSITORY, 0)}").facts() == tagged.facts()
    asked = len(hub.asked)
    offline = open_dataset(find_data("org/photos@v1", offline=True), "train")
    assert offline.folder == tagged.folder and offline.facts() == tagged.facts() and len(hub.asked) == asked
    next(tagged.folder.glob("*.jpg")).unlink()
    with pytest.raises(ShotcropError, match="parts of it were not downloaded"):
        assert open_dataset(find_data("org/photos@v1", offline=True), "train").folder


def test_only_the_named_dataset_is_downloaded(hub: Hub, tmp_path: Path) -> None:
    both = write_folder(tmp_path / "both" / "train", 2).parent
    write_folder(both / "large", 4)
    hub.add(REPOSITORY, both)
    open_dataset(find_data("org/photos"), "train").folder  # noqa: B018
    assert not [line for line in hub.asked if "large" in line]


def test_a_folder_of_this_name_comes_first(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "org" / "photos" / "train", 1)
    assert find_data("org/photos") == Path("org/photos")
    assert len(names(find_dataset("org/photos/train").folder)) == 1
    assert hub.asked == []


def test_a_download_that_breaks_off_is_completed(hub: Hub, tmp_path: Path) -> None:
    # Another content than that of the other photos: files with equal contents are downloaded once.
    content = (tmp_path / "two" / "train" / "1.jpg").read_bytes() + b"its own"
    hub.revisions[REPOSITORY][-1]["train/1.jpg"] = content
    hub.cut["train/1.jpg"] = 100
    dataset = open_dataset(find_data("org/photos"), "train")
    assert (dataset.folder / "1.jpg").read_bytes() == content
    asked = [line for line in hub.asked if line.startswith("GET") and line.endswith("1.jpg")]
    assert len(asked) == 2


def test_a_shard_of_the_hub_is_read_there(hub: Hub, tmp_path: Path) -> None:
    write_tars(tmp_path / "two" / "train", str(tmp_path / "shards" / "train-{}.tar"), 2)
    hub.add("datasets/org/shards", tmp_path / "shards")
    dataset = open_dataset(find_data("org/shards"), "train")
    rows = [row for part in dataset.parts() for row in part.rows()]
    assert sorted(Path(row.content["file_name"]).name for row in rows) == [f"{number}.jpg" for number in range(5)]
    assert all(row.read().startswith(b"\xff\xd8") for row in rows)
    assert not (tmp_path / "home").exists() and not (tmp_path / "cache").exists()
    sizes = {path.name: {"bytes": path.stat().st_size} for path in (tmp_path / "shards").iterdir()}
    assert dataset.facts(streaming=True)["shards"] == sizes
    assert len(names(dataset.folder)) == 5  # The other way: downloaded and unpacked.


def test_a_folder_of_the_hub_is_read_there(hub: Hub, tmp_path: Path) -> None:
    (part,) = open_dataset(find_data("org/photos"), "train").parts()
    assert [row.read() for row in part.rows(2)] == [
        (tmp_path / "two" / "train" / f"{number}.jpg").read_bytes() for number in range(1, 5)
    ]
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("org/nothing", "org/nothing is neither a folder nor a dataset on the hub that you may read.*hf auth login"),
        ("org/photos@v9", "org/photos@v9: there is no revision v9"),
        ("org/gated", "org/gated: the hub asks you to accept the terms.*huggingface.co/datasets/org/gated"),
        ("no folder", "there is no folder no folder.*ORG/NAME"),
        ("org/photos/train/more@x@y", "there is no folder"),
    ],
)
def test_what_the_hub_does_not_give_is_said_in_one_line(name: str, said: str, hub: Hub, tmp_path: Path) -> None:
    hub.add("datasets/org/gated", tmp_path / "one")
    hub.gated.add("datasets/org/gated")
    with pytest.raises(ShotcropError, match=said) as caught:
        assert open_dataset(find_data(name), "train").folder
    assert caught.value.exit_code is ExitCode.USAGE and "\n" not in str(caught.value)


def test_a_gated_shard_is_explained_while_it_is_read(hub: Hub, tmp_path: Path) -> None:
    write_tars(tmp_path / "two" / "train", str(tmp_path / "shards" / "train-{}.tar"), 1)
    hub.add("datasets/org/gated", tmp_path / "shards")
    hub.gated.add("datasets/org/gated")
    (part,) = open_dataset(find_data("org/gated"), "train").parts()
    with pytest.raises(ShotcropError, match="accept the terms"):
        list(part.rows())


def test_offline_and_not_downloaded(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (find_data("org/photos", offline=True), find_data("org/photos@v1", offline=True)):
        assert isinstance(data, HubData)
        with pytest.raises(ShotcropError, match=r"was downloaded before.*hf download org/photos --repo-type dataset"):
            open_dataset(data, "train")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ShotcropError, match="was downloaded before"):
        open_dataset(find_data("org/photos"), "train")
    assert hub.asked == []


def test_a_hub_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Hub("http://127.0.0.1:9").use(tmp_path / "home", monkeypatch)
    with pytest.raises(ShotcropError, match=r"org/photos cannot be read: .*check the network"):
        open_dataset(find_data("org/photos"), "train")
