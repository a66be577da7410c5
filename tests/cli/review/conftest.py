"""A small library with crops, servers for it, and a browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("starlette", reason="the extra `review` is not installed")
pytest.importorskip("playwright", reason="Playwright is not installed")

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from review_pages import CHROMIUM, EXAMPLES, SETTINGS, Library, Running, running
from shotcrop_cli import CropOptions, crop_photos
from shotcrop_cli.review.server import ServerOptions


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Crop the example photos, and one with two people, once for all tests."""
    folder = tmp_path_factory.mktemp("review")
    photos, shots = folder / "photos", folder / "shots"
    (photos / "trips").mkdir(parents=True)
    for name in ("astronaut.jpg", "camera.jpg"):
        shutil.copy(EXAMPLES / name, photos / name)
    with Image.open(EXAMPLES / "astronaut.jpg") as left, Image.open(EXAMPLES / "commodore.jpg") as right:
        pair = Image.new("RGB", (1024, 512))
        pair.paste(left.resize((512, 512)), (0, 0))
        pair.paste(right.resize((512, 512)), (512, 0))
    pair.save(photos / "trips" / "pair.jpg", quality=92)
    result = crop_photos(CropOptions(photos, shots, settings=SETTINGS, workers=1))
    assert not result.failed
    return Library(photos, shots)


@pytest.fixture
def library(made: Library, tmp_path: Path) -> Library:
    """Return an output folder that a test may change. The photos are those of all tests."""
    shots = tmp_path / "shots"
    shutil.copytree(made.shots, shots)
    return Library(made.photos, shots.resolve())


@pytest.fixture
def serve(library: Library) -> Iterator[Callable[..., Running]]:
    """Start servers for the library; options are those of `ServerOptions`."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(running(ServerOptions(library.shots, **options)))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start Chromium once for all tests."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed, so the page is not tested in a browser: apt install chromium")
    expect.set_options(timeout=20_000)  # a machine that is busy with other things is no bug of the page
    with sync_playwright() as playwright:
        # Root, as in many containers, has no sandbox.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open addresses in windows of their own. A test fails if a script fails or asks for anything elsewhere."""
    problems: list[str] = []
    with ExitStack() as stack:

        def open_one(address: str, context: BrowserContext | None = None, **options: object) -> Page:
            if context is None:
                context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
                stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(15_000)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda line: problems.append(line.text) if "Content Security" in line.text else None)
            base = address.partition("/?")[0]
            page.on(
                "request",
                lambda request: (
                    None if request.url.startswith((base, "blob:", "file:")) else problems.append(request.url)
                ),
            )
            page.goto(address)
            return page

        yield open_one
    assert problems == []
