from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from figures import Figure, scene_of
from plain_faults import PlainCosts, refine_plainly
from shotcrop_cli.model.nano.facts import gather_facts, to_even
from shotcrop_cli.model.nano.faults import ALIKE, RATIOS, CropCosts, ShotSize, iou
from shotcrop_cli.model.nano.manifest import FaultCosts
from shotcrop_cli.model.nano.refinement import MOST_TOGETHER, REACH, Subject, put_in_order, refine, refine_all
from shotcrop_cli.model.nano.scene import Floats, Scene, mirror_boxes

COSTS = FaultCosts()
few = settings(max_examples=30)
"""Each example refines three boxes."""
slow = settings(max_examples=12)
"""Each example also refines three boxes in plain Python."""
WIDE = (0.0, 0.0, 1.0, 1.0)
ONE = np.zeros(1, np.int64)
"""The numbers of the subjects of one box."""


def triple(medium: tuple[float, ...], close_up: tuple[float, ...], wide: tuple[float, ...] = WIDE) -> Floats:
    return np.array([wide, medium, close_up], np.float32)


def visible(part: Floats, box: Floats) -> float:
    """Return the share of a box (4,) inside another."""
    low, high = np.maximum(part[:2], box[:2]), np.minimum(part[2:], box[2:])
    return float((high - low).clip(0).prod() / (part[2:] - part[:2]).prod())


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Draw up to four figures with hands, animals and objects around them."""
    share = st.floats(0.02, 0.98)
    figures = draw(
        st.lists(
            st.builds(
                Figure,
                x=share,
                y=st.floats(0.0, 0.7),
                head=st.floats(0.03, 0.3),
                look=st.one_of(st.none(), st.floats(-1, 1)),
                joints=st.booleans(),
                score=st.floats(0.2, 0.99),
            ),
            min_size=1,
            max_size=4,
        )
    )

    def things() -> list[tuple[float, ...]]:
        corners = draw(st.lists(st.tuples(share, share, st.floats(0.02, 0.3), st.floats(0.2, 0.99)), max_size=3))
        return [(x, y, min(x + size, 1.0), min(y + size, 1.0), score) for x, y, size, score in corners]

    aspect = draw(st.floats(0.5, 2.0))
    return scene_of(*figures, aspect=aspect, hands=things(), animals=things(), objects=things())


@st.composite
def triples(draw: st.DrawFn) -> Floats:
    """Draw three boxes of any size inside the photo."""
    boxes = []
    for least in (0.5, 0.2, 0.1):
        width, height = (draw(st.floats(least, 1.0)) for _ in range(2))
        x, y = draw(st.floats(0, 1)) * (1 - width), draw(st.floats(0, 1)) * (1 - height)
        boxes.append((x, y, x + width, y + height))
    return np.array(boxes, np.float32)


@few
@given(scenes(), triples())
def test_boxes_stay_inside_the_photo_and_keep_half_of_their_sides(scene: Scene, wanted: Floats) -> None:
    refined = refine(scene, (0,), wanted, COSTS)
    assert refined.min() >= 0 and refined.max() <= 1
    before, after = (boxes[:, 2:] - boxes[:, :2] for boxes in (wanted, refined))
    assert (after > 0.49 * before).all()


@few
@given(scenes(), triples())
def test_no_box_costs_more_than_before(scene: Scene, wanted: Floats) -> None:
    refined = refine(scene, (0,), wanted, COSTS)
    facts = gather_facts(scene, [(0,)])
    before, after = to_even(wanted, scene.aspect)[:, None], to_even(refined, scene.aspect)[:, None]
    wider = None
    for shot in ShotSize:
        # The search weighs what is near the box; what is far away can neither be cut by it nor reached.
        cost_of = CropCosts(facts.near(before[shot], 0.3), shot, before[shot], wider, COSTS)
        old, new = (cost_of(boxes[shot].T, ONE)[0] for boxes in (before, after))
        assert new <= old + 1e-3  # edges are rounded to float32
        wider = after[shot]


@given(scenes(), triples(), triples(), st.sampled_from(ShotSize))
def test_costs_are_those_of_their_descriptions(scene: Scene, wanted: Floats, tried: Floats, shot: ShotSize) -> None:
    """`PlainCosts` follows the descriptions of the costs, one number after the other."""
    costs = replace(COSTS, least_height=0.3)
    before, boxes = to_even(wanted, scene.aspect), to_even(tried, scene.aspect)
    wider = None if shot is ShotSize.ESTABLISHING else before[shot - 1]
    facts = gather_facts(scene, [(0,)]).near(before[[shot]], REACH)
    many = CropCosts(facts, shot, before[[shot]], None if wider is None else wider[None], costs)
    plain = PlainCosts(facts, shot, tuple(before[shot]), None if wider is None else tuple(wider), costs)
    found = many(boxes.T, np.zeros(len(boxes), np.int64))
    np.testing.assert_allclose(found, [plain(tuple(box)) for box in boxes], rtol=1e-9, atol=1e-12)


@slow
@given(scenes(), triples(), st.booleans())
def test_the_search_finds_what_a_plain_one_finds(scene: Scene, wanted: Floats, everybody: bool) -> None:
    members = tuple(range(len(scene))) if everybody else (0,)
    expected = refine_plainly(scene, members, wanted, COSTS)
    np.testing.assert_allclose(refine(scene, members, wanted, COSTS), expected, atol=1e-6)


@few
@given(st.lists(st.tuples(scenes(), triples(), triples()), max_size=4))
def test_subjects_do_not_influence_each_other(photos: list[tuple[Scene, Floats, Floats]]) -> None:
    wanted = [
        (scene, [Subject((0,), first), Subject(tuple(range(len(scene))), second)]) for scene, first, second in photos
    ]
    wanted.insert(1, (scene_of(), []))
    together = refine_all(wanted, COSTS)
    assert len(together) == len(wanted)
    for (scene, subjects), boxes in zip(wanted, together, strict=True):
        assert boxes.shape == (len(subjects), 3, 4)
        for subject, refined in zip(subjects, boxes, strict=True):
            np.testing.assert_array_equal(refined, refine(scene, subject.members, subject.triple, COSTS))


def test_many_subjects_are_refined_in_parts() -> None:
    scene = scene_of(Figure(0.5, 0.2, 0.1))
    subject = Subject((0,), triple((0.36, 0.22, 0.64, 0.65), (0.42, 0.25, 0.58, 0.385)))
    (one,) = refine_all([(scene, [subject])], COSTS)
    many = refine_all([(scene, [subject] * 3)] * MOST_TOGETHER, COSTS)
    assert len(many) == MOST_TOGETHER
    for boxes in many:
        np.testing.assert_array_equal(boxes, np.repeat(one, 3, 0))


@few
@given(scenes(), triples())
def test_the_same_input_gives_the_same_boxes(scene: Scene, wanted: Floats) -> None:
    given = wanted.copy()
    first = refine(scene, (0,), wanted, COSTS)
    np.testing.assert_array_equal(first, refine(scene, (0,), wanted, COSTS))
    np.testing.assert_array_equal(wanted, given)  # nor is the input changed


@few
@given(scenes(), triples())
def test_a_mirrored_scene_is_refined_as_well(scene: Scene, wanted: Floats) -> None:
    """Two places of an edge may cost the same, so the costs are compared, not the boxes."""
    plain = refine(scene, (0,), wanted, COSTS)
    mirrored = mirror_boxes(refine(scene.mirror(), (0,), mirror_boxes(wanted), COSTS))
    facts, shot = gather_facts(scene, [(0,)]), ShotSize.ESTABLISHING
    before = to_even(wanted, scene.aspect)[[shot]]
    cost_of = CropCosts(facts, shot, before, None, COSTS)
    costs = [cost_of(to_even(boxes, scene.aspect)[[shot]].T, ONE)[0] for boxes in (plain, mirrored)]
    assert costs[0] == pytest.approx(costs[1], abs=0.02)


@pytest.mark.parametrize("look", [-0.8, 0.0, 0.8])
def test_a_mirrored_figure_gets_mirrored_boxes(look: float) -> None:
    scene = scene_of(Figure(0.41, 0.23, 0.11, look=look), Figure(0.66, 0.25, 0.1), hands=[(0.3, 0.5, 0.34, 0.56, 0.9)])
    wanted = triple((0.31, 0.25, 0.64, 0.72), (0.35, 0.24, 0.47, 0.43))
    plain = refine(scene, (0,), wanted, COSTS)
    mirrored = refine(scene.mirror(), (0,), mirror_boxes(wanted), COSTS)
    np.testing.assert_allclose(mirror_boxes(mirrored), plain, atol=1e-3)
    assert np.abs(plain - wanted).max() > 0.01  # something was there to refine


@few
@given(st.floats(0.2, 0.8), st.floats(0.05, 0.4), st.floats(0.06, 0.2), st.floats(0.3, 0.9), st.floats(0.5, 2.0))
def test_a_single_main_head_is_whole_afterwards(x: float, y: float, head: float, top: float, aspect: float) -> None:
    """The close-up cuts part of the head; there is room above, and nothing else in the photo."""
    scene = scene_of(Figure(x, y, head, look=None), aspect=aspect)
    width, middle = 0.5 * head / aspect * 2, scene.head[0, 0] + head * 0.4 / aspect
    close_up = (max(middle - width, 0), y + top * 0.5 * head, min(middle + width, 1), min(y + 2.5 * head, 1))
    refined = refine(scene, (0,), triple(WIDE, close_up), COSTS)
    assert visible(scene.head[0], refined[ShotSize.CLOSE_UP]) > 0.99


@few
@given(st.floats(0.05, 0.2), st.floats(0.15, 0.85), st.floats(-0.5, 1.5), st.floats(0.5, 2.0), st.floats(0.4, 0.99))
def test_a_neighbours_head_at_an_edge_is_in_or_out(
    head: float, share: float, lower: float, aspect: float, score: float
) -> None:
    """The medium shot ends inside the head of somebody next to the main person, a bit higher or lower."""
    unit = head / aspect
    main = Figure(0.35, 0.3, head, look=None)
    neighbour = Figure(0.35 + 1.8 * unit, 0.3 + 0.4 * lower * head, head, look=None, score=score)
    scene = scene_of(main, neighbour, aspect=aspect)
    left, _, right, _ = scene.head[1]
    medium = (max(0.35 - 2.2 * unit, 0), 0.3 - 0.5 * head, left + share * (right - left), min(0.3 + 4.2 * head, 1))
    wanted = triple(medium, (0.35 - 0.9 * unit, 0.3 - 0.2 * head, 0.35 + 0.9 * unit, 0.3 + 1.8 * head))
    seen = visible(scene.head[1], refine(scene, (0,), wanted, COSTS)[ShotSize.MEDIUM])
    assert seen <= 0.04 or seen >= 0.96


@few
@given(scenes(), triples())
def test_refining_again_and_again_comes_to_rest(scene: Scene, wanted: Floats) -> None:
    boxes = wanted
    for _ in range(10):
        boxes, before = refine(scene, (0,), boxes, COSTS), boxes
        if np.abs(boxes - before).max() < 1e-5:
            return
    raise AssertionError("the boxes still move")


@few
@given(scenes(), triples())
def test_a_usual_ratio_stays_usual_where_it_counts_much(scene: Scene, wanted: Floats) -> None:
    def ratios(boxes: Floats) -> Floats:
        even = to_even(boxes[1:], scene.aspect)
        return (even[:, 2] - even[:, 0]) / (even[:, 3] - even[:, 1])

    lowest, highest = RATIOS
    usual = (ratios(wanted) > lowest) & (ratios(wanted) < highest)
    after = ratios(refine(scene, (0,), wanted, replace(COSTS, aspect=100.0)))[usual]
    assert ((after > 0.97 * lowest) & (after < 1.03 * highest)).all()


@few
@given(scenes(), triples())
def test_shots_are_hardly_more_alike_where_that_counts_much(scene: Scene, wanted: Floats) -> None:
    def likeness(boxes: Floats) -> float:
        even = to_even(boxes, scene.aspect)
        return float(iou(even[ShotSize.CLOSE_UP], even[ShotSize.MEDIUM]))

    refined = refine(scene, (0,), wanted, replace(COSTS, distinct=100.0))
    medium_alone = np.stack([wanted[0], refined[ShotSize.MEDIUM], wanted[ShotSize.CLOSE_UP]])
    assert likeness(refined) <= max(likeness(medium_alone), ALIKE) + 0.02


def test_a_good_triple_stays_as_it_is() -> None:
    scene = scene_of(Figure(0.5, 0.2, 0.1, look=0.0))
    wanted = triple((0.36, 0.16, 0.64, 0.65), (0.42, 0.175, 0.58, 0.385))
    np.testing.assert_allclose(refine(scene, (0,), wanted, COSTS), wanted, atol=1e-6)


def test_the_head_next_to_the_crop_is_left_out_or_taken_in() -> None:
    scene = scene_of(Figure(0.4, 0.2, 0.12), Figure(0.57, 0.2, 0.12))
    other = scene.head[1]
    wanted = triple((0.25, 0.15, float(other[:3:2].mean()), 0.75), (0.34, 0.17, 0.46, 0.4))
    assert visible(other, wanted[ShotSize.MEDIUM]) == pytest.approx(0.5, abs=0.01)
    share = visible(other, refine(scene, (0,), wanted, COSTS)[ShotSize.MEDIUM])
    assert share < 0.05 or share > 0.95


def test_both_heads_of_a_pair_are_whole() -> None:
    scene = scene_of(Figure(0.4, 0.2, 0.12, look=None), Figure(0.55, 0.22, 0.12, look=None))
    wanted = triple((0.3, 0.15, 0.6, 0.7), (0.35, 0.17, 0.56, 0.45))
    refined = refine(scene, (0, 1), wanted, COSTS)
    for head in scene.head:
        assert visible(head, refined[ShotSize.CLOSE_UP]) > 0.99


@pytest.mark.parametrize(("name", "thing"), [("animals", (0.6, 0.5, 0.655, 0.7)), ("hands", (0.617, 0.5, 0.644, 0.55))])
def test_animals_and_hands_are_not_cut(name: str, thing: tuple[float, ...]) -> None:
    scene = replace(scene_of(Figure(0.45, 0.2, 0.1, look=None)), **{name: np.array([(*thing, 0.9)], np.float32)})
    wanted = triple((0.3, 0.16, 0.63, 0.68), (0.39, 0.17, 0.51, 0.38))
    part = np.array(thing, np.float32)
    assert 0.4 < visible(part, wanted[ShotSize.MEDIUM]) < 0.6
    share = visible(part, refine(scene, (0,), wanted, COSTS)[ShotSize.MEDIUM])
    assert share < 0.08 or share > 0.93


def test_a_lower_edge_leaves_the_knees() -> None:
    scene = scene_of(Figure(0.5, 0.1, 0.1, look=None, joints=True))
    knee = 0.1 + 5.5 * 0.1
    wanted = triple((0.3, 0.06, 0.7, knee), (0.42, 0.08, 0.58, 0.28))
    bottom = refine(scene, (0,), wanted, COSTS)[ShotSize.MEDIUM, 3]
    assert abs(bottom - knee) > 0.02


def test_a_turned_head_gets_room_in_front() -> None:
    scene = scene_of(Figure(0.5, 0.2, 0.1, look=1.0))
    wanted = triple((0.3, 0.16, 0.56, 0.65), (0.42, 0.175, 0.58, 0.385))

    def in_front(boxes: Floats) -> float:
        left, right = boxes[ShotSize.MEDIUM, [0, 2]]
        return float((right - 0.5) / (right - left))

    assert in_front(wanted) < 0.25
    costs = replace(COSTS, look_room=2.0)
    assert in_front(refine(scene, (0,), wanted, costs)) > in_front(wanted) + 0.1


def test_alike_shots_move_apart() -> None:
    scene = scene_of(Figure(0.5, 0.2, 0.1))
    wanted = triple((0.4, 0.16, 0.6, 0.5), (0.4, 0.17, 0.6, 0.5))

    def likeness(distinct: float) -> float:
        refined = to_even(refine(scene, (0,), wanted, replace(COSTS, distinct=distinct)), scene.aspect)
        return float(iou(refined[ShotSize.CLOSE_UP], refined[ShotSize.MEDIUM]))

    assert likeness(6.0) < 0.85 < likeness(0.0)


def test_a_close_up_reaches_the_least_height() -> None:
    scene = scene_of(Figure(0.5, 0.3, 0.04, look=None))
    wanted = triple((0.35, 0.2, 0.65, 0.6), (0.47, 0.285, 0.53, 0.37))

    def height(least: float) -> float:
        box = refine(scene, (0,), wanted, replace(COSTS, least_height=least, small=4.0))[ShotSize.CLOSE_UP]
        return float(box[3] - box[1])

    assert height(0.15) > height(0.0) + 0.01


def test_costs_of_zero_leave_every_box_alone() -> None:
    nothing = FaultCosts(
        main_head=0, other_head=0, headless=0, animal=0, held=0, hand=0, joint=0, feet=0, headroom=0, look_room=0,
        distinct=0, aspect=0, small=0,
    )  # fmt: skip
    scene = scene_of(Figure(0.4, 0.2, 0.12), Figure(0.57, 0.2, 0.12), hands=[(0.6, 0.5, 0.66, 0.6, 0.9)])
    wanted = triple((0.3, 0.25, 0.57, 0.68), (0.39, 0.25, 0.41, 0.38))
    np.testing.assert_allclose(refine(scene, (0,), wanted, nothing), wanted, atol=1e-6)


def test_shots_that_grew_past_the_next_wider_one_widen_it() -> None:
    triples = np.array([[[0.06, 0.0, 0.96, 0.93], [0.0, 0.0, 0.95, 1.0], [0.2, 0.1, 0.6, 0.5]]])
    put_in_order(triples)
    assert triples[0, 0].tolist() == [0.0, 0.0, 0.96, 1.0]
    assert triples[0, 1].tolist() == [0.0, 0.0, 0.95, 1.0]
    in_order = triples.copy()
    put_in_order(in_order)
    np.testing.assert_array_equal(in_order, triples)
