"""Datasets small enough to train on within seconds, made on the spot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from shotcrop_train.data.augmentation import Augmentation

NO_AUGMENTATION = Augmentation(flip=0.0, crop=0.0, colour=0.0, gray=0.0)
CAPTIONS = ["a man stands in a field", "a woman in a red coat walks left", "two children play with a ball"]


def write_dataset(folder: Path, photos: int, kind: str, seed: int = 0) -> None:
    """Write a dataset of red figures on gray: `experts`, `proposals` or `empty`."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(photos):
        name = f"{kind}-{index:03}.jpg"
        image = Image.new("RGB", (96, 72), (90, 90, 90))
        row: dict[str, object] = {"file_name": name, "source": "made", "width": 96, "height": 72, "squashed": False}
        if kind == "empty":
            row["no_subject"] = True
        else:
            x, top = float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.1, 0.4))
            draw = ImageDraw.Draw(image)
            draw.rectangle([(x - 0.1) * 96, top * 72, (x + 0.1) * 96, 0.95 * 72], fill=(200, 30, 30))
            row |= _figure(x, top)
            if kind == "experts":
                row["annotation"] = _annotation(x, top)
        image.save(folder / name)
        rows.append(row)
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _permille(*sides: float) -> list[int]:
    return [round(1000 * min(max(side, 0.0), 1.0)) for side in sides]


def _figure(x: float, top: float) -> dict[str, object]:
    face = _permille(x - 0.03, top + 0.02, x + 0.03, top + 0.12)
    points = [
        _permille(x + dx, top + dy) for dx, dy in ((-0.01, 0.05), (0.01, 0.05), (0, 0.07), (-0.01, 0.1), (0.01, 0.1))
    ]
    joints = [[*_permille(x, top + 0.05 * k), 0.9] for k in range(17)]
    person = {"box": _permille(x - 0.1, top, x + 0.1, 0.95), "score": 0.9, "keypoints": joints}
    return {
        "captions": CAPTIONS,
        "detections": {"persons": [person], "faces": [{"box": face, "score": 0.95, "landmarks": points}]},
    }


def _annotation(x: float, top: float) -> dict[str, object]:
    boxes = (
        _permille(0.02, 0.02, 0.98, 0.98),
        _permille(x - 0.2, top - 0.05, x + 0.2, top + 0.5),
        _permille(x - 0.1, top - 0.02, x + 0.1, top + 0.2),
    )
    names = ("establishing", "medium", "close_up")
    return {
        "people": 1, "setting": "outdoor", "facing": "camera", "native_scale": "full",
        "scene": "A field.", "subject": "A figure.", "story": "It stands.",
        "shots": {name: {"box": box, "caption": text} for name, box, text in zip(names, boxes, CAPTIONS, strict=True)},
    }  # fmt: skip


def vary_experts(folder: Path) -> None:
    """Let experts differ, since a scorer is calibrated by how their crops do."""
    rows, changed = folder / "metadata.jsonl", []
    for number, line in enumerate(rows.read_text("utf-8").splitlines()):
        row = json.loads(line)
        for shot in row["annotation"]["shots"].values():
            shot["box"][3] = min(shot["box"][3] + 10 * (number % 7), 1000)
        changed.append(json.dumps(row) + "\n")
    rows.write_text("".join(changed), "utf-8")
