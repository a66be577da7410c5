"""A model folder: what `shotcrop export-onnx` writes and the runtime reads.

    model.json             what the model is: kind, sizes, decoding settings (`Manifest`, or a large model's)
    tokenizer.json         vocabulary, for the `tokenizers` library
    vision.onnx            pixel_values (B, 3, S, S) -> image_features (B, T, H), spots (B, 2, 4), maybe words (B, W)
    decoder.onnx           token ids, image features and key-value cache -> logits and cache
    shotcrop_export.json   how it was made: versions, hashes of the files above, measured difference to torch

A large model has further graphs, embed.onnx and rows.onnx, and its weights lie beside its graphs, in vision.onnx.data
and so on; see `shotcrop_cli.model.large.network`.

The names and hashes make a folder self-contained: it can be copied anywhere, and an altered one is refused. Of a large
model's weights only the size is looked at when it is opened: to hash gigabytes takes longer than to load them.
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
from shotcrop_cli.model.nano.grammar import CONTROL_TOKENS

MANIFEST = "model.json"
TOKENIZER = "tokenizer.json"
VISION = "vision.onnx"
EMBED = "embed.onnx"
DECODER = "decoder.onnx"
ROWS = "rows.onnx"
EXPORT_RECORD = "shotcrop_export.json"
NANO_FILES = (MANIFEST, TOKENIZER, VISION, DECODER)
LARGE_GRAPHS = (VISION, EMBED, DECODER)
WEIGHTS = tuple(f"{graph}.data" for graph in LARGE_GRAPHS)
LARGE_FILES = (MANIFEST, TOKENIZER, *LARGE_GRAPHS, ROWS, *WEIGHTS)
HASHED_FILES = tuple(dict.fromkeys((*NANO_FILES, *LARGE_FILES)))
"""Every file that a model folder of any kind may hold beside its export record."""
FORMAT = "shotcrop-nano/1"
FREE_CAPTIONS, GROUNDED_CAPTIONS = "free", "grounded"


@dataclass(frozen=True)
class Manifest:
    """What the runtime must know of a compact model.

    Args:
        format: Name and version of this layout.
        name: The model's name, as sidecars give it.
        image_size: Side of the square input in pixels.
        image_tokens: Visual tokens of a photo.
        hidden_size: Width of a visual token.
        layers: Layers of the decoder.
        key_value_heads: Heads in the key-value cache.
        head_size: Width of a head.
        context: Positions the decoder can address.
        text_tokens: Number of text tokens; the control tokens follow.
        control_tokens: Hash of the control tokens' names and order, so that a model of another grammar is refused.
        no_subject_threshold: From this probability of "nobody" on, the answer is that.
        captions: `free`, as the model writes them, or `grounded`, put into words from its chain of thought by rule.
        words: Whether the model's own captions are decoded, for the boxes after them or for themselves.
        mirror: Whether the photo's mirror image is asked about, too; see `shotcrop_cli.model.nano.mirror`.
        caching: How the decoder graph keeps its cache, `gqa` or `concat`; see `shotcrop_cli.model.kv_cache.Caching`.
        score_offset: With `score_slope`, what turns the agreement of both looks into the probability that a shot is
            right, 1 / (1 + exp(-(offset + slope * agreement))); None leaves the agreement as the score.
        score_slope: See `score_offset`.
        lexicon: Concepts that the vision graph's output `words` tells, in its order, each with the logit from which on
            it is said; empty for a graph without that output. See `shotcrop_cli.captions.rules`.
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
            raise ValueError("free captions have to be decoded")
        if (self.score_offset is None) != (self.score_slope is None):
            raise ValueError("a calibrated score has an offset and a slope")
        if self.caching not in tuple(Caching):
            raise ValueError(f"this version of shotcrop knows no decoder of kind '{self.caching}'")
        # JSON has lists alone.
        object.__setattr__(self, "lexicon", tuple((str(word), float(least)) for word, least in self.lexicon))

    def to_json(self) -> str:
        """Return the content of `model.json`."""
        return json.dumps(asdict(self), indent=2) + "\n"


def control_token_hash() -> str:
    """Return the hash by which a model names the grammar that it was trained with."""
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
    """A model folder that was found to be complete and unaltered."""

    folder: Path
    manifest: Manifest | LargeManifest
    hashes: Mapping[str, str]

    @cached_property
    def sha256(self) -> str:
        """One hash over all files: the model's identity in sidecars."""
        lines = "".join(f"{name} {self.hashes[name]}\n" for name in sorted(self.hashes))
        return hashlib.sha256(lines.encode()).hexdigest()

    def path(self, name: str) -> Path:
        """Return the path of one of the folder's files."""
        return self.folder / name


def read_bundle(folder: Path) -> Bundle:
    """Open a model folder and check that it is what its export recorded.

    Raises:
        ModelError: A file is missing, unreadable, altered, or made for another version of shotcrop.
    """
    remedy = "export the model again with `shotcrop export-onnx`"
    manifest = _manifest(folder)
    record = _json(folder / EXPORT_RECORD)
    recorded = record.get("sha256")
    if not isinstance(recorded, dict):
        raise ModelError(f"{folder / EXPORT_RECORD} names no file hashes", hint=remedy)
    sizes = record.get("bytes", {})
    hashes = {}
    for name in LARGE_FILES if isinstance(manifest, LargeManifest) else NANO_FILES:
        path = folder / name
        try:
            found = path.stat().st_size if name in WEIGHTS else file_sha256(path)
        except OSError as error:
            raise ModelError(f"model {folder} lacks {name}: {error.strerror}", hint=remedy) from error
        if found != (sizes if name in WEIGHTS else recorded).get(name):
            raise ModelError(f"model file {path} was altered or is damaged", hint=remedy)
        hashes[name] = recorded[name]
    return Bundle(folder, manifest, hashes)


def read_tokenizer(bundle: Bundle) -> Any:
    """Load a model's tokenizer, of the `tokenizers` library.

    Raises:
        ModelError: It cannot be read.
    """
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(bundle.path(TOKENIZER)))
    except Exception as error:
        raise ModelError(f"{bundle.path(TOKENIZER)} cannot be read: {error}", hint="export the model again") from error


def _manifest(folder: Path) -> Manifest | LargeManifest:
    content = _json(folder / MANIFEST)
    if content.get("format") == large.FORMAT:
        try:
            return LargeManifest.from_json(content)
        except ValueError as error:
            raise ModelError(f"{folder / MANIFEST}: {error}", hint="export the model again") from None
    if content.get("format") != FORMAT:
        raise ModelError(
            f"model {folder} has format {content.get('format')!r}, not {FORMAT!r}",
            hint="use a model exported by this version of shotcrop",
        )
    known = {one.name for one in fields(Manifest)}
    needed = {one.name for one in fields(Manifest) if one.default is MISSING}
    if odd := ", ".join(sorted(set(content) - known | needed - set(content))):
        raise ModelError(f"{folder / MANIFEST}: missing or unknown keys: {odd}", hint="export the model again")
    try:
        manifest = Manifest(**content)
    except ValueError as error:
        raise ModelError(f"{folder / MANIFEST}: {error}", hint="export the model again") from None
    if manifest.control_tokens != control_token_hash():
        raise ModelError(
            f"model {folder} speaks another grammar than this version of shotcrop",
            hint="use a model exported by this version of shotcrop",
        )
    return manifest


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{path.parent} is no model folder: it has no {path.name}",
            hint="name a folder that `shotcrop export-onnx` wrote",
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}", hint="export the model again") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} does not hold a JSON object", hint="export the model again")
    return content
