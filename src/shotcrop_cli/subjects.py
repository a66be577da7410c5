"""Choose whom to crop: the main subject, single people, or the group of those who belong together."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shotcrop_cli.geometry import intersection
from shotcrop_cli.shots import GROUP, MAIN, SHOT_TYPES, Box, CropKey, Person, Shot, ShotType, person_key, person_number

PLACES = ("left", "centre", "right")
CHOICES = (MAIN, "largest", *PLACES, GROUP)
"""Whom a user can choose by a word; besides these, by a number."""
PROMINENT = 0.5
"""The leftmost person is the leftmost of those whose heads have at least this share of the largest head's height, so
that passers-by in the background do not count."""
REACH = 3.5
"""Two people belong together if their heads are at most this many head heights apart, centre to centre (our choice).
People who stand shoulder to shoulder are 2 to 2.5 apart."""
SIMILAR = 0.55
"""And if the smaller head has at least this share of the larger one's height: others stand farther away."""
SURE = 0.6
"""Least confidence in a person who counts without being asked for by number. Source: 13 photos with 48 detections, all
looked at. Below were mostly other things, the same person again, and small people in the background."""
SAME = 0.5
"""Two heads are the same one if this share of the smaller one is in the larger one."""
PART_OF_MAIN = 0.5
"""A person with at least this probability is part of the main subject."""


@dataclass(frozen=True, slots=True)
class Subjects:
    """Whom to crop.

    Args:
        number: How many people besides the main subject count: 1 for the main subject alone, 3 for the three most
            probable people, None for all.
        choice: One of `CHOICES`, or the number of a person; empty to go by `number`.
        names: Only the people with these names.
    """

    number: int | None = 1
    choice: str = ""
    names: tuple[str, ...] = ()

    @property
    def is_main(self) -> bool:
        """Whether only the main subject is wanted."""
        return not self.names and self.choice in ("", MAIN) and (self.number == 1 or bool(self.choice))

    def find(self, people: Sequence[Person], shots: Sequence[Box], aspect: float) -> tuple[str, ...]:
        """Return who is wanted in a photo, as `CropKey` calls them; the main subject comes first.

        Args:
            people: Everybody in the photo, the main person first; empty if unknown.
            shots: The boxes of the main subject's shots.
            aspect: Width / height of the photo.
        """
        if self.names:
            wanted = {folded_name(name) for name in self.names}
            found = [number for number, one in enumerate(people, 1) if one.name and folded_name(one.name) in wanted]
        elif self.is_main:
            return (MAIN,)
        elif self.choice:
            return self._chosen(people, shots, aspect)
        else:
            found = list(sure_people(people)[: self.number])
            return tuple(dict.fromkeys((MAIN, *(_canonical(number, people, shots) for number in found))))
        return tuple(dict.fromkeys(_canonical(number, people, shots) for number in found))

    def _chosen(self, people: Sequence[Person], shots: Sequence[Box], aspect: float) -> tuple[str, ...]:
        if self.choice.isdecimal():
            number = int(self.choice)
            known = len(people) or 1  # some models report no people besides the main subject
            return (_canonical(number, people, shots),) if 1 <= number <= known else ()
        if self.choice == GROUP:
            return (GROUP,) if len(group_of(people, aspect)) > 1 else (MAIN,)
        chosen = _by_place(self.choice, people)
        return (MAIN,) if chosen is None else (_canonical(chosen, people, shots),)


def sure_people(people: Sequence[Person]) -> tuple[int, ...]:
    """Return the numbers of those who surely are people, each once; models also report what only looks like somebody.

    The main person always counts.
    """
    sure: list[int] = []
    heads: list[Box] = []
    for number, person in enumerate(people, 1):
        head = person.head
        is_sure = head is not None and (person.confidence is None or person.confidence >= SURE)
        if number == 1 or (is_sure and not any(_is_same(head, other) for other in heads if head is not None)):
            sure.append(number)
            heads += [head] if head is not None else []
    return tuple(sure)


def _is_same(a: Box, b: Box) -> bool:
    shared = intersection(a, b)
    return shared is not None and shared.area >= SAME * min(a.area, b.area)


def folded_name(name: str) -> str:
    """Return a name without what people do not notice: case, composition of letters and extra spaces."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _canonical(number: int, people: Sequence[Person], shots: Sequence[Box]) -> str:
    """Return the key of a person; `main` for the one who alone is the main subject."""
    if number == 1 and (not people or [shot.box for shot in people[0].shots] == [*shots]):
        return MAIN
    return person_key(number)


def _by_place(choice: str, people: Sequence[Person]) -> int | None:
    """Return the number of the largest person, or of the one at a place; None if no one was located."""
    heights = {number: _height(people[number - 1]) for number in sure_people(people)}
    largest = max(heights.values(), default=0.0)
    numbers = [number for number, height in heights.items() if height > 0 and height >= PROMINENT * largest]
    if not numbers:
        return None
    if choice == "largest":
        return max(numbers, key=lambda number: heights[number])
    middle = {number: _middle(people[number - 1]) for number in numbers}
    if choice == "left":
        return min(numbers, key=lambda number: middle[number])
    if choice == "right":
        return max(numbers, key=lambda number: middle[number])
    return min(numbers, key=lambda number: abs(middle[number] - 0.5))


def _height(person: Person) -> float:
    """Return the height of a person's head; estimated from the body if that is all."""
    if person.head is not None:
        return person.head.height
    return 0.0 if person.body is None else person.body.height / 7.5


def _middle(person: Person) -> float:
    part = person.head or person.body
    return 0.5 if part is None else part.centre[0]


def group_of(people: Sequence[Person], aspect: float) -> tuple[int, ...]:
    """Return the numbers of those who belong together with the main person, who is one of them.

    Two people belong together if their heads are near each other and of similar size. Everybody who belongs to somebody
    of the group belongs to it.

    Args:
        people: Everybody in the photo, the main person first.
        aspect: Width / height of the photo.
    """
    heads = {number: head for number in sure_people(people) if (head := people[number - 1].head) is not None}
    if 1 not in heads:
        return ()
    group, waiting = {1}, [1]
    while waiting:
        one = heads[waiting.pop()]
        near = {number for number, head in heads.items() if number not in group and _belong(one, head, aspect)}
        group |= near
        waiting += sorted(near)
    return tuple(sorted(group))


def _belong(a: Box, b: Box, aspect: float) -> bool:
    (ax, ay), (bx, by) = a.centre, b.centre
    apart = math.hypot((ax - bx) * aspect, ay - by)
    low, high = sorted((a.height, b.height))
    return low >= SIMILAR * high and apart <= REACH * (a.height + b.height) / 2


@dataclass(frozen=True, slots=True)
class Subject:
    """What is cropped of one subject.

    Args:
        shots: Its boxes, widest first.
        body: Its body, or all bodies of a group; None if unknown.
        head: Its head, or the main person's; None if unknown.
        heads: The heads that its crops have to hold.
        others: The heads of other people in the photo.
    """

    shots: tuple[Shot, ...]
    body: Box | None
    head: Box | None
    heads: tuple[Box, ...] = ()
    others: tuple[Box, ...] = ()


def subject_of(person: str, people: Sequence[Person], main: Subject, aspect: float) -> Subject | None:
    """Return the boxes of a subject; None if the photo does not show it.

    Args:
        person: As `CropKey` calls it.
        people: Everybody in the photo, the main person first.
        main: The main subject; its heads need not be known.
        aspect: Width / height of the photo.
    """
    if person == MAIN:
        members = [people[number - 1] for number in sure_people(people)]
        members = [one for one in members if one.probability >= PART_OF_MAIN]
        heads = dict.fromkeys([*([main.head] if main.head else []), *(one.head for one in members if one.head)])
        return _with_heads(main, tuple(heads), people)
    if person == GROUP:
        group = [people[number - 1] for number in group_of(people, aspect)]
        return (
            _with_heads(_joined(group, main), tuple(one.head for one in group if one.head), people) if group else None
        )
    number = person_number(person)
    if number is None or not 1 <= number <= len(people):
        return None
    one = people[number - 1]
    return _with_heads(Subject(one.shots, one.body, one.head), (one.head,) if one.head else (), people)


def _with_heads(subject: Subject, heads: tuple[Box, ...], people: Sequence[Person]) -> Subject:
    sure = (people[number - 1].head for number in sure_people(people))
    others = tuple(head for head in sure if head is not None and not any(_is_same(head, one) for one in heads))
    return Subject(subject.shots, subject.body, subject.head, heads, others)


def _joined(group: Sequence[Person], main: Subject) -> Subject:
    """Return a group: its medium and close-up hold those of everybody, its establishing shot is the main subject's."""
    shots = [main.shots[0]]
    for index, shot in enumerate(SHOT_TYPES[1:], 1):
        box = _hull([part for one in group for part in (one.shots[index].box, one.head) if part is not None])
        shots.append(Shot(shot, box, score=_lowest(one.shots[index].score for one in group)))
    bodies = [one.body for one in group if one.body is not None]
    return Subject(tuple(shots), _hull(bodies) if bodies else None, main.head)


def _hull(boxes: Sequence[Box]) -> Box:
    """Return the smallest box that holds all of these."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return Box(min(x0), min(y0), max(x1), max(y1))


def _lowest(scores: Iterable[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return min(known, default=None)


def wanted_crops(
    found: Sequence[str], sets: Sequence[tuple[str, Sequence[ShotType]]], shots: Sequence[ShotType]
) -> tuple[CropKey, ...]:
    """Return the crops to make. The establishing shot of the main subject stands for everybody.

    Args:
        found: Who is wanted, as `Subjects.find` says.
        sets: The sets that are wanted, each with its shots.
        shots: The shots that are wanted.
    """
    keys: list[CropKey] = []
    for person in found:
        for name, of_set in sets:
            for shot in SHOT_TYPES:
                if shot in of_set and shot in shots:
                    keys.append(CropKey(shot, MAIN if shot is ShotType.ESTABLISHING else person, name))
    return tuple(dict.fromkeys(keys))
