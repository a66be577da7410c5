from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import picture
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.dataset import read_dataset
from shotcrop_cli.shots import SHOT_TYPES, Answer, Box, Composition, ModelIdentity, NoSubject, Shot
from shotcrop_train.data.samples import held_back
from shotcrop_train.nano.confidence import VIEWS, Curve, calibrate, fit, observe

BOXES = ([20, 20, 980, 980], [200, 100, 800, 700], [300, 120, 700, 480])


class Guesser:
    """Answers every photo with its whole frame, or with nobody."""

    identity = ModelIdentity("guesser", "", "none")
    thumbnail_size = (32, 32)

    def __init__(self, nobody: bool = False, score: float | None = 0.5) -> None:
        self.nobody, self.score, self.seen = nobody, score, 0

    def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float]) -> list[Answer]:
        assert len(thumbnails) == len(aspects)
        self.seen += len(thumbnails)
        if self.nobody:
            return [NoSubject() for _ in thumbnails]
        return [Composition(tuple(Shot(kind, Box(0, 0, 1, 1), "", self.score) for kind in SHOT_TYPES))] * len(aspects)


def training_set(folder: Path, photos: int = 30) -> Path:
    folder.mkdir()
    shots = {kind.value: {"box": box, "caption": "someone"} for kind, box in zip(SHOT_TYPES, BOXES, strict=True)}
    rows = []
    for number in range(photos):
        picture(64, 48).save(folder / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "width": 64, "height": 48, "annotation": {"shots": shots}})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_planted_curve_is_found() -> None:
    rng = np.random.default_rng(0)
    agreement = rng.uniform(size=20_000)
    right = rng.uniform(size=20_000) < 1.0 / (1.0 + np.exp(2.0 - 5.0 * agreement))
    curve = fit(agreement, right)
    assert curve.offset == pytest.approx(-2.0, abs=0.15)
    assert curve.slope == pytest.approx(5.0, abs=0.3)


def test_scores_that_part_right_from_wrong_exactly_give_a_finite_curve() -> None:
    curve = fit(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]))
    assert 0.0 < curve.slope < 1e4


def test_scores_that_say_nothing_give_the_share_that_is_right() -> None:
    curve = fit(np.full(100, 0.5), np.arange(100) < 80)
    assert 1.0 / (1.0 + np.exp(-(curve.offset + 0.5 * curve.slope))) == pytest.approx(0.8, abs=1e-3)


def test_every_view_of_a_photo_gives_the_shots_that_it_shows(tmp_path: Path) -> None:
    records = read_dataset(training_set(tmp_path / "train", photos=2))
    guesser = Guesser()
    scores, right = observe(guesser, records)
    assert guesser.seen == 2 * VIEWS
    assert len(scores) == len(right) > 2 * VIEWS
    assert not right.all()
    assert right.any()


def test_the_same_seed_gives_the_same_observations(tmp_path: Path) -> None:
    records = read_dataset(training_set(tmp_path / "train", photos=2))
    assert np.array_equal(observe(Guesser(), records, 3)[1], observe(Guesser(), records, 3)[1])


def test_only_held_back_photos_are_looked_at(tmp_path: Path) -> None:
    records = read_dataset(training_set(tmp_path / "train"))
    held = sum(map(held_back, records))
    assert 0 < held < len(records)
    guesser = Guesser()
    assert isinstance(calibrate(guesser, records), Curve)
    assert guesser.seen == held * VIEWS


@pytest.mark.parametrize("guesser", [Guesser(nobody=True), Guesser(score=None)])
def test_a_model_without_scores_cannot_be_calibrated(tmp_path: Path, guesser: Guesser) -> None:
    with pytest.raises(ShotcropError, match="cannot be calibrated: of 0 held-back shots 0 are wrong"):
        calibrate(guesser, read_dataset(training_set(tmp_path / "train")))
