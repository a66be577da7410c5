"""Find the folder of a model by its name, path or hub id."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from shotcrop_cli.errors import ModelError
from shotcrop_cli.model.bundle import EXPORT_RECORD, HASHED_FILES, MANIFEST

DEFAULT_MODEL = "shotcrop-nano"
_HUB_ID = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>[\w./-]+))?", re.ASCII)
"""ORG/REPO or ORG/REPO@REVISION. By the rules of the hub no part starts with a dot, so ./NAME is a path."""


def embedded_models() -> dict[str, Path]:
    """Return the folders of the models inside the package, by name."""
    weights = Path(str(files("shotcrop_cli"))) / "weights"
    if not weights.is_dir():
        return {}
    return {folder.name: folder for folder in sorted(weights.iterdir()) if (folder / "model.json").is_file()}


def resolve_model(model: str | None, *, offline: bool = False) -> Path:
    """Return the folder of a model.

    Args:
        model: The name of an embedded model, the path of a model folder, ORG/REPO or ORG/REPO@REVISION on the
            Hugging Face hub, or None for the default.
        offline: Whether to use only models that were downloaded before, without asking the hub.

    Raises:
        ModelError: There is no such model, or the hub cannot be reached.
    """
    name = model or DEFAULT_MODEL
    embedded = embedded_models()
    if name in embedded:
        return embedded[name]
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - this function never fails
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises an error in folders without permission
        return path
    if (hub := _HUB_ID.fullmatch(name)) is not None:
        return _from_hub(hub["repo"], hub["revision"], offline=offline)
    close = get_close_matches(name, embedded, n=1)
    raise ModelError(
        f"no model '{name}'" + (f", did you mean '{close[0]}'?" if close else ""),
        hint="give a folder that `shotcrop export-onnx` wrote, a hub id ORG/REPO, or an embedded model: "
        + (", ".join(embedded) or "none"),
    )


def _from_hub(repo: str, revision: str | None, *, offline: bool) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    wanted, name = [*HASHED_FILES, EXPORT_RECORD], f"{repo}@{revision}" if revision else repo
    offline = offline or constants.HF_HUB_OFFLINE
    if constants.HF_HUB_CACHE.startswith("~"):  # the hub client would make a folder of this name
        raise ModelError(f"{name}: this account has no home folder for models", hint="set HF_HOME to a folder")
    try:
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=wanted, local_files_only=offline))
    except LocalEntryNotFoundError as error:
        if offline:
            raise ModelError(
                f"{name} is neither a folder nor a model that was downloaded before",
                hint=_download_hint(repo, revision),
            ) from error
        raise ModelError(
            f"model {name} cannot be downloaded: the hub cannot be reached", hint="give a model folder, or try later"
        ) from error
    except Exception as error:  # the hub client passes on errors of several network libraries
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"model {name} cannot be downloaded: {reason}",
            hint="check the name; use --offline if it was downloaded before; or give a model folder",
        ) from error
    if not (folder / MANIFEST).is_file():
        raise ModelError(
            f"{name} is not a ShotCrop model: it has no {MANIFEST}",
            hint="give a repository with the files that `shotcrop export-onnx` wrote",
        )
    return folder


def _download_hint(repo: str, revision: str | None) -> str:
    """Return the command that downloads a model for later runs."""
    from huggingface_hub import constants

    online = "HF_HUB_OFFLINE=0 " if constants.HF_HUB_OFFLINE else ""
    return f"download it: {online}hf download {repo}" + (f" --revision {revision}" if revision else "")
