"""Run the review page: find a port, open the browser, and end cleanly."""

from __future__ import annotations

import socket
import threading
import webbrowser
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.library.output_files import OutputFiles
from shotcrop_cli.remote.open_output import opened
from shotcrop_cli.review.app import Review, make_app
from shotcrop_cli.review.images import Images
from shotcrop_cli.review.index import PhotoIndex
from shotcrop_cli.review.jobs import Recropper
from shotcrop_cli.review.security import Access

HOST = "127.0.0.1"
_FIRST_PORT, _PORTS = 20_000, 10_000
_TRIES = 20
_FINISH_SECONDS = 60.0
"""How long the server waits for crops at its end."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How to serve the page.

    Args:
        root: The output folder, resolved, or its URL.
        photos: Folders to read photos from; empty for those that `crop` recorded.
        port: The port; None for one that the folder decides, or the next one that is free.
        read_only: Whether nothing can be saved.
        opens_browser: Whether to open the page in the browser.
    """

    root: Path
    photos: tuple[Path, ...] = ()
    port: int | None = None
    read_only: bool = False
    opens_browser: bool = True


@dataclass(frozen=True, slots=True)
class ReviewServer:
    """A server that is ready to run.

    Args:
        address: Where the page is, with the token.
        review: What the server works with.
    """

    address: str
    review: Review
    _server: uvicorn.Server
    _listener: socket.socket

    def run(self) -> None:
        """Answer requests until the process is interrupted, or `stop` is called."""
        self._server.run(sockets=[self._listener])

    def stop(self) -> None:
        """End `run`, which another thread called."""
        self._server.should_exit = True


@contextmanager
def review_server(options: ServerOptions) -> Iterator[ReviewServer]:
    """Prepare a server, and begin to read the output folder.

    Args:
        options: How to serve the page.

    Raises:
        ShotcropError: The port is in use.
    """
    with (
        _listen(options) as listener,
        opened(options.root, options.photos) as files,
        files.writable(),
    ):
        port = listener.getsockname()[1]
        access = Access((f"{HOST}:{port}", f"localhost:{port}"))
        index = PhotoIndex(files.root)
        recropper = None if options.read_only else Recropper(files, options.photos, index.update)
        review = Review(files, index, Images(files), recropper, access)
        reader = threading.Thread(target=_scan, args=(files, index, recropper), name="scan", daemon=True)
        reader.start()
        config = uvicorn.Config(
            make_app(review),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        yield ReviewServer(f"http://{HOST}:{port}/?token={access.token}", review, uvicorn.Server(config), listener)


def serve(options: ServerOptions, say: Callable[[str], None]) -> None:
    """Serve the page until the process is interrupted.

    Args:
        options: How to serve it.
        say: Receives the address of the page, and what happens at the end.

    Raises:
        ShotcropError: The port is in use.
    """
    with review_server(options) as server:
        say(server.address)
        if options.opens_browser:
            threading.Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()
        with suppress(KeyboardInterrupt):
            server.run()
        recropper = server.review.recropper
        if recropper is not None and (waiting := recropper.waiting):
            say(f"Finishing the crops of {waiting} photo{'' if waiting == 1 else 's'} ...")
            if not recropper.finish(_FINISH_SECONDS):
                say("Some crops are not made yet. Your edits are saved; `shotcrop apply` makes the crops.")


def _scan(files: OutputFiles, index: PhotoIndex, recropper: Recropper | None) -> None:
    """Read the folder, and crop what an interrupted review, or a person, edited and did not apply."""
    files.load()
    index.scan()
    for identity in index.pending() if recropper is not None else ():
        if recropper is not None and (path := index.path(identity)) is not None:
            recropper.put(path)


def _listen(options: ServerOptions) -> socket.socket:
    """Bind the port. A folder gets the same one each time: browsers keep unsaved edits by the port, too.

    Raises:
        ShotcropError: It is in use.
    """
    first = _FIRST_PORT + zlib.crc32(str(options.root).encode("utf-8", "surrogateescape")) % _PORTS
    ports: Sequence[int] = range(first, first + _TRIES) if options.port is None else [options.port]
    for port in ports:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen(128)
        except OSError as error:
            listener.close()
            reason = error.strerror
        else:
            return listener
    raise ShotcropError(f"port {ports[0]}: {reason}", hint="choose another one with --port")
