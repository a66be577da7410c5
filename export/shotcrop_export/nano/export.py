"""Checkpoint -> model folder."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from shotcrop_cli.errors import OutputError, ShotcropError
from shotcrop_cli.evaluation.dataset import Record
from shotcrop_cli.model.bundle import (
    DECODER,
    FORMAT,
    FREE_CAPTIONS,
    GROUNDED_CAPTIONS,
    MANIFEST,
    NANO_FILES,
    TOKENIZER,
    VISION,
    Bundle,
    Manifest,
    control_token_hash,
    file_sha256,
    read_bundle,
)
from shotcrop_cli.model.kv_cache import CacheShape, Caching
from shotcrop_cli.model.load import load_composer
from shotcrop_export.nano.graphs import GrownDecoder, InPlaceDecoder, VisionGraph
from shotcrop_export.nano.quantise import Agreement, answers_of, compare, quantise, seen
from shotcrop_export.nano.verify import Difference, verify
from shotcrop_export.record import OPSET, put_in_place, trace, versions, write_record
from shotcrop_train.checkpoints import load_nano
from shotcrop_train.nano import NanoForConditionalGeneration, NanoProcessor
from shotcrop_train.nano.confidence import Curve, calibrate
from shotcrop_train.nano.lexicon import Lexicon, fit_lexicon
from shotcrop_train.nano.torch_network import vocabulary_of

WEIGHTS = "float16 storage, float32 arithmetic"
VISION_IN_INT8 = f"vision: int8; decoder: {WEIGHTS}"
"""What an export record says of the weights."""
HALF_FROM = 1024
"""Weights with at least this many values are stored in half precision; the small rest is not worth a Cast node [O]."""


@dataclass(frozen=True, slots=True)
class NanoExportOptions:
    """What the user asked for.

    Args:
        name: The model's name in sidecars.
        captions: Where captions come from, `grounded` or `free`; see `Manifest`.
        mirror: Whether the model also answers each photo's mirror image.
        calibration: A training set whose held-back tenth turns scores into probabilities; empty to keep the scores.
        caching: How the decoder keeps its cache. None chooses the faster way on a CPU: grown, which takes many tokens
            that are known beforehand in one step, but in place for a model whose captions are decoded token by token.
        int8: Whether to rewrite the vision graph in 8-bit integers after it was verified. The photos give the ranges.
        captioned: Photos with human captions, from which the graph learns a few words; see
            `shotcrop_train.nano.lexicon`. Empty for a model without these words.
    """

    name: str = "shotcrop-nano"
    captions: str = GROUNDED_CAPTIONS
    mirror: bool = True
    calibration: Sequence[Record] = ()
    caching: Caching | None = None
    int8: bool = False
    captioned: Sequence[Record] = ()


_DEFAULT_OPTIONS = NanoExportOptions()


def export_nano(
    checkpoint: Path, target: Path, photos: Sequence[Path], options: NanoExportOptions = _DEFAULT_OPTIONS
) -> tuple[Bundle, Difference]:
    """Write a model folder and verify it against torch before it gets its name.

    The weights are rounded to half precision first and stored so. The graphs compute in single precision. The folder is
    half as large, and torch, with the same rounded weights, must give the same answers.

    Args:
        checkpoint: Folder of a trained compact model.
        target: Folder to write; it must not exist, or be an older model folder.
        photos: Real photos to verify with.
        options: How to export.

    Returns:
        The model folder, and the measured difference between torch and ONNX Runtime.

    Raises:
        ShotcropError: The checkpoint cannot be read, the target is something else, the two differ, or the scores cannot
            be calibrated.
    """
    if target.exists() and not (target / MANIFEST).is_file():
        raise OutputError(f"{target} exists and is not a model folder", hint="give a folder that does not exist yet")
    model, processor = load_nano(checkpoint)
    if not model.config.think:
        raise ShotcropError(
            f"{checkpoint} was trained without a chain of thought, for comparison only",
            hint="export a model of a recipe with think = true",
        )
    round_to_half(model)
    model.eval()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir(mode=0o755)
        if (caching := options.caching) is None:
            words = model.config.words or options.captions == FREE_CAPTIONS
            caching = Caching.IN_PLACE if words else Caching.GROWN
        lexicon = fit_lexicon(model, options.captioned) if options.captioned else None
        manifest = write_manifest(model, processor, folder, replace(options, caching=caching), lexicon)
        processor.tokenizer.backend_tokenizer.save(str(folder / TOKENIZER))
        export_graphs(model, folder, caching, lexicon)
        hashes = {file: file_sha256(folder / file) for file in NANO_FILES}
        record: dict[str, object] = {"sha256": hashes}
        write_record(folder, record)
        difference = verify(model, processor, read_bundle(folder), photos)
        record |= {
            "versions": versions(),
            "opset": OPSET,
            "weights": WEIGHTS,
            "torch_onnx_difference": difference.to_dict(),
        }
        if options.int8:
            write_record(folder, record)
            record |= {"weights": VISION_IN_INT8, "int8_agreement": rewrite(folder, manifest, photos).to_dict()}
            hashes[VISION] = file_sha256(folder / VISION)
            write_record(folder, record)
        if options.calibration:
            composer = load_composer(read_bundle(folder), "cpu")
            write_curve(folder, manifest, calibrate(composer, options.calibration))
            hashes[MANIFEST] = file_sha256(folder / MANIFEST)
        write_record(folder, record)
        put_in_place(folder, target)
    return read_bundle(target), difference


def write_manifest(
    model: NanoForConditionalGeneration,
    processor: NanoProcessor,
    folder: Path,
    options: NanoExportOptions,
    lexicon: Lexicon | None = None,
) -> Manifest:
    """Write `model.json` and return what it says; `options.caching` must be chosen."""
    config, text = model.config, model.config.text_config
    assert options.caching is not None
    manifest = Manifest(
        format=FORMAT,
        name=options.name,
        image_size=config.image_size,
        image_tokens=config.num_image_tokens,
        hidden_size=text.hidden_size,
        layers=text.num_hidden_layers,
        key_value_heads=text.num_key_value_heads,
        head_size=text.head_dim or text.hidden_size // text.num_attention_heads,
        context=text.max_position_embeddings,
        text_tokens=vocabulary_of(processor.tokenizer).text_tokens,
        control_tokens=control_token_hash(),
        no_subject_threshold=config.no_subject_threshold,
        captions=options.captions,
        words=config.words or options.captions == FREE_CAPTIONS,
        mirror=options.mirror,
        caching=options.caching.value,
        lexicon=tuple(zip(lexicon.words, lexicon.thresholds, strict=True)) if lexicon is not None else (),
    )
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def rewrite(folder: Path, manifest: Manifest, photos: Sequence[Path]) -> Agreement:
    """Rewrite the graphs in 8-bit integers and measure how far the answers move.

    Raises:
        ModelError: They move too far.
    """
    thumbnails, aspects = seen(photos, manifest.image_size)
    single = read_bundle(folder)
    before = answers_of(single, thumbnails, aspects)
    quantise(folder, thumbnails)
    return compare(before, answers_of(single, thumbnails, aspects))


def write_curve(folder: Path, manifest: Manifest, curve: Curve) -> None:
    """Write `model.json` anew, with the curve that turns scores into probabilities."""
    calibrated = replace(manifest, score_offset=round(curve.offset, 4), score_slope=round(curve.slope, 4))
    (folder / MANIFEST).write_text(calibrated.to_json(), encoding="utf-8")


@torch.no_grad()
def round_to_half(model: torch.nn.Module) -> None:
    """Round every weight that is stored in half precision to what half precision can hold."""
    for parameter in model.parameters():
        if parameter.numel() >= HALF_FROM:
            parameter.copy_(parameter.half().to(parameter.dtype))


def export_graphs(
    model: NanoForConditionalGeneration, folder: Path, caching: Caching, lexicon: Lexicon | None = None
) -> None:
    """Write `vision.onnx` and `decoder.onnx`."""
    config, text = model.config, model.config.text_config
    auto = torch.export.Dim.AUTO
    size, hidden, layers = config.image_size, text.hidden_size, text.num_hidden_layers
    head_size = text.head_dim or hidden // text.num_attention_heads
    model = model.to("cpu").to(memory_format=torch.contiguous_format)
    _export(
        VisionGraph(model, lexicon),
        (torch.zeros(2, 3, size, size),),
        folder / VISION,
        inputs=["pixel_values"],
        outputs=["image_features", "spots", *(["words"] if lexicon is not None else [])],
        dynamic={"pixel_values": {0: auto}},
    )
    names = CacheShape(layers, text.num_key_value_heads, head_size).names
    cache = [torch.zeros(2, text.num_key_value_heads, 32, head_size) for _ in names]
    ids = torch.full((2, 9), config.image_token_id)
    ids[:, 6:] = 0
    arguments: dict[str, torch.Tensor] = {"input_ids": ids, "image_features": torch.zeros(2, 6, hidden)}
    dynamic: dict[str, object] = {"input_ids": {0: auto, 1: auto}, "image_features": {0: auto, 1: auto}}
    if caching is Caching.IN_PLACE:
        arguments["last_positions"], arguments["length"] = torch.full((2,), 8, dtype=torch.int32), torch.tensor(9).int()
        dynamic |= {"last_positions": {0: auto}, "length": {}}
    graph = InPlaceDecoder if caching is Caching.IN_PLACE else GrownDecoder
    _export(
        graph(model, text.max_position_embeddings),
        (*arguments.values(), cache),
        folder / DECODER,
        inputs=[*arguments, *(f"past.{one}" for one in names)],
        outputs=["logits", *(f"present.{one}" for one in names)],
        dynamic=dynamic | {"past": [{0: auto, 2: auto} for _ in names]},
    )


def _export(
    module: torch.nn.Module,
    arguments: tuple[object, ...],
    path: Path,
    *,
    inputs: list[str],
    outputs: list[str],
    dynamic: dict[str, object],
) -> None:
    proto = trace(module, arguments, inputs=inputs, outputs=outputs, dynamic=dynamic).model_proto
    store_weights_in_half(proto)
    onnx.save(proto, str(path))


def store_weights_in_half(proto: onnx.ModelProto) -> None:
    """Store weights as float16 behind a Cast, which ONNX Runtime folds away when it loads the graph.

    Only large tensors that half precision holds exactly are stored so: the rounded weights, however the exporter
    transposed and renamed them, but not tables such as the rotations.
    """
    casts = []
    for initializer in proto.graph.initializer:
        if initializer.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(initializer)
        with np.errstate(over="ignore"):  # what half precision cannot hold is left alone below
            half = values.astype(np.float16)
        if values.size < HALF_FROM or not np.array_equal(half.astype(np.float32), values):
            continue
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    for index, node in enumerate(casts):
        proto.graph.node.insert(index, node)
    # Stale shape notes of the renamed weights, and the exporter's stack traces with paths of the building machine.
    del proto.graph.value_info[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
