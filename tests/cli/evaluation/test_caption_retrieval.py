from dataclasses import replace

import numpy as np
import pytest

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.caption_retrieval import Exhibit, Matcher, content_words, fit
from shotcrop_cli.evaluation.detections import Detections
from shotcrop_cli.evaluation.metrics import Case, evaluate
from shotcrop_cli.evaluation.scoring import caption_matcher
from shotcrop_cli.shots import FULL_FRAME, SHOT_TYPES, Box, Composition, Shot, ShotType
from two_people import BOTH, TO_THE_CHEST, TO_THE_THIGHS

PLACES, DEEDS, LOOKS = ("beach", "street", "garden"), ("shirt", "guitar", "ball"), ("smile", "eyes", "hair")


def triple(captions: tuple[str, str, str], boxes: tuple[Box, Box, Box] | None = None) -> Composition:
    boxes = boxes or (FULL_FRAME, TO_THE_THIGHS, TO_THE_CHEST)
    return Composition(tuple(Shot(*shot) for shot in zip(SHOT_TYPES, boxes, captions, strict=True)))


def planted(count: int, seed: int) -> list[Exhibit]:
    """Return triples whose wide captions tell a place, medium ones a deed and tight ones a look."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        shake = float(rng.uniform(0.0, 0.05))
        boxes = (
            Box(0.0, 0.0, 1.0 - shake, 1.0),
            Box(0.1 + shake, 0.05, 0.5, 0.6),
            Box(0.2, 0.05 + shake, 0.4, 0.3 + shake),
        )
        words = [f"A person and the {rng.choice(kind)}" for kind in (PLACES, DEEDS, LOOKS)]
        found.append(Exhibit(triple((words[0], words[1], words[2]), boxes), BOTH))
    return found


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return fit(planted(40, seed=0))


def recaptioned(exhibit: Exhibit, captions: tuple[str, ...]) -> Exhibit:
    shots = tuple(replace(shot, caption=text) for shot, text in zip(exhibit.triple.shots, captions, strict=True))
    return replace(exhibit, triple=replace(exhibit.triple, shots=shots))


def texts(exhibit: Exhibit) -> tuple[str, ...]:
    return tuple(shot.caption for shot in exhibit.triple.shots)


def share(matcher: Matcher, exhibits: list[Exhibit]) -> float:
    return float(np.mean([list(matcher.retrieved(one).values()) for one in exhibits]))


def test_captions_that_follow_the_experts_are_found_on_photos_never_seen(matcher: Matcher) -> None:
    assert share(matcher, planted(20, seed=1)) >= 0.95


def test_captions_in_any_order_are_found_by_chance_alone(matcher: Matcher) -> None:
    rng = np.random.default_rng(2)
    shuffled = [recaptioned(one, tuple(rng.permutation(texts(one)))) for one in planted(200, seed=2)]
    assert share(matcher, shuffled) == pytest.approx(1 / 3, abs=0.08)


def test_captions_of_the_neighbours_box_are_not_found(matcher: Matcher) -> None:
    turned = [recaptioned(one, (*texts(one)[1:], texts(one)[0])) for one in planted(20, seed=3)]
    assert share(matcher, turned) <= 0.05


def test_captions_that_tell_nothing_share_the_point(matcher: Matcher) -> None:
    assert share(matcher, [Exhibit(triple(("Over there",) * 3), BOTH)]) == pytest.approx(1 / 3)


def test_one_caption_for_all_three_boxes_is_found_once(matcher: Matcher) -> None:
    assert share(matcher, [Exhibit(triple(("A smile",) * 3), BOTH)]) == pytest.approx(1 / 3)


def test_a_false_claim_is_never_found_though_its_words_fit(matcher: Matcher) -> None:
    true, false = "Two people and the smile", "A person and the smile"
    (_, _, claimed), (_, _, plain) = (
        matcher.retrieved(Exhibit(triple(("Beach", "Ball", caption)), BOTH)).values() for caption in (true, false)
    )
    assert (claimed, plain) == (0.0, 1.0)


def test_the_same_claim_is_judged_by_the_box_and_not_by_the_shots_name(matcher: Matcher) -> None:
    wide = (FULL_FRAME, TO_THE_THIGHS, Box(0.01, 0.01, 0.99, 0.99))
    assert matcher.retrieved(Exhibit(triple(("Beach", "Ball", "Head and shoulders")), BOTH))[ShotType.CLOSE_UP] == 1.0
    found = matcher.retrieved(Exhibit(triple(("Beach", "Ball", "Head and shoulders"), wide), BOTH))
    assert found[ShotType.CLOSE_UP] == 0.0


def test_an_empty_caption_is_not_found_and_a_triple_without_any_is_not_measured(matcher: Matcher) -> None:
    assert matcher.retrieved(Exhibit(triple(("A beach", "", "A smile")), BOTH))[ShotType.MEDIUM] == 0.0
    assert matcher.retrieved(Exhibit(triple(("", "", "")), BOTH)) == {}


def test_equal_triples_give_an_equal_matcher(matcher: Matcher) -> None:
    assert np.array_equal(fit(planted(40, seed=0)).weights, matcher.weights)


def test_words_of_form_do_not_count() -> None:
    assert content_words("The man's hand, by the SEA") == ["man", "hand", "sea"]


def test_evaluation_measures_captions_where_it_is_given_a_matcher(matcher: Matcher) -> None:
    answer = triple(("A beach", "A guitar", "A smile"))
    case = Case(answer, answer, BOTH, 1.5)
    assert evaluate([case]).get("caption_retrieval") is None
    scores = evaluate([case, replace(case, answer=None)], matcher=matcher)
    assert scores.value("caption_retrieval") == 1.0
    assert scores.value("caption_retrieval", ShotType.MEDIUM) == 1.0


def test_a_matcher_needs_captioned_triples() -> None:
    with pytest.raises(ValueError, match="captioned"):
        fit([Exhibit(triple(("", "", "")), Detections())])
    with pytest.raises(ShotcropError, match="captions cannot be judged"):
        caption_matcher([])
