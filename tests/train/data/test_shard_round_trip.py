"""What `import-data` writes, as shards made with the library `datasets`, gives the same training rows as the folder."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from click.testing import CliRunner
from datasets.table import embed_table_storage
from PIL import Image

from conftest import write_photo
from shards import rows_of, write_tar
from shotcrop_cli.evaluation.data_source import open_dataset
from shotcrop_cli.evaluation.dataset import Record, read_dataset
from shotcrop_cli.main import cli
from shotcrop_cli.model.large.answer import CoordSpace
from shotcrop_train.data.contract import TextContract
from shotcrop_train.data.mixture import Mixture
from shotcrop_train.data.samples import expert_samples
from shotcrop_train.nano.detector_labels import read_photos
from training import NO_AUGMENTATION

TEXT = TextContract(CoordSpace.PERMILLE, True, lambda size: size)
PHOTOS = 9


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that was imported from a table, as the folder `train` and as shards of three kinds."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    with (root / "boxes.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "shot", "x0", "y0", "x1", "y1", "caption"])
        for number in range(PHOTOS):
            name = f"ana/{number}.jpg"
            write_photo(root / "photos" / name, Image.fromarray(rng.integers(0, 255, (60, 90, 3), np.uint8)))
            for inset, shot in enumerate(("establishing", "medium", "close_up")):
                caption = f"Ana number {number}, seen from {3 - inset} metres" if number % 3 or inset else ""
                table.writerow([name, shot, 9 * inset + number, 8 * inset, 80 - 9 * inset, 58 - 8 * inset, caption])
    command = "train", "import-data", "--csv", root / "boxes.csv", "--photos", root / "photos"
    result = CliRunner().invoke(cli, [*map(str, command), "-o", str(root / "folder" / "train")])
    assert result.exit_code == 0, result.output
    given = datasets.load_dataset(
        "imagefolder", data_dir=str(root / "folder" / "train"), split="train", cache_dir=str(root / "cache")
    )
    whole = given.with_format("arrow").map(embed_table_storage, batched=True).with_format(None)
    for name, one in (("parquet", whole), ("paths", given)):
        (root / name / "data").mkdir(parents=True)
        for number in range(2):
            part = one.shard(2, number, contiguous=True)
            part.to_parquet(root / name / "data" / f"train-{number:05}-of-00002.parquet")
    (root / "tar").mkdir()
    for number in range(2):
        rows = rows_of(root / "folder" / "train")
        write_tar(root / "tar" / f"train-{number}.tar", rows[5 * number : 5 * number + 5])
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def plain(record: Record) -> Record:
    return replace(record, path=Path(record.path.name))


def drawn(folder: Path) -> list[Any]:
    mixture = Mixture({"expert": expert_samples(read_dataset(folder))}, {"expert": 1.0}, 20, NO_AUGMENTATION, 0, TEXT)
    rows = [mixture.draw(index) for index in range(20)]
    return [(row["prompt"], row["completion"], row["spans"], np.asarray(row["image"]).tolist()) for row in rows]


@pytest.mark.parametrize("kind", ["parquet", "paths", "tar"])
def test_shards_give_the_training_rows_of_the_folder(data: Path, kind: str) -> None:
    folder, shards = (open_dataset(data / one, "train").folder for one in ("folder", kind))
    assert list(map(plain, read_dataset(shards))) == list(map(plain, read_dataset(folder)))
    assert drawn(shards) == drawn(folder)
    for one, other in zip(read_photos(shards), read_photos(folder), strict=True):
        assert one.triple is not None and other.triple is not None
        assert np.array_equal(one.triple, other.triple) and one.aspect == other.aspect
    streamed = [row.record for part in open_dataset(data / kind, "train").parts() for row in part.rows()]
    assert list(map(plain, streamed)) == list(map(plain, read_dataset(folder)))


def test_archives_are_those_that_datasets_reads(data: Path, tmp_path: Path) -> None:
    files = [str(path) for path in sorted((data / "tar").glob("*.tar"))]
    read = datasets.load_dataset("webdataset", data_files=files, split="train", cache_dir=str(tmp_path / "c"))
    folder = rows_of(data / "folder" / "train")
    assert [row["json"]["annotation"]["shots"]["medium"]["box"] for row in read] == [
        row["annotation"]["shots"]["medium"]["box"] for row, _ in folder
    ]
    assert [row["jpg"].size for row in read] == [(90, 60)] * PHOTOS


def test_check_data_reads_shards_and_names_what_is_wrong(data: Path, tmp_path: Path) -> None:
    checked = CliRunner().invoke(cli, ["train", "check-data", str(data / "tar" / "train")])
    assert checked.exit_code == 0, checked.output
    assert f"{PHOTOS} rows can be read: {PHOTOS} with three shots" in checked.output
    torn = tmp_path / "train.tar"
    torn.write_bytes((data / "tar" / "train-0.tar").read_bytes()[:-15000])
    failed = CliRunner().invoke(cli, ["train", "check-data", str(torn)])
    assert failed.exit_code == 2 and "train.tar cannot be read: its end is missing" in failed.output
