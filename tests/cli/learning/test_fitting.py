from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from figures import Figure, scene_of
from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.interchange.corrections import Verdict
from shotcrop_cli.learning.fitting import Gain, cross_validate, fit_style, folds, ridge
from shotcrop_cli.learning.lessons import Lesson, crops_with, iou
from shotcrop_cli.model.nano.candidates import list_candidates
from shotcrop_cli.model.nano.composer import Proposal
from shotcrop_cli.model.nano.manifest import FaultCosts, Style
from shotcrop_cli.model.nano.scene import Floats
from shotcrop_cli.model.nano.style import correction, describe_boxes
from shotcrop_cli.shots import SHOT_TYPES, Box
from shotcrop_cli.sidecar import MainPerson

PHOTO = (3000, 2000)
NO_FAULTS = FaultCosts(**{name: 0.0 for name in FaultCosts.__dataclass_fields__ if not name.startswith("room")})
"""Costs with which the refinement leaves boxes as they are."""


def lesson(
    rng: np.random.Generator, change: Callable[[Floats, Figure], Floats], counts: tuple[bool, ...] = (True,) * 3
) -> Lesson:
    """Return a lesson whose wanted boxes are what `change` makes of the proposed ones."""
    figure = Figure(rng.uniform(0.4, 0.6), rng.uniform(0.2, 0.3), rng.uniform(0.08, 0.12))
    scene, h = scene_of(figure, aspect=1.5), figure.head
    x, y = figure.x + rng.normal(0, 0.01), figure.y
    close = [x - h, y - 0.4 * h, x + h, y + 2 * h]
    triple = np.array([[0.0, 0.0, 1.0, 1.0], [x - 1.5 * h, y - 0.5 * h, x + 1.5 * h, y + 4 * h], close])
    wanted = change(triple.copy(), figure).clip(0, 1)
    wanted[:, 2:] = np.maximum(wanted[:, 2:], wanted[:, :2] + 0.01)
    verdicts = [Verdict.SET if count else Verdict.REJECTED for count in counts]
    boxes = [SimpleNamespace(box=Box(*box), verdict=one) for box, one in zip(wanted.tolist(), verdicts, strict=True)]
    record: Any = SimpleNamespace(
        source=SimpleNamespace(width=PHOTO[0], height=PHOTO[1]),
        settings=CropSettings(),
        main_person=MainPerson(),
        shots=[SimpleNamespace(model_box=Box(*box)) for box in triple.tolist()],
    )
    photo: Any = SimpleNamespace(record=record, boxes=boxes)
    features = describe_boxes(scene, [(0,)], triple[None])[0]
    candidates = list_candidates(scene)
    assert candidates is not None
    proposal = Proposal(candidates, np.ones(1, np.float32), triple[None], np.full((1, 3), 0.7))
    return Lesson(photo, scene, proposal, 0, features, wanted, np.array(counts))


def lessons(count: int, change: Callable[[Floats, Figure], Floats], noise: float = 0.02) -> list[Lesson]:
    rng = np.random.default_rng(7)

    def changed(triple: Floats, figure: Figure) -> Floats:
        wanted = change(triple, figure)
        return wanted + rng.normal(0, noise, wanted.shape) * np.tile(wanted[:, 2:] - wanted[:, :2], 2)

    return [lesson(rng, changed) for _ in range(count)]


def closer(triple: Floats, _figure: Figure) -> Floats:
    side = triple[2, 2:] - triple[2, :2]
    triple[2] += 0.15 * np.concatenate([side, -side])
    return triple


def centred(triple: Floats, figure: Figure) -> Floats:
    for shot in (1, 2):
        triple[shot, 0::2] += figure.x - triple[shot, 0::2].mean()
    return triple


def same(triple: Floats, _figure: Figure) -> Floats:
    return triple


def test_a_constant_change_is_learned_from_twenty_photos_and_only_for_its_shot() -> None:
    style = fit_style(lessons(20, closer))
    assert [bool(shot.weights) for shot in style.shots] == [False, False, True]
    general = style.shots[2].weights[0]
    assert_allclose(general, [0.15, 0.15, -0.15, -0.15], atol=0.02)


def test_a_change_that_depends_on_the_photo_is_learned_too() -> None:
    gain = cross_validate(lessons(40, centred, noise=0.005), NO_FAULTS)
    before, after = gain.of_shot(2)
    assert after > before + 0.02
    assert after > 0.95


def test_what_the_person_likes_stays_as_it_is() -> None:
    style = fit_style(lessons(20, same))
    assert not any(shot.weights for shot in style.shots)
    assert not cross_validate(lessons(20, same), NO_FAULTS).is_sure


def test_edits_without_a_pattern_are_no_style() -> None:
    gain = cross_validate(lessons(20, same, noise=0.15), NO_FAULTS)
    assert not gain.is_sure


def test_measuring_is_the_same_each_time_and_on_photos_that_were_left_out() -> None:
    some = lessons(20, closer)
    first, second = cross_validate(some, NO_FAULTS), cross_validate(some, NO_FAULTS)
    assert_allclose(first.after, second.after)
    assert first.is_sure
    seen = [(set(train.tolist()), set(test.tolist())) for train, test in folds(23, 5, 0)]
    assert all(not train & test and len(train | test) == 23 for train, test in seen)
    assert sorted(number for _, test in seen for number in test) == list(range(23))


def test_boxes_that_nobody_wants_do_not_count() -> None:
    rng = np.random.default_rng(3)
    wild = [lesson(rng, lambda triple, _: triple * 0.3, (True, True, False)) for _ in range(10)]
    some = [*lessons(20, closer), *wild]
    assert_allclose(fit_style(some).shots[2].weights[0], [0.15, 0.15, -0.15, -0.15], atol=0.02)
    gain = cross_validate(some, NO_FAULTS)
    assert np.isnan(gain.before[20:, 2]).all()
    assert not np.isnan(gain.differences).any()


def test_a_few_odd_boxes_hardly_change_a_style() -> None:
    features, moves = np.zeros((20, 19)), np.tile([0.1, 0.1, -0.1, -0.1], (20, 1))
    moves[:3] = [-2, -2, 3, 3]
    fitted = ridge(features, moves, "mean", 0.0)
    assert_allclose(correction(fitted.style, features), fitted.moves(features), atol=1e-5)
    assert_allclose(fitted.moves(features[:1])[0], [0.1, 0.1, -0.1, -0.1], atol=0.05)


def test_the_refinement_follows_the_style() -> None:
    some = lessons(3, closer)
    plain = crops_with(Style(), some, NO_FAULTS)
    assert_allclose(plain, [one.triple for one in some], atol=1e-4)


def test_a_gain_counts_photos_and_gives_an_interval() -> None:
    before = np.array([[0.5, 0.5, np.nan], [0.6, 0.6, 0.6], [0.7, 0.7, 0.7], [0.8, np.nan, np.nan]])
    after = before + np.array([[0.1], [0.2], [-0.1], [0.0]])
    gain = Gain(before, after)
    assert (gain.closer, gain.farther) == (2, 1)
    assert gain.means == pytest.approx((0.65, 0.70))
    low, high = gain.interval()
    assert low < 0.05 < high
    assert not gain.is_sure
    assert gain.of_shot(2) == pytest.approx((0.65, 0.70))
    assert all(np.isnan(Gain(before[3:], after[3:]).of_shot(1)))


def test_iou_of_equal_and_of_distant_boxes() -> None:
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 1]], float)
    assert_allclose(iou(boxes, np.array([[0, 0, 1, 0.5], [2, 2, 3, 3]])), [0.5, 0])
    assert len(SHOT_TYPES) == 3
