"""Give a compact model heads for concepts, from the captions of photos.

    python -m shotcrop_export.nano.concepts MODEL DATASET... -o TARGET

MODEL is a model folder whose detector was trained with frozen lower stages, TARGET a new one. The branch of
`shotcrop_train.nano.concepts` becomes part of the detector's graph, with weights of 8 bits: they have one scale per
output channel, which the runtime applies once, when it loads the graph.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto, compose, helper, numpy_helper

from shotcrop_cli.evaluation.dataset import Record, read_dataset
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.thumbnail import thumbnail
from shotcrop_cli.model.bundle import EXPORT_RECORD, MANIFEST, file_sha256, read_bundle
from shotcrop_cli.model.nano.detector import CONCEPTS_OUTPUT, INPUT
from shotcrop_cli.model.nano.manifest import DETECTOR, DETECTOR_INT8, ConceptRule, NanoManifest
from shotcrop_export.nano.quantise import quantise
from shotcrop_export.record import put_in_place, trace, write_record
from shotcrop_train.nano.concepts import (
    CONCEPTS,
    SHARED_STAGES,
    ConceptBranch,
    Figures,
    Floats,
    cross_validate,
    fit,
    read_labels,
)
from shotcrop_train.nano.tower import EfficientNetLite

AT_ONCE = 8
CALIBRATION_PHOTOS = 64
"""Photos on which the branch in 8-bit integers is calibrated."""
LEAST_STORED = 1024
"""Weights with at least this many values are stored in 8 bits."""


def add_concepts(model: Path, datasets: Sequence[Path], target: Path, variant: int = 0) -> dict[str, Figures]:
    """Write a model folder with heads for concepts, and return how they fare in cross-validation.

    Args:
        model: The model folder to start from.
        datasets: Datasets whose rows have `captions`, or experts' words.
        target: Folder to write; it must not exist, or be an older model folder.
        variant: Variant of EfficientNet-Lite that the detector has.
    """
    manifest = read_bundle(model).manifest
    assert isinstance(manifest, NanoManifest)
    branch = ConceptBranch(variant, len(CONCEPTS)).eval()
    records = [one for folder in datasets for one in read_dataset(folder)]
    captions = [captions_of(one) for one in records]
    told = [(record, texts) for record, texts in zip(records, captions, strict=True) if texts]
    features = mean_features([record for record, _ in told], branch, variant, manifest.image_size)
    labels = read_labels([texts for _, texts in told])
    figures = cross_validate(features, labels)
    heads = fit(features, labels, np.ones(len(told), bool))
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".concepts-") as scratch:
        folder = Path(scratch) / "model"
        shutil.copytree(model, folder)
        graphs = [name for name in (DETECTOR, DETECTOR_INT8) if (folder / name).is_file()]
        seen = [record for record, _ in told[:: -(-len(told) // CALIBRATION_PHOTOS)]]
        with torch.no_grad():
            branch.heads.weight.copy_(torch.from_numpy(heads.weights)[:, :, None, None])
            branch.heads.bias.copy_(torch.from_numpy(heads.biases))
            shared = np.concatenate(list(shared_features(seen, variant, manifest.image_size)))
        for name in graphs:
            write_graph(folder / name, branch, shared if name == DETECTOR_INT8 else None)
        rules = tuple(ConceptRule(name, concept.threshold) for name, concept in CONCEPTS.items())
        (folder / MANIFEST).write_text(replace(manifest, concepts=rules).to_json(), encoding="utf-8")
        record = json.loads((folder / EXPORT_RECORD).read_text(encoding="utf-8"))
        record["sha256"] = {file: file_sha256(folder / file) for file in record["sha256"]}
        write_record(folder, record)
        put_in_place(folder, target)
    return figures


def captions_of(record: Record) -> list[str]:
    """Return a photo's captions in lower case: people's own, or an expert's words as one."""
    if record.captions:
        return [text.lower() for text in record.captions]
    if record.composition is None:
        return []
    thoughts = record.composition.reasoning
    texts = (thoughts.scene, thoughts.subject, thoughts.story, *(shot.caption for shot in record.composition.shots))
    joined = " . ".join(filter(None, texts)).lower()
    return [joined] if joined else []


def mean_features(records: Sequence[Record], branch: ConceptBranch, variant: int, side: int) -> Floats:
    """Return the mean features (n, FEATURES) of photos."""
    with torch.inference_mode():
        parts = shared_features(records, variant, side)
        return np.concatenate([branch.features(torch.from_numpy(one)).mean((2, 3)).numpy() for one in parts])


def shared_features(records: Sequence[Record], variant: int, side: int) -> Iterator[Floats]:
    """Give what the tower's shared stages find in photos, some photos (n, C, side / 8, side / 8) at a time."""
    tower = EfficientNetLite(variant)
    tower.load_imagenet()
    with torch.inference_mode():
        for start in range(0, len(records), AT_ONCE):
            paths = [one.path for one in records[start : start + AT_ONCE]]
            images = [thumbnail(decode(read_source(path)), (side, side)) for path in paths]
            pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2).float()
            yield tower.begin((pixels - 127) / 128, SHARED_STAGES).numpy()


def write_graph(path: Path, branch: ConceptBranch, examples: Floats | None = None) -> None:
    """Add the branch to a detector's graph.

    Args:
        path: The graph.
        branch: The branch, with its heads.
        examples: What the shared stages find in some photos, to compute in 8-bit integers; None for single precision,
            with weights that are stored in 8 bits.
    """
    detector = onnx.load(str(path))
    shared, size = shared_tensor(detector)
    program = trace(
        branch,
        (torch.zeros(2, *size),),
        inputs=["shared"],
        outputs=[CONCEPTS_OUTPUT],
        dynamic={"shared": {0: torch.export.Dim.DYNAMIC}},
    )
    model = program.model_proto if examples is None else _quantised(program.model_proto, examples)
    added = compose.add_prefix(model, "branch/", rename_inputs=False, rename_outputs=False)
    if examples is None:
        _store_in_8_bits(added)
    for node in added.graph.node:
        node.input[:] = [shared if name == "shared" else name for name in node.input]
        node.doc_string = ""
        del node.metadata_props[:]
    graph = detector.graph
    graph.node.extend(added.graph.node)
    graph.initializer.extend(added.graph.initializer)
    graph.output.extend(added.graph.output)
    graph.output[-1].type.tensor_type.shape.dim[0].dim_param = graph.output[0].type.tensor_type.shape.dim[0].dim_param
    onnx.checker.check_model(detector)
    onnx.save(detector, str(path))


def shared_tensor(detector: ModelProto) -> tuple[str, tuple[int, int, int]]:
    """Return what the first convolution after the shared stages reads, by name, and its channels, height and width."""
    weight = f"tower.stages.{SHARED_STAGES}.0.expand.conv.weight"
    (name,) = {node.input[0] for node in detector.graph.node if node.op_type == "Conv" and weight in node.input[1]}
    weights = next(one for one in detector.graph.initializer if weight in one.name and len(one.dims) == 4)
    pixels = next(one for one in detector.graph.input if one.name == INPUT)
    side: int = pixels.type.tensor_type.shape.dim[1].dim_value // 8
    return name, (weights.dims[1], side, side)


def _quantised(proto: ModelProto, examples: Floats) -> ModelProto:
    """Return the branch in 8-bit integers, all but its heads."""
    with tempfile.TemporaryDirectory() as scratch:
        single, bytes_ = Path(scratch) / "single.onnx", Path(scratch) / "bytes.onnx"
        onnx.save(proto, str(single))
        quantise(single, bytes_, "shared", examples, ["heads.weight"])
        return onnx.load(str(bytes_))


def _store_in_8_bits(proto: ModelProto) -> None:
    """Replace large weights by bytes, a scale for each output channel, and their product."""
    nodes = []
    for initializer in [one for one in proto.graph.initializer if one.data_type == TensorProto.FLOAT]:
        values = numpy_helper.to_array(initializer)
        if values.size < LEAST_STORED or values.ndim != 4:
            continue
        name, scale = initializer.name, np.abs(values).max((1, 2, 3), keepdims=True) / 127
        scale[scale == 0] = 1
        initializer.CopyFrom(numpy_helper.from_array(np.round(values / scale).astype(np.int8), f"{name}.bytes"))
        proto.graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}.scale"))
        nodes.append(helper.make_node("Cast", [f"{name}.bytes"], [f"{name}.whole"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}.whole", f"{name}.scale"], [name]))
    del proto.graph.value_info[:]
    for place, node in enumerate(nodes):
        proto.graph.node.insert(place, node)


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m shotcrop_export.nano.concepts", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(None if arguments is None else list(arguments))
    for name, one in add_concepts(options.model, options.datasets, options.output).items():
        print(f"{name:12} right in {one.right} of {one.named}, found in {one.found} of {one.shown}")


if __name__ == "__main__":
    main()
