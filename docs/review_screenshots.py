"""Take the pictures of docs/review.md: `python docs/review_screenshots.py`. It needs Chromium and the test tools.

The script makes a small library of copies of the example photos, crops them, edits one, and photographs the page.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import which

from PIL import Image, ImageOps
from playwright.sync_api import Browser, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples" / "photos"
QUALITY = 84


def make_library(folder: Path) -> Path:
    """Write copies of the example photos, turned, framed tighter and side by side, and crop them."""
    photos = folder / "photos"
    examples = [Image.open(path).convert("RGB") for path in sorted(EXAMPLES.glob("*.jpg"))]
    scenes = {"2026/harbour/IMG_2011.jpg": [0, 2], "2026/harbour/IMG_2014.jpg": [2, 1], "2026/ana/IMG_2020.jpg": [1, 0]}
    for number, image in enumerate(examples):
        width, height = image.size
        scenes[f"2026/ana/IMG_{2001 + number}.jpg"] = [number]
        tighter = image.crop((width // 16, 0, width - width // 16, height - height // 8))
        path = photos / f"2026/harbour/IMG_{2031 + number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        ImageOps.mirror(tighter).save(path, quality=92)
    for name, places in scenes.items():
        parts = [ImageOps.fit(examples[place], (640, 720)) if len(places) > 1 else examples[place] for place in places]
        scene = Image.new("RGB", (sum(part.width for part in parts), parts[0].height))
        for at, part in enumerate(parts):
            scene.paste(part, (at * parts[0].width, 0))
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        scene.save(photos / name, quality=92)
    shots = folder / "shots"
    subprocess.run(["shotcrop", "crop", photos, "-o", shots, "--aspect", "close_up=4:5", "--quiet"], check=True)
    return shots


def take(browser: Browser, address: str, name: str, size: tuple[int, int], *, dark: bool, photo: bool) -> None:
    """Photograph the list, or a photo whose close-up was moved."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light", device_scale_factor=1
    )
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(".card img.loaded")
    page.wait_for_timeout(1500)
    if photo:
        page.locator(".card", has_text="IMG_2011").locator("a").click()
        page.wait_for_selector(".box.close_up")
        page.keyboard.press("ArrowDown")
        page.mouse.move(0, 0)
        expect(page.locator("#saved")).to_have_text("Saved", timeout=30_000)
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").save(ROOT / "docs" / name, quality=QUALITY, optimize=True)
    context.close()


def main() -> None:
    """Take all pictures."""
    chromium = which("chromium") or which("chromium-browser") or which("google-chrome")
    with tempfile.TemporaryDirectory() as folder:
        shots = make_library(Path(folder))
        command = [sys.executable, "-m", "shotcrop_cli", "review", str(shots), "--no-browser"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            take(browser, address, "review-list.jpg", (1280, 760), dark=False, photo=False)
            take(browser, address, "review-photo.jpg", (1280, 760), dark=True, photo=True)
            take(browser, address, "review-phone.jpg", (390, 844), dark=True, photo=True)
            browser.close()
            server.terminate()


if __name__ == "__main__":
    main()
