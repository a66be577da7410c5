from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from shotcrop_cli.errors import AnswerError, ShotcropError
from shotcrop_cli.evaluation.dataset import read_dataset
from shotcrop_cli.evaluation.detections import Detections
from shotcrop_cli.model.large.answer import render
from shotcrop_cli.shots import FULL_FRAME, Composition, NoSubject, Reasoning
from shotcrop_train.checkpoints import load_base
from shotcrop_train.data.samples import expert_samples
from shotcrop_train.pseudo.decision import Calibration
from shotcrop_train.rewards.photo_pool import GrpoData, PhotoPool, read_hard_cases
from shotcrop_train.rewards.reward_function import RewardFunction, RewardRecipe, prepare
from shotcrop_train.rewards.terms import Terms
from shotcrop_train.scorers import Judged
from training import write_dataset
from vlm import save_tiny_vlm

STANDINS = RewardRecipe(preset="cinema", aesthetic="composition", captions="words")


@dataclass
class Likes:
    """A scorer that likes small crops, and captions about their own crop; it has nothing to say where it is blind."""

    name: str
    blind: bool = False
    calibrated: bool = False

    def score(self, judged: Sequence[Judged]) -> list[float | None]:
        return [None if self.blind else 1.0 - one.shot.box.area for one in judged]


@dataclass
class FakeBase:
    """A base of which the pool needs two facts."""

    contract: Any
    max_side: int | None = None


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> PhotoPool:
    """Twelve expert photos and three hard cases, one of them squashed."""
    folder = tmp_path_factory.mktemp("pool")
    write_dataset(folder / "experts", 12, "experts")
    write_dataset(folder / "pseudo", 3, "experts", seed=1)
    rows = [json.loads(line) for line in (folder / "pseudo" / "metadata.jsonl").read_text("utf-8").splitlines()]
    rows[0] |= {"squashed": True, "width": 72, "height": 72}
    (folder / "pseudo" / "hard.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    hard = read_hard_cases(folder / "pseudo" / "hard.jsonl")
    return PhotoPool(read_dataset(folder / "experts"), hard, load_base(save_tiny_vlm(folder / "vlm")), 0.25, 0)


def expert(pool: PhotoPool, case: int = 0) -> Composition:
    truth = pool.records[case].composition
    assert truth is not None
    return replace(truth, reasoning=Reasoning("A field.", "A figure.", "It stands."))


def reward_function(pool: PhotoPool, recipe: RewardRecipe, **scorers: Likes) -> RewardFunction:
    return RewardFunction(recipe, pool, 2, scorers, Calibration())


def values(terms: Terms) -> Mapping[str, float | None]:
    return {term.name: term.value for term in terms.terms}


def test_an_expert_earns_more_than_the_full_frame_and_no_people_nothing(pool: PhotoPool) -> None:
    full = replace(expert(pool), shots=tuple(replace(shot, box=FULL_FRAME) for shot in expert(pool).shots))
    reward = reward_function(pool, STANDINS, composition=Likes("composition"))
    best, worse, none, broken = reward.judge([expert(pool), full, NoSubject(), AnswerError("?")], [0] * 4)
    assert best.reward > worse.reward > 0.0
    assert none.reward == broken.reward == 0.0


def test_hard_cases_are_rewarded_by_what_needs_no_expert(pool: PhotoPool) -> None:
    reward = reward_function(pool, STANDINS, composition=Likes("composition"))
    squashed, plain = reward.judge([expert(pool), expert(pool)], [12, 13])
    known = {name for name, value in values(plain).items() if value is not None}
    assert known == {"aesthetic", "ratio", "scale", "head", "joint", "set"}
    assert {name for name, value in values(squashed).items() if value is not None} == known - {"ratio", "joint"}
    assert 0.0 < squashed.reward <= 1.0


def test_hard_cases_are_drawn_by_their_share_and_their_own_labels_are_not_believed(pool: PhotoPool) -> None:
    drawn = [pool.draw(index)["case"] for index in range(400)]
    assert sum(case >= pool.experts for case in drawn) == pytest.approx(100, abs=30)
    assert set(drawn) == set(range(15))
    assert all(pool.evidence(case).truth is None for case in range(12, 15))
    assert pool.records[12].composition is not None


def test_shots_that_were_not_accepted_are_no_truth(pool: PhotoPool) -> None:
    record = replace(pool.records[0], accepted=(True, True, False))
    half = PhotoPool([record], [], FakeBase(pool.contract), 0.0, 0)  # type: ignore[arg-type]
    assert half.evidence(0).accepted == (True, True, False)
    bogus = replace(expert(pool), shots=(*expert(pool).shots[:2], replace(expert(pool).shots[2], box=FULL_FRAME)))
    recipe = RewardRecipe(aesthetic="composition")
    likes = Likes("composition", blind=True)
    for answer in (expert(pool), bogus):
        (terms,) = reward_function(half, recipe, composition=likes).judge([answer], [0])
        assert values(terms)["iou"] == 1.0


def test_photos_without_people_are_drawn_and_pay_the_honest_answer(pool: PhotoPool, tmp_path: Path) -> None:
    write_dataset(tmp_path / "empty", 2, "empty")
    empty = read_dataset(tmp_path / "empty")
    both = PhotoPool(pool.records[:12], [], FakeBase(pool.contract), 0.1, 0, None, empty, 0.25)  # type: ignore[arg-type]
    drawn = [both.draw(index)["case"] for index in range(400)]
    assert sum(case >= 12 for case in drawn) == pytest.approx(100, abs=30)
    assert {case for case in drawn if case >= 12} == {12, 13}
    reward = reward_function(both, STANDINS, composition=Likes("composition"))
    answers = [NoSubject(), expert(pool), NoSubject(), expert(pool)]
    honest, false_triple, false_alarm, triple = (one.reward for one in reward.judge(answers, [12, 12, 0, 0]))
    assert (honest, false_triple, false_alarm) == (1.0, 0.0, 0.0)
    assert triple > 0.5


def boxes_alone(pool: PhotoPool) -> PhotoPool:
    """Return a pool of one photo of which the expert's boxes are known and no words, as after an import from COCO."""
    truth = expert(pool)
    bare = Composition(tuple(replace(shot, caption="") for shot in truth.shots), Reasoning())
    record = replace(pool.records[0], composition=bare, detections=Detections())
    return PhotoPool([record], [], FakeBase(pool.contract), 0.0, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("preset", ["paper", "cinema"])
def test_rows_without_words_are_asked_and_rewarded_for_boxes_alone(pool: PhotoPool, preset: str) -> None:
    bare = boxes_alone(pool)
    row = bare.draw(0)
    prompt = row["prompt"][0]["content"]
    assert "caption" not in prompt and "<think>" not in prompt
    size = row["image"].size
    (sample,) = expert_samples(bare.records)
    own = bare.contract.write(sample, ["", "", ""], size).text
    recipe = replace(STANDINS, preset=preset)
    reward = reward_function(bare, recipe, composition=Likes("composition", blind=True))
    chatty = render(expert(pool), image_size=size)
    talk = [[{"role": "assistant", "content": one}] for one in (own, chatty)]
    earned, junk = reward(talk, [row["image"]] * 2, [0, 0], lambda *_: None)
    assert earned > 0.75
    assert junk == 0.0


def test_a_scorer_without_anything_to_say_of_a_photo_drops_its_term(pool: PhotoPool) -> None:
    (seen,) = reward_function(pool, STANDINS, composition=Likes("composition")).judge([expert(pool)], [0])
    (blind,) = reward_function(pool, STANDINS, composition=Likes("composition", blind=True)).judge([expert(pool)], [0])
    assert values(seen)["aesthetic"] is not None
    assert values(blind)["aesthetic"] is None


def test_captions_are_held_against_every_crop(pool: PhotoPool) -> None:
    recipe = RewardRecipe(preset="cinema", aesthetic="composition", captions="clip")
    (terms,) = reward_function(pool, recipe, composition=Likes("composition"), clip=Likes("clip")).judge(
        [expert(pool)], [0]
    )
    sizes = [1.0 - shot.box.area for shot in expert(pool).shots]
    margins = [own - (sum(sizes) - own) / 2 for own in sizes]
    assert values(terms)["captions"] == pytest.approx(sum((1 + one) / 2 for one in margins) / 3)


def test_every_part_is_logged(pool: PhotoPool) -> None:
    text = pool.contract.write
    from shotcrop_train.data.samples import expert_samples

    sample = expert_samples(pool.records[:1])[0]
    written = text(sample, ["a field", "a red figure", "a head"], (64, 64)).text
    logged: dict[str, float] = {}
    row = pool.draw(0)
    reward = reward_function(pool, replace(STANDINS, preset="paper"), composition=Likes("composition"))
    talk = [
        [{"role": "assistant", "content": one}]
        for one in (written, '<answer>{"no_subject": true}</answer>', written, "nonsense")
    ]
    rewards = reward(talk, [row["image"]] * 4, [0, 0, 0, 0], logged.__setitem__)
    assert rewards[0] == rewards[2] > 0.5
    assert rewards[1] == rewards[3] == 0.0
    assert logged["format_rate"] == 0.5
    assert logged["hard_share"] == 0.0
    assert logged["reward_iou"] > 0.9
    assert logged["group_mean"] == pytest.approx(rewards[0] / 2)
    assert logged["group_std"] == pytest.approx(rewards[0] / 2)


def test_a_scorer_without_weights_ends_the_run(pool: PhotoPool, tmp_path: Path) -> None:
    recipe = RewardRecipe(aesthetic="aesthetic")
    with pytest.raises(ShotcropError):
        prepare(recipe, pool, 2, pool.records[:12], offline=True)


def test_an_unreadable_pool_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match="cannot be read"):
        read_hard_cases(tmp_path / "hard.jsonl")
    (tmp_path / "hard.jsonl").write_text('{"file_name": 3}\n')
    with pytest.raises(ShotcropError, match="line 1"):
        read_hard_cases(tmp_path / "hard.jsonl")


@pytest.mark.parametrize("wrong", [{"preset": "film"}, {"aesthetic": "mllm"}, {"captions": "none"}])
def test_unknown_choices_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RewardRecipe(**wrong)


def test_a_pool_needs_experts() -> None:
    with pytest.raises(ValueError, match="experts"):
        GrpoData()
    with pytest.raises(ValueError, match="hard_share"):
        GrpoData(("experts",), hard_share=1.0)


def test_a_box_is_no_reward_without_words(pool: PhotoPool) -> None:
    silent = replace(expert(pool), shots=tuple(replace(shot, caption="") for shot in expert(pool).shots))
    assert reward_function(pool, STANDINS, composition=Likes("composition")).judge([silent], [0])[0].reward == 0.0
