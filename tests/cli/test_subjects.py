from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shotcrop_cli.geometry import clamp
from shotcrop_cli.shots import GROUP, MAIN, SHOT_TYPES, Box, CropKey, Person, Shot, ShotType, person_key, person_number
from shotcrop_cli.subjects import Subject, Subjects, group_of, subject_of, sure_people, wanted_crops

ASPECT = 1.5


def person(x: float, height: float, y: float = 0.3, probability: float = 0.1, name: str | None = None) -> Person:
    """Return a person whose head is centred at x, with boxes around it."""

    def around(share: float) -> Box:
        half = share * height / 2 / ASPECT
        return clamp(x - half, y - share * height / 4, x + half, y + share * height * 3 / 4)

    shots = tuple(
        Shot(kind, around(share), score=0.5) for kind, share in zip(SHOT_TYPES, (12.0, 5.0, 2.0), strict=True)
    )
    return Person(around(8.0), around(1.0), None, probability, shots, name)


def boxes(one: Person) -> list[Box]:
    return [shot.box for shot in one.shots]


ANA, BEN, CLEO = person(0.6, 0.1, probability=0.9), person(0.3, 0.2), person(0.8, 0.09, name="Cleo  Díaz")
FAR = person(0.05, 0.03)
PEOPLE = (ANA, BEN, CLEO, FAR)


@pytest.mark.parametrize(
    ("subjects", "found"),
    [
        (Subjects(), ("main",)),
        (Subjects(choice="main"), ("main",)),
        (Subjects(number=2), ("main", "person2")),
        (Subjects(number=None), ("main", "person2", "person3", "person4")),
        (Subjects(choice="1"), ("main",)),
        (Subjects(choice="3"), ("person3",)),
        (Subjects(choice="5"), ()),
        (Subjects(choice="largest"), ("person2",)),
        (Subjects(choice="left"), ("person2",)),  # not the tiny one at the border
        (Subjects(choice="right"), ("main",)),  # the other one has less than half of the largest head
        (Subjects(choice="centre"), ("main",)),
        (Subjects(names=("cleo díaz",)), ("person3",)),
        (Subjects(names=("Anna",)), ()),
    ],
)
def test_people_are_chosen(subjects: Subjects, found: tuple[str, ...]) -> None:
    assert subjects.find(PEOPLE, boxes(ANA), ASPECT) == found


def test_several_main_people_are_another_subject_than_the_first_of_them() -> None:
    together = [Box(0.1, 0.1, 0.9, 0.9)] * 3
    assert Subjects(number=2).find(PEOPLE, together, ASPECT) == ("main", "person1", "person2")
    assert Subjects(choice="1").find(PEOPLE, together, ASPECT) == ("person1",)


def test_without_known_people_there_is_only_the_main_subject() -> None:
    for choice in ("largest", "left", "centre", "right", "group", "1"):
        assert Subjects(choice=choice).find((), boxes(ANA), ASPECT) == ("main",)
    assert Subjects(number=None).find((), boxes(ANA), ASPECT) == ("main",)
    assert Subjects(choice="2").find((), boxes(ANA), ASPECT) == ()


def test_the_establishing_shot_is_made_once() -> None:
    sets = [("default", SHOT_TYPES), ("story", (ShotType.CLOSE_UP,))]
    assert wanted_crops(("main", "person2"), sets, SHOT_TYPES) == (
        "establishing",
        "medium",
        "close_up",
        "close_up-story",
        "person2-medium",
        "person2-close_up",
        "person2-close_up-story",
    )
    assert wanted_crops(("person2",), sets[:1], (ShotType.ESTABLISHING, ShotType.MEDIUM)) == (
        "establishing",
        "person2-medium",
    )
    assert wanted_crops((), sets, SHOT_TYPES) == ()


def test_the_key_of_an_ordinary_crop_is_its_shot() -> None:
    key = CropKey(ShotType.MEDIUM)
    assert (key, hash(key), key.is_ordinary) == (ShotType.MEDIUM, hash(ShotType.MEDIUM), True)
    other = CropKey(ShotType.MEDIUM, "person2", "story")
    assert (str(other), other.is_ordinary, CropKey.of(other)) == ("person2-medium-story", False, other)
    assert [person_number(one) for one in (MAIN, GROUP, person_key(12), "personal")] == [None, None, 12, None]


@st.composite
def crowds(draw: st.DrawFn) -> tuple[Person, ...]:
    places = st.tuples(st.floats(0.05, 0.95), st.floats(0.02, 0.3), st.floats(0.1, 0.8))
    return tuple(person(x, height, y) for x, height, y in draw(st.lists(places, min_size=1, max_size=10)))


@given(crowds())
def test_a_group_holds_all_heads_of_its_members_whole(people: tuple[Person, ...]) -> None:
    main = Subject(people[0].shots, people[0].body, people[0].head)
    subject = subject_of(GROUP, people, main, ASPECT)
    members = group_of(people, ASPECT)
    assert subject is not None
    assert 1 in members
    for shot in subject.shots[1:]:
        for number in members:
            head = people[number - 1].head
            assert head is not None
            assert shot.box.x0 <= head.x0 <= head.x1 <= shot.box.x1
            assert shot.box.y0 <= head.y0 <= head.y1 <= shot.box.y1
    assert subject.shots[0] == main.shots[0]


@given(crowds(), st.randoms())
def test_a_group_does_not_depend_on_the_order_of_the_others(people: tuple[Person, ...], random: object) -> None:
    assume(len(sure_people(people)) == len(people))  # of the same head twice, the first counts
    others = [*people[1:]]
    random.shuffle(others)  # type: ignore[attr-defined]
    shuffled = (people[0], *others)

    def heads(crowd: tuple[Person, ...]) -> set[Box | None]:
        return {crowd[number - 1].head for number in group_of(crowd, ASPECT)}

    assert heads(people) == heads(shuffled)


@pytest.mark.parametrize(
    ("other", "belongs"),
    [
        (person(0.65, 0.1), True),  # 1.5 head heights away in a photo of 3:2
        (person(0.95, 0.1), False),  # more than 5
        (person(0.65, 0.04), False),  # far behind
        (replace(person(0.65, 0.1), head=None), False),
    ],
)
def test_people_near_each_other_with_heads_of_similar_size_belong_together(other: Person, belongs: bool) -> None:
    assert group_of((person(0.55, 0.1), other), ASPECT) == ((1, 2) if belongs else (1,))


def test_what_only_looks_like_somebody_does_not_count() -> None:
    doubtful = replace(person(0.9, 0.1), confidence=0.3)
    sure = replace(person(0.7, 0.1), confidence=0.8)
    again = replace(person(0.705, 0.11), confidence=0.9)
    headless = replace(person(0.2, 0.1), head=None)
    crowd = (ANA, doubtful, sure, again, headless, person(0.1, 0.1))
    assert sure_people(crowd) == (1, 3, 6)
    assert sure_people((replace(doubtful, head=None), sure)) == (1, 2)
    assert Subjects(number=2).find(crowd, boxes(ANA), ASPECT) == ("main", "person3")
    assert Subjects(choice="2").find(crowd, boxes(ANA), ASPECT) == ("person2",)
