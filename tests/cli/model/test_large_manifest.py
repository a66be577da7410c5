import json
from dataclasses import replace

import pytest

from large_manifests import MANIFEST
from shotcrop_cli.errors import DeviceError
from shotcrop_cli.model.kv_cache import Caching
from shotcrop_cli.model.large.manifest import LargeManifest, Precision
from shotcrop_cli.model.large.network import ENGINE_BATCH, decoder_shapes, resolve_device
from shotcrop_cli.model.session import Device


def test_a_manifest_survives_its_file() -> None:
    assert LargeManifest.from_json(json.loads(MANIFEST.to_json())) == MANIFEST


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        (None, "colour", "red", "unknown keys: colour"),
        ("vision", "heads", "many", "vision.heads must be of type int"),
        ("vision", "mean", [0.5], "vision.mean must hold three numbers"),
        ("prompt", "end_tokens", 5, "prompt.end_tokens must be a list"),
        ("prompt", "coord_space", "miles", "miles"),
        (None, "decoder", [], "decoder. must be an object"),
    ],
)
def test_an_invalid_manifest_is_refused(part: str | None, key: str, value: object, message: str) -> None:
    content = json.loads(MANIFEST.to_json())
    (content if part is None else content[part])[key] = value
    with pytest.raises(ValueError, match=message):
        LargeManifest.from_json(content)


def test_single_precision_stays_on_the_cpu() -> None:
    full = replace(MANIFEST, precision=Precision.FP32)
    assert resolve_device(Device("auto"), full) == resolve_device(Device("cpu"), full) == Device("cpu")
    for device in (Device("cuda", 1), Device("auto", 0, ("cuda", "cpu"))):
        with pytest.raises(DeviceError, match="fp32, which is for CPUs"):
            resolve_device(device, full)


def test_half_precision_runs_on_the_chosen_device() -> None:
    for device in (Device("auto"), Device("cpu"), Device("cuda", 1), Device("auto", 0, ("cuda",))):
        assert resolve_device(device, MANIFEST) == device


def test_tensorrt_runs_only_decoders_of_standard_operators() -> None:
    device = Device("auto", 0, ("tensorrt", "cuda"))
    with pytest.raises(
        DeviceError, match=r"qwen3-vl-4b has a decoder that TensorRT cannot run\. Fix: export it with --decod"
    ):
        resolve_device(device, MANIFEST)
    for precision in Precision:
        assert resolve_device(device, replace(MANIFEST, caching=Caching.GROWN, precision=precision)) == device


def test_engine_shapes_cover_prompts_and_steps() -> None:
    shapes = {one.name: one for one in decoder_shapes(replace(MANIFEST, caching=Caching.GROWN))}
    assert len(shapes) == 4 + 2 * 36 + 3
    prompt = 400 + 1024
    assert shapes["inputs_embeds"].maximum == (ENGINE_BATCH, prompt, 2560)
    assert shapes["past.35.value"].minimum == (1, 8, 0, 128)
    assert shapes["past.35.value"].maximum == (ENGINE_BATCH, 8, prompt + 512, 128)
    assert shapes["attention_mask"].maximum == (ENGINE_BATCH, prompt + 512)
    for one in shapes.values():
        assert all(
            low <= middle <= high for low, middle, high in zip(one.minimum, one.typical, one.maximum, strict=True)
        )
