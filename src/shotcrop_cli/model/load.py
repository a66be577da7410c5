"""From a model's name to a loaded `Composer`."""

from __future__ import annotations

from collections.abc import Sequence

from shotcrop_cli.model.bundle import Bundle, read_bundle
from shotcrop_cli.model.large.manifest import LargeManifest
from shotcrop_cli.model.nano.composer import NanoComposer
from shotcrop_cli.model.nano.network import OnnxNetwork
from shotcrop_cli.model.resolve import resolve_model
from shotcrop_cli.model.session import parse_device, with_providers
from shotcrop_cli.shots import Composer


def find_model(model: str | None = None, *, offline: bool = False) -> Bundle:
    """Find a model and check that it is complete and unaltered, without loading it.

    Args:
        model: Name of an embedded model, path of a model folder, ORG/REPO of a hub, or None for the default.
        offline: Whether only what is on this machine counts.

    Raises:
        ModelError: There is no such model, or it cannot be read or trusted.
    """
    return read_bundle(resolve_model(model, offline=offline))


def load_composer(
    bundle: Bundle, device: str = "auto", *, providers: Sequence[str] = (), threads: int | None = None
) -> Composer:
    """Load a model. How much memory a large one takes is said before.

    Args:
        bundle: Its folder.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        providers: Execution providers by preference, empty to choose by device.
        threads: Threads within an operator; None for one per physical core.

    Raises:
        ModelError: It cannot be read.
        DeviceError: The device, or the first of the providers, cannot be had.
    """
    wanted = with_providers(parse_device(device), providers)
    if isinstance(bundle.manifest, LargeManifest):
        from shotcrop_cli.model.large.composer import LargeComposer
        from shotcrop_cli.model.large.memory import weigh
        from shotcrop_cli.model.large.network import LargeNetwork, placed

        wanted = placed(wanted, bundle.manifest)
        most = weigh(bundle, bundle.manifest, wanted)
        return LargeComposer(bundle, bundle.manifest, LargeNetwork(bundle, bundle.manifest, wanted, threads), most)
    return NanoComposer(bundle, OnnxNetwork(bundle, wanted, threads))
