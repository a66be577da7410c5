"""The documentation and the help texts are written in plain English: short sentences, one vocabulary."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from shotcrop_cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "docs" / "prose.py"

_spec = importlib.util.spec_from_file_location("prose", SCRIPT)
assert _spec is not None and _spec.loader is not None
prose = importlib.util.module_from_spec(_spec)
sys.modules["prose"] = prose  # dataclasses look their module up
_spec.loader.exec_module(prose)

GENERATED = ROOT / "docs" / "cli.md"
PAGES = prose.pages()

VOCABULARY = {
    r"anew|once more": "again",
    r"mend(?:s|ed|ing)?|ma(?:k|d)e(?:s|d)? good": "fix or repair",
    r"nobody": "no people, or: a photo without people",
    r"likewise": "also, or: in the same way",
    r"wherein|therein": "in which, or: in it",
    r"thereof|whence|hitherto": "a modern word",
    r"who(?:so)?ever|whomever": "name who acts",
    r"pass(?:es|ed)? over": "skip",
    r"(?:lies?|lay|lying) (?:in|at|beside|below|there|within|outside)": "is in, or: is next to",
    r"(?:the|a|its|each|every) (?:lead|led)(?:'s)?(?! room)": "the main person",
    r"flags": "options",
    r"named for review": "listed for review",
    r"known for such|taken for": "recognised as, or: mistaken for",
    r"that which|what is, is": "say the thing",
    r"be had": "is available",
    r"cut again|re-?cut|uncut|(?:a|wider|tighter) cut|crops? (?:is|are|was|were) cut": "crop",
    r"words? (?:that )?(?:a|the) model tells|tellers?": "predicted tags, or: tag head",
    r"two looks": "test-time flip augmentation",
    r"spotters?|spotted": "detector, or: detected",
    r"kni(?:fe|ves)": "crop",
    r"(?<!at a )glances?": "check whether it is up to date",
    r"pace": "batch size",
    r"heaps?": "malloc, or: memory",
    r"tally": "results, or: count",
    r"craft": "composition rules",
    r"junk": "ignored files",
    r"from mid-thigh up": "three-quarter length",
    r"(?:down )?to the feet": "full length",
}
"""What not to write, as regular expressions, and what to write instead."""

_PATTERNS = {re.compile(rf"\b(?:{words})\b", re.IGNORECASE): better for words, better in VOCABULARY.items()}


def wrong_words(text: str) -> Iterator[str]:
    """Yield each word of a text that is not in our vocabulary, where it stands, and what to write instead."""
    text = " ".join(text.split())
    for pattern, better in _PATTERNS.items():
        for match in pattern.finditer(text):
            around = text[max(0, match.start() - 40) : match.end() + 40]
            yield f"{match[0]!r}: write {better!r} (... {around} ...)"


def words_of(page: Path) -> str:
    """Return a page without code, targets of links and comments; tables and headings stay."""
    text = page.read_text("utf-8")
    for pattern in (r"^( *)```.*?^\1```", r"<!--.*?-->", r"`[^`]+`", r"(?<=\])\([^)]*\)", r"https?://\S+"):
        text = re.sub(pattern, " ", text, flags=re.MULTILINE | re.DOTALL)
    return text


def _commands(context: click.Context) -> Iterator[click.Context]:
    """Yield a command and those below it."""
    yield context
    if isinstance(group := context.command, click.Group):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield from _commands(click.Context(command, info_name=name, parent=context, max_content_width=1000))


COMMANDS = list(_commands(click.Context(cli, info_name="shotcrop", max_content_width=1000)))


def _named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_sentences_of_the_docs_are_short(page: Path) -> None:
    measured = prose.read(page)
    assert measured.sentences
    assert list(measured.complaints()) == []


@pytest.mark.parametrize("page", [*PAGES, GENERATED], ids=_named)
def test_the_docs_keep_to_the_vocabulary(page: Path) -> None:
    assert list(wrong_words(words_of(page))) == []


@pytest.mark.parametrize("context", COMMANDS, ids=lambda context: context.command_path)
def test_help_texts_keep_to_the_vocabulary(context: click.Context) -> None:
    assert list(wrong_words(context.command.get_help(context))) == []


@pytest.mark.parametrize(
    "text", ["The lead's head.", "It lies\nbeside it.", "Read anew", "photos of nobody", "a wider cut", "FLAGS"]
)
def test_a_word_outside_the_vocabulary_is_found(text: str) -> None:
    assert len(list(wrong_words(text))) == 1


@pytest.mark.parametrize("text", ["Keep lead room.", "It leads there.", "Cut off at a glance.", "Recommend it."])
def test_common_words_that_look_alike_are_not(text: str) -> None:
    assert list(wrong_words(text)) == []


PAGE = """# A heading. With two sentences

<!-- A comment. -->
One [link with words](docs/a.b.md) here, e.g. `code. with stop`, of Grace M. Hopper. A second
sentence over two lines!

| a table. | with text. |
|---|---|

* An item without a full stop
* Another one. It has two.

![A picture. Of it.](picture.jpg)

```bash
echo code. Not prose.
```

    indented code. Not prose.
"""


def test_sentences_are_told_apart() -> None:
    assert list(prose.sentences(PAGE)) == [
        "One link with words here, e.g. `code. with stop`, of Grace M. Hopper.",
        "A second sentence over two lines!",
        "An item without a full stop",
        "Another one.",
        "It has two.",
    ]
    assert prose.words("One `code. with stop` - of 3 words or so.") == 7


def test_the_script_names_what_is_too_long(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Short.\n\n{'word ' * 36}end.\n", "utf-8")
    run = [sys.executable, SCRIPT, page]
    assert subprocess.run(run, check=False, capture_output=True).returncode == 0
    checked = subprocess.run([*run, "--check"], check=False, capture_output=True, text=True)
    assert checked.returncode == 1
    assert f"{page}: 37 words, more than 35: word word" in checked.stderr
    assert f"{page}: 19.0 words per sentence on average, more than 18" in checked.stderr
