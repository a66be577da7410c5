"""Checks of ONNX Runtime, the model's files, and one photo from file to crops."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from shotcrop_cli import install_hint
from shotcrop_cli.checkup.finding import Finding, Scope, note, ok, problem
from shotcrop_cli.checkup.machine import temporary_folder
from shotcrop_cli.checkup.software import version
from shotcrop_cli.errors import AnswerError, DeviceError, ExitCode, ModelError
from shotcrop_cli.imaging.formats import DEFAULT_QUALITY

PORTRAIT = Path(str(files("shotcrop_cli") / "selftest" / "portrait.jpg"))
_SENDS_PICTURES_AWAY = "AzureExecutionProvider"
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
"""Exists while the kernel module of NVIDIA's driver is loaded."""


def runtime(_scope: Scope) -> Iterator[Finding]:
    """Check that exactly one variant of ONNX Runtime is installed, since they overwrite each other."""
    from shotcrop_cli.model.session import import_onnxruntime

    variants = [name for name in ("onnxruntime", "onnxruntime-gpu") if version(name) is not None]
    if len(variants) > 1:
        found = "onnxruntime and onnxruntime-gpu are both installed and overwrite each other"
        yield problem(
            "ONNX Runtime", found, install_hint.switch_runtime("gpu" if _has_nvidia_gpu() else "cpu"), ExitCode.DEVICE
        )
    onnxruntime = import_onnxruntime()
    yield ok("ONNX Runtime", f"{onnxruntime.__version__} from {', '.join(variants) or 'an unknown package'}")


def providers(_scope: Scope) -> Iterator[Finding]:
    """Open a graph on each provider of ONNX Runtime, which also lists providers that do not work."""
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
    folder = embedded_models()[DEFAULT_MODEL]
    # Without graphs, opening the folder itself fails as a damaged model does.
    graph = min(folder.glob("*.onnx"), key=lambda path: path.stat().st_size, default=folder)
    for name in listed:
        if name == _SENDS_PICTURES_AWAY:  # it would send photos to a server
            continue
        subject = f"provider {short_name(name)}"
        try:
            with _fix_for(DEFAULT_MODEL):
                open_session(graph, with_providers(Device("auto"), [name]), threads=1)
        except DeviceError as error:
            yield note(subject, f"does not work: {error.message}", error.hint)
        else:
            yield ok(subject, "works")
    if CUDA not in listed and _has_nvidia_gpu():
        yield note(
            f"provider {short_name(CUDA)}",
            "there is an NVIDIA GPU, but ONNX Runtime uses only the CPU",
            install_hint.switch_runtime("gpu"),
        )


def model(scope: Scope) -> Iterator[Finding]:
    """Compare the model's files with the hashes recorded when it was exported."""
    from shotcrop_cli.model.load import find_model

    with _fix_for(scope.model):
        bundle = find_model(scope.model, offline=True)
    yield ok("model", f"{bundle.manifest.name} {bundle.sha256[:12]} in {bundle.folder}, unaltered")


def one_photo(scope: Scope) -> Iterator[Finding]:
    """Crop a portrait, from its file to three files."""
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

    composer = load_composer(find_model(scope.model, offline=True), scope.device, notices=Console())
    start = time.perf_counter()
    photo = decode(read_source(PORTRAIT))
    (answer,) = composer.compose([thumbnail(photo, composer.thumbnail_size)], [photo.width / photo.height])
    if not isinstance(answer, Composition):
        unread = isinstance(answer, AnswerError)
        what = f"gives no readable answer to a portrait: {answer}" if unread else "finds no people in a portrait"
        found = f"{composer.identity.id} {what}"
        yield problem("one photo", found, "use another --model, or --device cpu", ExitCode.MODEL)
        return
    with temporary_folder() as folder:
        crops = [folder / f"{shot.type}.jpg" for shot in answer.shots]
        for path, shot in zip(crops, answer.shots, strict=True):
            box = to_pixels(shot.box, photo.width, photo.height)
            crop = encode_crop(photo, box, quality=DEFAULT_QUALITY, policy=MetadataPolicy.SAFE)
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
def _fix_for(name: str | None) -> Iterator[None]:
    """Replace the fix for a broken model if it came with shotcrop: users cannot export it again."""
    from shotcrop_cli.model.resolve import embedded_models

    try:
        yield
    except ModelError as error:
        if name is not None and name not in embedded_models():
            raise
        raise ModelError(error.message, hint=install_hint.restore_files("weights")) from error
