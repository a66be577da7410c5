"""What the stages of the composer share: scenes, figures on unseen photos, calibration, and how runs continue."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from figures import Figure
from nano_recipes import RECIPE, write_nano_workshop
from nano_seen import empty_photo, seen_photo, triple_around
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.model.nano.manifest import FaultCosts, ScoreCurve
from shotcrop_cli.shots import Box, Composition, Shot, ShotType
from shotcrop_train.composer import composer_run, composer_sft, photo_scenes
from shotcrop_train.composer.calibration import fit_logistic, fit_presence, fit_score
from shotcrop_train.composer.composer_fit import fit
from shotcrop_train.composer.composer_pseudo_label import SceneProposer
from shotcrop_train.composer.composer_run import examples_of, fold_list
from shotcrop_train.composer.composer_ssft import draws, has_accepted
from shotcrop_train.composer.fault_scorer import FaultScorer
from shotcrop_train.composer.held_out import HeldOut, cut_heads, measure
from shotcrop_train.composer.nano_checkpoint import Member, load_members
from shotcrop_train.composer.nano_recipe import (
    ComposerLoss,
    ComposerShape,
    Examples,
    Fitting,
    NanoRecipe,
    PresenceFitting,
    SceneRecipe,
    is_nano,
    load_nano_recipe,
)
from shotcrop_train.composer.photo_scenes import SeenPhoto, Watcher, see
from shotcrop_train.nano.composer_network import ComposerNetwork
from shotcrop_train.nano.detector_labels import read_photos
from shotcrop_train.nano.detector_network import DetectorNetwork
from shotcrop_train.nano.folds import Fold, fold_of
from shotcrop_train.runs import provenance
from shotcrop_train.runs.run_log import read_log
from shotcrop_train.scorers import Judged, Photo
from shotcrop_train.train_detector import save_detector
from training import write_dataset


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_nano_workshop(tmp_path_factory.mktemp("workshop"))
    torch.manual_seed(0)
    save_detector(DetectorNetwork(width=8), folder / "detector", Fold(0, 4))
    return folder


@pytest.fixture
def recipe(workshop: Path) -> NanoRecipe:
    return load_nano_recipe(str(workshop / "recipe.toml"))


def weights(final: Path) -> torch.Tensor:
    return torch.cat([one.flatten() for member in load_members(final) for one in member.network.parameters()])


def test_an_interrupted_stage_ends_like_one_without_interruption(
    workshop: Path, recipe: NanoRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = composer_sft.train(recipe, workshop / "data", tmp_path / "whole", workshop / "detector")
    real: Callable[..., ComposerNetwork] = composer_sft.fit
    fitted: list[int] = []

    def interrupted(*given: object, **named: object) -> ComposerNetwork:
        if fitted:
            raise KeyboardInterrupt
        fitted.append(1)
        return real(*given, **named)

    monkeypatch.setattr(composer_sft, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        composer_sft.train(recipe, workshop / "data", tmp_path / "cut", workshop / "detector")
    monkeypatch.setattr(composer_sft, "fit", real)
    resumed = composer_sft.train(recipe, workshop / "data", tmp_path / "cut", workshop / "detector")
    assert torch.equal(weights(whole), weights(resumed))
    assert [member.unseen for member in load_members(resumed)] == [Fold(0, 2), Fold(1, 2)]
    assert (resumed / "model.json").read_text("utf-8") == (whole / "model.json").read_text("utf-8")
    provenance.finish(tmp_path / "cut", resumed)
    with pytest.raises(provenance.Complete):
        composer_sft.train(recipe, workshop / "data", tmp_path / "cut", workshop / "detector")
    changed = replace(recipe, sft=replace(recipe.sft, fitting=replace(recipe.sft.fitting, steps=7)))
    with pytest.raises(ShotcropError, match=r"sft\.fitting\.steps: 6, not 7"):
        composer_sft.train(changed, workshop / "data", tmp_path / "cut", workshop / "detector")
    grpo = replace(recipe, grpo=replace(recipe.grpo, steps=7))
    with pytest.raises(provenance.Complete):  # a later stage's settings are not this stage's
        composer_sft.train(grpo, workshop / "data", tmp_path / "cut", workshop / "detector")


def test_scenes_are_kept_and_seen_again_only_by_another_detector(
    workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, plan = read_photos(workshop / "data" / "experts")[:3], SceneRecipe(side=64)
    watcher = Watcher.load(workshop / "detector")
    first = see([watcher], photos, plan, tmp_path)
    looked: list[Path] = []
    real = photo_scenes._look

    def look(network: DetectorNetwork, photo: object, *rest: object) -> SeenPhoto:
        looked.append(photo.path)  # type: ignore[attr-defined]
        return real(network, photo, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(photo_scenes, "_look", look)
    again = see([watcher], photos, plan, tmp_path)
    assert looked == []
    for one, other in zip(first, again, strict=True):
        assert len(one.own) == len(other.own) == 2
        for scene, kept in zip((*one.own, one.teacher), (*other.own, other.teacher), strict=True):
            for name in ("head", "body", "joints", "estimated", "person_features", "photo_features"):
                np.testing.assert_array_equal(getattr(scene, name), getattr(kept, name))
        np.testing.assert_array_equal(one.tags, other.tags)
    see([replace(watcher, sha256="other")], photos, plan, tmp_path)
    assert looked == [photo.path for photo in photos]
    assert first[0].teacher.person_features.shape == (1, 16) and len(first[0].teacher) == 1


def test_a_photo_is_shown_to_a_detector_that_has_not_learned_from_it(workshop: Path, tmp_path: Path) -> None:
    photos = read_photos(workshop / "data" / "experts")
    first = Watcher.load(workshop / "detector")
    second = replace(first, network=DetectorNetwork(width=8).eval(), sha256="second", unseen=Fold(1, 4))
    for photo in photos:
        expected = second if fold_of(photo.path, 4) == 1 else first
        assert photo_scenes._choose([first, second], photo.path) is expected
    assert {fold_of(photo.path, 4) for photo in photos} == {0, 1, 2, 3}


def test_networks_are_measured_on_photos_of_their_fold_alone() -> None:
    photos = [seen_photo(f"{number}.jpg", Figure(0.3 + 0.02 * number, 0.2, 0.1)) for number in range(12)]
    rng = np.random.default_rng(0)
    groups = [examples_of(one, Examples(2, 0), rng) for one in photos]
    network = fit(groups, ComposerShape(width=16, layers=1), Fitting(steps=60, batch_size=8), ComposerLoss(), 0)
    fold = Fold(0, 3)
    held = measure([Member(network, fold)], photos, triple_around(Figure(0.5, 0.5, 0.1)), FaultCosts())
    figures = held.figures()
    assert figures["held_photos"] == sum(fold.holds(one.photo.path) for one in photos) > 0
    assert figures["held_plain_iou"] > 0.7 and figures["held_iou_close_up"] > 0.3
    assert measure([Member(network, Fold())], photos, held.plain, FaultCosts()).figures() == {}


def test_a_photo_without_anybody_counts_with_the_usual_boxes() -> None:
    nobody = replace(empty_photo("a.jpg"), photo=seen_photo("a.jpg").photo)
    usual = triple_around(Figure(0.4, 0.2, 0.1))
    held = measure([Member(fitted(), Fold(fold_of(Path("a.jpg"), 2), 2))], [nobody], usual, FaultCosts())
    assert held.refined[0].tolist() == pytest.approx([1, 1, 1])
    assert np.isnan(held.expected).all()


def test_shots_that_are_not_accepted_are_not_measured() -> None:
    seen = seen_photo("a.jpg")
    bogus = np.array(seen.photo.triple)
    bogus[2] = [0.9, 0.9, 1.0, 1.0]
    fold = Fold(fold_of(Path("a.jpg"), 2), 2)
    members = [Member(fitted(), fold)]

    def held(accepted: tuple[bool, bool, bool]) -> HeldOut:
        photo = replace(seen.photo, triple=bogus, accepted=accepted)
        return measure(members, [replace(seen, photo=photo)], bogus, FaultCosts())

    every, sound = held((True, True, True)), held((True, True, False))
    assert every.figures()["held_iou_close_up"] < 0.1
    assert np.isnan(sound.refined[0]).tolist() == [False, False, True]
    assert np.isnan(sound.expected[0]).tolist() == [False, False, True]
    assert sound.figures()["held_iou"] == pytest.approx(every.refined[0, :2].mean(), abs=1e-4)
    assert held((False, False, False)).figures() == {}


def fitted() -> ComposerNetwork:
    groups = [examples_of(seen_photo(), Examples(2, 0), np.random.default_rng(0))]
    return fit(groups, ComposerShape(width=16, layers=1), Fitting(steps=1, batch_size=1), ComposerLoss(), 0)


def test_the_score_is_the_share_of_right_shots() -> None:
    rng = np.random.default_rng(0)
    expected, certainty = rng.uniform(0.3, 0.95, (4000, 3)), np.repeat(rng.uniform(0.2, 1, (4000, 1)), 3, 1)
    right = 1 / (1 + np.exp(-(-3.0 + 4.0 * expected + 2.0 * certainty)))
    reached, none = np.where(rng.random(right.shape) < right, 0.8, 0.1), np.zeros(right.shape)
    curve = fit_score(HeldOut(reached, reached, expected, certainty, none, none))
    assert (curve.offset, curve.slope, curve.choice) == pytest.approx((-3.0, 4.0, 2.0), abs=0.4)
    assert curve.score(0.8, 0.5) == pytest.approx(1 / (1 + np.exp(-1.2)), abs=0.02)
    few = [one[:3] for one in (reached, reached, expected, certainty, none, none)]
    assert fit_score(HeldOut(*few)) == ScoreCurve()


def test_cut_heads_are_counted() -> None:
    scene = seen_photo("a.jpg", Figure(0.5, 0.2, 0.2)).teacher
    whole, cut, outside = (0.3, 0.1, 0.7, 0.9), (0.3, 0.3, 0.7, 0.9), (0.0, 0.5, 0.2, 0.9)
    assert cut_heads(scene, np.array([whole, cut, outside], np.float32)).tolist() == [0, 1, 0]
    unsure = replace(scene, head_score=np.array([0.2], np.float32))
    assert cut_heads(unsure, np.array([cut], np.float32)).tolist() == [0]


def test_a_logistic_rule_is_found() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(4000, 2))
    targets = (rng.random(4000) < 1 / (1 + np.exp(-(0.5 + 2 * inputs[:, 0] - inputs[:, 1])))).astype(float)
    assert fit_logistic(inputs, targets, np.ones(4000), 1e-3).tolist() == pytest.approx([0.5, 2, -1], abs=0.2)


def test_the_rule_for_photos_without_people_keeps_those_with_people() -> None:
    people = [seen_photo(f"{number}.jpg", tag=2.0 + 0.1 * number) for number in range(20)]
    people.append(seen_photo("dim.jpg", tag=-2.0))
    empty = [empty_photo(f"e{number}.jpg", tag=-3.0 - 0.1 * number) for number in range(20)]
    rule, figures = fit_presence(people, empty, PresenceFitting(keep=1.0))
    assert figures["presence_kept"] == 1.0 and figures["presence_recognised"] == 1.0
    assert rule.probability(0.9, 0.9, 3.0) > rule.threshold > rule.probability(0.0, 0.0, -4.0)
    assert fit_presence(people, [], PresenceFitting())[1] == {}


def test_pseudo_labels_get_as_many_shots_as_the_ratio_says() -> None:
    whole, part = seen_photo("a.jpg"), seen_photo("b.jpg")
    part = replace(part, photo=replace(part.photo, accepted=(False, True, False)))
    rng = np.random.default_rng(0)
    groups = [examples_of(one, Examples(2, 0), rng) for one in (whole, whole, part, part, part)]
    often = draws(groups, 2, 1.5)
    shots = np.array([3, 3, 1, 1, 1])
    assert (often * shots)[2:].sum() == pytest.approx(1.5 * (often * shots)[:2].sum())
    assert has_accepted(part.photo) and not has_accepted(replace(part.photo, accepted=(False, False, False)))
    assert groups[2][0].weight.tolist() == [0, 1, 0]


def test_a_crop_that_cuts_the_head_scores_lower() -> None:
    seen = seen_photo("a.jpg", Figure(0.5, 0.2, 0.15))
    photo = Photo(Image.new("RGB", (6, 4)), 1.5, path=seen.photo.path)
    scorer = FaultScorer({seen.photo.path: seen.own[0]}, FaultCosts())

    def score(x0: float, y0: float, x1: float, y1: float) -> float | None:
        return scorer.score([Judged(photo, Shot(ShotType.CLOSE_UP, Box(x0, y0, x1, y1)))])[0]

    good, cut, elsewhere = score(0.38, 0.17, 0.62, 0.5), score(0.38, 0.27, 0.62, 0.5), score(0.0, 0.7, 0.2, 0.95)
    assert good is not None and cut is not None and elsewhere is None
    assert 1 >= good > 0.85 > cut >= 0


def test_networks_propose_for_known_scenes() -> None:
    seen = seen_photo("a.jpg")
    nobody = empty_photo("b.jpg")
    scenes = {one.photo.path: one.own[0] for one in (seen, nobody)}
    photos = [Photo(Image.new("RGB", (6, 4)), 1.5, path=path) for path in scenes]
    proposer = SceneProposer("mean", [fitted()], scenes, FaultCosts())
    there = pickle.loads(pickle.dumps(proposer))  # as it reaches Ray workers
    first, second = proposer.propose(photos)
    assert there.propose(photos) == [first, second]
    assert isinstance(first, Composition) and second is None


def test_every_network_leaves_out_a_fold() -> None:
    recipe = load_nano_recipe("nano")
    assert fold_list(recipe) == [Fold(number % 5, 5) for number in range(10)]
    none = replace(recipe, composer=replace(recipe.composer, folds=0))
    assert not any(fold.holds(Path("a.jpg")) for fold in fold_list(none))


def test_a_number_of_triples_limits_what_is_learned_from(workshop: Path, recipe: NanoRecipe, tmp_path: Path) -> None:
    run = composer_run.ComposerRun(recipe, workshop / "data", tmp_path / "run", workshop / "detector")
    few = composer_run.ComposerRun(
        replace(recipe, data=replace(recipe.data, triples=5)),
        workshop / "data",
        tmp_path / "run",
        workshop / "detector",
    )
    experts = few.experts()
    assert len(experts) == len(run.experts()) == len(run.teaching(experts)) == 24
    assert len(few.teaching(experts)) == 5 and few.teaching(experts) == few.teaching(experts)


def test_recipes_of_both_families_are_told_apart(tmp_path: Path) -> None:
    assert is_nano("nano") and not is_nano("qwen3-vl-sft")
    with pytest.raises(ShotcropError, match="no recipe of the compact model"):
        load_nano_recipe("qwen3-vl-sft")
    recipe = load_nano_recipe("nano").shortened("grpo", 3).shortened("sft", 4).shortened("detector", 5)
    assert (recipe.grpo.steps, recipe.sft.fitting.steps, recipe.detector.optimisation.steps) == (3, 4, 5)
    path = tmp_path / "bad.toml"
    path.write_text(RECIPE.replace("networks = 2", "network = 2", 1), "utf-8")
    with pytest.raises(ShotcropError, match="unknown key 'network'"):
        load_nano_recipe(str(path))


def test_a_detector_skips_its_fold(tmp_path: Path) -> None:
    from shotcrop_train import train_detector

    write_dataset(tmp_path / "data" / "experts", 8, "experts")
    (tmp_path / "recipe.toml").write_text(RECIPE, "utf-8")
    table = load_nano_recipe(str(tmp_path / "recipe.toml")).shortened("detector", 1).detector
    table = replace(table, data=replace(table.data, photos=("experts",), empty=()))
    seen: list[Path] = []
    real = train_detector.DetectorTraining.__init__

    def start(self: object, recipe: object, photos: list[object], *rest: object) -> None:
        seen.extend(photo.path for photo in photos)  # type: ignore[attr-defined]
        real(self, recipe, photos, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_detector.DetectorTraining, "__init__", start)
        final = train_detector.train(table, tmp_path / "data", tmp_path / "run")
    assert train_detector.held_out_fold(final) == Fold(0, 4)
    assert 0 < len(seen) < 8
    assert not any(fold_of(path, 4) == 0 for path in seen)


@pytest.mark.slow
def test_two_processes_train_one_detector(tmp_path: Path) -> None:
    from shotcrop_train import train_detector

    write_dataset(tmp_path / "data" / "experts", 8, "experts")
    (tmp_path / "recipe.toml").write_text(RECIPE, "utf-8")
    table = load_nano_recipe(str(tmp_path / "recipe.toml")).detector
    plan = replace(table.optimisation, steps=2, processes=2, log_every=1)
    table = replace(table, data=replace(table.data, photos=("experts",), empty=()), optimisation=plan)
    final = train_detector.train(table, tmp_path / "data", tmp_path / "run")
    alone = train_detector.train(
        replace(table, optimisation=replace(plan, processes=1, batch_size=8)), tmp_path / "data", tmp_path / "alone"
    )
    assert [line["step"] for line in read_log(tmp_path / "run" / "log.jsonl")] == [1, 2]
    assert train_detector.load_detector(final).width == train_detector.load_detector(alone).width == 8
    first, other = (read_log(tmp_path / name / "log.jsonl")[0]["loss"] for name in ("run", "alone"))
    assert first == pytest.approx(other, rel=0.5)  # the same photos: half of them in the first process
