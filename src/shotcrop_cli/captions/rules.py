"""Captions, alternative texts and reasoning by rule: whole phrases for facts, in any language that has a catalogue.

A text grows from left to right: whom the crop shows, then one phrase after the other. Each phrase is a message with a
place for the text so far, so a translation may put its words before, after or around it. No phrase bends another. Where
a language needs other forms, the messages differ: for one person and several, and for a face and the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from shotcrop_cli.captions.messages import (
    SOURCE_LANGUAGE,
    Catalogue,
    Message,
    catalogue,
    message,
    message_for,
    message_in,
)
from shotcrop_cli.crop_facts import CropFacts, Part, Who
from shotcrop_cli.shots import SETTINGS, Composition, Grounding, Reasoning, Shot, ShotText

ENOUGH = 3
"""A close-up with this many facts of its own does not repeat where the people are."""

WHO = {
    Who.MAIN: message("The main person"),
    Who.PERSON: message("A person"),
    Who.ALONE: message("A person"),
    Who.CHILD: message("A child"),
    Who.ONE: message("One of the people"),
    Who.TWO: message("Two people"),
    Who.PEOPLE: message("People"),
    Who.GROUP: message("A group of people"),
    Who.CROWD: message("A crowd of people"),
    Who.DOG: message("A dog"),
    Who.UNSURE: message("A scene"),
}
_NO_ONE_TOLD = (Who.MAIN, Who.PERSON, Who.ALONE, Who.ONE, Who.UNSURE)
"""Of whom a text says nothing but that they are there."""
IN_MEDIUM = {**WHO, Who.ALONE: message("One person"), Who.CHILD: message("One child")}
"""Whom a medium shot shows. It is narrow enough to say that there is no one else."""
_HEADS = {
    Who.TWO: message("The heads of two people"),
    Who.PEOPLE: message("The heads of people"),
    Who.GROUP: message("The heads of a group of people"),
    Who.CROWD: message("The heads of a crowd of people"),
    Who.DOG: message("The head of a dog"),
    Who.UNSURE: message("A detail of a scene"),
}
FACE = {
    Who.MAIN: message("The face of a person"),
    Who.PERSON: message("The face of a person"),
    Who.ALONE: message("The face of a person"),
    Who.CHILD: message("The face of a child"),
    Who.ONE: message("The face of one of the people"),
    **_HEADS,
}
HEAD = {
    Who.MAIN: message("The head of a person"),
    Who.PERSON: message("The head of a person"),
    Who.ALONE: message("The head of a person"),
    Who.CHILD: message("The head of a child"),
    Who.ONE: message("The head of one of the people"),
    **_HEADS,
}
SHOULDERS = {
    Who.MAIN: message("Head and shoulders of a person"),
    Who.PERSON: message("Head and shoulders of a person"),
    Who.ALONE: message("Head and shoulders of a person"),
    Who.CHILD: message("Head and shoulders of a child"),
    Who.ONE: message("Head and shoulders of one of the people"),
    Who.TWO: message("Heads and shoulders of two people"),
    Who.PEOPLE: message("Heads and shoulders of people"),
    Who.GROUP: message("Heads and shoulders of a group of people"),
    Who.CROWD: message("Heads and shoulders of a crowd of people"),
    Who.DOG: message("The head of a dog"),
    Who.UNSURE: message("A detail of a scene"),
}
DETAIL = {
    Who.MAIN: message("A detail of the main person"),
    Who.PERSON: message("A detail of a person"),
    Who.ALONE: message("A detail of a person"),
    Who.CHILD: message("A detail of a child"),
    Who.ONE: message("A detail of one of the people"),
    Who.TWO: message("A detail of two people"),
    Who.PEOPLE: message("A detail of people"),
    Who.GROUP: message("A detail of a group of people"),
    Who.CROWD: message("A detail of a crowd of people"),
    Who.DOG: message("A detail of a dog"),
    Who.UNSURE: message("A detail of a scene"),
}
_OF_PART = {Part.FACE: FACE, Part.SHOULDERS: SHOULDERS, Part.HEAD: HEAD, Part.DETAIL: DETAIL}
CLOTHES = {
    "dark": message("{text} in dark clothes"),
    "light": message("{text} in light clothes"),
    "red": message("{text} in red"),
    "orange": message("{text} in orange"),
    "yellow": message("{text} in yellow"),
    "green": message("{text} in green"),
    "blue": message("{text} in blue"),
    "purple": message("{text} in purple"),
    "pink": message("{text} in pink"),
}
CLOTHES_BELOW_FACE = {
    "dark": message_in("face", "{text} in dark clothes"),
    "light": message_in("face", "{text} in light clothes"),
    "red": message_in("face", "{text} in red"),
    "orange": message_in("face", "{text} in orange"),
    "yellow": message_in("face", "{text} in yellow"),
    "green": message_in("face", "{text} in green"),
    "blue": message_in("face", "{text} in blue"),
    "purple": message_in("face", "{text} in purple"),
    "pink": message_in("face", "{text} in pink"),
}
CLOTHES_OF_ONE_OF_SEVERAL = {
    "dark": message("{text}, in dark clothes"),
    "light": message("{text}, in light clothes"),
    "red": message("{text}, in red"),
    "orange": message("{text}, in orange"),
    "yellow": message("{text}, in yellow"),
    "green": message("{text}, in green"),
    "blue": message("{text}, in blue"),
    "purple": message("{text}, in purple"),
    "pink": message("{text}, in pink"),
}
"""Clothes of one of the people, with a comma, so that they are not the clothes of all."""
CLOTHES_BELOW_FACE_OF_ONE_OF_SEVERAL = {
    "dark": message_in("face", "{text}, in dark clothes"),
    "light": message_in("face", "{text}, in light clothes"),
    "red": message_in("face", "{text}, in red"),
    "orange": message_in("face", "{text}, in orange"),
    "yellow": message_in("face", "{text}, in yellow"),
    "green": message_in("face", "{text}, in green"),
    "blue": message_in("face", "{text}, in blue"),
    "purple": message_in("face", "{text}, in purple"),
    "pink": message_in("face", "{text}, in pink"),
}
CLOTHES_OF_ONE = {
    "dark": message("{text}, one of them in dark clothes"),
    "light": message("{text}, one of them in light clothes"),
    "red": message("{text}, one of them in red"),
    "orange": message("{text}, one of them in orange"),
    "yellow": message("{text}, one of them in yellow"),
    "green": message("{text}, one of them in green"),
    "blue": message("{text}, one of them in blue"),
    "purple": message("{text}, one of them in purple"),
    "pink": message("{text}, one of them in pink"),
}
CLOTHES_OF_ANOTHER = {
    "dark": message("{text} and another in dark clothes"),
    "light": message("{text} and another in light clothes"),
    "red": message("{text} and another in red"),
    "orange": message("{text} and another in orange"),
    "yellow": message("{text} and another in yellow"),
    "green": message("{text} and another in green"),
    "blue": message("{text} and another in blue"),
    "purple": message("{text} and another in purple"),
    "pink": message("{text} and another in pink"),
}
"""Follows one of `CLOTHES_OF_ONE`."""
THING = {
    "dog": message("{text} with a dog"),
    "motorcycle": message("{text} with a motorcycle"),
    "bicycle": message("{text} with a bicycle"),
    "skateboard": message("{text} with a skateboard"),
    "boat": message("{text} with a boat"),
    "ball": message("{text} with a ball"),
}
THING_TOO = {
    "dog": message("{text}, with a dog"),
    "motorcycle": message("{text}, with a motorcycle"),
    "bicycle": message("{text}, with a bicycle"),
    "skateboard": message("{text}, with a skateboard"),
    "boat": message("{text}, with a boat"),
    "ball": message("{text}, with a ball"),
}
"""Said after what people do, so that no dog plays tennis."""
ACTION = {
    "climbing": message_for("{text} climbing", "{text} climbing"),
    "basketball": message_for("{text} playing basketball", "{text} playing basketball"),
    "tennis": message_for("{text} playing tennis", "{text} playing tennis"),
    "baseball": message_for("{text} playing baseball", "{text} playing baseball"),
}
PLACE = {
    "snow": message("{text} in the snow"),
    "ice": message("{text} on the ice"),
    "in water": message("{text} in the water"),
    "pool": message("{text} at the pool"),
    "beach": message("{text} at the beach"),
    "water": message("{text} at the water"),
    "rocks": message("{text} among rocks"),
    "playground": message("{text} on a playground"),
    "grass": message("{text} in a grassy area"),
    "trees": message("{text} among trees"),
    "street": message("{text} in town"),
    "outdoor": message("{text} outdoors"),
    "indoor": message("{text} indoors"),
}
FACING = {
    "camera": message("{text}, facing the camera"),
    "left": message("{text}, facing left"),
    "right": message("{text}, facing right"),
    "away": message("{text}, seen from behind"),
    "down": message("{text}, looking down"),
    "up": message("{text}, looking up"),
}
FACE_POINTS = {
    "camera": message_in("face", "{text}, facing the camera"),
    "left": message_in("face", "{text}, facing left"),
    "right": message_in("face", "{text}, facing right"),
    "away": FACING["away"],
}
FRAMING = {
    "distance": message("{text}, seen from a distance"),
    "full": message("{text}, full length"),
    "three-quarter": message("{text}, three-quarter length"),
    "closer": message("{text}, in a closer view"),
}
BACKGROUND = {
    "dark": message("{text}, against a dark background"),
    "light": message("{text}, against a light background"),
    "green": message("{text}, against a green background"),
    "blue": message("{text}, against a blue background"),
}
SIDE = {
    "left": message("{text}, on the left of the picture"),
    "right": message("{text}, on the right of the picture"),
}
BEHIND = {
    "one": message("{text}, with someone else in the background"),
    "several": message("{text}, with other people in the background"),
}
COUNT = (
    message("One person"),
    message("Two people"),
    message("Three people"),
    message("Four or more people"),
)
SETTING = {"outdoor": message("Outdoors"), "indoor": message("Indoors")}
SUBJECT = (
    message("The main person is on the left of the photo"),
    message("The main person is in the middle of the photo"),
    message("The main person is on the right of the photo"),
)
ONLY_SUBJECT = (
    message("The person is on the left of the photo"),
    message("The person is in the middle of the photo"),
    message("The person is on the right of the photo"),
)
STORY = {
    ("wide", Part.FACE): message("First the place, then the person in it, then the face"),
    ("wide", Part.HEAD): message("First the place, then the person in it, then the head"),
    ("wide", Part.DETAIL): message("First the place, then the person in it, then a detail"),
    ("full", Part.FACE): message("First the whole figure, then the person closer up, then the face"),
    ("full", Part.HEAD): message("First the whole figure, then the person closer up, then the head"),
    ("full", Part.DETAIL): message("First the whole figure, then the person closer up, then a detail"),
    ("medium", Part.FACE): message("First the person and what is around them, then the upper body, then the face"),
    ("medium", Part.HEAD): message("First the person and what is around them, then the upper body, then the head"),
    ("medium", Part.DETAIL): message("First the person and what is around them, then the upper body, then a detail"),
    ("close", Part.FACE): message("Step by step closer to the face"),
    ("close", Part.HEAD): message("Step by step closer to the head"),
    ("close", Part.DETAIL): message("Step by step closer to a detail"),
}
"""Stories, by how the photo frames the person and by what the close-up shows."""
SENTENCE = message("{text}.")


def describe(
    crops: Sequence[CropFacts], language: str = SOURCE_LANGUAGE, *, strict: bool = False
) -> tuple[ShotText, ...]:
    """Describe the three crops of a photo.

    Args:
        crops: What each shows, the widest first.
        language: A key of `messages.LANGUAGES`.
        strict: Whether a text is empty that would only say whom the crop shows, and whether that is indoors.
    """
    words = catalogue(language)
    wide, medium, tight = crops
    told = _distinct((_choose_wide(wide), replace(medium, framing=None, behind=None), _choose_tight(tight)), crops)
    return tuple(
        ShotText(
            "" if strict and not is_telling(one) else _text(one, words, subjects),
            "" if strict and not is_telling(facts) else words.say(SENTENCE, text=_text(facts, words, subjects)),
        )
        for one, facts, subjects in zip(told, crops, (WHO, IN_MEDIUM, WHO), strict=True)
    )


def is_telling(facts: CropFacts) -> bool:
    """Say whether a text would say more than whom a crop shows, where in it, and whether that is indoors."""
    return count_facts(replace(facts, side=None, place=None if facts.place in SETTINGS else facts.place)) > 0


def count_facts(facts: CropFacts) -> int:
    """Return how many facts a text says beyond "a person" and the size of the shot; "one person" is not counted."""
    said = (
        facts.colour,
        facts.another,
        facts.thing,
        facts.action,
        facts.place,
        facts.facing,
        facts.background,
        facts.side,
        facts.behind,
    )
    return sum(value is not None for value in said) + (facts.who not in _NO_ONE_TOLD)


def verbalise(grounding: Grounding, crops: Sequence[CropFacts] = (), language: str = SOURCE_LANGUAGE) -> Reasoning:
    """Put the facts of a grounding into words, and add nothing.

    Args:
        grounding: The facts.
        crops: What the three crops show, which says more about the scene; empty if it is unknown.
        language: A key of `messages.LANGUAGES`.
    """
    words = catalogue(language)
    wide, part = (crops[0], crops[-1].part) if crops else (None, None)
    setting = grounding.setting
    if wide is not None:
        is_known = wide.who not in _NO_ONE_TOLD or wide.place is not None
        scene = _text(CropFacts(wide.who, place=wide.place), words) if is_known else ""
    elif grounding.people:
        scene = words.say(COUNT[min(grounding.people, len(COUNT)) - 1])
        scene = words.say(PLACE[setting], text=scene) if setting else scene
    else:
        scene = words.say(SETTING[setting]) if setting else ""
    subject = ""
    if grounding.main_person is not None and (wide is None or wide.who is not Who.UNSURE):
        # Thirds of the frame, the photographer's own grid.
        is_only = wide is not None and wide.who in (Who.PERSON, Who.ALONE, Who.CHILD) and not wide.behind
        third = min(int(grounding.main_person.centre[0] * 3), 2)
        subject = words.say((ONLY_SUBJECT if is_only else SUBJECT)[third])
        facing = grounding.facing if wide is None else wide.facing
        subject = words.say(FACING[facing], text=subject) if facing else subject
    scale = grounding.native_scale
    story = words.say(STORY[scale, Part.HEAD if part in (None, Part.SHOULDERS) else part]) if scale else ""
    return Reasoning(*(words.say(SENTENCE, text=text) if text else "" for text in (scene, subject, story)))


def reword(answer: Composition, language: str = SOURCE_LANGUAGE, *, strict: bool = False) -> Composition:
    """Return an answer with captions, alternative texts and reasoning; see `describe`.

    Answers without facts, such as those of a large model, keep their own words.
    """
    if not answer.facts:
        return answer
    shots = _described(answer.shots, answer.facts, language, strict)
    people = tuple(
        replace(one, shots=_described(one.shots, one.facts, language, strict)) if one.facts else one
        for one in answer.people
    )
    reasoning = verbalise(answer.grounding or Grounding(), answer.facts, language)
    return replace(answer, shots=shots, reasoning=reasoning, people=people)


def _described(shots: Sequence[Shot], facts: Sequence[CropFacts], language: str, strict: bool) -> tuple[Shot, ...]:
    texts = describe(facts, language, strict=strict)
    return tuple(
        replace(shot, caption=text.caption, alt_text=text.alt_text) for shot, text in zip(shots, texts, strict=True)
    )


def _choose_wide(facts: CropFacts) -> CropFacts:
    """Leave out of an establishing shot's caption what tighter shots say better, unless it would say nothing else."""
    rest = replace(facts, facing=None, framing="distance" if facts.framing == "distance" else None)
    return rest if is_telling(rest) else replace(rest, facing=facts.facing)


def _choose_tight(facts: CropFacts) -> CropFacts:
    """Leave out of a close-up's caption where the people are, if it says enough else."""
    own = replace(facts, place=None)
    return own if count_facts(own) >= ENOUGH else facts


def _distinct(told: Sequence[CropFacts], facts: Sequence[CropFacts]) -> Sequence[CropFacts]:
    """Let establishing and medium shot say different things where the same is known about both.

    "One person" instead of "a person" is difference enough only if nothing else is known.
    """
    wide, medium, tight = told
    for first, second in (
        (wide, medium),
        (replace(wide, facing=None), medium),
        (wide, replace(medium, framing=facts[1].framing)),
        (replace(wide, framing=facts[0].framing), medium),
    ):
        if first != second:
            return first, second, tight
    return told if WHO[wide.who] != IN_MEDIUM[medium.who] else (wide, replace(medium, framing="closer"), tight)


def _text(facts: CropFacts, words: Catalogue, subjects: Mapping[Who, Message] = WHO) -> str:
    """Put all facts into words.

    Args:
        facts: The facts.
        words: The messages.
        subjects: What to call whom a crop shows if it is no close-up.
    """
    is_one = not facts.who.is_several
    text = words.say((subjects if facts.part is None else _OF_PART[facts.part])[facts.who])
    for phrase in _phrases(facts):
        text = words.say(phrase, is_one=is_one, text=text)
    return text


def _phrases(facts: CropFacts) -> Iterator[Message]:
    """Yield the messages that follow the subject of a text."""
    one, is_face = facts.who.is_one, facts.part is Part.FACE
    if facts.who is Who.ONE and facts.colour:
        yield (CLOTHES_BELOW_FACE_OF_ONE_OF_SEVERAL if is_face else CLOTHES_OF_ONE_OF_SEVERAL)[facts.colour]
    elif one and facts.colour:
        yield (CLOTHES_BELOW_FACE if is_face else CLOTHES)[facts.colour]
    if facts.action:
        yield ACTION[facts.action]
    elif facts.thing:
        yield THING[facts.thing]
    if facts.place:
        yield PLACE[facts.place]
    if facts.action and facts.thing:
        yield THING_TOO[facts.thing]
    if not one and facts.colour:
        yield CLOTHES_OF_ONE[facts.colour]
        if facts.another:
            yield CLOTHES_OF_ANOTHER[facts.another]
    if facts.facing:
        yield (FACE_POINTS if is_face else FACING)[facts.facing]
    if facts.framing:
        yield FRAMING[facts.framing]
    if facts.background:
        yield BACKGROUND[facts.background]
    if facts.side:
        yield SIDE[facts.side]
    if facts.behind:
        yield BEHIND[facts.behind]
