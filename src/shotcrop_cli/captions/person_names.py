"""Find names of persons in captions, by how names are written. It recognises no faces, and knows few names.

It finds

* a title and a name: "President Lincoln", "Frau Weber";
* a name after a word that introduces one: "a man named Tom";
* two capitalised words that do not name a place or a work: "Anna Schmidt smiles". Not in German, where nouns have
  capitals, too;
* a frequent first name that is no other word: "Anna smiles".

What is quoted is ignored: shirts and signs. It misses rare first names that stand alone, names in lower case, and
names in scripts other than Latin. It mistakes some names of companies and works for names of persons; the captioner
is then asked for another caption.
"""

from __future__ import annotations

import re
from collections.abc import Iterator


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_UPPER, _LOWER = "A-ZÀ-ÖØ-Þ", "a-zß-öø-ÿ"
_NAME = rf"[{_UPPER}][{_LOWER}]+(?:[-'’][{_UPPER}][{_LOWER}]+)*"
_FULL_NAME = re.compile(
    rf"(?<![\w'’-])(?P<first>{_NAME})(?:\s+[{_UPPER}]\.)?(?:\s+(?:van|von|de|del|della|da|di|la|bin|al))?"
    rf"\s+(?P<last>{_NAME}(?:\s+{_NAME})*)"
)
_TITLES = (
    r"(?:Mr|Mrs|Ms|Miss|Dr|Prof|Sir|Lady|Lord|Saint|President|Senator|Pope|King|Queen|Prince|Princess|Chancellor|"
    r"Herr|Frau|Monsieur|Madame|Mme|Señor|Señora|Signor|Signora|Senhor|Senhora|Meneer|Mevrouw)"
)
_TITLED = re.compile(rf"\b{_TITLES}\.?\s+(?P<name>{_NAME}(?:\s+{_NAME})*)")
_INTRODUCED = re.compile(
    r"\b(?:named|called|known as|namens|genannt|nommée?|appelée?|llamad[oa]|chiamat[oa]|chamad[oa]|genaamd)\s+"
    rf"(?P<name>{_NAME}(?:\s+{_NAME})*)"
)
_WORD = re.compile(rf"(?<![\w'’-]){_NAME}(?![\w-])")
_FIRST_NAMES = _words(
    # Frequent ones of several languages, without those that are words, places or months, such as Rose, Paris and April.
    """
    Adam Alex Alexander Alice Amanda Amy Andrea Andreas Andrew Angela Ann Anna Anne Anthony Antonio Barbara
    Barack Benjamin Brian Carlos Carmen Caroline Catherine Charles Charlotte Chris Christian Christina Christine
    Claudia Daniel David Deborah Diana Donald Donna Edward Elena Elisabeth Elizabeth Elon Emily Emma Eric Erik
    Eva Fatima Felix Fernando Francesca Francesco François George Giovanni Giulia Giuseppe Hannah Hans Harry
    Heather Helen Helena Henri Henry Ivan James Jan Jane Jason Javier Jean Jeff Jennifer Jessica Jim Joe John
    Jonathan Jorge José Joseph Joshua Juan Julia Julian Karen Kate Katharina Katherine Kevin Klaus Kim Larry
    Laura Lars Leonardo Linda Lisa Louis Lucas Luca Lucia Luis Lukas Manuel Marco Margaret Maria María Marie
    Mario Markus Martin Martina Mary Matthew Matthias Melissa Michael Michelle Miguel Mohammed Monica Muhammad
    Nancy Nicholas Nicole Oliver Olivia Oscar Pablo Patricia Paul Paula Pedro Peter Petra Philip Philippe Pierre
    Rachel Raphael Rebecca Richard Robert Roberto Roger Ronald Sabine Samantha Samuel Sandra Sarah Scott
    Sebastian Sergio Sharon Silvia Simon Sofia Sophia Sophie Stefan Stephanie Stephen Steven Susan Susanne
    Taylor Teresa Thomas Timothy Tom Ursula Valentina Vincent Vladimir William Wolfgang
    """
)
_PLACES = _words(
    """
    Airport Alley Arch Arena Avenue Bay Beach Boulevard Bridge Building Cafe Café Canal Canyon Castle Cathedral
    Center Central Centre Church City Coast College Corner Court Desert Falls Field Forest Fountain Garden
    Gardens Gate Grand Hall Harbor Harbour Highway Hill Hills Hotel House Island Islands Kingdom Lake Land
    Library Main Market Monument Mount Mountain Mountains Museum National New North Northern Ocean Old Opera
    Palace Park Peak Pier Place Plaza Point Port Railway Republic River Road Saint San Santa School Sea Shore
    Shop South Southern Square Stadium State States Station Statue Store Street Temple Terminal Theater Theatre
    Tower Town United University Valley Village Wall West Western East Eastern Yard Zoo
    """
)
"""Words that are parts of names of places."""
_OTHERS = _words(
    """
    American African Asian European British English French German Italian Spanish Chinese Japanese Indian
    Mexican Roman Christmas Halloween Easter Thanksgiving Year Years Eve Day Olympic Olympics League Cup Team
    University Club Band Army Navy Air Force Police Fire Department Company Coca Cola Pepsi Ferris Frisbee Jeep
    Harley Davidson Golden Retriever Border Collie Great Dane Jack Russell Saint Bernard Boston Terrier Nike
    Adidas Spider Superman Batman Mickey Minnie Mouse Santa Claus Virgin God Jesus Christ Buddha Monday Tuesday
    Wednesday Thursday Friday Saturday Sunday January February March April May June July August September
    October November December World War
    """
)
"""Words that are parts of names of peoples, days, dogs, companies and figures."""
_NO_FIRST_NAMES = _words(
    """
    A An The Two Three Four Five Six Seven Eight Nine Ten Several Many Some Young Old Older Little Small Big
    Tall Happy In On At Under Over Near With Behind Beside Before Above Below Between Inside Outside By From Of
    And As While When Un Une Des Les Le La L El Los Las Una Unos Uno Il Lo Gli I Um Uma Os O De Het Een Dans En
    Con Avec Sur Sous Op Met
    """
)
"""Words that begin sentences."""
_PLACE_BEFORE = re.compile(
    r"\b(?:in|at|near|from|(?<!next )to|through|across|over|along|around|outside|inside|towards?|of|the|on|via|"
    r"à|en|au|aux|du|de la|des|a|al|del|nel|nella|della|da|do|dos|na|no|em|uit|van|naar|bij)\s+$",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[\"“”„«»]{1,2}[^\"“”„«»]*[\"“”„«»]{1,2}")
"""What is written on shirts and signs."""
_NOUN_CAPITALS = ("de",)
"""Languages that write nouns with a capital."""


def names_in(text: str, language: str) -> list[str]:
    """Return what in a text looks like the name of a person, each once.

    Args:
        text: A caption, an alternative text or a story.
        language: Its language, two letters.
    """
    found = list(dict.fromkeys(_names(text, language)))
    return [name for name in found if not any(name != other and name in other for other in found)]


def unknown_names(text: str, language: str, known: str) -> list[str]:
    """Return the names of persons in a text that do not occur in what is known of the photo.

    Args:
        text: A caption, an alternative text or a story.
        language: Its language, two letters.
        known: Names and texts from the photo's metadata.
    """
    there = set(re.findall(r"\w+", known.casefold()))
    return [name for name in names_in(text, language) if not set(re.findall(r"\w+", name.casefold())) <= there]


def _names(text: str, language: str) -> Iterator[str]:
    text = _QUOTED.sub(",", text)
    for pattern in (_TITLED, _INTRODUCED):
        for found in pattern.finditer(text):
            yield found["name"]
    if language not in _NOUN_CAPITALS:
        for found in _FULL_NAME.finditer(text):
            words = found[0].split()
            if words[0] in _NO_FIRST_NAMES or re.fullmatch(_TITLES, words[0]):
                words = words[1:]
            is_other = any(word.split("'")[0] in _PLACES | _OTHERS for word in words)
            if len(words) > 1 and not is_other and not _PLACE_BEFORE.search(text[: found.start()]):
                yield " ".join(words)
    for found in _WORD.finditer(text):
        if found[0] in _FIRST_NAMES:
            yield found[0]
