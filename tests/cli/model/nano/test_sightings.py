from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from figures import Figure, manifest, scene_of
from shotcrop_cli.crop_facts import CropFacts, Part, Who
from shotcrop_cli.model.nano.manifest import ConceptRule
from shotcrop_cli.model.nano.plain_colour import Pixels
from shotcrop_cli.model.nano.scene import Scene
from shotcrop_cli.model.nano.sightings import Sight
from shotcrop_cli.shots import FULL_FRAME, Box, Grounding, Person, Shot, ShotType

NAMES = (
    "snow",
    "ice",
    "water",
    "beach",
    "street",
    "swimming",
    "dog",
    "bicycle",
    "motorcycle",
    "ball",
    "tennis",
    "child",
    "crowd",
)
MANIFEST = manifest(concepts=tuple(ConceptRule(name, 0.0) for name in NAMES))
MEDIUM, CLOSE_UP = Box(0.3, 0.05, 0.7, 0.6), Box(0.38, 0.05, 0.62, 0.4)
GREY = (120, 120, 120)


def picture(*areas: tuple[Box, tuple[int, int, int]], ground: tuple[int, int, int] = GREY) -> Pixels:
    pixels = np.full((100, 100, 3), ground, np.uint8)
    for box, colour in areas:
        pixels[int(box.y0 * 100) : int(box.y1 * 100), int(box.x0 * 100) : int(box.x1 * 100)] = colour
    return pixels


def look(
    scene: Scene,
    pixels: Pixels | None = None,
    setting: str | None = None,
    tags: Mapping[str, float] | None = None,
    concepts: Mapping[str, float] | None = None,
    boxes: Sequence[Box] = (FULL_FRAME, MEDIUM, CLOSE_UP),
) -> tuple[CropFacts, CropFacts, CropFacts]:
    """Return what is seen of the first figure; concepts without a logit are absent."""
    logits = np.array([(tags or {}).get(name, 0.0) for name in MANIFEST.tags], np.float32)
    found = np.array([np.full((7, 7), (concepts or {}).get(name, -9.0)) for name in NAMES], np.float32)
    head, body = (Box(*map(float, one[0])) for one in (scene.head, scene.body))
    seen = picture() if pixels is None else pixels
    return Sight(scene, logits, found, seen, 0, Grounding(body, head, setting=setting), MANIFEST).crops(
        boxes, (0.9,) * 3
    )


ALONE = scene_of(Figure(0.5, 0.1, 0.1))


@pytest.mark.parametrize(
    ("others", "who"),
    [
        ((), Who.ALONE),
        ((0.1,), Who.ALONE),
        ((0.25,), Who.PERSON),
        ((0.35,), Who.MAIN),
        ((0.3, 0.3), Who.MAIN),
        ((0.3, 0.22, 0.22, 0.22, 0.22), Who.MAIN),
        ((0.3, 0.3, 0.3), Who.PEOPLE),
        ((0.45,), Who.PEOPLE),
        ((0.41, 0.41), Who.PEOPLE),
        ((0.7,), Who.TWO),
        ((0.7, 0.3), Who.PEOPLE),
        ((0.7, 0.5), Who.GROUP),
    ],
)
def test_it_says_no_more_about_the_number_than_is_sure(others: Sequence[float], who: Who) -> None:
    figures = [Figure(x, 0.1, 0.1, score=score) for x, score in zip((0.1, 0.85, 0.3, 0.7, 0.4), others, strict=False)]
    assert look(scene_of(Figure(0.5, 0.1, 0.1), *figures))[0].who is who


def test_others_count_only_where_the_crop_shows_them() -> None:
    both = look(scene_of(Figure(0.5, 0.1, 0.1), Figure(0.1, 0.1, 0.1)))
    assert [facts.who for facts in both] == [Who.TWO, Who.ONE, Who.ONE]
    beside = look(scene_of(Figure(0.5, 0.1, 0.1), Figure(0.4, 0.1, 0.1)))
    assert beside[1].who is Who.TWO


def test_of_a_possible_crowd_two_are_not_all() -> None:
    two = scene_of(Figure(0.5, 0.1, 0.1), Figure(0.1, 0.1, 0.1))
    assert look(two, concepts={"crowd": -3.0})[0].who is Who.PEOPLE


def test_a_body_without_a_head_in_the_crop_leaves_a_single_person() -> None:
    boxes = (FULL_FRAME, Box(0.4, 0.05, 0.6, 0.6), CLOSE_UP)
    beside = scene_of(Figure(0.5, 0.1, 0.1), Figure(0.36, 0.1, 0.1, score=0.35))
    assert [one.who for one in look(beside, boxes=boxes)] == [Who.MAIN, Who.PERSON, Who.PERSON]


def test_a_third_body_makes_two_people_perhaps_more() -> None:
    medium = Box(0.4, 0.05, 0.7, 0.6)
    two = (Figure(0.5, 0.1, 0.1), Figure(0.6, 0.1, 0.1))
    third = Figure(0.36, 0.1, 0.1, score=0.3)
    assert look(scene_of(*two), boxes=(FULL_FRAME, medium, CLOSE_UP))[1].who is Who.TWO
    assert look(scene_of(*two, third), boxes=(FULL_FRAME, medium, CLOSE_UP))[1].who is Who.PEOPLE


def test_of_several_people_a_medium_shot_shows_one_or_perhaps_more() -> None:
    def medium(score: float) -> tuple[Who, Who]:
        beside = Figure(0.62, 0.1, 0.1, score=score)
        wide, medium, _ = look(scene_of(Figure(0.5, 0.1, 0.1), beside, Figure(0.1, 0.1, 0.1)))
        return wide.who, medium.who

    assert medium(0.1) == (Who.TWO, Who.ONE)
    assert medium(0.3) == (Who.PEOPLE, Who.MAIN)
    assert medium(0.5) == (Who.GROUP, Who.PEOPLE)


def test_small_others_are_in_the_background() -> None:
    def behind(*scores: float) -> tuple[Who, str | None]:
        small = [Figure(0.1 + 0.1 * number, 0.1, 0.02, score=score) for number, score in enumerate(scores)]
        wide, medium, _ = look(scene_of(Figure(0.5, 0.1, 0.1), *small))
        assert (medium.who, medium.behind) == (Who.PERSON, None), "they are not in the medium shot"
        return wide.who, wide.behind

    assert behind(0.4) == (Who.PERSON, None)
    assert behind(0.6) == (Who.PERSON, "one")
    assert behind(0.6, 0.7) == (Who.PERSON, "several")
    assert behind(0.6, 0.37) == (Who.PERSON, None), "one, and perhaps another"


def test_who_is_in_the_background_depends_on_head_and_body() -> None:
    def beside(head: float, width: float, score: float = 0.9) -> Who:
        scene = scene_of(Figure(0.5, 0.1, 0.1), Figure(0.2, 0.1, head, score=score))
        body = scene.body.copy()
        body[1] = (0.2 - width / 2, 0.1, 0.2 + width / 2, 0.85)
        return look(replace(scene, body=body))[0].who

    assert beside(0.055, 0.06) is Who.PERSON
    assert beside(0.07, 0.06) is Who.TWO
    assert beside(0.055, 0.12) is Who.TWO
    assert beside(0.055, 0.12, score=0.35) is Who.PERSON, "the body may be none"


def test_who_may_not_be_alone_in_front_is_the_main_person() -> None:
    possible, small = Figure(0.85, 0.1, 0.1, score=0.3), Figure(0.1, 0.1, 0.02, score=0.9)
    both = scene_of(Figure(0.5, 0.1, 0.1), possible, small)
    wide, medium, _ = look(both, boxes=(FULL_FRAME, FULL_FRAME, CLOSE_UP))
    assert (wide.who, wide.behind) == (medium.who, medium.behind) == (Who.MAIN, "one")
    unsure = scene_of(Figure(0.5, 0.1, 0.1), *(replace(small, x=x, score=0.3) for x in (0.1, 0.2)), possible)
    assert look(unsure)[0].who is Who.PEOPLE, "somebody of three"


def test_one_of_several_people_has_no_background() -> None:
    small, other = Figure(0.4, 0.1, 0.02), Figure(0.9, 0.1, 0.1)
    wide, medium, _ = look(scene_of(Figure(0.5, 0.1, 0.1), small, other))
    assert (wide.who, medium.who, medium.behind) == (Who.PEOPLE, Who.ONE, None)


def test_whoever_may_be_an_animal_or_the_same_person_again_is_not_counted() -> None:
    beside = scene_of(Figure(0.5, 0.1, 0.1), Figure(0.2, 0.1, 0.1))
    animal = np.array([[*beside.body[1], 0.4]], np.float32)
    assert look(beside)[0].who is Who.TWO
    assert look(replace(beside, animals=animal))[0].who is Who.MAIN

    overlapping = scene_of(Figure(0.5, 0.1, 0.1), Figure(0.42, 0.1, 0.1, score=0.6))
    assert look(overlapping)[0].who is Who.PEOPLE
    again = scene_of(Figure(0.5, 0.1, 0.1), Figure(0.52, 0.1, 0.1, score=0.6))
    assert look(again)[0].who is Who.MAIN
    own_head = replace(again, head_score=np.array([0.9, 0.7], np.float32))
    assert look(own_head)[0].who is Who.TWO


def test_where_a_dog_may_be_others_are_less_certain() -> None:
    beside = scene_of(Figure(0.5, 0.1, 0.1), Figure(0.2, 0.1, 0.1, score=0.5))
    assert look(beside)[0].who is Who.PEOPLE
    assert look(beside, concepts={"dog": -0.9})[0].who is Who.MAIN


def test_a_child_is_named_where_nobody_else_may_be_meant() -> None:
    assert look(ALONE, concepts={"child": 1.0})[0].who is Who.CHILD
    two = scene_of(Figure(0.5, 0.1, 0.1), Figure(0.1, 0.1, 0.1, score=0.5))
    assert Who.CHILD not in [facts.who for facts in look(two, concepts={"child": 1.0})]


def test_a_crowd_is_a_group_that_looks_like_one() -> None:
    many = scene_of(*(Figure(0.5 + 0.1 * i, 0.1, 0.1) for i in range(4)))
    assert look(many, concepts={"crowd": 1.0})[0].who is Who.CROWD
    assert look(ALONE, concepts={"crowd": 1.0})[0].who is Who.ALONE


CHEST = Box(0.42, 0.24, 0.58, 0.4)
JOINTED = scene_of(Figure(0.5, 0.1, 0.1, joints=True))


def test_clothes_are_seen_where_the_crop_shows_the_chest() -> None:
    red = picture((CHEST, (200, 30, 40)))
    facts = look(JOINTED, red, boxes=(FULL_FRAME, MEDIUM, Box(0.4, 0.05, 0.6, 0.22)))
    assert [one.colour for one in facts] == ["red", "red", None]
    unsure = scene_of(Figure(0.5, 0.1, 0.1, joints=True, score=0.3))
    assert look(ALONE, red)[0].colour is None and look(unsure, red)[0].colour is None


def test_clothes_of_two_colours_have_no_name() -> None:
    red, dark, skirt = (200, 30, 40), (15, 15, 15), Box(0.42, 0.35, 0.58, 0.5)
    assert look(JOINTED, picture((CHEST, red), (skirt, red)))[0].colour == "red"
    assert look(JOINTED, picture((CHEST, red), (skirt, dark)))[0].colour is None


def test_clothes_may_have_a_pattern() -> None:
    red, below = (200, 30, 40), Box(0.42, 0.4, 0.58, 0.5)

    def colour(height: float) -> str | None:
        stripes = [(Box(CHEST.x0, y, CHEST.x1, y + height), GREY) for y in (0.26, 0.29, 0.32)]
        return look(JOINTED, picture((CHEST, red), (below, red), *stripes))[0].colour

    assert colour(0.01) == "red" and colour(0.02) is None


def test_of_several_people_two_may_wear_different_colours() -> None:
    two = scene_of(Figure(0.3, 0.1, 0.1, joints=True), Figure(0.7, 0.1, 0.1, joints=True))
    left, right = Box(0.22, 0.24, 0.38, 0.4), Box(0.62, 0.24, 0.78, 0.4)
    red, blue = (200, 30, 40), (30, 60, 200)
    wide = look(two, picture((left, red), (right, blue)))[0]
    assert (wide.who, wide.colour, wide.another) == (Who.TWO, "red", "blue")
    other = look(two, picture((right, blue)))[0]
    assert (other.colour, other.another) == ("blue", None), "not the main person's"
    same = look(two, picture((left, red), (right, red)))[0]
    assert (same.colour, same.another) == ("red", None)
    for head, colour in ((0.045, None), (0.055, "blue")):
        small = scene_of(Figure(0.3, 0.1, 0.06, joints=True), Figure(0.7, 0.1, head, joints=True))
        wide = look(small, picture((Box(0.65, 0.17, 0.75, 0.28), blue)).repeat(4, 0).repeat(4, 1))[0]
        assert (wide.who, wide.colour) == (Who.TWO, colour)


def test_bare_skin_silhouettes_and_tinted_photos_have_no_clothes() -> None:
    face = Box(0.47, 0.1, 0.53, 0.2)
    orange, dark, green = (235, 120, 20), (15, 15, 15), (40, 130, 60)
    assert look(JOINTED, picture((CHEST, orange), (face, orange)))[0].colour is None
    assert look(JOINTED, picture((CHEST, dark), (face, dark)))[0].colour is None
    assert look(JOINTED, picture((CHEST, dark)))[0].colour == "dark"
    assert look(JOINTED, picture((CHEST, green), ground=(150, 190, 160)))[0].colour is None


@pytest.mark.parametrize(
    ("nose", "tags", "facing"),
    [
        (0.0, {"camera": 3.1}, "camera"),
        (0.0, {"camera": 2.9}, None),
        (-1.0, {"left": 2.0}, "left"),
        (1.0, {"right": 2.0}, "right"),
        (1.0, {"left": 2.0}, None),
        (-1.0, {"camera": 5.0}, None),
        (None, {"away": 3.0}, "away"),
        (None, {"camera": 5.0}, None),
    ],
)
def test_a_direction_needs_the_tag_and_the_face(
    nose: float | None, tags: Mapping[str, float], facing: str | None
) -> None:
    facts = look(scene_of(Figure(0.5, 0.1, 0.1, look=nose, score=0.99)), tags=tags)
    assert [one.facing for one in facts] == [facing] * 3
    assert facts[2].part is (Part.FACE if nose is not None else Part.HEAD)


def test_a_face_that_may_be_hidden_is_not_named() -> None:
    assert look(scene_of(Figure(0.5, 0.1, 0.1, score=0.9)))[2].part is Part.HEAD
    turned = look(scene_of(Figure(0.5, 0.1, 0.1, score=0.99)), tags={"away": 0.0})
    assert turned[2].part is Part.HEAD


def test_a_close_up_of_several_people_shows_two_heads() -> None:
    def tight(*others: Figure) -> Who:
        return look(scene_of(Figure(0.5, 0.1, 0.1), *others))[2].who

    assert tight(Figure(0.42, 0.1, 0.1)) is Who.TWO
    assert tight(Figure(0.42, 0.1, 0.04)) is Who.PERSON, "small, in the background"
    assert tight(Figure(0.49, 0.1, 0.1)) is Who.ONE, "the same head again"

    def beside(head: float, score: float = 0.9, estimated: bool = False) -> Who:
        scene = scene_of(Figure(0.5, 0.1, 0.1), Figure(0.42, 0.1, head))
        body, scores = scene.body.copy(), np.array([0.9, score], np.float32)
        body[1] = body[0] - (0.14, 0, 0.14, 0)
        return look(replace(scene, body=body, head_score=scores, estimated=np.array([False, estimated])))[2].who

    assert beside(0.055) is Who.TWO and beside(0.045) is Who.ONE
    assert beside(0.1, 0.55) is Who.TWO and beside(0.1, 0.45) is Who.ONE
    assert beside(0.1, estimated=True) is Who.ONE


def test_another_person_has_facts_of_their_own() -> None:
    scene = scene_of(Figure(0.2, 0.1, 0.1, joints=True), Figure(0.8, 0.1, 0.1, look=-1.4, joints=True, score=0.99))
    pixels = picture((Box(0.72, 0.24, 0.88, 0.4), (200, 30, 40)))
    boxes = (FULL_FRAME, Box(0.6, 0.05, 1.0, 0.6), Box(0.68, 0.05, 0.92, 0.4))
    shots = tuple(Shot(kind, box, score=0.9) for kind, box in zip(ShotType, boxes, strict=True))
    other = Person(Box(*map(float, scene.body[1])), Box(*map(float, scene.head[1])), None, 0.1, shots)
    facing = np.array([8.0 if name == "camera" else 0.0 for name in MANIFEST.tags], np.float32)
    main = Grounding(Box(*map(float, scene.body[0])), Box(*map(float, scene.head[0])), setting="outdoor")
    none = np.full((len(NAMES), 7, 7), -9.0, np.float32)
    sight = Sight(scene, facing, none, pixels, 0, main, MANIFEST)
    wide, medium, tight = sight.facts_about(other, 1).facts
    assert wide.who is Who.TWO and medium.who is Who.ONE and tight.part is Part.FACE
    assert (medium.colour, medium.facing, medium.place) == ("red", "left", "outdoor"), "not those of the main person"
    assert sight.crops(boxes, (0.9,) * 3)[0].colour == "red", "one of them wears it"
    unsure = replace(scene, face_score=np.full(2, 0.9, np.float32))
    assert replace(sight, scene=unsure).facts_about(other, 1).facts[1].facing is None
    hardly = replace(scene, head_score=np.array([0.4, 0.99], np.float32), body_score=np.array([0.2, 0.99], np.float32))
    facts = replace(sight, scene=hardly).facts_about(other, 1).facts
    assert {one.who for one in facts} == {Who.PERSON}, "neither the main person, nor surely one of several"


def test_of_several_people_nobody_has_a_direction() -> None:
    assert look(scene_of(Figure(0.5, 0.1, 0.1), Figure(0.4, 0.1, 0.1)), tags={"camera": 5.0})[1].facing is None


@pytest.mark.parametrize(
    ("concepts", "setting", "place"),
    [
        ({}, None, None),
        ({}, "indoor", "indoor"),
        ({"snow": 1.0}, "outdoor", "snow"),
        ({"snow": 1.0}, "indoor", "indoor"),
        ({"snow": 1.0, "water": 1.0}, "outdoor", "outdoor"),
        ({"water": 1.0}, None, "water"),
        ({"water": 1.0, "swimming": 1.0}, None, "in water"),
        ({"street": 1.0, "beach": 1.0}, None, "beach"),
        ({"water": 1.0, "snow": -0.9}, "outdoor", "outdoor"),
        ({"beach": 1.0, "snow": -0.9}, "outdoor", "outdoor"),
        ({"beach": 1.0, "ice": -4.0}, "outdoor", "outdoor"),
        ({"beach": 1.0, "ice": -4.2, "snow": -1.1}, "outdoor", "beach"),
    ],
)
def test_the_most_telling_place_is_named(concepts: Mapping[str, float], setting: str | None, place: str | None) -> None:
    assert look(ALONE, concepts=concepts, setting=setting)[0].place == place


def test_a_place_counts_where_the_crop_shows_it() -> None:
    sight = Sight(
        ALONE,
        np.zeros(len(MANIFEST.tags), np.float32),
        np.full((len(NAMES), 7, 7), -9.0, np.float32),
        picture(),
        0,
        Grounding(Box(0.4, 0.1, 0.6, 0.85), Box(0.46, 0.1, 0.54, 0.2)),
        MANIFEST,
    )
    sight.concepts[NAMES.index("snow"), 4:] = 20.0
    places = [facts.place for facts in sight.crops((FULL_FRAME, MEDIUM, CLOSE_UP), (0.9,) * 3)]
    assert places == ["snow", None, None]


def test_a_dog_is_an_animal_in_the_crop() -> None:
    dog = (0.05, 0.6, 0.2, 0.9, 0.8)
    facts = look(scene_of(Figure(0.5, 0.1, 0.1), animals=[dog]), concepts={"dog": 1.0})
    assert [one.thing for one in facts] == ["dog", None, None]
    assert look(ALONE, concepts={"dog": 1.0})[0].thing is None
    two = look(scene_of(Figure(0.5, 0.1, 0.1), animals=[dog, (0.75, 0.6, 0.9, 0.9, 0.4)]), concepts={"dog": 1.0})
    assert [one.thing for one in two] == [None] * 3


def test_a_dog_taken_for_the_main_person_is_called_a_dog() -> None:
    dog = (0.4, 0.05, 0.6, 0.5, 0.8)
    facts = look(scene_of(Figure(0.5, 0.1, 0.1), animals=[dog]), picture((CHEST, (200, 30, 40))), concepts={"dog": 1.0})
    assert facts[2].who is Who.DOG and facts[0].colour is None
    both = scene_of(Figure(0.5, 0.1, 0.1), animals=[dog, (0.42, 0.1, 0.56, 0.3, 0.4)])
    assert look(both, concepts={"dog": 1.0})[2].who is Who.UNSURE


def test_bicycles_and_motorcycles_are_told_apart_or_not_named() -> None:
    assert look(ALONE, concepts={"bicycle": 1.0})[0].thing == "bicycle"
    assert look(ALONE, concepts={"bicycle": 1.0, "motorcycle": -0.2})[0].thing is None
    assert look(ALONE, concepts={"bicycle": 1.0, "motorcycle": 2.0})[0].thing == "motorcycle"


def test_a_ball_is_no_news_in_a_game_and_must_be_in_the_crop() -> None:
    assert [one.thing for one in look(ALONE, concepts={"ball": 1.0})] == ["ball", None, None]
    held = scene_of(Figure(0.5, 0.1, 0.1), objects=[(0.45, 0.4, 0.52, 0.5, 0.6)])
    assert look(held, concepts={"ball": 1.0})[1].thing == "ball"
    game = look(ALONE, concepts={"ball": 1.0, "tennis": 1.0})[0]
    assert (game.thing, game.action) == (None, "tennis")


@pytest.mark.parametrize(
    ("score", "animal", "dog", "who"),
    [
        (0.4, 0.5, -9.0, Who.UNSURE),
        (0.4, 0.35, -9.0, Who.UNSURE),
        (0.4, 0.34, -9.0, Who.MAIN),
        (0.7, 0.5, -9.0, Who.PERSON),
        (0.4, 0.3, -0.5, Who.UNSURE),
        (0.6, 0.3, -0.5, Who.PERSON),
    ],
)
def test_whoever_fills_the_box_of_an_animal_may_be_one(score: float, animal: float, dog: float, who: Who) -> None:
    scene = scene_of(Figure(0.5, 0.1, 0.1, score=score, look=None))
    filled = replace(scene, animals=np.array([[*scene.body[0], animal]], np.float32))
    facts = look(filled, concepts={"dog": dog}, setting="outdoor")
    if who is Who.UNSURE:
        assert [one.who for one in facts] == [Who.UNSURE] * 3 and facts[2].part is Part.DETAIL
        assert facts[0] == CropFacts(Who.UNSURE, place="outdoor")
    else:
        assert Who.UNSURE not in [one.who for one in facts]
    beside = replace(scene, animals=np.array([[0.4, 0.5, 0.6, 0.8, animal]], np.float32))
    assert look(beside, concepts={"dog": dog})[0].who is not Who.UNSURE


def test_of_a_person_and_what_may_be_one_only_the_person_counts() -> None:
    scene = scene_of(Figure(0.5, 0.1, 0.1, score=0.4), Figure(0.1, 0.1, 0.1))
    filled = replace(scene, animals=np.array([[*scene.body[0], 0.5]], np.float32))
    assert [one.who for one in look(filled)] == [Who.MAIN, Who.UNSURE, Who.UNSURE]


def test_people_around_an_animal_are_several() -> None:
    small = [Figure(x, 0.1, 0.05) for x in (0.1, 0.25, 0.8)]
    for count, who in ((2, Who.PEOPLE), (3, Who.GROUP)):
        scene = scene_of(Figure(0.5, 0.1, 0.1, score=0.4), *small[:count])
        filled = replace(scene, animals=np.array([[*scene.body[0], 0.5]], np.float32))
        assert look(filled)[0].who is who


def test_hardly_anybody_is_a_person() -> None:
    assert look(scene_of(Figure(0.5, 0.1, 0.1, score=0.25, look=None)))[0].who is Who.UNSURE


@pytest.mark.parametrize(
    ("box", "joints", "part"),
    [
        (CLOSE_UP, True, Part.SHOULDERS),
        (Box(0.38, 0.05, 0.62, 0.22), True, Part.HEAD),
        (CLOSE_UP, False, Part.HEAD),
        (Box(0.46, 0.05, 0.54, 0.4), True, Part.HEAD),
    ],
)
def test_shoulders_are_named_where_the_close_up_shows_them(box: Box, joints: bool, part: Part) -> None:
    scene = scene_of(Figure(0.5, 0.1, 0.1, look=None, joints=joints))
    assert look(scene, boxes=(FULL_FRAME, MEDIUM, box))[2].part is part


def test_a_head_that_may_be_none_is_a_detail() -> None:
    scene = scene_of(Figure(0.5, 0.1, 0.1, look=None))
    for score, part in ((0.34, Part.DETAIL), (0.36, Part.HEAD)):
        assert look(replace(scene, head_score=np.full(1, score, np.float32)))[2].part is part


def test_where_a_crop_ends_and_how_large_the_figure_is() -> None:
    small = look(scene_of(Figure(0.5, 0.4, 0.03)))
    assert small[0].framing == "distance"
    assert look(scene_of(Figure(0.5, 0.4, 0.03), Figure(0.2, 0.4, 0.03)))[0].framing == "distance"
    assert look(scene_of(Figure(0.5, 0.4, 0.03), Figure(0.2, 0.1, 0.1)))[0].framing is None
    crops = (FULL_FRAME, Box(0.3, 0.05, 0.7, 0.55), CLOSE_UP)
    standing = look(ALONE, boxes=crops)
    assert (standing[0].framing, standing[1].framing) == ("full", "three-quarter")
    assert look(scene_of(Figure(0.2, 0.1, 0.1)))[0].side == "left"


def test_a_close_up_beside_the_head_is_a_detail() -> None:
    assert look(ALONE, boxes=(FULL_FRAME, MEDIUM, Box(0.3, 0.5, 0.6, 0.9)))[2].part is Part.DETAIL


def test_a_plain_background_is_named_unless_somebody_is_in_it() -> None:
    dark = picture(ground=(10, 10, 10))
    assert look(ALONE, dark)[2].background == "dark"
    assert look(ALONE)[2].background is None
    assert look(scene_of(Figure(0.5, 0.1, 0.1), Figure(0.42, 0.1, 0.1)), dark)[2].background is None
