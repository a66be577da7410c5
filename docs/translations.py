"""Keep the translations of captions up to date: `python docs/translations.py` after a message or a `.po` file changed.

It collects the messages of `captions/rules.py` into `captions.pot`, takes them into the `.po` file of each language and
compiles these into the `.mo` files that shotcrop reads. It translates nothing: it lists the messages that lack a
translation, and ends with status 1 if there are any. `--add nl` begins a language.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from shotcrop_cli.captions import rules
from shotcrop_cli.captions.messages import LOCALE

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
    with Path(rules.__file__).open("rb") as code:
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
    language = parser.parse_args(arguments).add
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
