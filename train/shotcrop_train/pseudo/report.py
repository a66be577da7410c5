"""Report of a pseudo-label run: `summary.json`, `histograms.png`, `contact-sheet.jpg`, and the hard cases.

All four are made from the rows on disk, one row at a time. So an interrupted run that
continued gets the same report as one without interruption.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from shotcrop_cli.evaluation.dataset import METADATA
from shotcrop_cli.geometry import from_permille, to_pixels
from shotcrop_cli.report.page import BACKGROUND, MUTED, TEXT
from shotcrop_cli.report.sheet import SHOT_COLOURS
from shotcrop_cli.report.text import font_for, legible, line_height, shorten
from shotcrop_cli.shots import SHOT_TYPES, Box, ShotType
from shotcrop_train.data.samples import load_photo
from shotcrop_train.pseudo.decision import Rule

HARD = "hard.jsonl"
SUMMARY = "summary.json"
HISTOGRAMS = "histograms.png"
SHEET = "contact-sheet.jpg"

OUTCOMES = ("accepted", "rejected", "hard")
BINS = 20
EXAMPLES = 4
"""Shots of each type and outcome on the contact sheet."""
CELL = 400
"""Width in pixels of one example on the contact sheet: the photo next to the crop."""


@dataclass(frozen=True, slots=True)
class Example:
    """A decided shot to show."""

    photo: Path
    box: Box
    note: str


@dataclass
class Counts:
    """Counts of photos, shots and proposals, a histogram of every score, and a random sample of examples."""

    criteria: tuple[str, ...]
    photos: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    proposed: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    histograms: dict[tuple[str, str, bool], np.ndarray] = field(default_factory=dict)
    examples: dict[tuple[str, str], list[Example]] = field(default_factory=dict)
    chance: Random = field(default_factory=lambda: Random(0))

    def add(self, folder: Path, row: Mapping[str, Any]) -> None:
        """Count one row of the dataset in `folder`."""
        self.photos["all"] += 1
        if "failure" in row["pseudo"]:
            self.photos["failed"] += 1
            return
        self.photos["labelled"] += 1
        for shot in SHOT_TYPES:
            self._add_shot(folder / row["file_name"], shot.value, row["pseudo"][shot.value])

    def _add_shot(self, photo: Path, shot: str, decided: Mapping[str, Any]) -> None:
        outcome, chosen = decided["outcome"], decided["chosen"]
        self.outcomes[shot, outcome] += 1
        for index, proposal in enumerate(decided["proposals"]):
            won = outcome == "accepted" and index == chosen
            self.proposed.update(proposal["proposers"])
            self.accepted.update(proposal["proposers"] if won else ())
            for criterion in self.criteria:
                score = proposal["scores"][criterion]
                if score is None:
                    self.unknown[criterion] += 1
                    continue
                counts = self.histograms.setdefault((criterion, shot, won), np.zeros(BINS, dtype=np.int64))
                counts[min(int(score * BINS), BINS - 1)] += 1
        best = decided["proposals"][chosen]
        scores = " ".join(f"{name} {_two_digits(best['scores'][name])}" for name in self.criteria)
        self._draw(shot, outcome, Example(photo, from_permille(best["box"]), scores))

    def _draw(self, shot: str, outcome: str, example: Example) -> None:
        """Keep each shot seen so far with equal probability."""
        kept = self.examples.setdefault((shot, outcome), [])
        place = self.chance.randrange(self.outcomes[shot, outcome])
        if len(kept) < EXAMPLES:
            kept.append(example)
        elif place < EXAMPLES:
            kept[place] = example


def write_report(folder: Path, criteria: Sequence[str], rule: Rule) -> None:
    """Write the report of a labelled dataset next to its rows, the summary last.

    Args:
        folder: The dataset.
        criteria: Names of the scorers.
        rule: The rule, for the threshold in the histograms.
    """
    counts = Counts(tuple(criteria))
    temporary = folder / f"{HARD}.new"
    with temporary.open("w", encoding="utf-8") as hard:
        for row in _rows(folder):
            counts.add(folder, row)
            if any(row["pseudo"].get(shot.value, {}).get("outcome") == "hard" for shot in SHOT_TYPES):
                hard.write(json.dumps(row, ensure_ascii=False) + "\n")
    temporary.replace(folder / HARD)
    draw_histograms(counts, rule, folder / HISTOGRAMS)
    draw_sheet(counts).save(folder / SHEET, quality=90)
    (folder / SUMMARY).write_text(json.dumps(summary(counts), indent=2) + "\n", encoding="utf-8")


def _rows(folder: Path) -> Iterator[Mapping[str, Any]]:
    with (folder / METADATA).open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def summary(counts: Counts) -> dict[str, Any]:
    """Return the content of `summary.json`. Rates are shares of the shots of labelled photos."""
    shots = {}
    for shot in SHOT_TYPES:
        of_shot = {outcome: counts.outcomes[shot.value, outcome] for outcome in OUTCOMES}
        total = max(sum(of_shot.values()), 1)
        shots[shot.value] = of_shot | {
            "acceptance_rate": round(of_shot["accepted"] / total, 4),
            "hard_rate": round(of_shot["hard"] / total, 4),
        }
    total = max(sum(counts.outcomes.values()), 1)
    rates = {
        name: round(sum(counts.outcomes[shot.value, outcome] for shot in SHOT_TYPES) / total, 4)
        for name, outcome in (("acceptance_rate", "accepted"), ("hard_rate", "hard"))
    }
    return {
        "photos": {name: counts.photos[name] for name in ("all", "labelled", "failed")},
        **rates,
        "shots": shots,
        "proposers": {
            name: {"proposed": count, "accepted": counts.accepted[name]} for name, count in counts.proposed.items()
        },
        "unknown_scores": {name: counts.unknown[name] for name in counts.criteria},
    }


def draw_histograms(counts: Counts, rule: Rule, target: Path) -> None:
    """Draw histograms of the proposals' scores into a PNG, a row for each criterion and a column for each shot."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows, columns = len(counts.criteria), len(SHOT_TYPES)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(4 * columns, 2.6 * rows), squeeze=False, sharex=True, layout="constrained"
    )
    edges = np.linspace(0.0, 1.0, BINS + 1)
    nothing = np.zeros(BINS, dtype=np.int64)
    for criterion, line in zip(counts.criteria, axes, strict=True):
        for shot, axis in zip(SHOT_TYPES, line, strict=True):
            won, lost = (counts.histograms.get((criterion, shot.value, kind), nothing) for kind in (True, False))
            axis.stairs(won + lost, edges, fill=True, color="silver", label="not accepted")
            axis.stairs(won, edges, fill=True, color="seagreen", label="accepted")
            axis.axvline(rule.accept, color="black", linewidth=1)
            axis.set_title(f"{criterion}, {shot.value}", fontsize=9)
    axes[0][0].legend(fontsize=8)
    figure.supxlabel("score of a proposal")
    figure.supylabel("proposals")
    figure.savefig(target, dpi=110)
    pyplot.close(figure)


def draw_sheet(counts: Counts) -> Image.Image:
    """Draw examples, a row for each shot and outcome: each photo with its box, next to the crop."""
    gap, text = 16, font_for(CELL * EXAMPLES, 0.011)
    height = CELL // 2 + 3 * line_height(text)
    rows = [(outcome, shot) for outcome in OUTCOMES for shot in SHOT_TYPES]
    page = Image.new("RGB", (gap + EXAMPLES * (CELL + gap), gap + len(rows) * (height + gap)), BACKGROUND)
    draw = ImageDraw.Draw(page)
    for number, (outcome, shot) in enumerate(rows):
        top = gap + number * (height + gap)
        count = counts.outcomes[shot.value, outcome]
        total = max(sum(counts.outcomes[shot.value, one] for one in OUTCOMES), 1)
        draw.text((gap, top), f"{shot.value} {outcome}: {count} of {total}", TEXT, text)
        for place, example in enumerate(counts.examples.get((shot.value, outcome), ())):
            left = gap + place * (CELL + gap)
            page.paste(_cell(example, shot), (left, top + line_height(text)))
            note = shorten(legible(example.note), text, CELL)
            draw.text((left, top + line_height(text) + CELL // 2), note, MUTED, text)
    return page


def _cell(example: Example, shot: ShotType) -> Image.Image:
    """Return the photo with the box, and the crop next to it, in a cell of `CELL` x `CELL` / 2 pixels."""
    side = CELL // 2
    photo = load_photo(example.photo, 4 * side)
    crop = photo.crop(to_pixels(example.box, *photo.size).corners)
    photo.thumbnail((side, side))
    left, upper, right, lower = to_pixels(example.box, *photo.size).corners
    frame = (left, upper, max(right - 1, left), max(lower - 1, upper))
    ImageDraw.Draw(photo).rectangle(frame, outline=SHOT_COLOURS[shot], width=2)
    crop = ImageOps.contain(crop, (side - 6, side))
    cell = Image.new("RGB", (CELL, side), BACKGROUND)
    cell.paste(photo, (0, 0))
    cell.paste(crop, (side + 6, 0))
    return cell


def _two_digits(score: float | None) -> str:
    return "-" if score is None else f"{score:.2f}"
