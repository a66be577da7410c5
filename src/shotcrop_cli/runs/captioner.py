"""The captioner of a run: find it, say where crops are sent, and write captions while the run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from shotcrop_cli.captions.settings import Endpoint, LocalModel
from shotcrop_cli.library.results import PhotoResult, Reporter
from shotcrop_cli.run_options import CaptionOptions
from shotcrop_cli.shots import Captioner

if TYPE_CHECKING:
    from shotcrop_cli.captions.outcome import CaptionWriter
    from shotcrop_cli.captions.service import CaptionService

_WRITERS = 2
"""Threads that write captions by rule: they wait for the disk only (our choice)."""


def find_captions(options: CaptionOptions, reporter: Reporter) -> CaptionService | None:
    """Return what writes the captions, and say first where crops are sent; None if no captioner is asked.

    Raises:
        ShotcropError: The client library or the model is missing, or the environment has no key.
    """
    if options.endpoint is None:
        return None
    # Loaded here, because most runs ask no server.
    from shotcrop_cli.captions.cache import CaptionCache
    from shotcrop_cli.captions.service import CaptionService
    from shotcrop_cli.model.cache import cache_root

    captioner, endpoint = _captioner(options.endpoint, reporter)
    reporter.info(endpoint.announcement)
    return CaptionService(
        captioner,
        endpoint,
        CaptionCache(cache_root() / "captions"),
        max_captions=options.max_captions,
        renew=options.renew,
    )


def _captioner(endpoint: Endpoint | LocalModel, reporter: Reporter) -> tuple[Captioner, Endpoint | LocalModel]:
    if isinstance(endpoint, LocalModel):
        from shotcrop_cli.model.large.captioner import LargeCaptioner
        from shotcrop_cli.model.load import find_model

        bundle = find_model(endpoint.folder)
        model = LargeCaptioner(bundle, endpoint.language, reporter)
        return model, replace(endpoint, model=f"{bundle.manifest.name} {bundle.sha256[:12]}")
    from shotcrop_cli.captions.endpoint import EndpointCaptioner

    return EndpointCaptioner(endpoint), endpoint


@contextmanager
def queue_captions(
    service: CaptionWriter | None,
    options: CaptionOptions,
    root: Path,
    reporter: Reporter,
    add: Callable[[PhotoResult], None],
    *,
    captions_only: bool = False,
    is_time_over: Callable[[], bool] = lambda: False,
) -> Iterator[Callable[[PhotoResult], None]]:
    """Yield what takes the result of each photo. Captions are complete when the context ends.

    Args:
        service: Writes the captions; None to report each photo at once.
        options: Where captions come from.
        root: The output folder.
        reporter: Receives warnings.
        add: Called in this thread with the result of each photo, once its captions are written or have failed.
        captions_only: Whether the crops are not of this run.
        is_time_over: Says when to begin no more captions.
    """
    if service is None:
        yield add
        return
    from shotcrop_cli.captions.queue import CaptionQueue

    threads = _WRITERS if options.endpoint is None else options.endpoint.concurrency
    queue = CaptionQueue(
        service, root.resolve(), threads, reporter, add, strict=options.strict, captions_only=captions_only
    )
    try:
        yield queue.put
        queue.finish(is_time_over)
    finally:
        queue.close()
