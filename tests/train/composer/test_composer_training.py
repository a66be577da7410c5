"""The composer's examples, network, loss and training."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

from figures import Figure, scene_of
from nano_seen import triple_around
from shotcrop_cli.model.nano.candidates import PAIR, boxes_of, list_candidates
from shotcrop_cli.model.nano.composer import stack
from shotcrop_cli.model.nano.scene import Floats, Scene, mirror_boxes
from shotcrop_train.composer.composer_fit import composer_loss, fit, photo_boxes
from shotcrop_train.composer.held_out import propose
from shotcrop_train.composer.nano_recipe import ComposerLoss, ComposerShape, Fitting
from shotcrop_train.nano.composer_examples import Example, disturb, find_subject, make_examples, stack_examples
from shotcrop_train.nano.composer_network import ComposerEnsemble, ComposerNetwork, ComposerOptions

ALONE, OTHER = Figure(0.3, 0.2, 0.1, joints=True), Figure(0.8, 0.3, 0.08)
SHAPE, PLAN, WEIGHTS = ComposerShape(width=16, layers=1), Fitting(steps=2, batch_size=4), ComposerLoss()


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
        subject = find_subject(candidates, scene, triple_around(figure))
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
    scene, triple = scene_of(ALONE, OTHER), triple_around(ALONE)
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
        for one in make_examples([scene], triple_around(figure), 1, np.random.default_rng(0))
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


def compose(network: ComposerNetwork, scene: Scene) -> Floats:
    (proposal,) = propose([network], [scene])
    assert proposal is not None
    triple: Floats = proposal.boxes[proposal.main]
    return triple


def test_training_learns_whom_and_where_the_expert_shows() -> None:
    groups = [
        make_examples([scene], triple_around(figure), 2, np.random.default_rng(0)) for scene, figure in scenes(24)
    ]
    network = fit(groups, SHAPE, Fitting(steps=60, batch_size=16), WEIGHTS, 0)
    for scene, figure in scenes(30)[24:]:
        assert np.abs(compose(network, scene)[2] - triple_around(figure)[2]).max() < 0.1
    np.testing.assert_allclose(compose(network, scene.mirror()), mirror_boxes(compose(network, scene)), atol=1e-4)


def groups_of(
    count: int = 8, accepted: tuple[bool, ...] = (True, True, True), medium: float = 0.0
) -> list[list[Example]]:
    """Return examples of some scenes; all boxes of the medium shot are moved by `medium`."""
    groups = []
    for scene, figure in scenes(count):
        triple = triple_around(figure)
        triple[1] += medium
        groups.append(make_examples([scene], triple, 2, np.random.default_rng(0), accepted=accepted))
    return groups


def answer(network: ComposerNetwork) -> torch.Tensor:
    inputs = {name: torch.from_numpy(value) for name, value in stack([groups_of(1)[0][0].candidates]).items()}
    boxes: torch.Tensor = network(**inputs)[1].detach()
    return boxes


def test_the_same_seed_gives_the_same_network() -> None:
    first, second, other = (answer(fit(groups_of(), SHAPE, PLAN, WEIGHTS, seed)) for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_rejected_shots_are_not_learned_from() -> None:
    """Where the box of a rejected shot is changes nothing; where that of an accepted one is does."""
    start = fit(groups_of(), SHAPE, PLAN, WEIGHTS, 0)

    def continued(accepted: tuple[bool, ...], medium: float) -> torch.Tensor:
        return answer(fit(groups_of(8, accepted, medium), SHAPE, PLAN, WEIGHTS, 0, start=deepcopy(start)))

    rejected = (True, False, True)
    assert torch.equal(continued(rejected, 0.0), continued(rejected, 0.05))
    assert not torch.equal(continued((True, True, True), 0.0), continued((True, True, True), 0.05))


def test_photos_that_are_never_drawn_change_nothing() -> None:
    groups, often = groups_of(8), np.array([1.0] * 4 + [0.0] * 4)
    odd = groups_of(4) + groups_of(8, medium=0.3)[4:]
    start = fit(groups, SHAPE, PLAN, WEIGHTS, 0)
    one, other = (fit(some, SHAPE, PLAN, WEIGHTS, 0, often=often, start=deepcopy(start)) for some in (groups, odd))
    assert torch.equal(answer(one), answer(other))
