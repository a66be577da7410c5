"""Checks of the installed packages."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from importlib.metadata import version as metadata_version
from pathlib import Path

import shotcrop_cli
from shotcrop_cli import install_hint
from shotcrop_cli.checkup.finding import Finding, Scope, note, ok, problem
from shotcrop_cli.errors import ExitCode

_REPORTED = ("click", "numpy", "pillow", "pillow-heif", "tokenizers", "huggingface-hub")
"""Libraries whose versions help with a bug report."""
_CODECS = {
    "jpg": "JPEG",
    "webp": "WebP",
    "avif": "AVIF",
    "jpg_2000": "JPEG 2000",
    "libtiff": "compressed TIFF",
    "littlecms2": "colour profiles",
}
"""Features that a build of Pillow may lack, and their names for people."""
_EXTRAS = (
    ("raw", "reading RAW files"),
    ("jxl", "reading JPEG XL"),
    ("review", "shotcrop review"),
    ("pdf", "sheets as PDF files"),
    ("motion", "clips if you have no ffmpeg"),
    ("captions", "captions from a server"),
    ("parquet", "manifests and datasets as Parquet files"),
    ("s3", "s3:// URLs"),
    ("gcs", "gs:// URLs"),
    ("azure", "az:// URLs"),
    ("ray", "runs on several machines"),
    ("train", "training"),
    ("qlora", "training in 4 bits"),
    ("export", "shotcrop export-onnx"),
)


def version(package: str) -> str | None:
    """Return the version of a package; None if it is not installed."""
    try:
        return metadata_version(package)
    except PackageNotFoundError:
        return None


def versions(_scope: Scope) -> Iterator[Finding]:
    """List the versions of shotcrop, Python and the system."""
    yield ok("shotcrop", f"{shotcrop_cli.__version__} in {Path(shotcrop_cli.__file__).parent}")
    yield ok("Python", f"{platform.python_version()}, {sys.executable}")
    yield ok("system", f"{platform.system()} {platform.release()}, {platform.machine()}")


def libraries(_scope: Scope) -> Iterator[Finding]:
    """Check that the libraries that every run needs are installed."""
    if missing := [name for name in _required() if version(name) is None]:
        yield problem("libraries", f"missing: {', '.join(missing)}", install_hint.add_packages(*missing), ExitCode.BUG)
    yield ok("libraries", ", ".join(f"{name} {number}" for name in _REPORTED if (number := version(name)) is not None))


def _required() -> list[str]:
    """Return the libraries that shotcrop needs with any extras and any version of Python."""
    named = (re.match(r"[\w.-]+", line) for line in requires(install_hint.DISTRIBUTION) or () if ";" not in line)
    return [name[0] for name in named if name is not None]


def codecs(_scope: Scope) -> Iterator[Finding]:
    """Check the codecs of Pillow."""
    from PIL import features

    missing = [words for name, words in _CODECS.items() if not features.check(name)]
    if missing:
        yield note("codecs", f"Pillow lacks {', '.join(missing)}", install_hint.reinstall("pillow"))
        return
    turbo = " by libjpeg-turbo" if features.check_feature("libjpeg_turbo") else ""
    yield ok("codecs", ", ".join(_CODECS.values()).replace("JPEG,", f"JPEG{turbo},", 1))


def extras(_scope: Scope) -> Iterator[Finding]:
    """List the optional packages."""
    for extra, use in _EXTRAS:
        package = install_hint.EXTRAS[extra]
        if (number := version(package)) is not None:
            yield ok(f"extra {extra}", f"{package} {number}, for {use}")
        else:
            yield note(f"extra {extra}", f"not installed, for {use}", install_hint.add_extras(extra))
