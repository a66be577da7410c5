"""Steps of every export: trace a module, write the export record, and move the finished folder into place."""

from __future__ import annotations

import json
import logging
import platform
import shutil
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from shotcrop_cli.model.bundle import EXPORT_RECORD

OPSET = 18
PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime")


def trace(
    module: torch.nn.Module,
    arguments: tuple[object, ...],
    *,
    inputs: list[str],
    outputs: list[str],
    dynamic: dict[str, object],
) -> Any:
    """Convert a module to an ONNX program.

    Args:
        module: The module.
        arguments: Example arguments for `forward`, in the order of its parameters.
        inputs: Names of the graph's inputs; lists among the arguments are flattened.
        outputs: Names of the graph's outputs.
        dynamic: The variable dimensions of each argument, by the name of the parameter of `forward`.
    """
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's exporter warns about its own internals
            return torch.onnx.export(
                module.eval(),
                arguments,
                dynamo=True,
                opset_version=OPSET,
                input_names=inputs,
                output_names=outputs,
                dynamic_shapes=dynamic,
                verbose=False,
            )
    finally:
        logging.getLogger("torch.onnx").setLevel(level)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that an export depends on."""
    return {"python": platform.python_version(), **{one: version(one) for one in PACKAGES}}


def write_record(folder: Path, record: dict[str, object]) -> None:
    """Write `shotcrop_export.json`."""
    (folder / EXPORT_RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def put_in_place(folder: Path, target: Path) -> None:
    """Move a finished model folder to its target and replace an older one there."""
    if target.exists():
        shutil.rmtree(target)
    folder.replace(target)
