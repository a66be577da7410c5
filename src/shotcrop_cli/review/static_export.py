"""Write the review page as files, to mail or to put on a share. Whoever opens it can edit and save a file of edits."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from shotcrop_cli.errors import OutputError, ShotcropError
from shotcrop_cli.library.atomic_write import NewFile, put_in_place
from shotcrop_cli.library.edits import EDITS_SCHEMA
from shotcrop_cli.library.output_files import OutputFiles
from shotcrop_cli.library.output_folder import OutputFolders
from shotcrop_cli.review.app import ASSETS, encode, render_page
from shotcrop_cli.review.images import SIZES, Images
from shotcrop_cli.review.index import Filter, PhotoIndex, text_of
from shotcrop_cli.review.photo_state import PhotoState, read_state

MODULES = ("geometry.js", "groups.js", "store.js", "stage.js", "editor.js", "list.js", "source.js", "main.js")
"""The modules of the page, each after those that it imports. Pages that are files cannot load modules."""
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'"
_PAGE = 200


def write_static(files: OutputFiles, folder: Path) -> int:
    """Write the page.

    Args:
        files: The output.
        folder: Folder for the page; it must be new, empty, or an earlier page.

    Returns:
        The number of photos.

    Raises:
        ShotcropError: There are no photos, or other files are in the folder.
        OutputError: The page cannot be written.
    """
    root, place = files.root, files.place
    _prepare(root, folder)
    files.load()
    index = PhotoIndex(root)
    try:
        index.scan()
        entries = list(_entries(root, index, Images(files), folder))
        index_names = {column: index.names(column) for column in ("persons", "sets")}
    finally:
        index.close()
    if not entries:
        raise ShotcropError(f"{place}: there is no photo to show", hint="run `shotcrop crop` first")
    title = text_of(files.name)
    boot = {
        "mode": "static",
        "root": hashlib.sha256(os.fsencode(place) + b"".join(entries)).hexdigest()[:16],
        "title": title,
        "readOnly": False,
        "editsSchema": EDITS_SCHEMA,
        "list": None,
        "photo": None,
        "open": "",
        "query": "",
        "status": {"photos": len(entries), "complete": True, "waiting": 0},
        "persons": index_names["persons"],
        "sets": index_names["sets"],
        "folders": sorted({json.loads(entry)["row"]["folder"] for entry in entries} - {""}),
    }
    page = render_page(
        boot, title, read_only=False, home="#", assets="assets/", data_script="assets/data.js", policy=POLICY
    )
    data = b'globalThis.shotcropData = {"photos": [\n' + b",\n".join(entries) + b"\n]};\n"
    pages = [
        *(NewFile(folder / "assets" / name, (ASSETS / name).read_bytes()) for name in ("review.css", "icon.svg")),
        NewFile(folder / "assets" / "review.js", bundle().encode()),
        NewFile(folder / "assets" / "data.js", data),
        NewFile(folder / "index.html", page.encode()),
    ]
    put_in_place(pages, root=folder)
    return len(entries)


def bundle() -> str:
    """Return the modules of the page as one script."""
    sources = [(ASSETS / name).read_text("utf-8") for name in MODULES]
    joined = "\n".join(re.sub(r"^import .*\n|^export (?=\w)", "", source, flags=re.MULTILINE) for source in sources)
    # Several modules have this one.
    short = "const $ = (id) => document.getElementById(id);\n"
    joined = short + joined.replace(short, "")
    return f'"use strict";\n(() => {{\n{joined}}})();\n'


def _prepare(root: Path, folder: Path) -> None:
    real = folder.resolve()
    if real.is_relative_to(root) or OutputFolders(root).contain(str(real)):
        raise ShotcropError(f"{folder}: inside an output folder", hint="choose a folder elsewhere")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = {path.name for path in folder.iterdir()} - {"index.html", "assets", "pictures"}
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}", hint="choose another folder") from error
    if others:
        raise ShotcropError(f"{folder}: other files are in it, such as {min(others)}", hint="choose a new folder")


def _entries(root: Path, index: PhotoIndex, images: Images, folder: Path) -> Iterator[bytes]:
    """Write the pictures of each photo, and yield what the script needs to know of it, as JSON."""
    for card in _cards(index):
        path = index.path(card["id"])
        if path is None:
            continue
        try:
            state = read_state(path, root)
        except (ShotcropError, FileNotFoundError):
            continue  # the page of the server lists those that cannot be read
        texts = [text for shot in state.shots for text in (shot.caption, shot.alt_text)]
        yield encode(
            {
                "row": card,
                "state": state,
                "files": _pictures(images, path, state, folder),
                "text": "\n".join([state.photo, *texts]).lower(),
            }
        )


def _cards(index: PhotoIndex) -> Iterator[dict[str, str]]:
    offset = 0
    while cards := index.page(Filter(by_name=True), offset, _PAGE).cards:
        offset += len(cards)
        yield from map(json.loads, cards)


def _pictures(images: Images, path: Path, state: PhotoState, folder: Path) -> dict[str, str]:
    """Write the pictures of a photo, and return their addresses by size and shot."""
    wanted: dict[str, Callable[[], bytes]] = {size: partial(images.photo, path, size) for size in SIZES}
    for shot in state.shots:
        if shot.has_crop:
            wanted[f"small {shot.key}"] = partial(images.crop, path, shot.key, "small")
    files: dict[str, str] = {}
    for number, (name, make) in enumerate(wanted.items()):
        try:
            content = make()
        except (ShotcropError, OSError):
            continue  # the page says that the picture is missing
        file = folder / "pictures" / f"{state.id}-{number}.jpg"
        put_in_place([NewFile(file, content)], root=folder)
        files[name] = file.relative_to(folder).as_posix()
    return files
