from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from figures import Figure, RawCells, manifest, scene_of
from shotcrop_cli.geometry import clamp
from shotcrop_cli.model.bundle import Bundle
from shotcrop_cli.model.nano.candidates import MOST_CANDIDATES, list_candidates
from shotcrop_cli.model.nano.composer import (
    NanoComposer,
    SetTransformer,
    input_shapes,
    order_people,
    stack,
    widened,
)
from shotcrop_cli.model.nano.decoding import Kind
from shotcrop_cli.model.nano.detector import AT_ONCE_ON_CPU, Detector
from shotcrop_cli.model.nano.manifest import CountRule, NanoManifest, ScoreCurve
from shotcrop_cli.model.nano.scene import Floats
from shotcrop_cli.model.notices import NO_NOTICES
from shotcrop_cli.model.session import CPU, Device, Session
from shotcrop_cli.model.tensorrt import LARGEST_BATCH, Engine
from shotcrop_cli.shots import SHOT_TYPES, Composition, NoSubject, Person

LEFT, RIGHT = (0.1, 0.2, 0.4, 0.98), (0.6, 0.2, 0.9, 0.98)
MEDIUM, CLOSE_UP = (-1.5, -0.8, 1.5, 3.4), (-0.9, -0.75, 0.9, 1.3)
"""Boxes in heads around the middle of the heads."""


@dataclass
class FakeGraph:
    """Answers as `answer` says, and keeps what it was fed."""

    answer: Any
    fed: list[dict[str, Any]] = field(default_factory=list)

    def run(self, names: Sequence[str], feed: dict[str, Any]) -> list[Floats]:
        self.fed.append(feed)
        answers = self.answer(feed)
        return [answers[name] for name in names]


def seeing(*photos: RawCells, people: float = 3.0) -> FakeGraph:
    """Return a detector that sees what was put into the cells of the photos, by the red value of their first pixel."""
    tags = np.array([people, 4.0, -4.0, 4.0, *[0.0] * 5], np.float32)

    def answer(feed: dict[str, Any]) -> dict[str, Floats]:
        numbers = feed["pixels"][:, 0, 0, 0]
        count = len(numbers)
        return {
            "cells": np.stack([photos[number].cells for number in numbers]),
            "tags": np.tile(tags, (count, 1)),
            "middle": np.zeros((count, 3, 4, 4), np.float32),
            "pooled": np.ones((count, 5), np.float32),
        }

    return FakeGraph(answer)


def composing(favourite: int = 0, expected: float = 0.7) -> FakeGraph:
    """Return a composer that prefers one candidate and proposes the same boxes for all."""

    def answer(feed: dict[str, Any]) -> dict[str, Floats]:
        valid = feed["valid"]
        probability = 0.1 * valid
        probability[:, favourite] = 0.5
        boxes = np.tile(np.array([(0.0, 0.05, 1.0, 0.95), MEDIUM, CLOSE_UP], np.float32), (*valid.shape, 1, 1))
        return {"probability": probability, "boxes": boxes, "expected": np.full((*valid.shape, 3), expected)}

    return FakeGraph(answer)


def cells(*bodies: Sequence[float]) -> RawCells:
    """Let a person with a head and a face be seen in each body."""
    raw = RawCells()
    for x0, y0, x1, _ in bodies:
        middle = (x0 + x1) / 2
        raw.put(Kind.BODY, (x0, y0, x1, 0.98))
        head = raw.put(Kind.HEAD, (middle - 0.05, y0, middle + 0.05, y0 + 0.15))
        raw.add_body(head, (x0, y0, x1, 0.98))
        raw.add_face(head, (middle - 0.03, y0 + 0.04, middle + 0.03, y0 + 0.14))
    return raw


def composer_of(detector: FakeGraph, network: FakeGraph, one: NanoManifest | None = None) -> NanoComposer:
    one = one or manifest()
    bundle = Bundle(Path("tiny"), one, {"model.json": "ab" * 32})
    graphs = Session(detector, CPU), Session(network, CPU)
    return NanoComposer(bundle, one, Detector(one, graphs[0]), SetTransformer(one, graphs[1]))


def photos(count: int) -> list[Image.Image]:
    """Return thumbnails whose red value is their number."""
    return [Image.new("RGB", (64, 64), (number, 0, 0)) for number in range(count)]


def compose_one(composer: NanoComposer) -> Composition:
    (answer,) = composer.compose(photos(1), [1.5])
    assert isinstance(answer, Composition)
    return answer


def holds(person: Person, x: float) -> bool:
    assert person.body is not None
    return person.body.x0 < x < person.body.x1


def test_a_person_gets_a_triple_boxes_and_scores() -> None:
    answer = compose_one(composer_of(seeing(cells(LEFT)), composing()))
    (person,) = answer.people
    assert person.body is not None and tuple(person.body) == pytest.approx(LEFT, abs=1e-4)
    assert person.head is not None and person.face is not None
    assert person.probability == pytest.approx(0.5)
    assert [shot.type for shot in answer.shots] == list(SHOT_TYPES)
    assert [shot.score for shot in answer.shots] == pytest.approx([0.7] * 3)
    assert [shot.box for shot in answer.shots] == [shot.box for shot in person.shots]
    assert all(shot.caption for shot in answer.shots) and person.facts == answer.facts
    assert [shot.caption for shot in person.shots] == [shot.caption for shot in answer.shots]
    assert answer.grounding is not None
    assert (answer.grounding.main_person, answer.grounding.head) == (person.body, person.head)
    assert answer.grounding.setting == "outdoor" and answer.grounding.facing == "camera"
    assert answer.reasoning.scene == "A person outdoors."
    assert answer.people_count is None and all(shot.alt_text for shot in answer.shots)
    wide, medium, tight = (shot.box.area for shot in answer.shots)
    assert wide > medium > tight


def test_one_person_is_told_where_the_detector_was_measured_to_count_well() -> None:
    answer = compose_one(composer_of(seeing(cells(LEFT)), composing(), manifest(count=CountRule(alone=True))))
    assert answer.people_count == 1


@pytest.mark.parametrize(("favourite", "x"), [(0, 0.25), (1, 0.75)])
def test_everybody_is_reported_and_the_main_person_first(favourite: int, x: float) -> None:
    left_first = cells(LEFT, (0.6, 0.3, 0.9, 0.98))  # the higher one is the larger one
    answer = compose_one(composer_of(seeing(left_first), composing(favourite)))
    assert len(answer.people) == 2
    main, other = answer.people
    assert main.probability > other.probability
    assert answer.grounding is not None and answer.grounding.main_person == main.body
    assert [shot.box for shot in answer.shots] == [shot.box for shot in main.shots]
    assert holds(main, x) != holds(other, x)
    medium = answer.shots[1].box
    assert medium.x0 < x < medium.x1


def test_a_pair_gets_shots_of_its_own_and_its_people_come_first() -> None:
    near = cells((0.1, 0.2, 0.35, 0.98), (0.3, 0.2, 0.55, 0.98), (0.7, 0.2, 0.95, 0.98))
    detector = seeing(near)
    scene = composer_of(detector, composing()).detector.detect(np.zeros((1, 64, 64, 3), np.uint8), [1.5])[0].scene
    candidates = list_candidates(scene)
    assert candidates is not None
    pair = next(number for number, members in enumerate(candidates.members) if len(members) == 2)
    answer = compose_one(composer_of(detector, composing(pair)))
    assert len(answer.people) == 3
    heads = [scene.head[member] for member in candidates.members[pair]]
    for person in answer.people[:2]:
        assert person.head is not None
        assert any(person.head.x0 == pytest.approx(head[0], abs=1e-5) for head in heads)
    assert answer.people[2].probability < answer.people[1].probability
    assert [shot.box for shot in answer.shots] != [shot.box for shot in answer.people[0].shots]


def test_a_photo_without_people_is_reported_as_such() -> None:
    composer = composer_of(seeing(RawCells(), people=-3.0), composing())
    (answer,) = composer.compose(photos(1), [1.5])
    assert isinstance(answer, NoSubject) and answer.score is not None and answer.score > 0.9


def test_people_who_are_not_located_get_the_fallback() -> None:
    boxes = ((0.0, 0.0, 1.0, 1.0), (0.2, 0.2, 0.8, 0.8), (0.4, 0.2, 0.6, 0.5))
    detector = seeing(RawCells(), people=9.0)
    (answer,) = composer_of(detector, composing(), manifest(fallback=boxes)).compose(photos(1), [1.5])
    assert isinstance(answer, Composition) and answer.people == ()
    assert [tuple(shot.box) for shot in answer.shots] == list(boxes)
    assert [shot.score for shot in answer.shots] == [0.0] * 3
    assert answer.shots[0].caption == "A scene outdoors" and all(shot.caption for shot in answer.shots)
    assert answer.reasoning.scene == "A scene outdoors." and not answer.reasoning.subject
    (without,) = composer_of(detector, composing()).compose(photos(1), [1.5])
    assert isinstance(without, NoSubject)


def test_a_batch_answers_like_its_photos_one_by_one() -> None:
    seen = [cells(LEFT), RawCells(), cells(RIGHT), cells(LEFT, RIGHT), RawCells(), cells(RIGHT)]
    assert len(seen) > AT_ONCE_ON_CPU
    composer = composer_of(seeing(*seen, people=0.0), composing())
    aspects = [1.5, 1.5, 0.7, 1.0, 1.0, 1.5]
    together = composer.compose(photos(6), aspects)
    assert [isinstance(answer, Composition) for answer in together] == [True, False, True, True, False, True]
    for thumbnail, aspect, answer in zip(photos(6), aspects, together, strict=True):
        assert composer.compose([thumbnail], [aspect]) == [answer]
    assert composer.compose([], []) == []


def test_nobody_at_all_needs_no_second_graph() -> None:
    network = composing()
    composer_of(seeing(RawCells()), network).compose(photos(1), [1.5])
    assert network.fed == []


def test_scores_follow_the_curve_of_the_manifest() -> None:
    curve = ScoreCurve(-3.0, 6.0)
    answer = compose_one(composer_of(seeing(cells(LEFT)), composing(expected=0.8), manifest(score=curve)))
    assert [shot.score for shot in answer.shots] == pytest.approx([curve.score(0.8)] * 3)


def test_the_network_sees_each_scene_and_its_mirror_image() -> None:
    network = composing()
    composer_of(seeing(cells(LEFT), cells(RIGHT)), network).compose(photos(2), [1.5, 1.5])
    (feed,) = network.fed
    assert len(feed["valid"]) == 4
    assert feed["valid"].sum(1).tolist() == [1, 1, 1, 1]
    x = 2  # the feature that tells where the head is, of the photo's width
    left, right, mirrored_left, mirrored_right = np.sinh(feed["features"][:, 0, x])
    assert left == pytest.approx(1 - mirrored_left, abs=1e-5) and right == pytest.approx(1 - mirrored_right, abs=1e-5)


def test_inputs_are_padded_and_marked() -> None:
    one = manifest(person_features=6, photo_features=5)
    network = composing()
    composer_of(seeing(cells(LEFT, RIGHT)), network, one).compose(photos(1), [1.5])
    (feed,) = network.fed
    assert {name: array.shape[1:] for name, array in feed.items()} == input_shapes(one)
    assert feed["photo"].tolist() == [[1.0] * 5] * 2
    assert set(np.unique(feed["known"])) <= {0, 1} and not feed["features"][feed["known"] == 0].any()
    assert not np.isnan(feed["features"]).any()


def test_a_model_without_features_of_the_detector_is_not_fed_any() -> None:
    network = composing()
    composer_of(seeing(cells(LEFT)), network).compose(photos(1), [1.5])
    assert set(network.fed[0]) == {"features", "known", "valid", "kind"}


def test_kinds_are_one_hot() -> None:
    scene = scene_of(Figure(0.4, 0.2, 0.12), Figure(0.5, 0.2, 0.12), Figure(0.6, 0.2, 0.12))
    candidates = list_candidates(scene)
    assert candidates is not None
    kind = stack([candidates])["kind"][0]
    assert kind.shape == (MOST_CANDIDATES, 4)
    assert kind[: len(candidates)].argmax(1).tolist() == candidates.kind.tolist()
    assert kind.sum() == len(candidates)


def test_people_of_the_main_subject_come_before_more_likely_ones() -> None:
    assert order_people(np.array([0.3, 0.9, 0.5, 0.2]), (0, 2)).tolist() == [2, 0, 1, 3]


def test_odd_boxes_of_the_network_become_valid_ones() -> None:
    """A network may cross the sides of a box, or leave the photo."""
    network = composing()
    inner = network.answer

    def crossed(feed: dict[str, Any]) -> dict[str, Floats]:
        answers: dict[str, Floats] = inner(feed)
        answers["boxes"][:, :, 1] = (2.0, 3.0, -2.0, -1.0)
        answers["boxes"][:, :, 2] = (50.0, 50.0, 60.0, 60.0)
        return answers

    answer = compose_one(composer_of(seeing(cells(LEFT)), FakeGraph(crossed)))
    assert len(answer.shots) == 3  # that they are inside the photo is what a `Box` is


sides = st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4)


@given(st.lists(sides, min_size=1, max_size=5), st.floats(0.01, 0.5))
def test_sides_are_made_as_long_as_clamp_makes_them(boxes: list[list[float]], shortest: float) -> None:
    made = widened(np.array(boxes, np.float32), shortest)
    np.testing.assert_array_equal(made, [tuple(clamp(*box, min_side=shortest)) for box in boxes])


def test_thumbnails_of_another_size_are_squashed() -> None:
    composer = composer_of(seeing(cells(LEFT)), composing())
    assert composer.thumbnail_size == (64, 64)
    (answer,) = composer.compose([Image.new("L", (300, 200))], [1.5])
    assert isinstance(answer, Composition)


@pytest.mark.parametrize("pixels", [0, 6])
def test_tensorrt_is_told_the_shapes_of_all_inputs(monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
    """Only the number of photos varies; the second graph sees every scene twice."""
    engines: list[Engine] = []

    def opened(_path: Path, _device: Device, _threads: int | None, *, engine: Engine) -> Session:
        engines.append(engine)
        return Session(None, CPU)

    one = manifest(person_features=pixels, photo_features=pixels)
    for module in ("detector", "composer"):
        monkeypatch.setattr(f"shotcrop_cli.model.nano.{module}.open_session", opened)
    NanoComposer.load(Bundle(Path("tiny"), one, {"model.json": "ab" * 32}), Device("auto"), None, NO_NOTICES)
    first, second = ({shapes.name: (shapes.minimum, shapes.maximum) for shapes in engine.inputs} for engine in engines)
    assert first == {"pixels": ((1, 64, 64, 3), (LARGEST_BATCH, 64, 64, 3))}
    expected = {name: ((1, *shape), (2 * LARGEST_BATCH, *shape)) for name, shape in input_shapes(one).items()}
    assert second == expected
    assert ("photo" in second) == (pixels > 0)
