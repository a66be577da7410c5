"""Export a large checkpoint to a model folder."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from shotcrop_cli.errors import OutputError, ShotcropError
from shotcrop_cli.model.bundle import (
    DECODER,
    EMBED,
    LARGE_FILES,
    MANIFEST,
    ROWS,
    TOKENIZER,
    VISION,
    WEIGHTS,
    Bundle,
    file_sha256,
    read_bundle,
)
from shotcrop_cli.model.kv_cache import Caching
from shotcrop_cli.model.large.answer import CoordSpace
from shotcrop_cli.model.large.manifest import FORMAT, Decoder, LargeManifest, Precision, Prompt, Vision
from shotcrop_cli.model.large.prompts import instruction
from shotcrop_export.large.checkpoint import Checkpoint, load_checkpoint
from shotcrop_export.large.graphs import EmbedGraph, GrownDecoder, InPlaceDecoder, RowChoice, VisionGraph
from shotcrop_export.large.verify import LargeDifference, verify
from shotcrop_export.record import OPSET, put_in_place, trace, versions, write_record

ANSWER_TOKENS = 512
"""Answers with more tokens are cut off (our choice). Answers in the form of the contract have 200 to 350."""
_TYPES = {Precision.FP32: torch.float32, Precision.FP16: torch.float16, Precision.BF16: torch.bfloat16}


@dataclass(frozen=True, slots=True)
class LargeExportOptions:
    """What the user asked for.

    Args:
        name: The model's name in sidecars.
        precision: The number format of weights and computation.
        coord_space: The coordinates in which the model writes boxes; None for those of its training.
        think: Whether it writes its reasoning first; None for as in its training.
        answer_tokens: An answer with more tokens is cut off.
        caching: The form of the decoder's cache.
    """

    name: str
    precision: Precision = Precision.FP32
    coord_space: CoordSpace | None = None
    think: bool | None = None
    answer_tokens: int = ANSWER_TOKENS
    caching: Caching = Caching.IN_PLACE


def export_large(
    folder: Path, target: Path, photos: Sequence[Path], options: LargeExportOptions
) -> tuple[Bundle, LargeDifference]:
    """Write a model folder and verify it against torch's `.generate` before it gets its name.

    The weights are rounded to the precision first. Torch, in single precision with the same rounded weights, must
    choose the same tokens. No CPU runs graphs in bf16: then graphs in single precision with the same weights are
    verified instead.

    Args:
        folder: A checkpoint, or an adapter (LoRA) whose base is on this machine.
        target: Folder to write. It must not exist, or must be an older model folder.
        photos: Real photos to verify with.
        options: How to export.

    Returns:
        The model folder, and the measured difference between torch and ONNX Runtime.

    Raises:
        ShotcropError: The checkpoint cannot be read or exported, the target is something else, or the two differ.
    """
    if target.exists() and not (target / MANIFEST).is_file():
        raise OutputError(f"{target} exists and is not a model folder", hint="give a folder that does not exist yet")
    checkpoint = load_checkpoint(folder)
    manifest = describe(checkpoint, options)
    round_to(checkpoint.model, options.precision)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as scratch:
        if options.precision is Precision.BF16:
            twin = Path(scratch) / "twin"
            _write(checkpoint, replace(manifest, precision=Precision.FP32), twin)
            difference = verify(checkpoint, read_bundle(twin), photos)
            for name in WEIGHTS:  # as large as the model itself
                (twin / name).unlink()
        new = Path(scratch) / "model"
        record = _write(checkpoint, manifest, new)
        if options.precision is not Precision.BF16:
            difference = verify(checkpoint, read_bundle(new), photos)
        record |= {
            "versions": versions(),
            "opset": OPSET,
            "verified": "single precision, same weights" if options.precision is Precision.BF16 else "as exported",
            "torch_onnx_difference": difference.to_dict(),
        }
        write_record(new, record)
        put_in_place(new, target)
    return read_bundle(target), difference


def _write(checkpoint: Checkpoint, manifest: LargeManifest, folder: Path) -> dict[str, object]:
    """Write all files of a model folder and return its record, still without measurements."""
    folder.mkdir(mode=0o755)
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    checkpoint.tokenizer.backend_tokenizer.save(str(folder / TOKENIZER))
    kept = checkpoint.model.to(_TYPES[manifest.precision])
    export_graphs(kept, manifest, folder)
    checkpoint.model.to(torch.float32)
    record: dict[str, object] = {
        "sha256": {name: file_sha256(folder / name) for name in LARGE_FILES},
        "bytes": {name: (folder / name).stat().st_size for name in WEIGHTS},
        "weights": str(manifest.precision),
    }
    write_record(folder, record)
    return record


@torch.no_grad()
def round_to(model: torch.nn.Module, precision: Precision) -> None:
    """Round every weight to a value that the precision can represent.

    Raises:
        ShotcropError: A weight is out of range.
    """
    kind = _TYPES[precision]
    for name, parameter in model.named_parameters():
        rounded = parameter.to(kind).to(parameter.dtype)
        if not torch.isfinite(rounded).all():
            raise ShotcropError(f"the weight {name} is too large for {precision}", hint="use --precision bf16 or fp32")
        parameter.copy_(rounded)


def describe(checkpoint: Checkpoint, options: LargeExportOptions) -> LargeManifest:
    """Return the manifest for a checkpoint.

    Raises:
        ShotcropError: The chat template does not contain the photo exactly once.
    """
    model, images = checkpoint.model, checkpoint.image_processor
    text, tower = model.config.text_config, model.config.vision_config
    inner = len(getattr(tower, "deepstack_visual_indexes", ()))
    cell = images.patch_size * images.merge_size
    return LargeManifest(
        format=FORMAT,
        family=checkpoint.family,
        name=options.name,
        precision=options.precision,
        caching=options.caching,
        prompt=_prompt(checkpoint, options),
        vision=Vision(
            patch_size=images.patch_size,
            merge_size=images.merge_size,
            temporal_patch_size=images.temporal_patch_size,
            min_pixels=images.size["shortest_edge"],
            max_pixels=images.size["longest_edge"],
            mean=tuple(images.image_mean),
            std=tuple(images.image_std),
            grid_side=round(getattr(tower, "num_position_embeddings", 0) ** 0.5),
            window=getattr(tower, "window_size", 0) // cell,
            heads=tower.num_heads,
            width=tower.hidden_size,
            deepstack=inner,
        ),
        decoder=Decoder(
            layers=text.num_hidden_layers,
            heads=text.num_attention_heads,
            key_value_heads=text.num_key_value_heads,
            head_size=getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
            width=text.hidden_size,
            inner_width=text.intermediate_size,
            context=text.max_position_embeddings,
            vocabulary=model.lm_head.out_features,
        ),
    )


def _prompt(checkpoint: Checkpoint, options: LargeExportOptions) -> Prompt:
    """Fill in the chat template and split it at the photo."""
    tokenizer, model = checkpoint.tokenizer, checkpoint.model
    space = options.coord_space or checkpoint.space
    think = checkpoint.think if options.think is None else options.think
    messages = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": instruction(space, think=think)}]}
    ]
    text = tokenizer.apply_chat_template(
        messages, chat_template=checkpoint.template, tokenize=False, add_generation_prompt=True
    )
    image = tokenizer.convert_ids_to_tokens(model.config.image_token_id)
    if text.count(image) != 1:
        raise ShotcropError(
            f"the chat template of the checkpoint has {text.count(image)} {image} for a photo, not one",
            hint="use the chat template of the base model",
        )
    prefix, _, suffix = text.partition(image)
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [tokenizer.eos_token_id if ends is None else ends]
    backend = tokenizer.backend_tokenizer
    return Prompt(
        prefix=prefix,
        suffix=suffix,
        text_tokens=sum(len(backend.encode(part, add_special_tokens=False).ids) for part in (prefix, suffix)),
        image_token=model.config.image_token_id,
        end_tokens=tuple(ends),
        answer_tokens=options.answer_tokens,
        coord_space=space,
        think=think,
    )


def export_graphs(model: Any, manifest: LargeManifest, folder: Path) -> None:
    """Write the graphs: `vision.onnx`, `embed.onnx` and `decoder.onnx`, with their weights, and `rows.onnx`."""
    auto = torch.export.Dim.AUTO
    vision, sizes = manifest.vision, manifest.decoder
    kind = _TYPES[manifest.precision]
    inner = range(vision.deepstack)
    features = ["image_features", *(f"deepstack_features.{number}" for number in inner)]
    patches = 6 * vision.merge_size**2
    values = 3 * vision.temporal_patch_size * vision.patch_size**2
    photo: dict[str, torch.Tensor] = {
        "pixel_values": torch.zeros(2, patches, values),
        "positions": torch.zeros(2, patches, 2, dtype=torch.int64),
        "segments": torch.zeros(2, patches, dtype=torch.int64),
    }
    if vision.grid_side:
        photo["table_entries"] = torch.zeros(2, patches, 4, dtype=torch.int64)
        photo["table_weights"] = torch.zeros(2, patches, 4)
    _export(
        VisionGraph(model),
        tuple(photo.values()),
        folder / VISION,
        inputs=list(photo),
        outputs=features,
        dynamic={name: {0: auto, 1: auto} for name in photo},
    )
    _export(
        EmbedGraph(model),
        (torch.zeros(2, 9, dtype=torch.int64), [torch.zeros(2, 6, sizes.width) for _ in features]),
        folder / EMBED,
        inputs=["input_ids", *features],
        outputs=["inputs_embeds", *(f"deepstack_embeds.{number}" for number in inner)],
        dynamic={"input_ids": {0: auto, 1: auto}, "features": [{0: auto, 1: auto} for _ in features]},
    )
    names = manifest.cache.names
    cache = [torch.zeros(2, sizes.key_value_heads, 32, sizes.head_size, dtype=kind) for _ in names]
    in_place = manifest.caching is Caching.IN_PLACE
    arguments = {
        "inputs_embeds": torch.zeros(2, 9, sizes.width, dtype=kind),
        "position_ids": torch.zeros(3, 2, 9, dtype=torch.int64),
        "last_positions": torch.full((2,), 8, dtype=torch.int32),
    }
    dynamic: dict[str, object] = {
        "inputs_embeds": {0: auto, 1: auto},
        "position_ids": {1: auto, 2: auto},
        "last_positions": {0: auto},
    }
    if in_place:
        arguments["length"], dynamic["length"] = torch.tensor(9, dtype=torch.int32), {}
    else:
        arguments["attention_mask"] = torch.ones(2, 32 + 9, dtype=torch.int64)
        dynamic["attention_mask"] = {0: auto, 1: auto}
    _export(
        (InPlaceDecoder if in_place else GrownDecoder)(model),
        (*arguments.values(), cache, [torch.zeros(2, 9, sizes.width, dtype=kind) for _ in inner]),
        folder / DECODER,
        inputs=[
            *arguments,
            *(f"past.{one}" for one in names),
            *(f"deepstack_embeds.{number}" for number in inner),
        ],
        outputs=["logits", "tokens", *(f"present.{one}" for one in names)],
        dynamic=dynamic | {"past": [{0: auto, 2: auto} for _ in names], "inner": [{0: auto, 1: auto} for _ in inner]},
    )
    _export(
        RowChoice(),
        (cache[0], torch.zeros(3, dtype=torch.int64)),
        folder / ROWS,
        inputs=["values", "rows"],
        outputs=["chosen"],
        dynamic={"values": {0: auto, 2: auto}, "rows": {0: auto}},
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
    program = trace(module, arguments, inputs=inputs, outputs=outputs, dynamic=dynamic)
    graph = program.model
    # The exporter's notes with paths of this machine.
    graph.metadata_props.clear()
    graph.graph.metadata_props.clear()
    for node in graph.graph:
        node.metadata_props.clear()
        node.doc_string = None
    program.save(path, external_data=True)
