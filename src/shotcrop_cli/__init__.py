"""Turn one photo of people into an establishing, a medium and a close-up shot.

The public Python API is what `__all__` lists. Each name is imported when it is first used, so that the command line
starts without loading numpy, Pillow or ONNX Runtime.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shotcrop_cli.api import apply_sidecars, caption_sidecars, crop_photos
    from shotcrop_cli.captions.settings import Endpoint
    from shotcrop_cli.crop_settings import CropSettings, RuleCaptions, XmpMode
    from shotcrop_cli.cropper import Crop, Cropper, CropResult, Person
    from shotcrop_cli.errors import (
        AnswerError,
        CaptionError,
        DeviceError,
        EmptyError,
        InputError,
        LockedError,
        ModelError,
        NoPeopleError,
        OutputError,
        PhotoError,
        ShotcropError,
    )
    from shotcrop_cli.framing import Aspect, Framing
    from shotcrop_cli.imaging.formats import CropFormat
    from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
    from shotcrop_cli.library.hand_work import Allowed
    from shotcrop_cli.library.name_template import NameTemplate
    from shotcrop_cli.library.results import LowScore, PhotoResult, PhotoStatus, Reporter, RunResult
    from shotcrop_cli.library.selection import Selection
    from shotcrop_cli.library.shard import Shard
    from shotcrop_cli.ratio_sets import Fit, Ratio, RatioSet
    from shotcrop_cli.run_options import ApplyOptions, CaptionOptions, CropOptions, ModelOptions, RecaptionOptions
    from shotcrop_cli.shots import PixelBox, Reasoning, ShotType
    from shotcrop_cli.subjects import Subjects

__version__ = "0.1.0"

__all__ = [
    "Allowed",
    "AnswerError",
    "ApplyOptions",
    "Aspect",
    "CaptionError",
    "CaptionOptions",
    "Crop",
    "CropFormat",
    "CropOptions",
    "CropResult",
    "CropSettings",
    "Cropper",
    "DeviceError",
    "EmptyError",
    "Endpoint",
    "Fit",
    "Framing",
    "InputError",
    "LockedError",
    "LowScore",
    "MetadataPolicy",
    "ModelError",
    "ModelOptions",
    "NameTemplate",
    "NoPeopleError",
    "OutputError",
    "Person",
    "PhotoError",
    "PhotoResult",
    "PhotoStatus",
    "PixelBox",
    "Ratio",
    "RatioSet",
    "RayOptions",
    "Reasoning",
    "RecaptionOptions",
    "Reporter",
    "RuleCaptions",
    "RunResult",
    "Selection",
    "Shard",
    "ShotType",
    "ShotcropError",
    "Subjects",
    "XmpMode",
    "__version__",
    "apply_sidecars",
    "caption_sidecars",
    "crop_photos",
]

_MODULES = {
    **dict.fromkeys(("Crop", "CropResult", "Cropper", "Person"), "cropper"),
    **dict.fromkeys(("apply_sidecars", "caption_sidecars", "crop_photos"), "api"),
    **dict.fromkeys(
        ("ApplyOptions", "CaptionOptions", "CropOptions", "ModelOptions", "RayOptions", "RecaptionOptions"),
        "run_options",
    ),
    "Endpoint": "captions.settings",
    **dict.fromkeys(("Aspect", "Framing"), "framing"),
    "CropFormat": "imaging.formats",
    "MetadataPolicy": "imaging.metadata.policy",
    "Allowed": "library.hand_work",
    "NameTemplate": "library.name_template",
    **dict.fromkeys(("LowScore", "PhotoResult", "PhotoStatus", "Reporter", "RunResult"), "library.results"),
    **dict.fromkeys(("CropSettings", "RuleCaptions", "XmpMode"), "crop_settings"),
    **dict.fromkeys(("Aspect", "Framing"), "framing"),
    "Selection": "library.selection",
    "Shard": "library.shard",
    **dict.fromkeys(("PixelBox", "Reasoning", "ShotType"), "shots"),
    **dict.fromkeys(("Fit", "Ratio", "RatioSet"), "ratio_sets"),
    "Subjects": "subjects",
    **dict.fromkeys([name for name in __all__ if name.endswith("Error")], "errors"),
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
