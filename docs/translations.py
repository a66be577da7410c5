"""Keep the translations of captions up to date: `python docs/translations.py` after a message or a `.po` file changed.

It collects the messages of `captions/rules.py` and `captions/keywords.py` into `captions.pot`, takes them into the
`.po` file of each language and compiles these into the `.mo` files that shotcrop reads. It translates nothing: it lists
the messages that lack a translation, and ends with status 1 if there are any. `--add nl` begins a language. `--list de`
prints sentences with every phrase after every subject that it can follow, to read one by one.
"""

from __future__ import annotations

import argparse
import io
import itertools
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from shotcrop_cli.captions import keywords, rules
from shotcrop_cli.captions.messages import LOCALE, catalogue
from shotcrop_cli.crop_facts import (
    ACTIONS,
    BACKGROUNDS,
    BEHIND,
    COLOURS,
    FACINGS,
    FRAMINGS,
    PLACES,
    SIDES,
    THINGS,
    CropFacts,
    Part,
    Who,
)
from shotcrop_cli.shots import NATIVE_SCALES, Box, Grounding

TEMPLATE = LOCALE / "captions.pot"
_CALLS = {"message": None, "message_in": ((1, "c"), 2), "message_for": (1, 2)}
"""The functions whose arguments are messages, as Babel describes them."""
_DATE = datetime(2026, 1, 1, tzinfo=timezone.utc)
"""A fixed date: files should change only with their messages."""
_WIDTH = 120
_HEADER = "# Captions of shotcrop in $LANGUAGE. Edit the lines that begin with msgstr, then run docs/translations.py."


def messages() -> Catalog:
    """Return the messages in the code, in its order."""
    template = _catalog()
    for module in (rules, keywords):
        with Path(module.__file__).open("rb") as code:
            for _, text, comments, context in extract("python", code, keywords=_CALLS):
                template.add(text, auto_comments=comments, context=context)
    return template


def read(path: Path) -> Catalog:
    """Read a `.po` file."""
    with path.open("rb") as file:
        return read_po(file, locale=path.stem)


def languages() -> Iterator[Path]:
    """Yield the `.po` files."""
    yield from sorted(LOCALE.glob("*.po"))


def compiled(catalog: Catalog) -> bytes:
    """Return the content of a `.mo` file."""
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


_SINGLE = (Who.MAIN, Who.PERSON, Who.CHILD, Who.ONE)
_SEVERAL = (Who.TWO, Who.PEOPLE, Who.GROUP, Who.CROWD)
_THIRDS = (Box(0.0, 0.0, 0.3, 1.0), Box(0.4, 0.0, 0.6, 1.0), Box(0.7, 0.0, 1.0, 1.0))


def sentences(language: str) -> Iterator[str]:
    """Yield sentences with every phrase after every subject that it can follow, then long ones, then reasoning."""
    words = catalogue(language)
    for facts in _facts():
        yield rules.describe((facts, facts, facts), language)[0].alt_text
    for who, place in itertools.product((Who.ALONE, Who.CHILD), (None, *PLACES)):
        facts = CropFacts(who, place=place)
        yield rules.describe((facts, facts, facts), language)[1].alt_text
    for who, place in itertools.product(_SINGLE + _SEVERAL, PLACES):
        yield rules.verbalise(Grounding(), (CropFacts(who, place=place),), language).scene
    for facing, third in itertools.product(rules.FACING, _THIRDS):
        yield rules.verbalise(Grounding(third, facing=facing), (), language).subject
    for facing, third in itertools.product((None, *FACINGS), _THIRDS):
        yield rules.verbalise(Grounding(third), (CropFacts(Who.ALONE, facing=facing),), language).subject
    for people, setting in itertools.product(range(1, 5), rules.SETTING):
        yield rules.verbalise(Grounding(people=people, setting=setting), (), language).scene
    for setting in rules.SETTING:
        yield words.say(rules.SENTENCE, text=words.say(rules.SETTING[setting]))
    for scale, part in itertools.product(NATIVE_SCALES, Part):
        yield rules.verbalise(Grounding(native_scale=scale), (CropFacts(part=part),), language).story
    yield ", ".join(keywords.keywords_in(language, keywords.KEYWORDS))


def _facts() -> Iterator[CropFacts]:
    """Yield the facts of the sentences, as `model.nano.sightings` may find them."""
    wider, face = (None,), (Part.FACE, Part.HEAD, Part.SHOULDERS)
    for who, part in itertools.product(Who, (None, *Part)):
        yield CropFacts(who, part)
    for place in (None, *PLACES):
        yield CropFacts(Who.DOG, Part.HEAD, place=place)
        yield CropFacts(Who.UNSURE, place=place)
    for thing in THINGS:
        yield CropFacts(Who.UNSURE, thing=thing, place="outdoor")
    for colour, another in itertools.permutations(COLOURS, 2):
        yield CropFacts(Who.PEOPLE, colour=colour, another=another)
    for who, part, colour in itertools.product(_SINGLE + _SEVERAL, wider + face, COLOURS):
        yield CropFacts(who, part, colour)
    for who, thing in itertools.product(_SINGLE + _SEVERAL, THINGS):
        yield CropFacts(who, thing=thing)
    for who, action in itertools.product(_SINGLE + _SEVERAL, ACTIONS):
        yield CropFacts(who, action=action)
    for thing, action in itertools.product(THINGS, ACTIONS):
        yield CropFacts(Who.PERSON, thing=thing, action=action)
    for who, part, place in itertools.product(_SINGLE + _SEVERAL, wider + face, PLACES):
        yield CropFacts(who, part, place=place)
    for who, place in itertools.product(_SINGLE + _SEVERAL, ("indoor", "outdoor")):
        yield CropFacts(who, Part.DETAIL, place=place)
    for who, part, facing in itertools.product(_SINGLE, wider + face, FACINGS):
        if (part, facing) != (Part.FACE, "away"):
            yield CropFacts(who, part, facing=facing)
    for who, framing in itertools.product(_SINGLE + _SEVERAL, (*FRAMINGS, "closer")):
        if who in _SINGLE or framing in ("distance", "closer"):
            yield CropFacts(who, framing=framing)
    for who, part, background in itertools.product(_SINGLE, face, BACKGROUNDS):
        yield CropFacts(who, part, background=background)
    for who, side in itertools.product(_SINGLE, SIDES):
        yield CropFacts(who, side=side)
    for who, behind in itertools.product((Who.MAIN, Who.PERSON), BEHIND):
        yield CropFacts(who, behind=behind)
    yield CropFacts(Who.CHILD, None, "red", "dog", None, "snow", "left", "full", None, "right")
    yield CropFacts(Who.PERSON, None, "red", None, None, "street", None, "distance", None, "left", None, "several")
    yield CropFacts(Who.ONE, None, "red", "dog", None, "street")
    yield CropFacts(Who.MAIN, None, "dark", None, "tennis", "outdoor", "away", "three-quarter")
    yield CropFacts(Who.GROUP, None, "blue", "ball", None, "playground", None, "closer")
    yield CropFacts(Who.TWO, None, "red", None, "climbing", "rocks", None, "distance", another="dark")
    yield CropFacts(Who.CROWD, None, "light", "dog", "basketball", "street")
    yield CropFacts(Who.CHILD, Part.FACE, "pink", None, None, "grass", "right", None, "green")
    yield CropFacts(Who.ONE, Part.HEAD, "green", None, None, "in water", "away", None, "blue")
    yield CropFacts(Who.PEOPLE, Part.HEAD, "green", None, None, "trees")


def _catalog(language: str | None = None) -> Catalog:
    name = "the source language" if language is None else Locale.parse(language).english_name
    return Catalog(
        locale=language,
        header_comment=_HEADER.replace("$LANGUAGE", str(name)),
        project="shotcrop",
        version="1",
        creation_date=_DATE,
        revision_date=_DATE,
        last_translator="",
        language_team="",
        msgid_bugs_address="",
        fuzzy=False,
    )


def _write(path: Path, catalog: Catalog) -> None:
    file = io.BytesIO()
    write_po(file, catalog, width=_WIDTH, no_location=True, omit_header=False, ignore_obsolete=True)
    path.write_bytes(file.getvalue())


def main(arguments: list[str] | None = None) -> int:
    """Write the files, and return the exit status."""
    parser = argparse.ArgumentParser(description="Keep the translations of captions up to date.")
    parser.add_argument("--add", metavar="LANGUAGE", help="begin a catalogue for a language, such as nl")
    parser.add_argument("--list", metavar="LANGUAGE", help="print sentences in a language, and change nothing")
    given = parser.parse_args(arguments)
    if given.list:
        print("\n".join(dict.fromkeys(sentences(given.list))))
        return 0
    language = given.add
    if language is not None and not (LOCALE / f"{language}.po").exists():
        _write(LOCALE / f"{language}.po", _catalog(language))
    template = messages()
    _write(TEMPLATE, template)
    missing = 0
    for path in languages():
        catalog, known = _catalog(path.stem), read(path)
        for one in template:
            if one.id:
                before = known.get(one.id, one.context)
                text = before.string if before is not None else ("",) * catalog.num_plurals if one.pluralizable else ""
                comments = () if before is None else before.user_comments
                catalog.add(one.id, text, auto_comments=one.auto_comments, user_comments=comments, context=one.context)
                if not (all(text) if isinstance(text, tuple) else text):
                    print(f"{path.name}: not translated: {one.context or ''} {one.id}", file=sys.stderr)
                    missing += 1
        _write(path, catalog)
        path.with_suffix(".mo").write_bytes(compiled(catalog))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
