"""A model folder: what `shotcrop export-onnx` writes and the runtime reads.

A compact model (`NanoManifest`):

    model.json             sizes, tags, thresholds and costs
    detector.onnx          photos -> people, things and tags; see `shotcrop_cli.model.nano.detector`
    detector.int8.onnx     the same in 8-bit integers, for CPUs; may be absent
    composer.onnx          candidates for the main subject -> boxes; see `shotcrop_cli.model.nano.composer`
    shotcrop_export.json   the export record: versions, hashes of the files above, measured difference to torch

A large model (`LargeManifest`) has model.json, tokenizer.json, four graphs (vision.onnx, embed.onnx, decoder.onnx and
rows.onnx) and the export record. Its weights are in files next to the graphs, such as vision.onnx.data; see
`shotcrop_cli.model.large.network`.

Names and hashes make a folder self-contained: it can be copied anywhere, and shotcrop refuses an altered one. For the
weights of a large model it compares only the size, because hashing gigabytes takes longer than loading them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from shotcrop_cli.errors import ModelError
from shotcrop_cli.model.large import manifest as large
from shotcrop_cli.model.large.manifest import LargeManifest
from shotcrop_cli.model.nano import manifest as nano
from shotcrop_cli.model.nano.manifest import NanoManifest

MANIFEST = "model.json"
TOKENIZER = "tokenizer.json"
VISION = "vision.onnx"
EMBED = "embed.onnx"
DECODER = "decoder.onnx"
ROWS = "rows.onnx"
EXPORT_RECORD = "shotcrop_export.json"
DETECTOR_FILES = (MANIFEST, nano.DETECTOR, nano.COMPOSER)
LARGE_GRAPHS = (VISION, EMBED, DECODER)
WEIGHTS = tuple(f"{graph}.data" for graph in LARGE_GRAPHS)
LARGE_FILES = (MANIFEST, TOKENIZER, *LARGE_GRAPHS, ROWS, *WEIGHTS)
OPTIONAL_FILES = (nano.DETECTOR_INT8,)
"""Files that belong to a model folder if its export record names them."""
HASHED_FILES = tuple(dict.fromkeys((*DETECTOR_FILES, *OPTIONAL_FILES, *LARGE_FILES)))
"""Every file that a model folder of any kind may contain, except its export record."""

_MANIFESTS: Mapping[str, type[NanoManifest] | type[LargeManifest]] = {
    nano.FORMAT: NanoManifest,
    large.FORMAT: LargeManifest,
}
"""The class of a manifest, by the format that `model.json` names."""
_FILES: Mapping[type, tuple[str, ...]] = {
    NanoManifest: DETECTOR_FILES,
    LargeManifest: LARGE_FILES,
}
"""The files of a model folder, by the class of its manifest."""


def file_sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file's content."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True)
class Bundle:
    """A model folder that is complete and unaltered."""

    folder: Path
    manifest: NanoManifest | LargeManifest
    hashes: Mapping[str, str]

    @cached_property
    def sha256(self) -> str:
        """One hash over all files, which identifies the model in sidecars."""
        lines = "".join(f"{name} {self.hashes[name]}\n" for name in sorted(self.hashes))
        return hashlib.sha256(lines.encode()).hexdigest()

    def path(self, name: str) -> Path:
        """Return the path of one of the folder's files."""
        return self.folder / name


def read_bundle(folder: Path) -> Bundle:
    """Open a model folder and compare its files with its export record.

    Raises:
        ModelError: A file is missing, unreadable, altered, or made for another version of shotcrop.
    """
    remedy = "export the model again with `shotcrop export-onnx`"
    manifest = _read_manifest(folder)
    record = _read_json(folder / EXPORT_RECORD)
    recorded = record.get("sha256")
    if not isinstance(recorded, dict):
        raise ModelError(f"{folder / EXPORT_RECORD} has no file hashes", hint=remedy)
    sizes = record.get("bytes", {})
    hashes = {}
    optional = (name for name in OPTIONAL_FILES if name in recorded)
    for name in (*_FILES[type(manifest)], *optional):
        path = folder / name
        try:
            found = path.stat().st_size if name in WEIGHTS else file_sha256(path)
        except OSError as error:
            raise ModelError(f"model {folder} has no readable {name}: {error.strerror}", hint=remedy) from error
        if found != (sizes if name in WEIGHTS else recorded).get(name):
            raise ModelError(f"model file {path} is altered or damaged", hint=remedy)
        hashes[name] = recorded[name]
    return Bundle(folder, manifest, hashes)


def read_tokenizer(bundle: Bundle) -> Any:
    """Load a model's tokenizer, an object of the `tokenizers` library.

    Raises:
        ModelError: The file cannot be read.
    """
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(bundle.path(TOKENIZER)))
    except Exception as error:
        raise ModelError(f"{bundle.path(TOKENIZER)} cannot be read: {error}", hint="export the model again") from error


def _read_manifest(folder: Path) -> NanoManifest | LargeManifest:
    content = _read_json(folder / MANIFEST)
    kind = _MANIFESTS.get(str(content.get("format")))
    if kind is None:
        raise ModelError(
            f"model {folder} has format {content.get('format')!r}, not one of {', '.join(map(repr, _MANIFESTS))}",
            hint="use a model exported by this version of shotcrop",
        )
    try:
        return kind.from_json(content)
    except ValueError as error:
        raise ModelError(f"{folder / MANIFEST}: {error}", hint="export the model again") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{path.parent} is not a model folder: it has no {path.name}",
            hint="give a folder that `shotcrop export-onnx` wrote",
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}", hint="export the model again") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} does not contain a JSON object", hint="export the model again")
    return content
