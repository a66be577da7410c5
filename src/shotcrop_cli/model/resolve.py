"""From what the user calls a model to its folder."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from shotcrop_cli.errors import ModelError

DEFAULT_MODEL = "shotcrop-nano"


def embedded_models() -> dict[str, Path]:
    """Return the models that ship inside the package, by name."""
    weights = Path(str(files("shotcrop_cli"))) / "weights"
    if not weights.is_dir():
        return {}
    return {folder.name: folder for folder in sorted(weights.iterdir()) if (folder / "model.json").is_file()}


def resolve_model(model: str | None) -> Path:
    """Return the folder of a model.

    Args:
        model: The name of an embedded model, the path of a model folder, or None for the default.

    Raises:
        ModelError: There is no such model.
    """
    name = model or DEFAULT_MODEL
    embedded = embedded_models()
    if name in embedded:
        return embedded[name]
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    known = ", ".join(embedded) or "none"
    raise ModelError(
        f"no model '{name}'",
        hint=f"give a folder that `shotcrop export-onnx` wrote, or an embedded model: {known}",
    )
