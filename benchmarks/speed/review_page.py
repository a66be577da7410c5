"""Measure the review page with a large library, in Chromium.

    python -m benchmarks.speed.review_page [--photos N]

The script crops the example photos, and makes a library of N photos (default 10,000) of these: links to the files, and
a sidecar for each with a score and a caption of its own. Then it starts `shotcrop review` and measures how long reading
the folder takes, the first paint of the page, each filter, scrolling, and the memory of the server. "Floor" is the time
of a request that answers nothing but the progress. Each time is the median of several.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from playwright.sync_api import Page, sync_playwright
from rich.console import Console

from benchmarks.figures import Figures
from shotcrop_cli import CropOptions, crop_photos

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "photos"
PER_FOLDER = 200
ROUNDS = 7
FILTERS = {
    "all photos": "",
    "score below 0.2": "below=0.2",
    "close-ups below 0.2": "below=0.2&shot=close_up",
    "two words in captions": "q=harbour+7",
    "a word of no caption": "q=zebra",
    "to review": "state=open",
    "a folder": "folder=000/1",
    "the last page": "offset={last}",
}


def make_library(folder: Path, count: int) -> Path:
    """Crop the examples, and make many photos of them."""
    photos, shots = folder / "photos", folder / "shots"
    shutil.copytree(EXAMPLES, photos)
    crop_photos(CropOptions(photos, shots))
    models = {path.name.removesuffix(".json"): json.loads(path.read_bytes()) for path in shots.glob("*.json")}
    names = sorted(models)
    for number in range(count):
        name = names[number % len(names)]
        record = json.loads(json.dumps(models[name]))
        place = Path("000", str(number // PER_FOLDER))
        new = f"IMG_{number:06}.jpg"
        (shots / place).mkdir(parents=True, exist_ok=True)
        (photos / place).mkdir(parents=True, exist_ok=True)
        os.link(photos / name, photos / place / new)
        record["source"]["path"] = str(photos / place / new)
        for at, shot in enumerate(record["shots"]):
            file = f"{new}.{shot['shot']}.jpg"
            os.link(shots / shot["file"], shots / place / file)
            caption = f"Person {number} at the harbour"
            shot.update(file=file, score=round((number * 7919 + at * 31) % 10_000 / 10_000, 4), caption=caption)
            shot["written"].update(caption=caption)
        (shots / place / f"{new}.json").write_text(json.dumps(record, indent=2))
    return shots


def median(measure: Callable[[], float]) -> float:
    """Return the median of several measurements."""
    return statistics.median(measure() for _ in range(ROUNDS))


def request(page: Page, address: str) -> float:
    """Return the milliseconds until the answer to a request is read, without drawing it."""
    script = """async (address) => {
        const start = performance.now();
        await (await fetch(address)).text();
        return performance.now() - start;
    }"""
    return float(page.evaluate(script, address))


def first_paint(page: Page, base: str) -> tuple[float, float]:
    """Return the milliseconds until the page shows something, and until it shows the first photo."""
    page.goto(base)
    while not page.evaluate("[...document.images].some((image) => image.complete && image.naturalWidth)"):
        time.sleep(0.01)
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    pictures = "performance.getEntriesByType('resource').filter((entry) => /small/.test(entry.name))"
    picture = page.evaluate(f"Math.min(...{pictures}.map((entry) => entry.responseEnd))")
    return float(paint), float(picture)


def filter_in_page(page: Page) -> float:
    """Return the milliseconds from a choice in the page until the list shows its photos."""
    return float(
        page.evaluate(
            """async () => {
                const select = document.querySelector('select[name="state"]');
                const status = document.getElementById("status");
                const start = performance.now();
                const changed = new Promise((resolve) => {
                    const observer = new MutationObserver(() => {
                        observer.disconnect();
                        requestAnimationFrame(resolve);
                    });
                    observer.observe(status, { childList: true, characterData: true, subtree: true });
                });
                select.value = select.value ? "" : "edited";
                select.dispatchEvent(new Event("input", { bubbles: true }));
                await changed;
                return performance.now() - start;
            }"""
        )
    )


def scroll(page: Page) -> tuple[float, int]:
    """Return the longest frame in milliseconds while the list scrolls through, and the most cards that existed."""
    longest, cards = page.evaluate(
        """async () => {
            let longest = 0, most = 0;
            const bottom = document.documentElement.scrollHeight - innerHeight;
            for (let step = 0; step <= 60; step++) {
                const start = performance.now();
                scrollTo(0, (bottom * step) / 60);
                await new Promise(requestAnimationFrame);
                await new Promise((resolve) => setTimeout(resolve));
                longest = Math.max(longest, performance.now() - start);
                most = Math.max(most, document.querySelectorAll(".card").length);
            }
            return [longest, most];
        }"""
    )
    return float(longest), int(cards)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--photos", type=int, default=10_000)
    count = parser.parse_args().photos
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    rows: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as temporary:
        shots = make_library(Path(temporary), count)
        command = [sys.executable, "-m", "shotcrop_cli", "review", str(shots), "--no-browser", "--read-only"]
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            rows.append(("the address is printed", f"{time.perf_counter() - start:.2f} s"))
            base = address.partition("?")[0]
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(address)
            page.wait_for_selector(".card")
            rows.append(("the first photo is shown", f"{time.perf_counter() - start:.2f} s"))
            while not page.evaluate("fetch('/api/status').then((a) => a.json()).then((a) => a.complete)"):
                time.sleep(0.05)
            rows.append(("all sidecars are read", f"{time.perf_counter() - start:.2f} s"))
            paints = [first_paint(page, base) for _ in range(ROUNDS)]
            rows.append(("first paint", f"{statistics.median(paint for paint, _ in paints):.0f} ms"))
            rows.append(("first thumbnail", f"{statistics.median(picture for _, picture in paints):.0f} ms"))
            floor = median(lambda: request(page, "/api/status"))
            rows.append(("floor of a request", f"{floor:.1f} ms"))
            for name, query in FILTERS.items():
                found = f"/api/list?{query.format(last=count + 3 - 60)}&limit=60"
                taken = median(lambda found=found: request(page, found))
                rows.append((f"filter: {name}", f"{taken:.1f} ms, {taken / floor:.1f} x floor"))
            rows.append(("choosing a filter until the list shows it", f"{median(lambda: filter_in_page(page)):.0f} ms"))
            page.goto(base)
            page.wait_for_selector(".card")
            longest, cards = scroll(page)
            rows.append(("longest frame while scrolling through", f"{longest:.0f} ms"))
            rows.append(("cards in the page at most", str(cards)))
            process = psutil.Process(server.pid)
            rows.append(("memory of the server", f"{process.memory_info().rss / 2**20:.0f} MiB"))
            heap = page.evaluate("performance.memory.usedJSHeapSize")
            rows.append(("script memory of the page", f"{heap / 2**20:.0f} MiB"))
            browser.close()
            server.terminate()
    figures = Figures(f"Review page with {count:,} photos", ("what", "measured"), tuple(rows))
    Console().print(figures.as_table())
    load = os.getloadavg()[0]
    if load > (os.cpu_count() or 1):
        Console().print(f"The machine was busy: its load was {load:.1f} on {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
