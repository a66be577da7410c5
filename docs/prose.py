"""Measure the sentences of Markdown pages: `python docs/prose.py [--check] [PAGE...]`.

The script leaves out code blocks, tables, headings, pictures and HTML comments. It counts a link as its text and inline
code as one word. A list item ends a sentence. Without PAGE, it measures every page of the project except docs/cli.md,
which is generated.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).resolve().parent.parent
MOST_ON_AVERAGE = 18
"""The highest mean of words per sentence on a page."""
MOST_IN_ONE = 35
"""The most words a sentence may have."""

_LEFT_OUT = (
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"^( *)(```|~~~).*?^\1\2 *$", re.DOTALL | re.MULTILINE),
    re.compile(r"(?<=\n\n)(?: {4}.*\n+)+"),  # indented code
    re.compile(r"^ *\|.*$", re.MULTILINE),  # tables
    re.compile(r"^#+ .*$", re.MULTILINE),
    re.compile(r"!\[[^\]]*\]\([^)]*\)"),  # pictures
)
_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
_LINK = re.compile(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
_BLOCK_END = re.compile(r"\n\s*\n|\n(?= *(?:[*+-]|\d+\.) )")
_LIST_MARK = re.compile(r"^\s*(?:[*+-]|\d+\.|>)\s+")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')*_\]]*\s+")
_NO_END = re.compile(r"(?:\b(?:e\.g|i\.e|cf|vs|approx|etc)|\b[A-Z])\.$")
"""Abbreviations and initials: their full stop does not end a sentence."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page and its sentences."""

    path: Path
    sentences: tuple[str, ...]

    @property
    def mean(self) -> float:
        """Words per sentence."""
        return fmean(map(words, self.sentences)) if self.sentences else 0.0

    @property
    def longest(self) -> int:
        """Words of the longest sentence."""
        return max(map(words, self.sentences), default=0)

    def complaints(self) -> Iterator[str]:
        """Yield one line for each figure that is too high."""
        name = _name(self.path)
        if self.mean > MOST_ON_AVERAGE:
            yield f"{name}: {self.mean:.1f} words per sentence on average, more than {MOST_ON_AVERAGE}"
        for sentence in self.sentences:
            if (count := words(sentence)) > MOST_IN_ONE:
                yield f"{name}: {count} words, more than {MOST_IN_ONE}: {sentence}"


def pages() -> list[Path]:
    """Return every page that is written by hand."""
    found = list(ROOT.glob("*.md"))
    for folder in (".github", "docs", "examples", "src"):
        found += (ROOT / folder).rglob("*.md")
    return sorted(path for path in found if path != ROOT / "docs" / "cli.md")


def read(path: Path) -> Page:
    """Read a page."""
    return Page(path, tuple(sentences(path.read_text("utf-8"))))


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a Markdown text."""
    for pattern in _LEFT_OUT:
        text = pattern.sub("", text)
    code: list[str] = []

    def put_aside(match: re.Match[str]) -> str:  # a full stop in code does not end a sentence
        code.append(match[0])
        return f"\0{len(code) - 1}\0"

    text = _LINK.sub(r"\1", _CODE.sub(put_aside, text))
    for block in _BLOCK_END.split(text):
        for sentence in _split(" ".join(_LIST_MARK.sub("", block).split())):
            yield re.sub(r"\0(\d+)\0", lambda match: code[int(match[1])], sentence)


def words(sentence: str) -> int:
    """Count the words of a sentence; inline code is one."""
    return sum(any(map(str.isalnum, word)) for word in _CODE.sub("code", sentence).split())


def _split(text: str) -> Iterator[str]:
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if not _NO_END.search(text[start : end.start()]):
            yield text[start : end.end()].strip()
            start = end.end()
    if rest := text[start:].strip():
        yield rest


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def main() -> int:
    """Print the figures of each page and, with --check, what is too long."""
    parser = argparse.ArgumentParser(description="Measure the sentences of Markdown pages.")
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE", help="page to measure; default: all")
    parser.add_argument(
        "--check",
        action="store_true",
        help=f"exit with 1 where a page has more than {MOST_ON_AVERAGE} words per sentence on average, "
        f"or a sentence more than {MOST_IN_ONE}",
    )
    arguments = parser.parse_args()
    measured = [read(path.resolve()) for path in arguments.pages] or [read(path) for path in pages()]
    for page in measured:
        counts = f"{len(page.sentences):4} sentences, mean {page.mean:4.1f}, longest {page.longest:3} words"
        print(f"{_name(page.path):28} {counts}")
    complaints = [line for page in measured for line in page.complaints()] if arguments.check else []
    print(*complaints, sep="\n", end="\n" if complaints else "", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
