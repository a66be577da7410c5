"""Find a model by its name and load it as a `Composer`."""

from __future__ import annotations

from collections.abc import Sequence

from shotcrop_cli.model.bundle import Bundle, read_bundle
from shotcrop_cli.model.large.manifest import LargeManifest
from shotcrop_cli.model.nano.manifest import NanoManifest
from shotcrop_cli.model.notices import NO_NOTICES, Notices
from shotcrop_cli.model.resolve import resolve_model
from shotcrop_cli.model.session import parse_device, with_providers
from shotcrop_cli.shots import Composer


def find_model(model: str | None = None, *, offline: bool = False) -> Bundle:
    """Find a model and check that its folder is complete and unaltered, without loading it.

    Args:
        model: Name of an embedded model, path of a model folder, ORG/REPO on the hub, or None for the default.
        offline: Whether to use only models on this machine.

    Raises:
        ModelError: There is no such model, or its folder is unreadable, incomplete or altered.
    """
    return read_bundle(resolve_model(model, offline=offline))


def load_composer(
    bundle: Bundle,
    device: str = "auto",
    *,
    providers: Sequence[str] = (),
    threads: int | None = None,
    notices: Notices = NO_NOTICES,
) -> Composer:
    """Load a model on one device.

    Args:
        bundle: The model folder.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        providers: Execution providers in order of preference; empty to choose by device.
        threads: Threads within an operator; None for one per physical core.
        notices: Receives what the user should know, such as how much memory a large model takes.

    Raises:
        ModelError: The model cannot be read.
        DeviceError: The device, or the first of the providers, is not available.
    """
    # Imported here, because a run without new photos only finds the model.
    from shotcrop_cli.model.large.composer import LargeComposer
    from shotcrop_cli.model.nano.composer import NanoComposer

    wanted = with_providers(parse_device(device), providers)
    composers: dict[type, type[NanoComposer] | type[LargeComposer]] = {
        NanoManifest: NanoComposer,
        LargeManifest: LargeComposer,
    }
    return composers[type(bundle.manifest)].load(bundle, wanted, threads, notices)
