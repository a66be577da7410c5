"""How much of what larger detectors are sure of the compact model's detector finds: by kind, size and looks.

    python -m benchmarks.quality.detector_recall DATASET [--model NAME|PATH] [--only FILE] [--grey]

DATASET is a folder of photos with detections, see docs/annotating.md. `--only` names a file with the names of the
photos to use, one a line, such as those that the detector has not learned from. `--grey` removes the colour.
Looks are read off the captions, and off the direction in which the expert saw the main person face.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from rich.console import Console

from benchmarks.figures import Figures
from shotcrop_cli.evaluation.dataset import read_lines
from shotcrop_cli.model.load import find_model, load_composer
from shotcrop_cli.model.nano.composer import NanoComposer
from shotcrop_cli.model.nano.decoding import Kind
from shotcrop_cli.model.nano.preprocess import squash
from shotcrop_cli.model.nano.scene import Floats, Scene
from shotcrop_train.data.samples import load_photo
from shotcrop_train.nano.detector_labels import Labels, read_photo

LEAST_SCORE, SURE, LEAST_OVERLAP = 0.3, 0.6, 0.5
"""Scores from which a detection counts, and a label counts as sure; and the IoU from which both are one."""
SIZES = (0.0, 0.03, 0.06, 0.12, 0.25, 9.0)
"""Limits of the sizes: the root of a box's area, as a share of the photo's side."""
LARGE = 0.06
CROWD = 6
AT_ONCE = 4
LOOKS = {
    "a helmet": r"\bhelmets?\b",
    "a hat, cap or hood": r"\b(hat|cap|beanie|hood|turban|headscarf|bonnet)s?\b",
    "a mask or goggles": r"\b(masks?|goggles|visor|face paint|painted face)\b",
    "a child": r"\b(child|children|boys?|girls?|toddlers?|bab(y|ies)|kids?)\b",
    "dark skin": r"\b(african|dark[- ]skinned|black (man|woman|boy|girl|child|people|men|women|kids?))\b",
}
"""Words in captions. They say of whom a photo shows someone; its other people count, too."""
FACINGS = {"away": "seen from behind", "left": "in profile or turned", "right": "in profile or turned"}
NAMES = {
    Kind.HEAD: "head",
    Kind.BODY: "body",
    Kind.HAND: "hand",
    Kind.ANIMAL: "animal",
    Kind.OBJECT: "held object",
}


@dataclass(frozen=True, eq=False)
class Matches:
    """Labels and detections of one kind in one photo.

    Args:
        found: (n,), whether each sure label was found.
        size: (n,), of these labels, see `SIZES`.
        right: How many detections fit a label.
        detected: How many detections there are.
    """

    found: np.ndarray[Any, np.dtype[np.bool_]]
    size: Floats
    right: int
    detected: int


def match(labels: Labels, scene: Scene, kind: Kind) -> Matches:
    """Compare a photo's labels of a kind with what the detector saw."""
    chosen = labels.kinds == kind
    truth, sure = labels.boxes[chosen], labels.scores[chosen] >= SURE
    boxes = detected(scene, kind)
    overlaps = pairwise_iou(truth, boxes)
    best = overlaps.max(1, initial=0.0)
    size = np.sqrt((truth[:, 2:] - truth[:, :2]).prod(1))
    right = int((overlaps.max(0, initial=0.0) >= LEAST_OVERLAP).sum())
    return Matches(best[sure] >= LEAST_OVERLAP, size[sure], right, len(boxes))


def detected(scene: Scene, kind: Kind) -> Floats:
    """Return the boxes (n, 4) of a kind that count as detected. Heads that were estimated from bodies do not."""
    if kind is Kind.HEAD:
        return scene.head[~scene.estimated & (scene.head_score >= LEAST_SCORE)]
    if kind is Kind.BODY:
        return scene.body[scene.body_score >= LEAST_SCORE]
    things = {Kind.HAND: scene.hands, Kind.ANIMAL: scene.animals, Kind.OBJECT: scene.objects}[kind]
    return things[things[:, 4] >= LEAST_SCORE, :4]


def pairwise_iou(a: Floats, b: Floats) -> Floats:
    """Return the IoU (n, m) of boxes (n, 4) with boxes (m, 4)."""
    shared = (np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])).clip(0).prod(-1)
    areas = (a[:, 2:] - a[:, :2]).prod(1)[:, None] + (b[:, 2:] - b[:, :2]).prod(1)[None]
    result: Floats = shared / np.maximum(areas - shared, 1e-9)
    return result


def looks(row: Mapping[str, Any], heads: int) -> list[str]:
    """Return the groups that a photo belongs to.

    Args:
        row: Its line in the dataset.
        heads: How many heads the larger detectors saw.
    """
    annotation = row.get("annotation") or {}
    shots = annotation.get("shots", {}).values()
    words = [*(row.get("captions") or ()), *(str(annotation.get(key, "")) for key in ("scene", "subject", "story"))]
    text = " ".join([*words, *(str(shot.get("caption", "")) for shot in shots)]).lower()
    groups = [name for name, pattern in LOOKS.items() if re.search(pattern, text)]
    if annotation.get("facing") in FACINGS:
        groups.append(FACINGS[annotation["facing"]])
    if heads >= CROWD:
        groups.append(f"{CROWD} heads or more")
    return ["all", *groups]


def tables(rows: Sequence[tuple[list[str], Mapping[Kind, Matches]]]) -> list[Figures]:
    """Return the tables by kind and by looks."""
    kinds = []
    for kind, name in NAMES.items():
        found = np.concatenate([one[kind].found for _, one in rows])
        size = np.concatenate([one[kind].size for _, one in rows])
        right, count = sum(one[kind].right for _, one in rows), sum(one[kind].detected for _, one in rows)
        cells = [_share(found[(size >= low) & (size < high)]) for low, high in pairwise(SIZES)]
        kinds.append((name, _share(found), f"{right / max(count, 1):.2f}", *cells))
    headings = [f"{low:.0%} to {high:.0%}" for low, high in pairwise(SIZES[:-1])]
    groups = list(dict.fromkeys(group for names, _ in rows for group in names))
    of = {group: [one[Kind.HEAD] for names, one in rows if group in names] for group in groups}
    people = []
    for group, heads in of.items():
        found, size = np.concatenate([one.found for one in heads]), np.concatenate([one.size for one in heads])
        precision = sum(one.right for one in heads) / max(sum(one.detected for one in heads), 1)
        people.append((group, str(len(heads)), _share(found), _share(found[size >= LARGE]), f"{precision:.2f}"))
    return [
        Figures(
            "Recall (and number of labels) by kind and size",
            ("kind", "recall", "precision", *headings, f"{SIZES[-2]:.0%} and more"),
            tuple(kinds),
        ),
        Figures(
            "Heads in photos that show",
            ("looks", "photos", "recall", f"recall from {LARGE:.0%} on", "precision"),
            tuple(sorted(people, key=lambda row: -int(row[1]))),
        ),
    ]


def _share(found: np.ndarray[Any, np.dtype[np.bool_]]) -> str:
    return f"{found.mean():.2f} ({len(found)})" if len(found) else "-"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure a model and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--only", type=Path)
    parser.add_argument("--grey", action="store_true")
    given = parser.parse_args(arguments)
    composer = load_composer(find_model(given.model), "cpu")
    if not isinstance(composer, NanoComposer):
        parser.error("the model has no detector")
    lines = [json.loads(line) for _, line in read_lines(given.dataset)]
    if given.only:
        names = set(given.only.read_text("utf-8").split())
        lines = [line for line in lines if line["file_name"] in names]
    rows = []
    for first in range(0, len(lines), AT_ONCE):
        part = lines[first : first + AT_ONCE]
        photos = [read_photo(given.dataset, line) for line in part]
        pixels = [squash(_opened(photo.path, grey=given.grey), composer.manifest.image_size) for photo in photos]
        seen = composer.detector.detect(np.stack([np.asarray(one) for one in pixels]), [one.aspect for one in photos])
        for line, photo, one in zip(part, photos, seen, strict=True):
            matches = {kind: match(photo.labels, one.scene, kind) for kind in NAMES}
            rows.append((looks(line, int((photo.labels.kinds == Kind.HEAD).sum())), matches))
    for table in tables(rows):
        Console().print(table.as_table())


def _opened(path: Path, *, grey: bool) -> Image.Image:
    photo = load_photo(path)
    return ImageOps.grayscale(photo).convert("RGB") if grey else photo


if __name__ == "__main__":
    main()
