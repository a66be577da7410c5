"""The pages and answers of the review server.

GET  /                       the list              GET  /photo/ID                 one photo
GET  /api/list               a part of the list    GET  /api/photo/ID             the state of a photo
GET  /api/status             progress              POST /api/photo/ID             save an edit
GET  /api/next/ID            its neighbours        POST /api/scan                 look for new photos
GET  /image/ID/SIZE          the photo             GET  /crop/ID/SIZE/KEY         a crop
GET  /assets/NAME            style and script
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from shotcrop_cli.errors import LockedError, OutputError, ShotcropError
from shotcrop_cli.library.edits import PhotoEdit, StaleEditError, are_pending, save_edit
from shotcrop_cli.library.hand_work import Allowed
from shotcrop_cli.library.output_files import OutputFiles
from shotcrop_cli.review.images import SIZES, Images
from shotcrop_cli.review.index import Filter, PhotoIndex, text_of
from shotcrop_cli.review.jobs import Job, Recropper
from shotcrop_cli.review.photo_state import PhotoState, read_state, shot_names
from shotcrop_cli.review.security import Access, Guard

ASSETS = Path(__file__).with_name("assets")
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_LARGEST_BODY = 1 << 20
_PAGE_ROWS = 200
_FIRST_ROWS = 30
_FOLDERS = 1_000
_LOCK_SECONDS = 2.0
"""How long a save waits for another run to end before it tells the page to try again later."""
_FOREVER = "private, max-age=31536000, immutable"


class SaveRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page sends to save an edit.

    Args:
        edit: How the photo should be.
        overwrite_edited: Whether to replace crops that another program changed. They are kept as backups.
        apply: Whether to make the crops again even if no box or caption changed.
    """

    edit: PhotoEdit
    overwrite_edited: bool = False
    apply: bool = False


@dataclass(frozen=True, slots=True)
class Review:
    """What the server works with.

    Args:
        files: The output.
        index: Its photos.
        images: Makes pictures.
        recropper: Makes crops again; None for a read-only page.
        access: Who may use the page.
    """

    files: OutputFiles
    index: PhotoIndex
    images: Images
    recropper: Recropper | None
    access: Access

    @property
    def root(self) -> Path:
        """The folder that has the files or their copies."""
        return self.files.root

    @property
    def name(self) -> str:
        """Names the folder in the browser's storage, without its path."""
        return hashlib.sha256(os.fsencode(self.files.place)).hexdigest()[:16]


def make_app(review: Review) -> Guard:
    """Return the application."""
    pages = _Pages(review)
    routes = [
        Route("/", pages.page),
        Route("/photo/{id}", pages.page),
        Route("/api/list", pages.list),
        Route("/api/status", pages.status),
        Route("/api/photo/{id}", pages.photo),
        Route("/api/photo/{id}", pages.save, methods=["POST"]),
        Route("/api/next/{id}", pages.neighbours),
        Route("/api/scan", pages.scan, methods=["POST"]),
        Route("/image/{id}/{size}", pages.image),
        Route("/crop/{id}/{size}/{key}", pages.crop),
        Route("/assets/{name}", pages.asset),
    ]
    return Guard(Starlette(routes=routes), review.access)


@cache
def templates() -> Environment:
    """Return the templates, which escape everything."""
    return Environment(
        loader=PackageLoader("shotcrop_cli.review"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


class _Pages:
    def __init__(self, review: Review) -> None:
        self._review = review
        self._saving = threading.Lock()

    def page(self, request: Request) -> Response:
        review = self._review
        wanted = _filter(request)
        photo: object = None
        if (identity := request.path_params.get("id")) is not None:
            path = review.index.path(identity)
            if path is None and review.index.progress.complete:
                return PlainTextResponse("There is no such photo in this output folder.", 404)
            with suppress(ShotcropError, FileNotFoundError):
                photo = None if path is None else self._fresh_state(path)
        boot = {
            "mode": "live",
            "root": review.name,
            "title": text_of(review.files.name),
            "csrf": review.access.csrf,
            "readOnly": review.recropper is None,
            "open": identity,
            "photo": photo,
            "list": self._list(wanted, 0, _FIRST_ROWS),
            "status": self._status(),
            "folders": review.index.folders(_FOLDERS),
            "persons": review.index.names("persons"),
            "sets": review.index.names("sets"),
            "query": request.url.query,
        }
        title = text_of(review.files.name)
        return HTMLResponse(render_page(boot, title, read_only=review.recropper is None, home="/", assets="/assets/"))

    def list(self, request: Request) -> Response:
        offset, limit = _number(request, "offset", 0), min(_number(request, "limit", 60), _PAGE_ROWS)
        return _json(self._list(_filter(request), offset, limit))

    def status(self, request: Request) -> Response:
        return _json(self._status())

    def photo(self, request: Request) -> Response:
        return self._with_path(request, lambda path: _json(self._fresh_state(path)))

    def neighbours(self, request: Request) -> Response:
        index, wanted, identity = self._review.index, _filter(request), request.path_params["id"]
        return _json(
            {
                "next": index.neighbour(wanted, identity, forward=True),
                "previous": index.neighbour(wanted, identity, forward=False),
                "position": index.position(wanted, identity),
                "total": index.page(wanted, 0, 0).total,
            }
        )

    async def save(self, request: Request) -> Response:
        if self._review.recropper is None:
            return _error(403, "This page is read-only.")
        body = await _body(request)
        if body is None:
            return _error(413, "The edit is too large.")
        try:
            wanted = msgspec.json.decode(body, type=SaveRequest)
        except (ValueError, RecursionError) as error:
            return _error(422, f"This is not an edit: {error}")
        return await run_in_threadpool(self._with_path, request, lambda path: self._save(path, wanted))

    def scan(self, request: Request) -> Response:
        self._review.files.load()
        self._review.index.scan()
        return _json(self._status())

    def image(self, request: Request) -> Response:
        size = request.path_params["size"]
        return self._picture(request, lambda path: self._review.images.photo(path, size))

    def crop(self, request: Request) -> Response:
        size, key = request.path_params["size"], unquote(request.path_params["key"])
        return self._picture(request, lambda path: self._review.images.crop(path, key, size))

    def asset(self, request: Request) -> Response:
        path = ASSETS / request.path_params["name"]
        if path.name not in {one.name for one in ASSETS.iterdir()}:
            return PlainTextResponse("Not found", 404)
        return Response(path.read_bytes(), media_type=_TYPES.get(path.suffix, "application/octet-stream"))

    def _list(self, wanted: Filter, offset: int, limit: int) -> dict[str, object]:
        page = self._review.index.page(wanted, offset, limit)
        return {"total": page.total, "offset": offset, "rows": [msgspec.Raw(card.encode()) for card in page.cards]}

    def _status(self) -> dict[str, object]:
        review = self._review
        progress = review.index.progress
        waiting = 0 if review.recropper is None else review.recropper.waiting
        return {"photos": progress.photos, "complete": progress.complete, "waiting": waiting}

    def _fresh_state(self, path: Path) -> dict[str, object]:
        self._review.files.refresh(path)
        return self._state(path)

    def _state(self, path: Path) -> dict[str, object]:
        return self._with_job(path, read_state(path, self._review.root))

    def _with_job(self, path: Path, state: PhotoState) -> dict[str, object]:
        recropper = self._review.recropper
        job = None if recropper is None else recropper.find(path)
        return {"state": state, "job": job or Job("done")}

    def _save(self, path: Path, request: SaveRequest) -> Response:
        review = self._review
        recropper = review.recropper
        assert recropper is not None
        try:
            # Threads of this server take turns. Then only other runs can hold the lock of the folder.
            with self._saving, review.files.hold(_LOCK_SECONDS):
                review.files.refresh(path)
                record = save_edit(path, review.root, request.edit)
        except StaleEditError as error:
            review.index.update(path)
            return _json({"error": review.files.show_text(error.message), **self._state(path)}, 409)
        except LockedError as error:
            return _error(423, error.message)
        except OutputError as error:
            return _error(507, review.files.show_text(str(error)))
        except ShotcropError as error:
            return _error(422, review.files.show_text(str(error)))
        review.index.update(path)
        if request.apply or request.overwrite_edited or are_pending(path, record):
            recropper.put(path, Allowed(overwrite_edited=request.overwrite_edited))
        return _json(self._with_job(path, read_state(path, review.root)))

    def _with_path(self, request: Request, answer: Callable[[Path], Response]) -> Response:
        path = self._review.index.path(request.path_params["id"])
        if path is None:
            return _error(404, "There is no such photo in this output folder.")
        try:
            return answer(path)
        except FileNotFoundError:
            self._review.index.update(path)
            return _error(404, "This photo has no sidecar any more.")
        except ShotcropError as error:
            return _error(422, self._review.files.show_text(str(error)))

    def _picture(self, request: Request, make: Callable[[Path], bytes]) -> Response:
        path = self._review.index.path(request.path_params["id"])
        if path is None or request.path_params["size"] not in SIZES:
            return PlainTextResponse("Not found", 404)
        try:
            content = make(path)
        except (ShotcropError, OSError) as error:
            return PlainTextResponse(self._review.files.show_text(str(error)), 404)
        # Addresses have the version of the file, so a picture never changes.
        caching = _FOREVER if request.query_params.get("v") else "no-store"
        return Response(content, media_type="image/jpeg", headers={"cache-control": caching})


def render_page(boot: object, title: str, *, read_only: bool, **values: str) -> str:
    """Return the page.

    Args:
        boot: What the script begins with.
        title: Name of the output folder.
        read_only: Whether nothing can be saved.
        values: Addresses that the template names.
    """
    page = templates().get_template("page.html")
    return page.render(boot=encode(boot).decode(), title=title, read_only=read_only, shots=shot_names(), **values)


def encode(value: object) -> bytes:
    """Return JSON that HTML cannot mistake for markup."""
    text = msgspec.json.encode(value).decode()
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text.encode()


def _json(value: object, status: int = 200) -> Response:
    return Response(encode(value), status, media_type="application/json")


def _error(status: int, message: str) -> Response:
    return _json({"error": message}, status)


async def _body(request: Request) -> bytes | None:
    """Return the content of a request; None if it is too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_BODY:
            return None
    return body


def _filter(request: Request) -> Filter:
    query = request.query_params
    below, people = query.get("below", ""), query.get("people", "")
    try:
        limit = float(below) if below else None
    except ValueError:
        limit = None
    return Filter(
        status=query.get("status", ""),
        state=query.get("state", ""),
        below=limit,
        shot=query.get("shot", ""),
        people=int(people) if people.isascii() and people.isdigit() else None,
        person=query.get("person", ""),
        set_name=query.get("set", ""),
        folder=query.get("folder", ""),
        text=query.get("q", "")[:500],
        by_name=query.get("sort") == "name",
    )


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    return min(int(text), 10**9) if text.isascii() and text.isdigit() else default
