from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import FIXED_BOXES, FakeComposer, no_people, picture
from shotcrop_cli.errors import AnswerError, ShotcropError
from shotcrop_cli.evaluation.dataset import read_dataset
from shotcrop_cli.geometry import iou
from shotcrop_cli.shots import SHOT_TYPES, Box, Shot, ShotType
from shotcrop_train.pseudo.labeller import open_photo
from shotcrop_train.pseudo.proposers import CheckpointProposer, RuleBasedProposer, load_proposers, merge
from shotcrop_train.recipe import ModelRecipe
from shotcrop_train.scorers import Photo
from shotcrop_train.torch_composer import TorchComposer
from training import write_dataset
from vlm import save_tiny_vlm

WIDE, NEAR, FAR = Box(0.0, 0.0, 0.8, 1.0), Box(0.0, 0.0, 0.81, 1.0), Box(0.5, 0.5, 1.0, 1.0)


def shot(box: Box, caption: str = "") -> Shot:
    return Shot(ShotType.MEDIUM, box, caption)


@st.composite
def named_shots(draw: st.DrawFn) -> list[tuple[str, Shot]]:
    corners = st.tuples(*[st.integers(0, 9)] * 2)
    places = draw(st.lists(corners, min_size=1, max_size=5))
    return [(f"p{i}", shot(Box(x / 20, y / 20, x / 20 + 0.5, y / 20 + 0.5))) for i, (x, y) in enumerate(places)]


def test_near_identical_boxes_become_one_proposal_of_all_who_made_them() -> None:
    first, second = merge([("a", shot(WIDE)), ("b", shot(FAR)), ("c", shot(NEAR))])
    assert (first.proposers, first.shot.box) == (("a", "c"), WIDE)
    assert (second.proposers, second.shot.box) == (("b",), FAR)


def test_a_merged_box_still_has_its_near_duplicate_as_a_rival_that_agrees() -> None:
    first, second = merge([("a", shot(WIDE)), ("b", shot(FAR)), ("c", shot(NEAR))])
    assert first.rivals == (FAR, NEAR)
    assert second.rivals == (WIDE, NEAR)


def test_of_near_duplicates_one_with_a_caption_speaks() -> None:
    (merged,) = merge([("rules", shot(WIDE)), ("model", shot(NEAR, "a man waves"))])
    assert (merged.shot.box, merged.shot.caption, merged.rivals) == (NEAR, "a man waves", (WIDE,))
    assert merged.proposers == ("rules", "model")


@given(named_shots())
def test_every_proposer_appears_in_exactly_one_proposal(shots: list[tuple[str, Shot]]) -> None:
    merged = merge(shots)
    assert sorted(name for one in merged for name in one.proposers) == sorted(name for name, _ in shots)
    assert all(len(one.rivals) == len(shots) - 1 for one in merged)
    boxes = [one.shot.box for one in merged]
    assert all(iou(a, b) <= 0.95 for i, a in enumerate(boxes) for b in boxes[:i])


def test_a_model_proposes_its_triples_and_nothing_for_no_people_or_an_unreadable_answer() -> None:
    answers = {120: FakeComposer().answer, 60: no_people, 30: lambda *_: AnswerError("no JSON")}
    composer = FakeComposer(answer=lambda image, aspect: answers[image.width](image, aspect))
    photos = [Photo(picture(width, 80), width / 80) for width in answers]
    triple, *others = CheckpointProposer("m", composer).propose(photos)
    assert triple is not None
    assert [shot.box for shot in triple.shots] == list(FIXED_BOXES.values())
    assert others == [None, None]
    assert composer.aspects == [1.5, 0.75, 0.375]


def test_the_rules_propose_where_a_head_was_detected_and_write_no_captions(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", 1, "proposals")
    (record,) = read_dataset(tmp_path / "data")
    triple, nothing = RuleBasedProposer().propose([open_photo(record, 64), Photo(picture(), 1.5)])
    assert triple is not None
    assert [shot.type for shot in triple.shots] == list(SHOT_TYPES)
    assert {shot.caption for shot in triple.shots} == {""}
    assert nothing is None


def test_checkpoints_and_the_rules_are_loaded_in_the_order_in_which_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TorchComposer.__init__, "__defaults__", (16, 4))  # a random model never ends its answer
    start = save_tiny_vlm(tmp_path / "vlm")
    team = load_proposers([start, "rule-based"], ModelRecipe(max_pixels=0), 4, offline=True)
    assert [proposer.name for proposer in team] == [str(start), "rule-based"]
    photos = [Photo(picture(), 1.5)] * 5
    assert len(team[0].propose(photos)) == 5


@pytest.mark.parametrize("names", [[], ["rule-based", "rule-based"]])
def test_no_proposer_or_one_twice_is_refused(names: list[str]) -> None:
    with pytest.raises(ShotcropError, match="each only once"):
        load_proposers(names, ModelRecipe(), 4)


def test_an_absent_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match="absent"):
        load_proposers([tmp_path / "absent"], ModelRecipe(), 4, offline=True)


def test_the_former_name_of_the_rules_is_still_read() -> None:
    (former,) = load_proposers(["cinematographer"], ModelRecipe(), 4)
    assert isinstance(former, RuleBasedProposer)
    assert former.name == "cinematographer"
