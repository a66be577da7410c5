"""What works on this machine and what does not, each problem with the command that mends it."""

from __future__ import annotations

import io
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

from shotcrop_cli import __version__
from shotcrop_cli.errors import ExitCode, ShotcropError

_LITTLE_SPACE = 1 << 30
"""Free bytes of an output below which a run is likely to end early [O]."""
_MIXED = "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'shotcrop-cli[cpu]'"


class State(str, Enum):
    """How a thing is."""

    OK = "ok"
    NOTE = "note"
    """Something optional is missing."""
    PROBLEM = "problem"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Args:
        subject: What.
        state: How it is.
        found: What was found, in words.
        remedy: The command that mends it, or what else to do; empty when nothing need be done.
        exit_code: What a problem makes the process answer.
    """

    subject: str
    state: State
    found: str
    remedy: str = ""
    exit_code: ExitCode = ExitCode.OK


@dataclass(frozen=True, slots=True)
class Patient:
    """What to look at besides the machine.

    Args:
        model: As for `shotcrop crop`.
        device: As for `shotcrop crop`.
        output: Output folder, None for none.
    """

    model: str | None = None
    device: str = "auto"
    output: Path | None = None


Check = Callable[[Patient], Iterator[Finding]]


def examine(patient: Patient) -> list[Finding]:
    """Look at everything; a check that breaks is a problem itself."""
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings += check(patient)
        except ShotcropError as error:
            if error.message not in {finding.found for finding in findings}:  # one cause breaks several checks
                findings.append(_problem(_subject(check), error.message, error.hint, error.exit_code))
        except Exception as error:
            subject = _subject(check)
            findings.append(_problem(subject, f"{type(error).__name__}: {error}", "report this", ExitCode.BUG))
    return findings


def exit_code(findings: Sequence[Finding]) -> ExitCode:
    """Return what the process answers: the code of the first problem, since later ones may follow from it."""
    return next((finding.exit_code for finding in findings if finding.state is State.PROBLEM), ExitCode.OK)


def _subject(check: Check) -> str:
    return check.__name__.strip("_").replace("_", " ")


def _problem(subject: str, found: str, remedy: str, code: ExitCode) -> Finding:
    return Finding(subject, State.PROBLEM, found, remedy, code)


def _versions(_patient: Patient) -> Iterator[Finding]:
    yield Finding("shotcrop", State.OK, f"{__version__} in {Path(__file__).parent}")
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    yield Finding("Python", State.OK, f"{platform.python_version()} ({sys.executable}), {system}")
    names = ("click", "numpy", "pillow", "tokenizers", "lxml")
    yield Finding("libraries", State.OK, ", ".join(f"{name} {_version(name) or 'missing'}" for name in names))


def _codecs(_patient: Patient) -> Iterator[Finding]:
    from PIL import features

    names = {
        "jpg": "JPEG",
        "webp": "WebP",
        "avif": "AVIF",
        "libtiff": "TIFF compression",
        "littlecms2": "colour profiles",
    }
    missing = [words for name, words in names.items() if not features.check(name)]
    if missing:
        yield Finding("codecs", State.NOTE, f"Pillow lacks {', '.join(missing)}", "pip install --upgrade pillow")
    else:
        turbo = ", JPEG by libjpeg-turbo" if features.check_feature("libjpeg_turbo") else ""
        yield Finding("codecs", State.OK, f"Pillow has {', '.join(names.values())}{turbo}")


def _extras(_patient: Patient) -> Iterator[Finding]:
    for extra, package, use in (
        ("heif", "pillow-heif", "reading HEIC"),
        ("raw", "rawpy", "reading RAW files"),
        ("train", "trl", "training"),
    ):
        if (found := _version(package)) is not None:
            yield Finding(f"extra {extra}", State.OK, f"{package} {found}, for {use}")
        else:
            remedy = f"pip install 'shotcrop-cli[{extra}]'"
            yield Finding(f"extra {extra}", State.NOTE, f"not installed, for {use}", remedy)


def _onnx_runtime(_patient: Patient) -> Iterator[Finding]:
    from shotcrop_cli.model.session import import_onnxruntime

    variants = [name for name in ("onnxruntime", "onnxruntime-gpu") if _version(name)]
    if len(variants) > 1:
        found = "onnxruntime and onnxruntime-gpu are both installed and overwrite each other"
        yield _problem("ONNX Runtime", found, _MIXED + ", or with [gpu]", ExitCode.DEVICE)
    runtime = import_onnxruntime()
    yield Finding("ONNX Runtime", State.OK, f"{runtime.__version__} ({', '.join(variants) or 'unknown variant'})")


def _model(patient: Patient) -> Iterator[Finding]:
    from shotcrop_cli.model.composer import find_model

    bundle = find_model(patient.model, offline=True)
    found = f"{bundle.manifest.name} ({bundle.sha256[:12]}) in {bundle.folder}, all hashes right"
    yield Finding("model", State.OK, found)


def _providers(patient: Patient) -> Iterator[Finding]:
    from shotcrop_cli.errors import DeviceError
    from shotcrop_cli.model.bundle import VISION
    from shotcrop_cli.model.composer import find_model
    from shotcrop_cli.model.session import CPU, import_onnxruntime, open_session, parse_device, with_providers

    graph = find_model(patient.model, offline=True).path(VISION)
    for name in import_onnxruntime().get_available_providers():
        if name == "AzureExecutionProvider":  # sends pictures to a service, which shotcrop never does
            continue
        try:
            open_session(graph, with_providers(parse_device("auto"), [name]), 1)
        except DeviceError as error:
            remedy = f"{error.hint}; runs on the CPU meanwhile" if name != CPU else "pip install 'shotcrop-cli[cpu]'"
            yield Finding(name, State.NOTE, f"listed by ONNX Runtime and not usable: {error.message}", remedy)
        else:
            yield Finding(name, State.OK, "usable")


def _one_photo(patient: Patient) -> Iterator[Finding]:
    from PIL import Image

    from shotcrop_cli.geometry import to_pixels
    from shotcrop_cli.imaging.decode import decode, read_source
    from shotcrop_cli.imaging.encode import encode_crop
    from shotcrop_cli.imaging.metadata import MetadataPolicy
    from shotcrop_cli.imaging.thumbnail import thumbnail
    from shotcrop_cli.model.composer import find_model, load_composer
    from shotcrop_cli.shots import Composition

    composer = load_composer(find_model(patient.model, offline=True), patient.device)
    photo = decode(read_source(Path(str(files("shotcrop_cli") / "selftest" / "portrait.jpg"))))
    start = time.perf_counter()
    (answer,) = composer.compose([thumbnail(photo, composer.thumbnail_size)], [photo.width / photo.height])
    milliseconds = (time.perf_counter() - start) * 1000
    if not isinstance(answer, Composition):
        remedy = "try --device cpu, or another --model"
        yield _problem("one photo", f"the model finds nobody in the portrait: {answer}", remedy, ExitCode.MODEL)
        return
    for shot in answer.shots:
        box = to_pixels(shot.box, photo.width, photo.height)
        crop = encode_crop(photo, box, quality=95, policy=MetadataPolicy.SAFE)
        with Image.open(io.BytesIO(crop.content)) as image:
            image.load()
    found = f"three crops of the portrait, the model took {milliseconds:.0f} ms on {composer.identity.provider}"
    yield Finding("one photo", State.OK, found)


def _machine(_patient: Patient) -> Iterator[Finding]:
    from shotcrop_cli.commands.crop import processors

    yield Finding("processors", State.OK, f"{processors()} of {os.cpu_count()} may be used")
    free = shutil.disk_usage(tempfile.gettempdir()).free
    yield Finding("temporary files", State.OK, f"{tempfile.gettempdir()}, {_gigabytes(free)} free")


def _places(_patient: Patient) -> Iterator[Finding]:
    from huggingface_hub.constants import HF_HUB_CACHE

    from shotcrop_cli.config import find_files

    read = ", ".join(str(file.path) for file in find_files(None)) or "none is read"
    yield Finding("configuration", State.OK, read)
    yield Finding("models from the hub", State.OK, str(HF_HUB_CACHE))


def _output(patient: Patient) -> Iterator[Finding]:
    from shotcrop_cli.errors import LockedError
    from shotcrop_cli.library.lock import LOCK_NAME, output_lock

    if (output := patient.output) is None:
        return
    if not (output / LOCK_NAME).exists():
        yield Finding("output", State.NOTE, f"{output} holds no crops yet")
        parent = next(folder for folder in (output, *output.absolute().parents) if folder.is_dir())
        if not os.access(parent, os.W_OK | os.X_OK):
            yield _problem("output", f"{parent} cannot be written to", f"chmod u+rwx {parent}", ExitCode.OUTPUT)
            return
    else:
        try:
            with output_lock(output):
                yield Finding("output", State.OK, f"{output} can be written to, no run is at work on it")
        except LockedError as error:
            yield _problem("output", error.message, error.hint, ExitCode.LOCKED)
        parent = output
    free = shutil.disk_usage(parent).free
    if free < _LITTLE_SPACE:
        yield _problem("space", f"{_gigabytes(free)} free", "free space on its disk", ExitCode.OUTPUT)
    else:
        yield Finding("space", State.OK, f"{_gigabytes(free)} free")


CHECKS: tuple[Check, ...] = (
    _versions,
    _codecs,
    _extras,
    _onnx_runtime,
    _model,
    _providers,
    _one_photo,
    _machine,
    _places,
    _output,
)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
