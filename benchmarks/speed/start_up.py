"""Measure how long a user waits for shotcrop to start, next to Python alone and a bare click program.

    python -m benchmarks.speed.start_up [--rounds N] [--markdown FILE]

The script runs these in turn, many times: Python alone, a click program with one command, `shotcrop --help`, and
`shotcrop crop` on one photo of 12 MP up to the finished crops. It prints the medians and their ratios.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.figures import Figures, add_markdown, machine, publish
from benchmarks.speed.child_process import SHOTCROP, crop, measure
from benchmarks.speed.sized_photos import add_sources, make_photos

MEGAPIXELS = 12
BARE = """
import click

@click.group()
def main():
    "Do things."

@main.command()
@click.option("--often", default=1, help="How often.")
def something(often):
    "Do something."

main()
"""
PYTHON, CLICK, HELP, FIRST = "Python alone", "bare click program, --help", "shotcrop --help", "shotcrop crop, one photo"


def actions(folder: Path, sources: Sequence[Path]) -> dict[str, Callable[[], float]]:
    """Return the timed actions by name. Each call returns seconds.

    Args:
        folder: An empty folder.
        sources: Real photos; the first one is enlarged.
    """
    bare = folder / "bare.py"
    bare.write_text(BARE, "utf-8")
    (photo,) = make_photos(folder / "photos", sources, MEGAPIXELS, 1)

    def first_photo() -> float:
        with tempfile.TemporaryDirectory(dir=folder) as shots:
            return crop(photo, Path(shots)).seconds

    return {
        PYTHON: lambda: measure(sys.executable, "-c", "").seconds,
        CLICK: lambda: measure(sys.executable, bare, "--help").seconds,
        HELP: lambda: measure(SHOTCROP, "--help").seconds,
        FIRST: first_photo,
    }


def medians(timed: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each action. They take turns, after one warm-up round."""
    for action in timed.values():
        action()
    turns = [{name: action() for name, action in timed.items()} for _ in range(rounds)]
    return {name: statistics.median(turn[name] for turn in turns) for name in timed}


def rows(seconds: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Return one row per program: its time, the time beyond Python's own start, and both ratios."""
    python, bare = seconds[PYTHON], seconds[CLICK]
    return [
        (
            name,
            f"{taken * 1000:.0f}",
            f"{(taken - python) * 1000:.0f}",
            f"{taken / python:.2f}",
            f"{taken / bare:.2f}",
        )
        for name, taken in seconds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21, metavar="N", help="runs of each program; default: 21")
    add_sources(parser)
    add_markdown(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shotcrop-start-") as folder:
        seconds = medians(actions(Path(folder), arguments.photos), arguments.rounds)
    table = Figures(
        f"From start to exit, median of {arguments.rounds} runs",
        ("what", "ms", "ms more than Python", "relative to Python", "relative to bare click"),
        tuple(rows(seconds)),
    )
    note = f"Measured on {machine('shotcrop-cli', 'click', 'onnxruntime')}; the photo has {MEGAPIXELS} MP."
    publish("start_up", [table], [note], arguments.markdown)


if __name__ == "__main__":
    main()
