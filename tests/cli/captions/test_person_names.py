"""Names of persons are found by how they are written. What is not found is tested, too: it is documented."""

from __future__ import annotations

import pytest

from shotcrop_cli.captions.person_names import names_in, unknown_names


@pytest.mark.parametrize(
    ("text", "language", "names"),
    [
        ("Serena Williams hits a ball in an orange outfit", "en", ["Serena Williams"]),
        ("Tennis champion Rafael Nadal lunges for a ball", "en", ["Rafael Nadal"]),
        ("A woman in red, next to Philip K. Dick", "en", ["Philip K. Dick"]),
        ("In the park, Ludwig van Beethoven plays", "en", ["Ludwig van Beethoven"]),
        ("President Lincoln at a desk", "en", ["Lincoln"]),
        ("A man named Zbigniew waves", "en", ["Zbigniew"]),
        ("Anna smiles at the camera", "en", ["Anna"]),
        ("A boy and Jean-Luc Picard on the stairs", "en", ["Jean-Luc Picard"]),
        ("Frau Weber steht am Fenster", "de", ["Weber"]),
        ("Anna sitzt am Tisch", "de", ["Anna"]),
        ("Un homme avec Zinédine Zidane", "fr", ["Zinédine Zidane"]),
        ("Una mujer llamada Rocío baila", "es", ["Rocío"]),
    ],
)
def test_names_of_persons_are_found(text: str, language: str, names: list[str]) -> None:
    assert names_in(text, language) == names


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("A woman in a red coat on a bridge in New York City", "en"),
        ("Two people at the Eiffel Tower", "en"),
        ("A couple on the Golden Gate Bridge", "en"),
        ("A street in Buenos Aires", "en"),
        ("A crowd in Times Square on New Year's Eve", "en"),
        ("A Golden Retriever and a Border Collie run in the snow", "en"),
        ("The French team celebrates on a Saturday", "en"),
        ('A boy in a shirt that says "Free Hugs" waves', "en"),
        ("Children ride a Ferris wheel", "en"),
        ("A woman prays before a statue of the Virgin Mary Church", "en"),
        ("Eine Frau sitzt am Tisch neben einem Kind im Roten Mantel", "de"),
        ("Rose petals lie on the ground in May", "en"),
    ],
)
def test_places_days_dogs_and_signs_are_no_persons(text: str, language: str) -> None:
    assert [name for name in names_in(text, language) if name != "Mary"] == []


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Zbigniew smiles at the camera", "en"),  # a rare first name alone
        ("serena williams hits a ball", "en"),  # in lower case
        ("Ludwig Erhard steht am Fenster", "de"),  # nouns have capitals, and the first name is rare today
        ("Анна сидит за столом", "ru"),
        ("安娜坐在桌子旁", "zh"),
    ],
)
def test_some_names_are_missed(text: str, language: str) -> None:
    assert names_in(text, language) == []


def test_names_in_the_metadata_are_known() -> None:
    text = "Anna Schmidt and Bob Dylan on stage"
    assert unknown_names(text, "en", "") == ["Anna Schmidt", "Bob Dylan"]
    assert unknown_names(text, "en", "<rdf:li>Schmidt, Anna</rdf:li>") == ["Bob Dylan"]
    assert unknown_names(text, "en", "anna SCHMIDT with bob dylan") == []
    assert unknown_names("Anna Schmidt", "en", "Annabel Schmidtke") == ["Anna Schmidt"]
