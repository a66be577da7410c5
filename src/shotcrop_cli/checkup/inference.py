"""Whether a model can be trusted, where it really runs, and whether it crops a photo."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from shotcrop_cli import install_hint
from shotcrop_cli.checkup.finding import Finding, Patient, note, ok, problem
from shotcrop_cli.checkup.machine import temporary_folder
from shotcrop_cli.checkup.software import version
from shotcrop_cli.errors import AnswerError, DeviceError, ExitCode, ModelError

PORTRAIT = Path(str(files("shotcrop_cli") / "selftest" / "portrait.jpg"))
_SENDS_PICTURES_AWAY = "AzureExecutionProvider"
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
"""Where the kernel module of NVIDIA's driver tells its version while it is loaded."""


def runtime(_patient: Patient) -> Iterator[Finding]:
    """Look for ONNX Runtime, which exists in variants that overwrite each other."""
    from shotcrop_cli.model.session import import_onnxruntime

    variants = [name for name in ("onnxruntime", "onnxruntime-gpu") if version(name) is not None]
    if len(variants) > 1:
        found = "onnxruntime and onnxruntime-gpu are both installed and overwrite each other"
        yield problem(
            "ONNX Runtime", found, install_hint.switch_runtime("gpu" if _has_nvidia_gpu() else "cpu"), ExitCode.DEVICE
        )
    onnxruntime = import_onnxruntime()
    yield ok("ONNX Runtime", f"{onnxruntime.__version__} from {', '.join(variants) or 'an unknown package'}")


def providers(_patient: Patient) -> Iterator[Finding]:
    """Open a graph on each provider that ONNX Runtime lists, since it lists those that do not work, too."""
    from shotcrop_cli.model.bundle import VISION
    from shotcrop_cli.model.resolve import DEFAULT_MODEL, embedded_models
    from shotcrop_cli.model.session import (
        CUDA,
        Device,
        import_onnxruntime,
        open_session,
        short_name,
        with_providers,
    )

    listed = import_onnxruntime().get_available_providers()
    graph = embedded_models()[DEFAULT_MODEL] / VISION
    for name in listed:
        if name == _SENDS_PICTURES_AWAY:  # which no photo is ever given to
            continue
        subject = f"provider {short_name(name)}"
        try:
            with _own_remedy(DEFAULT_MODEL):
                open_session(graph, with_providers(Device("auto"), [name]), threads=1)
        except DeviceError as error:
            yield note(subject, f"is listed and does not work: {error.message}", error.hint)
        else:
            yield ok(subject, "works")
    if CUDA not in listed and _has_nvidia_gpu():
        yield note(
            f"provider {short_name(CUDA)}",
            "there is an NVIDIA GPU, and ONNX Runtime runs on the CPU",
            install_hint.switch_runtime("gpu"),
        )


def model(patient: Patient) -> Iterator[Finding]:
    """Compare the model's files with the hashes recorded at its export."""
    from shotcrop_cli.model.load import find_model

    with _own_remedy(patient.model):
        bundle = find_model(patient.model, offline=True)
    yield ok("model", f"{bundle.manifest.name} {bundle.sha256[:12]} in {bundle.folder}, unaltered")


def one_photo(patient: Patient) -> Iterator[Finding]:
    """Crop a portrait, from the file to three files."""
    from PIL import Image

    from shotcrop_cli.cli.console import Console
    from shotcrop_cli.geometry import to_pixels
    from shotcrop_cli.imaging.decode import decode, read_source
    from shotcrop_cli.imaging.encode import encode_crop
    from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
    from shotcrop_cli.imaging.thumbnail import thumbnail
    from shotcrop_cli.library.atomic_write import NewFile, put_in_place
    from shotcrop_cli.model.load import find_model, load_composer
    from shotcrop_cli.shots import Composition

    composer = load_composer(find_model(patient.model, offline=True), patient.device, notices=Console())
    start = time.perf_counter()
    photo = decode(read_source(PORTRAIT))
    (answer,) = composer.compose([thumbnail(photo, composer.thumbnail_size)], [photo.width / photo.height])
    if not isinstance(answer, Composition):
        unread = isinstance(answer, AnswerError)
        what = f"gives no readable answer to a portrait: {answer}" if unread else "finds nobody in a portrait"
        found = f"{composer.identity.id} {what}"
        yield problem("one photo", found, "use another --model, or --device cpu", ExitCode.MODEL)
        return
    with temporary_folder() as folder:
        crops = [folder / f"{shot.type}.jpg" for shot in answer.shots]
        for path, shot in zip(crops, answer.shots, strict=True):
            box = to_pixels(shot.box, photo.width, photo.height)
            crop = encode_crop(photo, box, quality=95, policy=MetadataPolicy.SAFE)
            put_in_place([NewFile(path, crop.content)], root=folder)
        for path in crops:
            with Image.open(path) as image:
                image.load()
    milliseconds = (time.perf_counter() - start) * 1000
    yield ok(
        "one photo", f"a portrait became {len(crops)} crops in {milliseconds:.0f} ms on {composer.identity.provider}"
    )


def _has_nvidia_gpu() -> bool:
    return _NVIDIA_DRIVER.exists() or shutil.which("nvidia-smi") is not None  # WSL and Windows have only the latter


@contextmanager
def _own_remedy(name: str | None) -> Iterator[None]:
    """Say how to mend a model that came with shotcrop, which nobody can export again."""
    from shotcrop_cli.model.resolve import embedded_models

    try:
        yield
    except ModelError as error:
        if name is not None and name not in embedded_models():
            raise
        raise ModelError(error.message, hint=install_hint.restore_files("weights")) from error
