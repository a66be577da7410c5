"""The model of a run: found at once, loaded when the first photo needs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shotcrop_cli.library.results import Reporter
from shotcrop_cli.model.lazy import LazyComposer
from shotcrop_cli.run_options import ModelOptions

if TYPE_CHECKING:
    from shotcrop_cli.model.multi_device import MultiDeviceComposer


@dataclass(frozen=True, slots=True)
class CropModel:
    """A model for several calls of `crop_photos`: it is loaded once, when the first photo needs it.

    Args:
        composer: Loads the model.
        sha256: Content hash of the model.
    """

    composer: LazyComposer[MultiDeviceComposer]
    sha256: str

    @classmethod
    def find(cls, options: ModelOptions, reporter: Reporter) -> CropModel:
        """Find a model without loading it.

        Raises:
            ModelError: There is no such model, or it cannot be read.
        """
        from shotcrop_cli.model.load import find_model
        from shotcrop_cli.model.multi_device import load_on_devices

        bundle = find_model(options.name, offline=options.offline)

        def load() -> MultiDeviceComposer:
            model = load_on_devices(bundle, options.device, options.providers, reporter)
            reporter.detail(f"model {model}")
            return model

        return cls(LazyComposer(load), bundle.sha256)
