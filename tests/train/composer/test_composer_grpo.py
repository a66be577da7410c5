"""Stage 3 of the compact model: the policy, its gradient, and what it learns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from figures import Figure, scene_of
from shotcrop_cli.errors import AnswerError
from shotcrop_cli.evaluation.dataset import Record
from shotcrop_cli.evaluation.detections import Detections
from shotcrop_cli.shots import SHOT_TYPES, Answer, Composition, ShotType
from shotcrop_train.composer import composer_grpo
from shotcrop_train.composer.composer_grpo import (
    Drawn,
    Draws,
    KnownPhotos,
    Policy,
    advantages,
    divergence,
    improve,
    policy_loss,
    read_answers,
)
from shotcrop_train.composer.nano_recipe import NanoGrpo
from shotcrop_train.nano.composer_examples import make_examples, stack_examples
from shotcrop_train.nano.composer_network import ComposerNetwork, ComposerOptions

PLAN = NanoGrpo(steps=30, photos=4, group=8, passes=2, learning_rate=3e-3, beta=0.0)


def draws(photos: int = 4) -> Draws:
    """Return views of photos with a large and a small figure."""
    triple = np.array([[0, 0, 1, 1], [0.1, 0.1, 0.6, 0.9], [0.2, 0.1, 0.5, 0.5]], np.float32)
    examples, case = [], []
    for index in range(photos):
        views = make_examples(
            [scene_of(Figure(0.3, 0.2, 0.1), Figure(0.75, 0.3, 0.06 + 0.002 * index))],
            triple,
            2,
            np.random.default_rng(0),
        )
        examples += views
        case += [index] * len(views)
    even = np.full(len(case), 1 / len(case))
    return Draws(stack_examples(examples), np.array(case), np.arange(len(case)) % 2 == 1, even)


def network(seed: int = 0) -> ComposerNetwork:
    torch.manual_seed(seed)
    made = ComposerNetwork(ComposerOptions(features=130, width=16, layers=1))
    made.usual[:] = torch.tensor([[0.1, 0.1, 0.9, 0.9], [-2.0, -1.0, 2.0, 4.0], [-1.0, -1.0, 1.0, 2.0]])
    return made.eval()


def low_close_up(answers: Sequence[Answer], cases: Sequence[int], log: Any) -> list[float]:
    """Reward close-ups that end far down."""
    if log is not None:
        log(0, {"reward_planted": 1.0})
    return [one[ShotType.CLOSE_UP].box.y1 if isinstance(one, Composition) else 0.0 for one in answers]


def test_the_first_update_sees_no_divergence_from_the_network_that_the_stage_starts_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[float, float]] = []

    def spy(now: torch.Tensor, before: torch.Tensor, reference: torch.Tensor, *rest: Any) -> torch.Tensor:
        seen.append((float(divergence(now.detach(), reference).abs().max()), float((before - reference).abs().max())))
        return policy_loss(now, before, reference, *rest)

    monkeypatch.setattr(composer_grpo, "policy_loss", spy)
    # As stage 2 leaves it: with its dropout at work, which would make every probability a different one.
    improve(network().train(), draws(), low_close_up, replace(PLAN, steps=1), 0, lambda *_: None)
    assert seen[0] == (0.0, 0.0)
    assert seen[1][0] > 0.0  # the second pass follows an update


def test_a_toy_composer_learns_what_is_rewarded() -> None:
    lines: list[dict[str, float]] = []
    improve(network(), draws(), low_close_up, PLAN, 0, lambda step, figures: lines.append(figures))
    assert [line["reward_planted"] for line in lines] == [1.0] * 3
    assert lines[-1]["reward"] > lines[0]["reward"] + 0.05
    assert lines[-1]["kl"] > 0


def test_the_penalty_keeps_the_policy_near_its_start() -> None:
    moved = []
    for beta in (0.0, 10.0):
        start, changed = network(), network()
        improve(changed, draws(), low_close_up, replace(PLAN, beta=beta), 0, lambda *_: None)
        part = draws().data
        drawn = Policy.of(start, part, 1.0).sample(64, torch.Generator().manual_seed(0))
        with torch.no_grad():
            one, other = (Policy.of(net, part, 1.0).log_probabilities(drawn) for net in (start, changed))
        moved.append(float((one - other).abs().mean()))
    assert moved[1] < 0.5 * moved[0]


def test_groups_that_earn_the_same_move_nothing() -> None:
    before, after = network(), network()
    improve(after, draws(), lambda answers, *_: [0.3] * len(answers), PLAN, 0, lambda *_: None)
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))


def test_the_same_seed_gives_the_same_network() -> None:
    plan = replace(PLAN, steps=3)
    ones = [improve(network(), draws(), low_close_up, plan, seed, lambda *_: None) for seed in (0, 0, 1)]
    weights = [torch.cat([one.flatten() for one in net.parameters()]) for net in ones]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_advantages_are_within_the_group() -> None:
    advantage, alive = advantages(torch.tensor([[0.1, 0.3], [0.5, 0.5]]))
    assert alive.tolist() == [True, False]
    assert advantage[0].tolist() == pytest.approx([-math.sqrt(0.5), math.sqrt(0.5)], abs=1e-3)
    assert advantage[1].tolist() == [0.0, 0.0]


def test_a_ratio_beyond_the_clip_has_no_gradient() -> None:
    before = torch.zeros(1, 1, 2)
    now = torch.tensor([[[math.log(2.0), math.log(1.1)]]], requires_grad=True)
    policy_loss(now, before, before, torch.ones(1, 1), replace(PLAN, beta=0.0)).sum().backward()
    assert now.grad is not None
    assert now.grad[0, 0, 0] == 0 and now.grad[0, 0, 1] < 0


def test_the_divergence_is_least_where_both_agree() -> None:
    gap = torch.tensor([-1.0, 0.0, 1.0])
    values = divergence(gap, torch.zeros(3)).tolist()
    assert values[1] == 0 and min(values[0], values[2]) > 0


def test_samples_follow_the_distributions_whose_probabilities_are_given() -> None:
    policy = Policy(
        torch.tensor([[0.25, 0.75]]).log(),
        torch.zeros(1, 2, 3, 4),
        torch.tensor([0.5, 2.0])[None, :, None, None].expand(1, 2, 3, 4),
    )
    drawn = policy.sample(4000, torch.Generator().manual_seed(0))
    second = drawn.candidate[0] == 1
    assert float(second.float().mean()) == pytest.approx(0.75, abs=0.03)
    assert float(drawn.offsets[0, second].abs().mean()) == pytest.approx(2.0, rel=0.05)
    edges = torch.full((1, 1, 3, 4), 1.0)
    given = policy.log_probabilities(Drawn(torch.tensor([[0]]), edges))
    assert given[0, 0, 0] == pytest.approx(math.log(0.25))
    assert given[0, 0, 1:].tolist() == pytest.approx([-1.0 / 0.5 - math.log(2 * 0.5)] * 12)


def test_drawn_boxes_are_read_in_the_frame_of_the_photo() -> None:
    boxes = torch.tensor([0.1, 0.2, 0.4, 0.8]).expand(2, 1, 3, 4).clone()
    plain, mirrored = read_answers(boxes, np.array([False, True]))
    assert isinstance(plain, Composition) and isinstance(mirrored, Composition)
    for kind in SHOT_TYPES:
        assert tuple(plain[kind].box) == pytest.approx((0.1, 0.2, 0.4, 0.8))
        assert tuple(mirrored[kind].box) == pytest.approx((0.6, 0.2, 0.9, 0.8))
    boxes[0, 0, 2] = torch.tensor([0.4, 0.2, 0.1, 0.8])
    assert isinstance(read_answers(boxes, np.array([False, False]))[0], AnswerError)


def test_a_photo_of_the_fold_is_never_drawn_and_hard_cases_get_their_share() -> None:
    from nano_seen import seen_photo
    from shotcrop_train.nano.folds import Fold, fold_of

    photos = [seen_photo(f"{number}.jpg") for number in range(12)]
    fold = Fold(1, 3)
    made = Draws.of(photos, 8, fold, 0.25)
    drawn = {int(case) for case in made.case}
    assert drawn == {index for index, one in enumerate(photos) if fold_of(one.photo.path, 3) != 1}
    hard = made.case >= 8
    assert made.probability[hard].sum() == pytest.approx(0.25)
    assert made.probability.sum() == pytest.approx(1)
    assert deepcopy(made).mirrored.tolist() == ([False, True] * (len(made.case) // 2))


def test_shots_that_are_not_accepted_earn_nothing() -> None:
    record = Record(Path("a.jpg"), "attic", 120, 80, False, (), Detections(), None, False, accepted=(True, True, False))
    assert KnownPhotos([record], 1).evidence(0).accepted == (True, True, False)
