"""A model folder: what `shotcrop export-onnx` writes and the runtime reads.

    model.json             kind, sizes and settings of the model: a `Manifest` or a `LargeManifest`
    tokenizer.json         vocabulary, for the `tokenizers` library
    vision.onnx            pixel_values (B, 3, S, S) -> image_features (B, T, H), spots (B, 2, 4), maybe words (B, W)
    decoder.onnx           token ids, image features and key-value cache -> logits and cache
    shotcrop_export.json   the export record: versions, hashes of the files above, measured difference to torch

A compact model of format `shotcrop-nano/2` (`NanoManifest`) has no tokenizer and two other graphs, detector.onnx and
composer.onnx; see `shotcrop_cli.model.nano`. A large model has two more graphs, embed.onnx and rows.onnx. Its weights
are in files next to the graphs, such as vision.onnx.data; see `shotcrop_cli.model.large.network`.

Names and hashes make a folder self-contained: it can be copied anywhere, and shotcrop refuses an altered one. For the
weights of a large model it compares only the size, because hashing gigabytes takes longer than loading them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from shotcrop_cli.errors import ModelError
from shotcrop_cli.model.kv_cache import Caching
from shotcrop_cli.model.large import manifest as large
from shotcrop_cli.model.large.manifest import LargeManifest
from shotcrop_cli.model.nano import manifest as nano
from shotcrop_cli.model.nano.grammar import CONTROL_TOKENS
from shotcrop_cli.model.nano.manifest import NanoManifest

MANIFEST = "model.json"
TOKENIZER = "tokenizer.json"
VISION = "vision.onnx"
EMBED = "embed.onnx"
DECODER = "decoder.onnx"
ROWS = "rows.onnx"
EXPORT_RECORD = "shotcrop_export.json"
NANO_FILES = (MANIFEST, TOKENIZER, VISION, DECODER)
DETECTOR_FILES = (MANIFEST, nano.DETECTOR, nano.COMPOSER)
LARGE_GRAPHS = (VISION, EMBED, DECODER)
WEIGHTS = tuple(f"{graph}.data" for graph in LARGE_GRAPHS)
LARGE_FILES = (MANIFEST, TOKENIZER, *LARGE_GRAPHS, ROWS, *WEIGHTS)
HASHED_FILES = tuple(dict.fromkeys((*NANO_FILES, *DETECTOR_FILES, *LARGE_FILES)))
"""Every file that a model folder of any kind may contain, except its export record."""
FORMAT = "shotcrop-nano/1"
FREE_CAPTIONS, GROUNDED_CAPTIONS = "free", "grounded"


@dataclass(frozen=True)
class Manifest:
    """What the runtime must know about a compact model.

    Args:
        format: Name and version of this file format.
        name: The model's name in sidecars.
        image_size: Side of the square input in pixels.
        image_tokens: Number of visual tokens per photo.
        hidden_size: Width of a visual token.
        layers: Number of decoder layers.
        key_value_heads: Heads in the key-value cache.
        head_size: Width of a head.
        context: Number of positions that the decoder supports.
        text_tokens: Number of text tokens; the control tokens follow them.
        control_tokens: Hash of the names and the order of the control tokens. A model with another grammar is refused.
        no_subject_threshold: From this probability of "no people" on, the answer is `NoSubject`.
        captions: `free` for captions that the model writes, `grounded` for captions made by rule from its chain of
            thought.
        words: Whether the model's own captions are decoded: to be used, or because boxes follow them.
        mirror: Whether the model also answers the photo's mirror image; see `shotcrop_cli.model.nano.mirror`.
        caching: The form of the decoder's cache, `gqa` or `concat`; see `shotcrop_cli.model.kv_cache.Caching`.
        score_offset: With `score_slope`, turns the agreement of both answers into the probability that a shot is right:
            1 / (1 + exp(-(offset + slope * agreement))). With None, the agreement is the score.
        score_slope: See `score_offset`.
        lexicon: The tags of the vision graph's output `words`, in its order, each with the logit from which it counts
            as predicted. Empty for a graph without that output. See `shotcrop_cli.captions.rules`.
    """

    format: str
    name: str
    image_size: int
    image_tokens: int
    hidden_size: int
    layers: int
    key_value_heads: int
    head_size: int
    context: int
    text_tokens: int
    control_tokens: str
    no_subject_threshold: float
    captions: str
    words: bool = True
    mirror: bool = False
    caching: str = "gqa"
    score_offset: float | None = None
    score_slope: float | None = None
    lexicon: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if self.captions == FREE_CAPTIONS and not self.words:
            raise ValueError("free captions must be decoded")
        if (self.score_offset is None) != (self.score_slope is None):
            raise ValueError("a calibrated score needs both an offset and a slope")
        if self.caching not in tuple(Caching):
            raise ValueError(f"this version of shotcrop does not support a decoder of kind '{self.caching}'")
        # JSON has only lists.
        object.__setattr__(self, "lexicon", tuple((str(word), float(least)) for word, least in self.lexicon))

    def to_json(self) -> str:
        """Return the content of `model.json`."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Manifest:
        """Read the content of `model.json`.

        Raises:
            ValueError: A key is missing or unknown, a value is invalid, or the model has another grammar.
        """
        known = {one.name for one in fields(cls)}
        needed = {one.name for one in fields(cls) if one.default is MISSING}
        if odd := ", ".join(sorted(set(content) - known | needed - set(content))):
            raise ValueError(f"missing or unknown keys: {odd}")
        manifest = cls(**content)
        if manifest.control_tokens != control_token_hash():
            raise ValueError("the model was made for another version of shotcrop: its grammar differs")
        return manifest


_MANIFESTS: Mapping[str, type[Manifest] | type[NanoManifest] | type[LargeManifest]] = {
    FORMAT: Manifest,
    nano.FORMAT: NanoManifest,
    large.FORMAT: LargeManifest,
}
"""The class of a manifest, by the format that `model.json` names."""
_FILES: Mapping[type, tuple[str, ...]] = {
    Manifest: NANO_FILES,
    NanoManifest: DETECTOR_FILES,
    LargeManifest: LARGE_FILES,
}
"""The files of a model folder, by the class of its manifest."""


def control_token_hash() -> str:
    """Return the hash of the control tokens, by which a model names the grammar it was trained with."""
    return hashlib.sha256("\n".join(CONTROL_TOKENS).encode()).hexdigest()[:16]


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
    manifest: Manifest | NanoManifest | LargeManifest
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
    for name in _FILES[type(manifest)]:
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


def _read_manifest(folder: Path) -> Manifest | NanoManifest | LargeManifest:
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
