from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from accelerate.data_loader import BatchSamplerShard
from PIL import Image
from torch.utils.data import BatchSampler

from shards import write_parquets, write_tars
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.data_source import open_dataset
from shotcrop_cli.evaluation.dataset import Record, read_dataset
from shotcrop_cli.evaluation.shards import Shard
from shotcrop_cli.model.large.answer import CoordSpace
from shotcrop_train import sft
from shotcrop_train.data.contract import TextContract
from shotcrop_train.data.samples import Sample, empty_samples, expert_samples, held_back
from shotcrop_train.data.skipped_photos import SkippedPhotos
from shotcrop_train.data.streaming import Stream, StreamedGroup, StreamedMixture, hold_back
from shotcrop_train.recipe import DataRecipe
from training import NO_AUGMENTATION, write_dataset

TEXT = TextContract(CoordSpace.PERMILLE, True, lambda size: size)
PHOTOS = 30


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty expert photos as five archives, two parquet files and a folder, and photos without people."""
    root = tmp_path_factory.mktemp("data")
    write_dataset(root / "folder", PHOTOS, "experts")
    write_tars(root / "folder", str(root / "tar-{}.tar"), 5)
    write_parquets(root / "folder", str(root / "parquet-{}.parquet"), 2)
    write_dataset(root / "empty", 12, "empty")
    return root


def samples(record: Record) -> list[Sample]:
    return expert_samples([record])


def group(data: Path, name: str) -> StreamedGroup:
    return StreamedGroup(open_dataset(data, name).parts(), samples)


def stream(data: Path, name: str, **settings: Any) -> Stream:
    return Stream(group(data, name), lambda _: True, **{"buffer": 4, **settings})


def names(one: Stream, places: range) -> list[str]:
    return [one.at(place)[0].path.name for place in places]


@pytest.mark.parametrize("name", ["tar", "parquet", "folder"])
def test_a_turn_holds_each_photo_once_in_another_order_each_time(data: Path, name: str) -> None:
    one = stream(data, name, buffer=5)
    turns = [names(one, range(turn * PHOTOS, (turn + 1) * PHOTOS)) for turn in range(3)]
    given = [record.path.name for record in read_dataset(data / "folder")]
    assert [sorted(turn) for turn in turns] == [given] * 3
    assert turns[0] != turns[1] and turns[0] != sorted(turns[0])
    for sample, photo in (one.at(place) for place in range(PHOTOS)):
        assert photo().read() == (data / "folder" / sample.path.name).read_bytes()


@pytest.mark.parametrize(("name", "processes"), [("tar", 2), ("tar", 5), ("tar", 7), ("parquet", 3), ("folder", 2)])
def test_processes_share_the_photos_of_a_turn(data: Path, name: str, processes: int) -> None:
    read: list[str] = []
    for process in range(processes):
        one = stream(data, name, process=process, processes=processes, buffer=1)
        own = list({sample.path.name for _, sample, _ in own_turn(one)})
        assert sorted(names(one, range(len(own)))) == sorted(own)
        read += own
    assert sorted(read) == [record.path.name for record in read_dataset(data / "folder")]


def own_turn(one: Stream) -> list[tuple[int, Sample, Any]]:
    return [read for part in one._own_parts(0) for read in one._read(part)]


@pytest.mark.parametrize("name", ["tar", "parquet", "folder"])
@pytest.mark.parametrize("start", [3, 61, 118])
def test_a_stream_that_starts_later_goes_on_with_the_same_photos(data: Path, name: str, start: int) -> None:
    whole = names(stream(data, name), range(130))
    assert names(stream(data, name), range(start, 130)) == whole[start:]


def test_going_on_reads_photos_of_what_follows_alone(data: Path) -> None:
    opened: Counter[bool] = Counter()

    class Watched:
        def __init__(self, part: Shard) -> None:
            self.part, self.name = part, part.name

        def rows(self, first: int = 1, *, photos: bool = True) -> Any:
            for row in self.part.rows(first, photos=photos):
                opened[photos] += 1
                yield row

        def check(self) -> None: ...

    parts = [Watched(part) for part in open_dataset(data, "tar").parts()]
    one = Stream(StreamedGroup(parts, samples), lambda _: True, buffer=4)
    one.at(40 * PHOTOS + 20)
    assert opened[True] <= 8 and opened[False] <= 2 * PHOTOS


def mixture(data: Path, length: int = 24, processes: int = 1, **settings: Any) -> StreamedMixture:
    groups = {
        "expert": group(data, "tar"),
        "empty": StreamedGroup(open_dataset(data, "empty").parts(), lambda record: empty_samples([record])),
    }
    return StreamedMixture(
        groups=groups,
        shares={"expert": 0.75, "empty": 0.25},
        length=length,
        augmentation=NO_AUGMENTATION,
        seed=3,
        contract=TEXT,
        batch_size=2,
        processes=processes,
        buffer=4,
        **settings,
    )


def words(row: dict[str, Any]) -> str:
    return f"{row['completion']} {np.asarray(row['image']).sum()}"


def test_each_draw_depends_on_its_number_alone_and_groups_have_their_shares(data: Path) -> None:
    rows = mixture(data, 80).dataset()
    drawn = [words(rows[index]) for index in range(80)]
    later = mixture(data, 80)
    assert [words(later.draw(index)) for index in range(50, 80)] == drawn[50:]
    assert words(later.draw(7)) == drawn[7]
    assert 8 <= sum(not later.draw(index)["spans"] for index in range(80)) <= 32


def test_draws_are_dealt_to_processes_as_accelerate_deals_them(data: Path) -> None:
    deal = mixture(data, 24, processes=3)
    for process in range(3):
        batches = BatchSamplerShard(BatchSampler(range(24), 2, drop_last=False), 3, process)
        for batch in batches:
            for index in batch:
                deal.draw(index)
        assert {key[0] for key in deal.streams} == set(range(process + 1))


def test_photos_that_cannot_be_opened_are_replaced_and_named(data: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "folder", 12, "experts")
    for path in sorted((tmp_path / "folder").glob("*.jpg"))[::3]:
        path.write_bytes(path.read_bytes()[:200])
    write_tars(tmp_path / "folder", str(tmp_path / "tar-{}.tar"), 2)
    skipped = SkippedPhotos(tmp_path)
    one = mixture(data, skipped=skipped)
    one.groups[0] = group(tmp_path, "tar")
    rows = [words(one.draw(index)) for index in range(24)]
    assert 0 < len(skipped) <= 4
    again = mixture(data)
    again.groups[0] = group(tmp_path, "tar")
    assert [words(again.draw(index)) for index in reversed(range(24))] == rows[::-1]
    listed = [json.loads(line)["photo"] for line in (tmp_path / "skipped_photos.jsonl").read_text("utf-8").splitlines()]
    assert all(str(tmp_path / "tar-") in name for name in listed)


def test_a_group_without_samples_ends_the_run(data: Path) -> None:
    for processes in (1, 40):
        one = replace(stream(data, "tar", processes=processes, process=processes - 1))
        one.wanted = lambda _: False
        with pytest.raises(ShotcropError, match="hold nothing to learn from"):
            one.at(0)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 files of 50 kB in four archives, and in a parquet file with groups of four rows."""
    root = tmp_path_factory.mktemp("large")
    write_dataset(root / "folder", 160, "experts")
    rng = np.random.default_rng(0)
    for path in (root / "folder").glob("*.jpg"):
        path.write_bytes(rng.bytes(50_000))
    write_tars(root / "folder", str(root / "tar-{}.tar"), 4)
    write_parquets(root / "folder", str(root / "parquet-{}.parquet"), 1, group=4)
    return root


@pytest.mark.parametrize("name", ["tar", "parquet"])
def test_memory_and_disk_are_bounded(large: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("XDG_CACHE_HOME", "HF_HOME", "TMPDIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    whole = sum(path.stat().st_size for path in large.glob(f"{name}*"))
    one, kept, size = stream(large, name, buffer=4), 0, 0
    before = pyarrow.total_allocated_bytes()
    tracemalloc.start()
    try:
        for place in range(200):
            size += len(one.at(place)[1]().read())
            kept = max(kept, pyarrow.total_allocated_bytes() - before)
        peak = kept + tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == 200 * 50_000
    assert whole > 7.5e6
    assert peak < 0.4 * whole, f"{peak / 1e6:.1f} of {whole / 1e6:.1f} MB"
    assert list(tmp_path.iterdir()) == []


def test_held_back_photos_are_copied_from_shards_and_left_in_folders(data: Path, tmp_path: Path) -> None:
    kept = [record for record in read_dataset(data / "folder") if held_back(record)]
    assert kept
    for name in ("tar", "folder"):
        records = hold_back(open_dataset(data, name).parts(), lambda _: True, tmp_path / "held", SkippedPhotos())
        assert {record.composition for record in records} == {record.composition for record in kept}
        assert len(records) == len(kept)
        for record in records:
            assert record.path.is_relative_to(tmp_path if name == "tar" else data / "folder")
            Image.open(record.path).load()


def test_streamed_groups_are_those_that_are_read(data: Path, tmp_path: Path) -> None:
    shares = {"expert": 0.7, "empty": 0.3}
    streamed = sft.stream_training_set(data, DataRecipe(("tar",), ("tar",), ("empty",), shares), tmp_path)
    read = sft.read_training_set(data, DataRecipe(("folder",), ("folder",), ("empty",), shares))
    for name, one in read.groups.items():
        other = streamed.groups[name]
        assert isinstance(other, StreamedGroup)
        made = [sample for part in other.parts for row in part.rows() for sample in other.samples(row.record)]
        assert sorted(map(_plain, made)) == sorted(map(_plain, one))  # type: ignore[arg-type]
    assert sorted(record.path.name.rpartition("-")[2] for record in streamed.held_back) == sorted(
        record.path.name.rpartition("-")[2] for record in read.held_back
    )


def _plain(sample: Sample) -> str:
    return repr(replace(sample, path=Path(sample.path.name)))


def test_a_torn_shard_ends_the_run_before_it_starts(data: Path, tmp_path: Path) -> None:
    write_tars(data / "folder", str(tmp_path / "tar-{}.tar"), 2)
    torn = tmp_path / "tar-1.tar"
    torn.write_bytes(torn.read_bytes()[:5000])
    with pytest.raises(ShotcropError, match=r"tar-1.tar cannot be read: its end is missing"):
        sft.stream_training_set(tmp_path, DataRecipe(("tar",), shares={"expert": 1.0}), tmp_path / "run")
