"""Read, score and reward a batch of answers: the link between trl's rollouts and the pure functions of `terms`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean, pstdev
from typing import Any, Protocol

from PIL import Image

from shotcrop_cli.evaluation.dataset import Record
from shotcrop_cli.shots import FULL_FRAME, SHOT_TYPES, Answer, Composition, Shot, ShotType
from shotcrop_train.data.captions import word_fit
from shotcrop_train.data.contract import Parts, TextContract
from shotcrop_train.data.skipped_photos import SkippedPhotos
from shotcrop_train.pseudo.decision import Calibration, calibrate
from shotcrop_train.pseudo.labeller import expert_figures
from shotcrop_train.rewards import terms
from shotcrop_train.rewards.terms import CinemaWeights, CropScores, Evidence, PaperWeights, TargetRatios, Terms
from shotcrop_train.scorers import FORMER_COMPOSITION, Judged, Photo, Scorer, ScorerRecipe, load_scorers

SIDE = 1024
"""Longer side in pixels of expert photos while scorers are calibrated: CLIP sees crops at 224 to 384 pixels. Our own
choice."""

CHUNK = 64
"""Expert photos in memory at a time while scorers are calibrated. Our own choice."""


@dataclass(frozen=True)
class RewardRecipe:
    """What the reward consists of.

    Args:
        preset: `paper` or `cinema`; see `terms`.
        aesthetic: Scorer of crops: `aesthetic`, or the stand-in `composition`.
        captions: For `cinema`, what compares captions with crops: `clip`, or the stand-in `words`.
        paper: Weights of preset `paper`.
        cinema: Weights of preset `cinema`.
        targets: Aspect ratios that crops should have.
        scorers: Models that the scorers use.
    """

    preset: str = "paper"
    aesthetic: str = "aesthetic"
    captions: str = "clip"
    paper: PaperWeights = field(default_factory=PaperWeights)
    cinema: CinemaWeights = field(default_factory=CinemaWeights)
    targets: TargetRatios = field(default_factory=TargetRatios)
    scorers: ScorerRecipe = field(default_factory=ScorerRecipe)

    def __post_init__(self) -> None:
        for name, known in (
            ("preset", ("paper", "cinema")),
            ("aesthetic", ("aesthetic", "composition")),
            ("captions", ("clip", "words")),
        ):
            value = getattr(self, name)
            if value not in known and (name, value) != ("aesthetic", FORMER_COMPOSITION):
                raise ValueError(f"{name} must be {' or '.join(known)}, not '{value}'")

    @property
    def rule(self) -> terms.Preset:
        """The preset with its weights and target ratios."""
        if self.preset == "paper":
            return partial(terms.paper, weights=self.paper, targets=self.targets)
        return partial(terms.cinema, weights=self.cinema, targets=self.targets)


Triple = tuple[float, float, float]


class Pool(Protocol):
    """What is known of each photo; see `PhotoPool`."""

    @property
    def contract(self) -> TextContract | None:
        """How answers in words are read; None for a model that answers in numbers."""
        ...

    @property
    def experts(self) -> int:
        """Number of experts' photos, which come first."""
        ...

    def evidence(self, case: int) -> Evidence:
        """Return what is known of a photo."""
        ...

    def photo(self, case: int) -> Photo:
        """Return a photo in the form that scorers take."""
        ...


class RewardFunction:
    """The reward function for trl. It returns one figure per answer and logs the parts of it.

    Args:
        recipe: What the reward consists of.
        pool: What is known of each photo.
        group: Answers to each photo. A batch holds whole groups, one after the other.
        scorers: The recipe's scorers by name.
        calibration: Maps their raw figures to 0..1.
    """

    __name__ = "reward"
    """trl logs the function's mean as `rewards/reward/mean`."""

    def __init__(
        self, recipe: RewardRecipe, pool: Pool, group: int, scorers: Mapping[str, Scorer], calibration: Calibration
    ) -> None:
        self.recipe, self.pool, self.group, self.scorers = recipe, pool, group, scorers
        self.calibration = calibration

    def __call__(
        self,
        completions: Sequence[Any],
        image: Sequence[Image.Image],
        case: Sequence[int],
        log_metric: Callable[[str, float], None],
        **_: Any,
    ) -> list[float]:
        """Reward a batch.

        Args:
            completions: Answers of the policy, each a conversation of one message.
            image: The photos that the policy saw.
            case: The photos' numbers in the pool.
            log_metric: Logs a figure under a name.
        """
        contract = self.pool.contract
        assert contract is not None
        known = [self.pool.evidence(one) for one in case]
        answers = [
            contract.read_exactly(one[0]["content"], shown.size, Parts(evidence.think, evidence.captions))
            for one, shown, evidence in zip(completions, image, known, strict=True)
        ]
        terms = self.judge(answers, case)
        self.log(terms, case, log_metric)
        return [one.reward for one in terms]

    def judge(self, answers: Sequence[Answer], cases: Sequence[int]) -> list[Terms]:
        """Return the parts of each answer's reward. Scorers get readable answers only."""
        readable = {
            index: one
            for index, one in enumerate(answers)
            if isinstance(one, Composition) and not self.pool.evidence(cases[index]).no_subject
        }
        crops = self._crops(readable, cases)
        fits = self._fits(readable, cases)
        rule = self.recipe.rule
        return [
            rule(answer, self.pool.evidence(case), CropScores(*crops.get(index, (None, None)), fits.get(index)))
            for index, (answer, case) in enumerate(zip(answers, cases, strict=True))
        ]

    def _crops(
        self, answers: Mapping[int, Composition], cases: Sequence[int]
    ) -> dict[int, tuple[Triple | None, Triple | None]]:
        """Score each answer's crops, and each photo's full frame once. A crop without a score counts as 0."""
        photos = {case: self.pool.photo(case) for case in dict.fromkeys(cases[index] for index in answers)}
        scorer = self.scorers[self.recipe.aesthetic]
        whole = [Judged(photo, Shot(kind, FULL_FRAME)) for photo in photos.values() for kind in SHOT_TYPES]
        cropped = [Judged(photos[cases[index]], shot) for index, one in answers.items() for shot in one.shots]
        frames = dict(zip(photos, _by_three(self._score(scorer, whole)), strict=True))
        crops = dict(zip(answers, _by_three(self._score(scorer, cropped)), strict=True))
        judged: dict[int, tuple[Triple | None, Triple | None]] = {}
        for index, crop in crops.items():
            frame = frames[cases[index]]
            # A photo whose full frame gets no score gives the scorer nothing to judge.
            evident = all(value is not None for value in frame)
            judged[index] = (_known(crop), _known(frame)) if evident else (None, None)
        return judged

    def _fits(
        self, answers: Mapping[int, Composition], cases: Sequence[int]
    ) -> dict[int, tuple[tuple[float, ...], ...]]:
        """Score how well each caption of an answer fits each of its crops."""
        if self.recipe.preset == "paper":
            return {}
        if self.recipe.captions == "words":
            truths = {index: self.pool.evidence(cases[index]).truth for index in answers}
            return {index: word_fit(answers[index], truth) for index, truth in truths.items() if truth}
        judged = [
            Judged(self.pool.photo(cases[index]), Shot(crop.type, crop.box, captioned.caption))
            for index, answer in answers.items()
            for captioned in answer.shots
            for crop in answer.shots
        ]
        rows = [_known(row) for row in _by_three(self._score(self.scorers[self.recipe.captions], judged))]
        return {index: tuple(rows[3 * place : 3 * place + 3]) for place, index in enumerate(answers)}

    def _score(self, scorer: Scorer, judged: Sequence[Judged]) -> list[float | None]:
        raws = scorer.score(judged) if judged else []
        return [self.calibration.map(scorer.name, one.shot.type, raw) for one, raw in zip(judged, raws, strict=True)]

    def log(self, terms: Sequence[Terms], cases: Sequence[int], log_metric: Callable[[str, float], None]) -> None:
        """Log the mean of every term over the answers that have it, and the groups' mean and standard deviation."""
        log_metric("format_rate", fmean(one.well_formed for one in terms))
        known = [self.pool.evidence(case) for case in cases]
        log_metric("hard_share", fmean(one.truth is None and not one.no_subject for one in known))
        log_metric("empty_share", fmean(one.no_subject for one in known))
        values: dict[str, list[float]] = {}
        for term in (part for one in terms for part in one.terms):
            if term.value is not None:
                values.setdefault(term.name, []).append(term.value)
        for name, found in values.items():
            log_metric(f"reward_{name}", fmean(found))
        rewards_ = [one.reward for one in terms]
        groups = [rewards_[first : first + self.group] for first in range(0, len(rewards_), self.group)]
        log_metric("group_mean", fmean(map(fmean, groups)))
        log_metric("group_std", fmean(map(pstdev, groups)))


def _by_three(values: Sequence[float | None]) -> list[tuple[float | None, ...]]:
    return [tuple(values[first : first + 3]) for first in range(0, len(values), 3)]


def _known(values: Sequence[float | None]) -> Triple:
    one, two, three = (0.0 if value is None else value for value in values)
    return one, two, three


def prepare(
    recipe: RewardRecipe,
    pool: Pool,
    group: int,
    experts: Sequence[Record],
    *,
    offline: bool,
    skipped: SkippedPhotos | None = None,
) -> RewardFunction:
    """Load the scorers that a recipe names and calibrate them on the experts' crops.

    Args:
        recipe: What the reward consists of.
        pool: What is known of each photo.
        group: Answers to each photo.
        experts: Records with an expert's triple.
        offline: Use only models on this machine.
        skipped: Gets the photos that cannot be opened.

    Raises:
        ShotcropError: A scorer's weights are missing. No term is dropped for that.
    """
    names = [recipe.aesthetic]
    if recipe.preset == "cinema" and recipe.captions != "words":
        names.append(recipe.captions)
    scorers = {scorer.name: scorer for scorer in load_scorers(names, recipe.scorers, offline=offline)}
    judges = [scorer for scorer in scorers.values() if scorer.calibrated]
    raws: dict[tuple[str, ShotType], list[float]] = {(one.name, shot): [] for one in judges for shot in SHOT_TYPES}
    for first in range(0, len(experts) if judges else 0, CHUNK):
        for name, shot, raw in expert_figures(experts[first : first + CHUNK], SIDE, (), judges, skipped):
            raws[name, shot].append(raw)
    return RewardFunction(recipe, pool, group, scorers, calibrate(raws))
