"""What `shotcrop export --coco` writes, `shotcrop train import-data --coco` reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import jpeg_bytes, picture, rich_exif, write_photo
from shotcrop_cli.evaluation.dataset import METADATA
from shotcrop_cli.geometry import to_permille
from shotcrop_cli.main import cli
from shotcrop_cli.shots import Box


@pytest.mark.usefixtures("composer")
def test_exported_boxes_and_captions_can_be_imported(photos: Path, output: Path, tmp_path: Path) -> None:
    write_photo(photos / "2026" / "a.jpg")
    write_photo(photos / "b.png")
    write_photo(photos / "turned.jpg", exif=rich_exif(jpeg_bytes(picture(16, 16)), orientation=6))
    boxes = tmp_path / "boxes.json"
    for arguments in (
        ["crop", photos, "-o", output],
        ["export", output, "--coco", boxes],
        ["train", "import-data", "--coco", boxes, "--photos", photos, "-o", tmp_path / "dataset"],
    ):
        result = CliRunner().invoke(cli, list(map(str, arguments)))
        assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "dataset" / METADATA).read_text("utf-8").splitlines()]
    assert {row["file_name"] for row in rows} == {"2026/a.jpg", "b.png", "turned.jpg"}
    for row in rows:
        record = json.loads((output / f"{row['file_name']}.json").read_bytes())
        for shot in record["shots"]:
            imported = row["annotation"]["shots"][shot["shot"]]
            assert imported["caption"] == shot["caption"]
            assert imported["box"] == list(to_permille(Box(*shot["box_norm"])))
