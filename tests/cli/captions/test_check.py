"""The checks refuse what is wrong with an answer, and let good answers in several languages pass."""

from __future__ import annotations

import pytest

from caption_server import GERMAN, GOOD, SHOTS
from shotcrop_cli.captions.check import problems_of
from shotcrop_cli.shots import SHOT_TYPES, CaptionRequest, PhotoText, ShotText

FRENCH = "Une femme est assise dans un café avec un livre et une tasse sur la table devant elle"
SPANISH = "Una mujer está sentada en la mesa con un libro y una taza junto a la ventana"
ITALIAN = "Una donna è seduta al tavolo con un libro e una tazza accanto alla finestra"
DUTCH = "Een vrouw zit met een boek en een kopje aan de tafel bij het raam"
PORTUGUESE = "Uma mulher está sentada em uma mesa com um livro e as mãos na xícara do café"
CHINESE = "一位女士坐在窗边的桌子旁看书"
RUSSIAN = "Женщина сидит за столом у окна с книгой и чашкой"
ENGLISH = "A woman sits at the table by the window with a book and a cup"
IN = {
    "en": ENGLISH,
    "es": SPANISH,
    "fr": FRENCH,
    "it": ITALIAN,
    "nl": DUTCH,
    "pt": PORTUGUESE,
    "ru": RUSSIAN,
    "zh": CHINESE,
}


def answer(document: dict[str, object]) -> PhotoText:
    shots = [document[shot] for shot in SHOTS]
    return PhotoText(tuple(ShotText(**shot) for shot in shots), str(document["story"]))  # type: ignore[arg-type]


def saying(text: str) -> PhotoText:
    """Return an answer that says the same everywhere, with captions that differ in a letter."""
    return PhotoText(tuple(ShotText(f"{text} {end}", text) for end in "abc"), text)


def problems(text: PhotoText, language: str = "en", people: int | None = None) -> list[str]:
    return problems_of(text, CaptionRequest(SHOT_TYPES, (b"",) * 3, None, people), language)


def test_good_answers_pass() -> None:
    assert problems(answer(GOOD)) == []
    assert problems(answer(GERMAN), "de") == []


@pytest.mark.parametrize("written", IN)
@pytest.mark.parametrize("wanted", IN)
def test_languages_are_told_apart(written: str, wanted: str) -> None:
    found = problems(saying(IN[written]), wanted)
    assert bool(found) is (written != wanted), found
    assert all(problem.startswith("it is not in ") for problem in found)


def test_regions_of_a_language_are_that_language() -> None:
    assert problems(saying(PORTUGUESE), "pt-BR") == []
    assert problems(saying(ENGLISH), "pt-BR") == ["it is not in Portuguese"]


def test_unknown_languages_pass() -> None:
    assert problems(saying(ENGLISH), "eo") == []


@pytest.mark.parametrize(
    ("text", "people", "wrong"),
    [
        ("Two young women are at the table", 1, True),
        ("Two young women are at the table", 2, False),
        ("Three men with the bikes", 2, True),
        ("Several people walk in the park", 2, True),
        ("A group of people in the park", 1, True),
        ("A crowd on the square", 4, False),
        ("A man stands alone on the shore", 2, True),
        ("A man stands alone on the shore", 1, False),
        ("A lone figure on the shore", 4, True),
        ("Ten people on the stairs", 4, False),  # 4 stands for four or more
        ("Two dogs run in the snow", 1, False),
        ("Two women at the table", None, False),
    ],
)
def test_the_number_of_people(text: str, people: int | None, wrong: bool) -> None:
    assert bool(problems(saying(text), people=people)) is wrong


@pytest.mark.parametrize("text", ["A photo of a man", "This picture shows the man", "A close-up of the face"])
def test_phrases_that_say_nothing(text: str) -> None:
    assert any("says '" in problem for problem in problems(saying(text)))


@pytest.mark.parametrize("text", ["A man takes a photo", "A woman with a picture frame", "The boy in a shot-put ring"])
def test_words_that_only_look_like_these_phrases(text: str) -> None:
    assert problems(saying(text)) == []


def test_only_persons_in_the_metadata_may_be_named() -> None:
    request = CaptionRequest(SHOT_TYPES, (b"",) * 3, None, 1)
    text = saying("Serena Williams is at the net with a ball")
    assert problems_of(text, request, "en") == ["it names 'Serena Williams', who is not known to be in the photo"]
    assert problems_of(text, request, "en", "Final: Serena Williams") == []
