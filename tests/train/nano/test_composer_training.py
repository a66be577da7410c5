"""The composer's examples, network, loss and training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from figures import Figure, scene_of
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.model.nano.candidates import PAIR, boxes_of, list_candidates
from shotcrop_cli.model.nano.composer import stack
from shotcrop_cli.model.nano.scene import Floats, Scene, mirror_boxes
from shotcrop_train.nano.composer_examples import Example, disturb, find_subject, make_examples, stack_examples
from shotcrop_train.nano.composer_network import ComposerEnsemble, ComposerNetwork, ComposerOptions
from shotcrop_train.runs import provenance
from shotcrop_train.train_composer import (
    ComposerData,
    ComposerLoss,
    ComposerOptimisation,
    ComposerRecipe,
    compose,
    composer_loss,
    fit,
    load_composers,
    photo_boxes,
    save_composer,
    train,
)

ALONE, OTHER = Figure(0.3, 0.2, 0.1, joints=True), Figure(0.8, 0.3, 0.08)
RECIPE = ComposerRecipe(
    data=ComposerData(experts=("train",), folds=2, side=64),
    optimisation=ComposerOptimisation(steps=2, batch_size=4, networks=2),
    width=16,
    layers=1,
    pixels=False,
)


def triple_of(figure: Figure, aspect: float = 1.5) -> Floats:
    """Return a triple around a figure: everything, down to the waist, head and shoulders."""
    w, h, x, y = figure.head / aspect, figure.head, figure.x, figure.y
    close = [x - 1.2 * w, y - 0.3 * h, x + 1.2 * w, y + 1.6 * h]
    medium = [x - 2.4 * w, y - 0.4 * h, x + 2.4 * w, y + 4 * h]
    return np.array([[0.05, 0.0, 0.95, 1.0], medium, close], np.float32)


def scenes(count: int) -> list[tuple[Scene, Figure]]:
    """Return scenes of a large figure, which the expert shows, and a small one."""
    rng, found = np.random.default_rng(0), []
    for _ in range(count):
        large = Figure(rng.uniform(0.2, 0.45), rng.uniform(0.1, 0.3), rng.uniform(0.08, 0.14))
        found.append((scene_of(large, Figure(rng.uniform(0.7, 0.9), 0.3, 0.05)), large))
    return found


def test_the_person_in_the_close_up_is_the_main_subject() -> None:
    scene = scene_of(ALONE, OTHER)
    candidates = list_candidates(scene)
    assert candidates is not None
    for place, figure in enumerate((ALONE, OTHER)):
        subject = find_subject(candidates, scene, triple_of(figure))
        assert subject.argmax() == place and subject.sum() == pytest.approx(1)
    nobody = np.array([[0, 0, 1, 1], [0, 0, 0.1, 0.1], [0, 0, 0.05, 0.05]], np.float32)
    assert find_subject(candidates, scene, nobody).sum() == 0


def test_a_close_up_centred_on_two_heads_makes_the_pair_the_subject() -> None:
    left, right = Figure(0.45, 0.2, 0.1), Figure(0.58, 0.2, 0.1)
    scene = scene_of(left, right)
    candidates = list_candidates(scene)
    assert candidates is not None
    triple = np.array([[0, 0, 1, 1], [0.3, 0.1, 0.7, 0.6], [0.38, 0.15, 0.65, 0.4]], np.float32)
    subject = find_subject(candidates, scene, triple)
    assert candidates.kind[subject.argmax()] == PAIR
    assert 0 < subject.min(initial=1, where=subject > 0) < 0.5 and subject.sum() == pytest.approx(1)


def test_disturbed_scenes_keep_somebody_and_the_shapes() -> None:
    scene = scene_of(ALONE, OTHER, hands=[[0.2, 0.4, 0.25, 0.45, 0.8]], animals=[[0.6, 0.6, 0.8, 0.9, 0.9]])
    rng, sizes, hands = np.random.default_rng(0), set(), set()
    for _ in range(60):
        copy = disturb(scene, rng)
        sizes.add(len(copy))
        hands.add(len(copy.hands))
        assert copy.head.shape == (len(copy), 4) and copy.joints.shape == (len(copy), 12, 3)
        assert ((copy.head_score > 0) & (copy.head_score <= 1)).all()
        assert (np.isnan(copy.body[:, 0]) == (copy.body_score == 0)).all()
        assert list_candidates(copy) is not None
    assert sizes == {1, 2} and hands == {0, 1}


def test_undisturbed_copies_are_the_scene_itself() -> None:
    scene = scene_of(ALONE, OTHER)
    copy = disturb(scene, np.random.default_rng(0), 0.0)
    np.testing.assert_allclose(copy.head, scene.head, atol=1e-6)
    np.testing.assert_allclose(copy.joints, scene.joints, atol=1e-6)


def test_examples_come_mirrored_with_their_triples() -> None:
    scene, triple = scene_of(ALONE, OTHER), triple_of(ALONE)
    plain, mirrored, *rest = make_examples([scene], triple, 6, np.random.default_rng(0))
    assert len(rest) == 4
    np.testing.assert_allclose(mirrored.triple, mirror_boxes(triple))
    assert mirrored.candidates.anchor[0, 0] == pytest.approx(1.5 - plain.candidates.anchor[0, 0])
    assert (plain.subject == mirrored.subject).all()
    assert make_examples([scene.select(np.zeros(0, np.int64))], triple, 4, np.random.default_rng(0)) == []


def stacked(count: int = 6) -> tuple[list[Example], ComposerNetwork]:
    examples = [
        one
        for scene, figure in scenes(count)
        for one in make_examples([scene], triple_of(figure), 1, np.random.default_rng(0))
    ]
    torch.manual_seed(0)
    network = ComposerNetwork(ComposerOptions(features=examples[0].candidates.features.shape[1], width=16, layers=1))
    return examples, network.eval()


def test_boxes_in_training_are_those_of_the_runtime() -> None:
    examples, _ = stacked(1)
    data, candidates = stack_examples(examples), examples[0].candidates
    offsets = torch.rand(1, data.valid.shape[1], 3, 4) * 0.3
    trained = photo_boxes(offsets, data.anchor, data.aspect)[0, : len(candidates)].clamp(0, 1)
    np.testing.assert_allclose(trained, boxes_of(offsets[0, : len(candidates)].numpy(), candidates), atol=1e-5)


def test_the_loss_is_least_for_the_expert_and_ignores_other_candidates() -> None:
    examples, network = stacked(3)
    data = stack_examples(examples)
    _, offsets, scale, quality = network(*data.inputs())
    middle = torch.cat([data.anchor[..., :2]] * 2, -1)[:, :, None]
    width = torch.stack([data.aspect, torch.ones_like(data.aspect)] * 2, -1)[:, None, None]
    relative = (data.triple[:, None] * width - middle) / data.anchor[..., 2, None, None]
    exact = torch.cat([data.triple[:, None, :1].expand_as(offsets[..., :1, :]), relative[..., 1:, :]], -2)
    certain = torch.where(data.subject > 0, 20.0, -20.0)
    tight, sure = torch.full_like(scale, -6.0), torch.full_like(quality, 20.0)
    weights = ComposerLoss(scale=0.0)
    best = composer_loss((certain, exact, tight, sure), data, weights)
    assert best == pytest.approx(0, abs=1e-4)
    others = torch.where((data.subject > 0)[..., None, None], exact, exact + 3)
    assert composer_loss((certain, others, tight, sure), data, weights) == pytest.approx(float(best))
    for changed in ((-certain, exact), (certain, exact + 0.5)):
        assert composer_loss((*changed, tight, sure), data, weights) > best + 0.1


def test_padding_changes_no_answer() -> None:
    examples, network = stacked(3)
    data = stack_examples(examples)
    cut = data.take(torch.arange(3))
    assert cut.valid.shape[1] < data.valid.shape[1]
    for whole, part in zip(network(*data.inputs()), network(*cut.inputs()), strict=True):
        torch.testing.assert_close(whole[:, : part.shape[1]], part, atol=1e-4, rtol=1e-4)


def test_an_ensemble_answers_the_mean() -> None:
    examples, network = stacked(2)
    inputs = stack_examples(examples).inputs()
    alone, twice = ComposerEnsemble([network])(*inputs), ComposerEnsemble([network, network])(*inputs)
    for one, two in zip(alone, twice, strict=True):
        torch.testing.assert_close(one, two)
    assert torch.allclose(alone[0].sum(1), torch.ones(2), atol=1e-5)
    assert ((alone[3] > 0) & (alone[3] < 1)).all()


def test_training_learns_whom_and_where_the_expert_shows() -> None:
    groups = [make_examples([scene], triple_of(figure), 2, np.random.default_rng(0)) for scene, figure in scenes(24)]
    recipe = replace(RECIPE, optimisation=replace(RECIPE.optimisation, steps=60, batch_size=16))
    network = fit(groups, recipe, 0)
    for scene, figure in scenes(30)[24:]:
        triple = compose(network, scene)
        assert triple is not None
        assert np.abs(triple[2] - triple_of(figure)[2]).max() < 0.1
    mirrored = compose(network, scene.mirror())
    assert triple is not None and mirrored is not None
    np.testing.assert_allclose(mirrored, mirror_boxes(triple), atol=1e-4)


def test_the_same_seed_gives_the_same_network() -> None:
    groups = [make_examples([scene], triple_of(figure), 2, np.random.default_rng(0)) for scene, figure in scenes(8)]
    first, second, other = fit(groups, RECIPE, 0), fit(groups, RECIPE, 0), fit(groups, RECIPE, 1)
    inputs = {name: torch.from_numpy(value) for name, value in stack([groups[0][0].candidates]).items()}
    assert torch.equal(first(**inputs)[1], second(**inputs)[1])
    assert not torch.equal(first(**inputs)[1], other(**inputs)[1])


def test_composers_survive_saving(tmp_path: Path) -> None:
    examples, network = stacked(2)
    save_composer(network, tmp_path / "composer-0.safetensors")
    (read,) = load_composers(tmp_path)
    assert read.options == network.options
    inputs = stack_examples(examples).inputs()
    assert all(torch.equal(a, b) for a, b in zip(network(*inputs), read(*inputs), strict=True))
    with pytest.raises(ShotcropError, match="holds no composer"):
        load_composers(tmp_path / "empty")


def test_a_run_validates_trains_an_ensemble_and_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data" / "train"
    data.mkdir(parents=True)
    pairs, rows = scenes(6), []
    for number, (_, figure) in enumerate(pairs):
        boxes = {kind: [round(1000 * side) for side in box] for kind, box in zip(SHOTS, triple_of(figure), strict=True)}
        shots = {kind: {"box": box, "caption": "."} for kind, box in boxes.items()}
        rows.append({"file_name": f"{number}.jpg", "width": 96, "height": 64, "annotation": {"shots": shots}})
    (data / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    module = "shotcrop_train.train_composer"
    monkeypatch.setattr(f"{module}.load_detector", lambda folder: None)
    monkeypatch.setattr(f"{module}.detect_scenes", lambda detector, photos, side: [scene for scene, _ in pairs])
    final = train(RECIPE, tmp_path / "data", tmp_path / "run", tmp_path)
    assert len(load_composers(final)) == 2
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["held_iou"] > 0 for line in lines if "fold" in line] == [True, True]
    provenance.finish(tmp_path / "run", final)
    with pytest.raises(provenance.Complete):
        train(RECIPE, tmp_path / "data", tmp_path / "run", tmp_path)


SHOTS = ("establishing", "medium", "close_up")
