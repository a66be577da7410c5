"""`shotcrop train push`: a run's model as a repository for the Hugging Face hub.

The repository holds the weights, the processor, a model card, and the facts of the run without paths of this machine.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

from shotcrop_cli.errors import ModelError, OutputError
from shotcrop_train.runs import provenance
from shotcrop_train.runs.log_file import BEST, LOG, read_log

CARD, FACTS = "README.md", "training.json"
_WEIGHTS = ("*.safetensors", "*.onnx")
_UNKNOWN = "other"
"""What the hub calls a licence that is not in its list."""
_SHOWN = ("held_iou", "held_acc@0.5", "held_acc@0.7", "held_bde", "held_triple_hit", "held_no_subject_recall")
"""Measurements that the card shows, if the run has them."""


def write_repository(run: Path, name: str, target: Path, *, licence: str = "", best: bool = False) -> Path:
    """Write the repository of a run's model.

    Args:
        run: Run folder of a finished stage or of an export.
        name: ORG/NAME of the repository.
        target: Its new folder on this machine.
        licence: The model's licence as the hub writes it, such as `apache-2.0`; empty for that of the base.
        best: Take the best model on the held-back photos instead of the last one.

    Returns:
        `target`.

    Raises:
        ModelError: The run is not finished, or it holds no model.
        OutputError: `target` exists and is not empty.
    """
    facts = provenance.read(run)
    if facts is None or "result" not in facts:
        raise ModelError(
            f"{run} is no finished run", hint="name the run folder of a stage, and run the stage again until it is done"
        )
    model = run / (BEST if best else facts["result"])
    if not any(file for pattern in _WEIGHTS for file in model.glob(pattern)):
        raise ModelError(f"{model} holds no weights", hint="name a run of train sft, ssft or grpo, or of an export")
    if target.exists() and any(target.iterdir()):
        raise OutputError(f"{target} exists already and is not empty", hint="name a new folder with --folder")
    shutil.copytree(model, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("training_args.bin", CARD))
    base = _base(facts)
    licence = licence or _licence_of(base) or _UNKNOWN
    shared = _without_paths(facts)
    (target / FACTS).write_text(json.dumps(shared, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    _name_base(target, base)
    card = "\n".join(_card(name, shared, _figures(run, best=best), base, licence, target))
    (target / CARD).write_text(card, encoding="utf-8")
    return target


def push(folder: Path, name: str, *, private: bool = False) -> str | None:
    """Upload a repository, and create it on the hub where needed.

    Args:
        folder: The repository on this machine.
        name: ORG/NAME.
        private: Whether only its owner sees it, if it is new.

    Returns:
        Its address; None if no one is logged in.

    Raises:
        ModelError: The hub refuses it or cannot be reached.
    """
    api = HfApi()
    try:
        api.whoami()
    except LocalTokenNotFoundError:
        return None
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"the hub does not know you: {_first_line(error)}", hint="log in again: hf auth login"
        ) from error
    try:
        address = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="Upload a model trained with shotcrop")
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ModelError(
            f"{name} cannot be uploaded: {_first_line(error)}",
            hint=f"the repository is complete in {folder}: hf upload {name} {folder}",
        ) from error
    return str(address)


def _base(facts: Mapping[str, Any]) -> str:
    """Return the name of what the run started from, empty if it started from nothing."""
    return str((facts.get("start") or {}).get("name", ""))


def _hub_name(base: str) -> str:
    """Return ORG/NAME of a base, also of a run that started from one; empty if that is unknown."""
    seen: set[str] = set()
    while base and base not in seen:
        seen.add(base)
        folder = Path(base)
        if not folder.is_dir():
            return base if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", base, re.ASCII) else ""
        before = provenance.read(folder.parent)
        if before is None:
            config = folder / "config.json"
            named = json.loads(config.read_text(encoding="utf-8")).get("_name_or_path", "") if config.is_file() else ""
            base = str(named)
        else:
            base = _base(before)
    return ""


def _licence_of(base: str) -> str:
    """Return the licence in the card of a base on this machine, also of a run that started from one."""
    folder = Path(base)
    while base and folder.is_dir():
        card = folder / CARD
        if card.is_file():
            found = re.search(r"^license: *([\w.-]+) *$", card.read_text(encoding="utf-8"), re.MULTILINE)
            if found:
                return found[1]
        facts = provenance.read(folder.parent)
        base = "" if facts is None else _base(facts)
        folder = Path(base)
    return ""


def _without_paths(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a run that others may see: names of folders instead of paths, nothing about the machine."""
    last = facts["parts"][-1]
    start = facts.get("start")
    return {
        "stage": facts["stage"],
        "recipe": {key: value for key, value in facts["recipe"].items() if key != "tracking"},
        "datasets": {
            name if "commit" in about else Path(name).name: about for name, about in facts["datasets"].items()
        },
        "start": start and {"name": _hub_name(start["name"]) or Path(start["name"]).name, "sha256": start["sha256"]},
        "commit": last["code"].get("commit"),
        "versions": last["versions"],
        "finished": facts.get("finished"),
    }


def _name_base(target: Path, base: str) -> None:
    """Let an adapter name its base by the hub's name, since others do not have this machine's folders."""
    config = target / "adapter_config.json"
    if not config.is_file():
        return
    name = _hub_name(base)
    if not name:
        raise ModelError(
            "the adapter's base is a folder of this machine, which no one else has",
            hint="merge the adapter first: shotcrop train merge RUN OUT, or train without --no-merge-adapter",
        )
    content = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps(content | {"base_model_name_or_path": name}, indent=2) + "\n", encoding="utf-8")


def _figures(run: Path, *, best: bool) -> dict[str, float]:
    """Return the last measurements of a run on held-back photos, or the best ones."""
    lines = [line for line in read_log(run / LOG) if "held_iou" in line]
    if not lines:
        return {}
    line = max(lines, key=lambda one: one["held_iou"]) if best else lines[-1]
    return {name: line[name] for name in _SHOWN if name in line}


def _card(
    name: str, facts: Mapping[str, Any], figures: Mapping[str, float], base: str, licence: str, target: Path
) -> Iterator[str]:
    """Yield the lines of the model card."""
    on_hub, runs = _hub_name(base), (target / "model.json").is_file()
    adapter = (target / "adapter_config.json").is_file()
    yield from ("---", f"license: {licence}", "tags:", "- shotcrop", "- image-cropping")
    if not runs:
        yield from ("pipeline_tag: image-text-to-text", f"library_name: {'peft' if adapter else 'transformers'}")
    if on_hub:
        yield f"base_model: {on_hub}"
    yield from ("---", "", f"# {name.partition('/')[2]}", "")
    yield "This model chooses three crops of a photo of people: an establishing shot, a medium shot and a close-up."
    yield f"It was trained with shotcrop, stage `{facts['stage']}`."
    yield from ("", "## Use", "", "```bash")
    if runs:
        yield f"shotcrop crop photos -o shots --model {name}"
    else:
        yield f"shotcrop export-onnx {name} model --photos photos"
        yield "shotcrop crop photos -o shots --model ./model"
    yield from ("```", "", "## Training", "", "| | |", "|---|---|")
    yield f"| base | {on_hub or (facts['start'] or {}).get('name') or 'none'} |"
    for dataset, about in facts["datasets"].items():
        yield f"| dataset | {dataset}: {_pinned(about)} |"
    for part, version in facts["versions"].items():
        yield f"| {part} | {version} |"
    yield from ("", "The recipe is in `training.json`.", "", "## Figures", "")
    if figures:
        yield "Measured on the held-back tenth of the training photos, which the model did not learn from:"
        yield from ("", "| metric | value |", "|---|---:|")
        for metric, value in figures.items():
            yield f"| {metric.removeprefix('held_')} | {value:.3f} |"
    else:
        yield "The run measured nothing on held-back photos."
    yield from ("", "## Limits and licence", "")
    yield "Measure the model on photos of your own with `shotcrop eval` before you rely on it."
    if licence == _UNKNOWN:
        yield "The licence is unknown: it depends on that of the base and of the photos."
    else:
        yield f"The weights are under {licence}. The licences of the training photos are not part of this card."
    yield ""


def _pinned(about: Mapping[str, Any]) -> str:
    """Say how large a dataset is and what pins it; the rows of one that was streamed are not counted."""
    size = f"{about['rows']} rows" if "rows" in about else f"{len(about['shards'])} shards"
    if "commit" in about:
        return f"{size}, commit {about['commit'][:12]}"
    return f"{size}, SHA-256 {about['sha256'][:12]}" if "sha256" in about else size


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
