"""Captions, alternative texts and reasoning by rule: whole phrases for facts, in English.

A text grows from left to right: whom the crop shows, then one phrase after the other. Each phrase is a message with a
place for the text so far. No phrase bends another: colours, directions and actions have forms that fit one person and
several, women and men.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from shotcrop_cli.crop_facts import CropFacts, Part, Who
from shotcrop_cli.shots import Composition, Grounding, Reasoning, ShotText

ENOUGH = 3
"""A medium shot or close-up with this many facts of its own does not repeat where the people are."""

WHO = {
    Who.MAIN: "The main person",
    Who.PERSON: "A person",
    Who.CHILD: "A child",
    Who.ONE: "One of the people",
    Who.PEOPLE: "People",
    Who.GROUP: "A group of people",
    Who.CROWD: "A crowd of people",
    Who.DOG: "A dog",
}
FACE = {
    Who.MAIN: "The face of the main person",
    Who.PERSON: "The face of a person",
    Who.CHILD: "The face of a child",
    Who.ONE: "The face of one of the people",
    Who.PEOPLE: "Head and shoulders of people",
    Who.GROUP: "Head and shoulders of a group of people",
    Who.CROWD: "Head and shoulders of a crowd of people",
    Who.DOG: "The head of a dog",
}
HEAD = {
    Who.MAIN: "Head and shoulders of the main person",
    Who.PERSON: "Head and shoulders of a person",
    Who.CHILD: "Head and shoulders of a child",
    Who.ONE: "Head and shoulders of one of the people",
    Who.PEOPLE: FACE[Who.PEOPLE],
    Who.GROUP: FACE[Who.GROUP],
    Who.CROWD: FACE[Who.CROWD],
    Who.DOG: FACE[Who.DOG],
}
DETAIL = {
    Who.MAIN: "A detail of the main person",
    Who.PERSON: "A detail of a person",
    Who.CHILD: "A detail of a child",
    Who.ONE: "A detail of one of the people",
    Who.PEOPLE: "A detail of people",
    Who.GROUP: "A detail of a group of people",
    Who.CROWD: "A detail of a crowd of people",
    Who.DOG: "A detail of a dog",
}
_OF_PART = {None: WHO, Part.FACE: FACE, Part.HEAD: HEAD, Part.DETAIL: DETAIL}
CLOTHES = {
    "dark": "{text} in dark clothes",
    "light": "{text} in light clothes",
    "red": "{text} in red",
    "orange": "{text} in orange",
    "yellow": "{text} in yellow",
    "green": "{text} in green",
    "blue": "{text} in blue",
    "purple": "{text} in purple",
    "pink": "{text} in pink",
}
CLOTHES_OF_ONE = {
    "dark": "{text}, one of them in dark clothes",
    "light": "{text}, one of them in light clothes",
    "red": "{text}, one of them in red",
    "orange": "{text}, one of them in orange",
    "yellow": "{text}, one of them in yellow",
    "green": "{text}, one of them in green",
    "blue": "{text}, one of them in blue",
    "purple": "{text}, one of them in purple",
    "pink": "{text}, one of them in pink",
}
THING = {
    "dog": "{text} with a dog",
    "motorcycle": "{text} with a motorcycle",
    "bicycle": "{text} with a bicycle",
    "skateboard": "{text} with a skateboard",
    "boat": "{text} with a boat",
    "ball": "{text} with a ball",
}
ACTION = {
    "climbing": "{text} climbing",
    "basketball": "{text} playing basketball",
    "tennis": "{text} playing tennis",
    "baseball": "{text} playing baseball",
}
PLACE = {
    "snow": "{text} in the snow",
    "ice": "{text} on the ice",
    "in water": "{text} in the water",
    "pool": "{text} at the pool",
    "beach": "{text} at the beach",
    "water": "{text} by the water",
    "rocks": "{text} among rocks",
    "playground": "{text} on a playground",
    "grass": "{text} in a grassy place",
    "trees": "{text} among trees",
    "street": "{text} in town",
    "outdoor": "{text} outdoors",
    "indoor": "{text} indoors",
}
FACING = {
    "camera": "{text}, facing the camera",
    "left": "{text}, facing left",
    "right": "{text}, facing right",
    "away": "{text}, seen from behind",
    "down": "{text}, looking down",
    "up": "{text}, looking up",
}
FRAMING = {
    "distance": "{text}, seen from a distance",
    "full": "{text}, full length",
    "three-quarter": "{text}, three-quarter length",
    "wide view": "{text}, in a wide view",
}
BACKGROUND = {
    "dark": "{text}, against a dark background",
    "light": "{text}, against a light background",
    "green": "{text}, against a green background",
    "blue": "{text}, against a blue background",
}
SIDE = {
    "left": "{text}, on the left of the picture",
    "right": "{text}, on the right of the picture",
}
COUNT = ("One person", "Two people", "Three people", "Four or more people")
SETTING = {"outdoor": "Outdoors", "indoor": "Indoors"}
SUBJECT = (
    "The main person is on the left of the photo",
    "The main person is in the middle of the photo",
    "The main person is on the right of the photo",
)
STORY = {
    "wide": "First the place, then the person in it, then {closest}",
    "full": "First the whole figure, then the person closer up, then {closest}",
    "medium": "First the person and what is around them, then the upper body, then {closest}",
    "close": "Step by step closer to {closest}",
}
CLOSEST = {Part.FACE: "the face", Part.HEAD: "the head", Part.DETAIL: "a detail"}
"""What a story ends with, by what the close-up shows."""
SENTENCE = "{text}."


def describe(crops: Sequence[CropFacts]) -> tuple[ShotText, ...]:
    """Describe the three crops of a photo.

    Args:
        crops: What each shows, the widest first.
    """
    told = _distinct([_choose(facts, is_wide=number == 0) for number, facts in enumerate(crops)], crops)
    return tuple(ShotText(_text(one), _text(facts, SENTENCE)) for one, facts in zip(told, crops, strict=True))


def count_facts(facts: CropFacts) -> int:
    """Return how many facts a text says beyond "a person" and the size of the shot."""
    said = (facts.colour, facts.thing, facts.action, facts.place, facts.facing, facts.background, facts.side)
    return sum(value is not None for value in said) + (facts.who not in (Who.MAIN, Who.PERSON, Who.ONE))


def verbalise(grounding: Grounding, crops: Sequence[CropFacts] = ()) -> Reasoning:
    """Put the facts of a grounding into words, and add nothing.

    Args:
        grounding: The facts.
        crops: What the three crops show, which says more about the scene; empty if it is unknown.
    """
    wide, part = (crops[0], crops[-1].part) if crops else (None, None)
    setting = grounding.setting
    if wide is not None:
        is_known = wide.who is not Who.MAIN or wide.place is not None
        scene = _text(CropFacts(wide.who, place=wide.place)) if is_known else ""
    elif grounding.people:
        scene = COUNT[min(grounding.people, len(COUNT)) - 1]
        scene = PLACE[setting].format(text=scene) if setting else scene
    else:
        scene = SETTING[setting] if setting else ""
    subject = ""
    if grounding.main_person is not None:
        # Thirds of the frame, the photographer's own grid.
        subject = SUBJECT[min(int(grounding.main_person.centre[0] * 3), 2)]
        facing = grounding.facing if wide is None else wide.facing
        subject = FACING[facing].format(text=subject) if facing else subject
    closest = CLOSEST[part or Part.HEAD]
    story = STORY[grounding.native_scale].format(closest=closest) if grounding.native_scale else ""
    return Reasoning(*(SENTENCE.format(text=text) if text else "" for text in (scene, subject, story)))


def reword(answer: Composition) -> Composition:
    """Return an answer with captions, alternative texts and reasoning; see `describe`.

    Answers without facts, such as those of a large model, keep their own words.
    """
    if not answer.facts:
        return answer
    texts = describe(answer.facts)
    shots = tuple(
        replace(shot, caption=text.caption, alt_text=text.alt_text)
        for shot, text in zip(answer.shots, texts, strict=True)
    )
    reasoning = verbalise(answer.grounding or Grounding(), answer.facts)
    return replace(answer, shots=shots, reasoning=reasoning)


def _choose(facts: CropFacts, *, is_wide: bool) -> CropFacts:
    """Leave out of a caption what another shot says better."""
    if is_wide:
        return replace(facts, facing=None, framing="distance" if facts.framing == "distance" else None)
    own = replace(facts, place=None)
    return replace(own if count_facts(own) >= ENOUGH else facts, framing=None)


def _distinct(told: Sequence[CropFacts], facts: Sequence[CropFacts]) -> Sequence[CropFacts]:
    """Let establishing and medium shot say different things where the same is known about both."""
    wide, medium, tight = told
    if wide != medium:
        return told
    for first, second in (
        (wide, replace(medium, framing=facts[1].framing)),
        (replace(wide, framing=facts[0].framing), medium),
        (replace(wide, framing="wide view"), medium),
    ):
        if first != second:
            return first, second, tight
    return told


def _text(facts: CropFacts, ending: str = "{text}") -> str:
    """Put all facts into words."""
    text = _OF_PART[facts.part][facts.who]
    for message in _phrases(facts):
        text = message.format(text=text)
    return text if ending == "{text}" else ending.format(text=text)


def _phrases(facts: CropFacts) -> Iterator[str]:
    """Yield the messages that follow the subject of a text."""
    one = facts.who.is_one
    if one and facts.colour:
        yield CLOTHES[facts.colour]
    if facts.thing:
        yield THING[facts.thing]
    if facts.action:
        yield ACTION[facts.action]
    if facts.place:
        yield PLACE[facts.place]
    if not one and facts.colour:
        yield CLOTHES_OF_ONE[facts.colour]
    if facts.facing:
        yield FACING[facts.facing]
    if facts.framing:
        yield FRAMING[facts.framing]
    if facts.background:
        yield BACKGROUND[facts.background]
    if facts.side:
        yield SIDE[facts.side]
