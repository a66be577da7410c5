"""Stage 3 of the compact model, GRPO-S: group relative policy optimisation of the composer.

The policy is what the composer predicts: it draws the main subject from the probabilities of the candidates, and every
edge of its boxes from a Laplace distribution. The algorithm: for each photo, draw a group of G triples; let `rewards`
judge each; an answer's advantage is (r - mean) / (std + 1e-4) within its group. The weights follow the clipped policy
gradient of the 13 choices, with a KL penalty towards the network that the stage started from. Groups without variance
are dropped. Boxes without an area earn 0, like an answer that cannot be read.

    shotcrop train grpo --config nano --data DATA -o runs/grpo --from runs/ssft/final

Rewards, group size, clip and KL are those of `grpo` for large models. The loop is our own, since trl samples tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from shotcrop_cli.errors import AnswerError
from shotcrop_cli.evaluation.data_source import Data, open_dataset, open_datasets
from shotcrop_cli.evaluation.dataset import Record, read_dataset
from shotcrop_cli.model.nano.scene import Floats, mirror_boxes
from shotcrop_cli.shots import SHOT_TYPES, Answer, Box, Composition, Shot
from shotcrop_train.composer.composer_fit import photo_boxes
from shotcrop_train.composer.composer_run import CHECKPOINT_TABLES, ComposerRun, Log
from shotcrop_train.composer.nano_checkpoint import load_members
from shotcrop_train.composer.nano_recipe import NanoGrpo, NanoRecipe
from shotcrop_train.composer.photo_scenes import SeenPhoto
from shotcrop_train.data.samples import load_pixels
from shotcrop_train.nano.composer_examples import Examples, make_examples, stack_examples
from shotcrop_train.nano.composer_network import ComposerNetwork
from shotcrop_train.nano.folds import Fold
from shotcrop_train.rewards.photo_pool import RECENT, read_hard_cases
from shotcrop_train.rewards.reward_function import prepare
from shotcrop_train.rewards.terms import Evidence
from shotcrop_train.runs import provenance
from shotcrop_train.scorers import Photo

SMALLEST_SIDE = 0.005
"""Shortest side of a box that counts as one."""
WITHOUT_VARIANCE = 1e-6
"""Standard deviation below which a group's rewards are all the same."""
EPSILON = 1e-4

Judge = Callable[[Sequence[Answer], Sequence[int], Log | None], Sequence[float]]


def train(recipe: NanoRecipe, data: Data, output: Path, start: Path, hard: Path | None = None) -> Path:
    """Run stage 3 and return the folder of the checkpoint.

    Args:
        recipe: The run's recipe.
        data: Data folder that holds the recipe's datasets.
        output: Run folder; see `composer_sft.train`.
        start: Checkpoint of an earlier stage.
        hard: The `hard.jsonl` of stage 2. Without it, only experts' photos are drawn.

    Raises:
        Complete: The folder holds this run, and it is finished.
        ShotcropError: A dataset, the checkpoint or a scorer cannot be read.
    """
    used = recipe.data.experts + recipe.data.empty
    provenance.record(
        output,
        stage="grpo",
        recipe=recipe.only("grpo", *CHECKPOINT_TABLES),
        datasets=[*open_datasets(data, used), *([hard.parent] if hard else [])],
        start=start,
    )
    run, members, plan = ComposerRun(recipe, data, output, start), load_members(start), recipe.grpo
    experts = run.experts()
    teaching = run.teaching(experts)
    records = {
        record.path: record for name in recipe.data.experts for record in read_dataset(open_dataset(data, name).folder)
    }
    cases = [records[one.photo.path] for one in teaching]
    hard_cases = read_hard_cases(hard) if hard else []
    paths = {record.path: record for record in hard_cases}
    seen_hard = run.see([hard.parent], lambda photo: photo.path in paths) if hard else []
    photos = [*teaching, *seen_hard]
    pool = KnownPhotos([*cases, *(paths[one.photo.path] for one in seen_hard)], len(teaching))
    reward = prepare(plan.reward, pool, plan.group, cases, offline=True)

    def judge(answers: Sequence[Answer], at: Sequence[int], log: Log | None) -> list[float]:
        terms = reward.judge(answers, at)
        if log is not None:
            figures: dict[str, float] = {}
            reward.log(terms, at, figures.__setitem__)
            log(0, figures)
        return [one.reward for one in terms]

    def fit_one(number: int, unseen: Fold, log: Log) -> ComposerNetwork:
        drawn = Draws.of(photos, len(teaching), unseen, plan.hard_share if seen_hard else 0.0)
        return improve(members[number].network, drawn, judge, plan, recipe.composer.seed + number, log)

    return run.train(experts, [member.unseen for member in members], fit_one)


@dataclass(frozen=True)
class KnownPhotos:
    """What is known of each photo: experts' photos first, then hard cases, whose own triples are ignored."""

    records: Sequence[Record]
    experts: int
    contract: None = None

    def evidence(self, case: int) -> Evidence:
        """Return what is known of a photo."""
        record = self.records[case]
        truth = record.composition if case < self.experts else None
        aspect = None if record.squashed else record.aspect
        return Evidence(truth, record.detections, aspect, think=False, captions=False, accepted=record.accepted)

    def photo(self, case: int) -> Photo:
        """Return a photo in the form that scorers take."""
        record = self.records[case]
        return Photo(_pixels(record.path), record.aspect, record.detections, record.path)


@lru_cache(maxsize=RECENT)
def _pixels(path: Path) -> Image.Image:
    return load_pixels(path)


@dataclass(frozen=True, eq=False)
class Draws:
    """The views of all photos that a network may learn from.

    Args:
        data: Their candidates, stacked.
        case: The photo (rows,) of each view.
        mirrored: Whether a view (rows,) is mirrored.
        probability: How likely each view (rows,) is drawn.
    """

    data: Examples
    case: Floats
    mirrored: Floats
    probability: Floats

    @classmethod
    def of(cls, photos: Sequence[SeenPhoto], experts: int, unseen: Fold, hard_share: float) -> Draws:
        """Return views of photos, mirrored and not.

        Args:
            photos: Experts' photos first, then hard cases.
            experts: Number of experts' photos.
            unseen: Photos of this fold are left out.
            hard_share: Share of hard cases among the draws.
        """
        examples, case, mirrored = [], [], []
        for index, one in enumerate(photos):
            if unseen.holds(one.photo.path):
                continue
            triple = one.photo.triple if one.photo.triple is not None else np.zeros((3, 4), np.float32)
            for scene in one.own:
                views = make_examples([scene], triple, 2, np.random.default_rng(0))
                examples += views
                case += [index] * len(views)
                mirrored += [False, True][: len(views)]
        cases = np.array(case)
        weight = np.where(cases < experts, 1.0, 0.0)
        if hard_share and (cases >= experts).any():
            weight /= weight.sum() / (1 - hard_share)
            weight[cases >= experts] = hard_share / (cases >= experts).sum()
        return cls(stack_examples(examples), cases, np.array(mirrored), weight / weight.sum())


def improve(
    network: ComposerNetwork, draws: Draws, judge: Judge, plan: NanoGrpo, seed: int, log: Log
) -> ComposerNetwork:
    """Improve a network by its reward; it is changed.

    Args:
        network: The policy, and its own reference.
        draws: Views to draw from.
        judge: Rewards answers to the photos of given numbers, and logs the parts if it gets a log.
        plan: How to train.
        seed: Seed of everything random.
        log: Writes figures.
    """
    if plan.threads:
        torch.set_num_threads(plan.threads)
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    network.eval()  # dropout would make every probability a different one
    reference = deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), plan.learning_rate, weight_decay=0.0)
    for step in range(1, plan.steps + 1):
        size = min(plan.photos, int((draws.probability > 0).sum()))
        rows = rng.choice(len(draws.case), size, replace=False, p=draws.probability)
        part = draws.data.take(torch.from_numpy(rows))
        with torch.no_grad():
            old = Policy.of(network, part, plan.temperature)
            drawn = old.sample(plan.group, generator)
            before = old.log_probabilities(drawn)
            anchored = Policy.of(reference, part, plan.temperature).log_probabilities(drawn)
        answers = read_answers(drawn.boxes(part), draws.mirrored[rows])
        cases = np.repeat(draws.case[rows], plan.group).tolist()
        logged: dict[str, float] = {}
        due = step % plan.log_every == 0 or step == plan.steps

        def keep(_: int, figures: dict[str, float], logged: dict[str, float] = logged) -> None:
            logged.update(figures)

        rewards = torch.tensor(judge(answers, cases, keep if due else None)).view(size, plan.group)
        advantage, alive = advantages(rewards)
        for _ in range(plan.passes if alive.any() else 0):
            now = Policy.of(network, part, plan.temperature).log_probabilities(drawn)
            loss = policy_loss(now, before, anchored, advantage, plan)[alive].mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), plan.max_grad_norm)
            optimizer.step()
        if due:
            with torch.no_grad():
                now = Policy.of(network, part, plan.temperature).log_probabilities(drawn)
                kl = divergence(now, anchored).mean()
            figures = {"reward": rewards.mean(), "kl": kl, "groups_without_variance": 1 - alive.float().mean()}
            log(step, {name: round(float(value), 5) for name, value in (figures | logged).items()})
    return network


@dataclass(frozen=True, eq=False)
class Drawn:
    """Triples drawn for N photos.

    Args:
        candidate: (N, G), the main subjects.
        offsets: (N, G, 3, 4), the boxes as `candidates.boxes_of` wants them.
    """

    candidate: Tensor
    offsets: Tensor

    def boxes(self, data: Examples) -> Tensor:
        """Return the boxes (N, G, 3, 4) in the photo frame."""
        anchor = data.anchor.gather(1, self.candidate[..., None].expand(-1, -1, data.anchor.shape[-1]))
        return photo_boxes(self.offsets, anchor, data.aspect).clamp(0, 1)


@dataclass(frozen=True, eq=False)
class Policy:
    """The distributions of a network for N photos with k candidates.

    Args:
        choice: (N, k) logarithms of the candidates' probabilities.
        middle: (N, k, 3, 4) of the edges.
        scale: (N, k, 3, 4) of the edges.
    """

    choice: Tensor
    middle: Tensor
    scale: Tensor

    @classmethod
    def of(cls, network: ComposerNetwork, data: Examples, temperature: float) -> Policy:
        """Return what a network predicts."""
        logits, offsets, scale, _ = network(*data.inputs())
        return cls((logits / temperature).log_softmax(-1), offsets, scale.exp() * temperature)

    def sample(self, group: int, generator: torch.Generator) -> Drawn:
        """Draw triples for each photo."""
        candidate = torch.multinomial(self.choice.exp(), group, replacement=True, generator=generator)
        even = torch.rand(*candidate.shape, *self.middle.shape[2:], generator=generator) - 0.5
        laplace = -even.sign() * (1 - 2 * even.abs()).clamp(min=1e-6).log()
        return Drawn(candidate, self._of(self.middle, candidate) + laplace * self._of(self.scale, candidate))

    def log_probabilities(self, drawn: Drawn) -> Tensor:
        """Return the logarithms (N, G, 13) of the probabilities of drawn candidates and of their twelve edges."""
        middle, scale = self._of(self.middle, drawn.candidate), self._of(self.scale, drawn.candidate)
        edges = -(drawn.offsets - middle).abs() / scale - (2 * scale).log()
        return torch.cat([self.choice.gather(1, drawn.candidate)[..., None], edges.flatten(2)], -1)

    @staticmethod
    def _of(values: Tensor, candidate: Tensor) -> Tensor:
        index = candidate[..., None, None].expand(-1, -1, *values.shape[2:])
        return values.gather(1, index)


def advantages(rewards: Tensor) -> tuple[Tensor, Tensor]:
    """Return the advantages (N, G) of rewards (N, G) within their groups, and which groups (N,) have variance."""
    spread = rewards.std(1, unbiased=True, keepdim=True)
    return (rewards - rewards.mean(1, keepdim=True)) / (spread + EPSILON), spread[:, 0] > WITHOUT_VARIANCE


def divergence(now: Tensor, reference: Tensor) -> Tensor:
    """Return an estimate of the KL divergence of each choice from the reference: never negative, 0 where equal."""
    gap = reference - now
    return gap.exp() - gap - 1


def policy_loss(now: Tensor, before: Tensor, reference: Tensor, advantage: Tensor, plan: NanoGrpo) -> Tensor:
    """Return the loss (N, G) of log-probabilities (N, G, 13)."""
    ratio = (now - before).exp()
    clipped = ratio.clamp(1 - plan.clip_low, 1 + plan.clip_high)
    gain = torch.minimum(ratio * advantage[..., None], clipped * advantage[..., None])
    return (plan.beta * divergence(now, reference) - gain).mean(-1)


def read_answers(boxes: Tensor, mirrored: Floats) -> list[Answer]:
    """Return drawn boxes (N, G, 3, 4) as answers for the photos as they are, the groups one after the other."""
    answers: list[Answer] = []
    for row, triples in enumerate(boxes.numpy()):
        for triple in mirror_boxes(triples) if mirrored[row] else triples:
            answers.append(_answer(triple))
    return answers


def _answer(triple: Floats) -> Answer:
    if (triple[:, 2:] - triple[:, :2] < SMALLEST_SIDE).any():
        return AnswerError("a box has no area")
    boxes = [Box(*map(float, box)) for box in triple]
    return Composition(tuple(map(Shot, SHOT_TYPES, boxes)))
