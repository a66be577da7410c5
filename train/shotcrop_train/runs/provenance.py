"""Record what a training run was made from, so that any number can be traced: `run.json` in the run folder.

The file holds the recipe as it was read, the command line, hashes of every dataset's rows and of the checkpoint that
the run started from, the state of the code, the versions of libraries, and the machine. An interrupted run continues
only with the same recipe, data and start.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.data_source import PhotoDataset, open_dataset

RUN = "run.json"
PACKAGES = ("shotcrop-cli", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "numpy", "pillow")
_WEIGHTS = ("*.safetensors", "adapter_config.json", "config.json")
_FIXED = ("stage", "recipe", "datasets", "start", "helpers")
"""What must not change between the parts of one run."""
_FREE = "recipe.tracking"
"""What may: it does not change what the run makes."""


class Complete(Exception):
    """The run with this recipe, data and start is finished; `result` is what it made."""

    def __init__(self, result: Path) -> None:
        super().__init__(str(result))
        self.result = result


def record(
    output: Path,
    *,
    stage: str,
    recipe: Any,
    datasets: Sequence[PhotoDataset | Path],
    start: str | Path | None = None,
    helpers: Sequence[str | Path] = (),
    streaming: bool = False,
) -> Path:
    """Write `run.json`, or add to it that the run continues.

    Args:
        output: Run folder; it is made.
        stage: Name of the stage, such as `sft`.
        recipe: Its recipe, a dataclass or a mapping of plain values.
        datasets: Datasets that the run reads, also as folders with a `metadata.jsonl`.
        start: Checkpoint folder or hub id that it starts from.
        helpers: Further models that it uses, named in the same way.
        streaming: Whether the datasets are streamed, so that they are not read here.

    Returns:
        The file.

    Raises:
        Complete: The folder holds this very run, and it is finished.
        ShotcropError: The folder holds a run with a different recipe, different data or a different start.
    """
    path = output / RUN
    facts: dict[str, Any] = {
        "stage": stage,
        "recipe": json.loads(json.dumps(recipe if isinstance(recipe, Mapping) else asdict(recipe))),
        "datasets": {one.label: one.facts(streaming=streaming) for one in map(_opened, datasets)},
        "start": None if start is None else _model(start),
    }
    if helpers:
        facts["helpers"] = [_model(helper) for helper in helpers]
    part = {"started": _now(), "argv": sys.argv, "code": _code(), "versions": dict(_versions()), "machine": _machine()}
    before = read(output)
    if before is None:
        facts["parts"] = [part]
    else:
        _require_same(before, facts, output)
        if "finished" in before:
            raise Complete(output / before["result"])
        facts = before | {"parts": [*before["parts"], part]}
    output.mkdir(parents=True, exist_ok=True)
    _write(path, facts)
    return path


def finish(output: Path, result: Path) -> None:
    """Mark a run as complete.

    Args:
        output: Run folder with a `run.json`.
        result: The checkpoint, dataset or model folder that it made, in the run folder or the run folder itself.
    """
    facts = read(output)
    if facts is None:
        raise ValueError(f"{output} holds no run")
    _write(
        output / RUN,
        facts | {"finished": _now(), "result": result.relative_to(output).as_posix()},
    )


def read(output: Path) -> dict[str, Any] | None:
    """Return the content of `run.json`, None if there is no such file.

    Raises:
        ShotcropError: It is damaged.
    """
    try:
        facts = json.loads((output / RUN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ShotcropError(f"{output / RUN} cannot be read: {error}", hint="choose another run folder") from None
    if not isinstance(facts, dict) or not isinstance(facts.get("parts"), list):
        raise ShotcropError(f"{output / RUN} describes no run", hint="choose another run folder")
    return facts


def _require_same(before: Mapping[str, Any], now: Mapping[str, Any], output: Path) -> None:
    for key in _FIXED:
        what = next(iter(_differences(before.get(key), now.get(key), key)), None)
        if what is None:
            continue
        raise ShotcropError(
            f"{output} holds a run that differs in {what}", hint="choose another run folder, or delete this one"
        )


def _differences(before: Any, now: Any, name: str) -> Iterable[str]:
    """Name the values in which two recipes or lists of data differ.

    A setting of which the earlier part knew nothing was off then: it may be empty, false or 0 now.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(key for key in now if key not in before)]:
            if f"{name}.{key}" != _FREE and (key in before or not _is_off(now[key])):
                yield from _differences(before.get(key), now.get(key), f"{name}.{key}")
    elif before != now:
        yield f"{name}: {_brief(before)}, not {_brief(now)}"


def _is_off(value: Any) -> bool:
    return all(map(_is_off, value.values())) if isinstance(value, dict) else not value


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _opened(dataset: PhotoDataset | Path) -> PhotoDataset:
    return open_dataset(dataset, ".") if isinstance(dataset, Path) else dataset


def _model(name: str | Path) -> dict[str, Any]:
    return {"name": str(name), "sha256": _checkpoint(Path(name))}


def _checkpoint(start: Path) -> str | None:
    """Hash the weights and configuration of a checkpoint, a folder or a file. Return None for one from the hub."""
    files = [start] if start.is_file() else sorted({file for pattern in _WEIGHTS for file in start.glob(pattern)})
    if not files:
        return None
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _code() -> dict[str, Any]:
    """Return commit and state of the source tree, nothing outside a checkout."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ("git", "-C", str(here), *arguments), check=True, capture_output=True, text=True
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": sorted(git("status", "--porcelain").splitlines())}
    except (OSError, subprocess.CalledProcessError):
        return {}


def _versions() -> Iterable[tuple[str, str]]:
    yield "python", platform.python_version()
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _machine() -> dict[str, Any]:
    import torch

    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {"platform": platform.platform(), "cpus": os.cpu_count(), "cuda": devices}


def _write(path: Path, facts: Mapping[str, Any]) -> None:
    """Replace the file atomically. With several processes, only the first one of a run writes."""
    if int(os.environ.get("RANK", "0")) != 0:
        return
    temporary = path.with_suffix(".json.new")
    temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
