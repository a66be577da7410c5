"""The configurations of accelerate that come with shotcrop."""

from __future__ import annotations

from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from accelerate.utils import DistributedType
from click.testing import CliRunner

from shotcrop_cli.main import cli
from training_page import PAGE

KINDS = {
    "one-gpu": (DistributedType.NO, 1),
    "eight-gpus": (DistributedType.MULTI_GPU, 8),
    "fsdp2": (DistributedType.FSDP, 8),
    "zero3": (DistributedType.DEEPSPEED, 8),
}


@pytest.mark.parametrize("name", KINDS)
def test_accelerate_reads_what_the_command_prints(name: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["train", "accelerate-config", name])
    assert result.exit_code == 0, result.output
    path = tmp_path / "config.yaml"
    path.write_text(result.stdout, "utf-8")
    config = load_config_from_file(str(path))
    assert (config.distributed_type, config.num_processes) == KINDS[name]
    assert config.mixed_precision == "bf16"
    launch_command_parser().parse_args(["--config_file", str(path), "-m", "shotcrop_cli"])
    assert f"| `{name}` |" in PAGE.read_text("utf-8")


def test_the_sharded_ones_shard() -> None:
    read = {name: CliRunner().invoke(cli, ["train", "accelerate-config", name]).stdout for name in KINDS}
    assert "fsdp_version: 2" in read["fsdp2"] and "zero_stage: 3" in read["zero3"]


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    result = CliRunner().invoke(cli, ["train", "accelerate-config", "fsdp"])
    assert result.exit_code != 0 and "fsdp2" in result.output
