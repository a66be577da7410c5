import io
import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from corpora.hostile_photos import MUTATIONS, hostile_files, write_corpus
from corpora.sound_photos import sound_photos
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.main import cli

COUNT = 190
"""Some hundred files are hostile by design, the rest are mutations."""


@pytest.mark.usefixtures("composer")
def test_each_hostile_file_yields_one_result_with_an_expected_reason(tmp_path: Path) -> None:
    expected = write_corpus(tmp_path / "photos", COUNT)
    output = tmp_path / "shots"
    result = CliRunner().invoke(
        cli, ["crop", str(tmp_path / "photos"), "-o", str(output), "--json", "--follow-symlinks"]
    )
    assert result.exit_code == ExitCode.SOME_FAILED, result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert Counter(record["source"] for record in records) == Counter(map(str, expected))
    reasons = [record["reason"] for record in records if record["status"] == "failed"]
    assert [reason for reason in reasons if "unexpected" in reason] == []
    assert [reason for reason in reasons if "\n" in reason] == []
    by_status = Counter(record["status"] for record in records)
    assert by_status.keys() == {"done", "failed", "skipped"}
    assert by_status["failed"] > COUNT / 4
    assert by_status["done"] > COUNT / 4
    crops = [Path(crop) for record in records for crop in record["crops"]]
    assert len(crops) == 3 * by_status["done"]
    for crop in crops:
        with Image.open(io.BytesIO(crop.read_bytes())) as image:
            image.load()


@pytest.mark.usefixtures("composer")
def test_intact_photos_of_every_format_are_cropped(tmp_path: Path) -> None:
    for name, content in sound_photos():
        path = tmp_path / "photos" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    result = CliRunner().invoke(cli, ["crop", str(tmp_path / "photos"), "-o", str(tmp_path / "shots"), "--json"])
    assert result.exit_code == ExitCode.OK, result.stdout


def test_the_same_seed_gives_the_same_files() -> None:
    files = dict(hostile_files(COUNT, seed=1))
    assert files == dict(hostile_files(COUNT, seed=1))
    assert files != dict(hostile_files(COUNT, seed=2))


def test_every_mutation_is_made() -> None:
    names = [name for name, _ in hostile_files(COUNT)]
    assert [how for how in MUTATIONS if not any(name[5:].startswith(f"{how}-") for name in names)] == []
