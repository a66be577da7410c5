"""Every message has a translation into every language, and the files of the catalogues are current."""

from __future__ import annotations

import gettext
import importlib.util
import io
import re
import string
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given

from shotcrop_cli.captions.messages import LANGUAGES, LOCALE, SOURCE_LANGUAGE, Catalogue, Message
from shotcrop_cli.captions.rules import describe
from shotcrop_cli.crop_facts import CropFacts
from tests.cli.captions.test_rules import closest, wider

pytest.importorskip("babel")
OTHERS = sorted(set(LANGUAGES) - {SOURCE_LANGUAGE})


def _tool() -> ModuleType:
    path = Path(__file__).resolve().parents[3] / "docs" / "translations.py"
    spec = importlib.util.spec_from_file_location("translations", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["translations"] = module
    spec.loader.exec_module(module)
    return module


tool = _tool()


def ids(catalog: object) -> list[tuple[object, object]]:
    return [(one.context, one.id) for one in catalog if one.id]  # type: ignore[attr-defined]


def test_each_language_has_a_catalogue() -> None:
    assert [path.stem for path in tool.languages()] == OTHERS
    assert sorted(path.stem for path in LOCALE.glob("*.mo")) == OTHERS


def test_the_template_has_the_messages_of_the_code() -> None:
    with tool.TEMPLATE.open("rb") as file:
        assert ids(tool.read_po(file)) == ids(tool.messages()), "run docs/translations.py"


@pytest.mark.parametrize("language", OTHERS)
def test_each_message_is_translated_with_the_same_fields(language: str) -> None:
    catalog = tool.read(LOCALE / f"{language}.po")
    assert ids(catalog) == ids(tool.messages()), "run docs/translations.py"
    for one in catalog:
        if not one.id:
            continue
        originals = one.id if one.pluralizable else (one.id,)
        translated = one.string if one.pluralizable else (one.string,)
        fields = {field for _, field, _, _ in string.Formatter().parse(originals[0]) if field}
        assert not one.fuzzy
        for text in translated:
            assert text, f"not translated: {one.id}"
            assert {field for _, field, _, _ in string.Formatter().parse(text) if field} == fields, text
            assert text == text.strip() and "  " not in text


@pytest.mark.parametrize("language", OTHERS)
def test_what_is_read_is_what_people_edit(language: str) -> None:
    compiled = gettext.GNUTranslations(io.BytesIO(tool.compiled(tool.read(LOCALE / f"{language}.po"))))
    with (LOCALE / f"{language}.mo").open("rb") as file:
        shipped = gettext.GNUTranslations(file)
    before, after = (
        {key: text for key, text in one._catalog.items() if key}  # type: ignore[attr-defined]
        for one in (shipped, compiled)
    )
    assert before == after, "run docs/translations.py"


@pytest.mark.parametrize("language", LANGUAGES)
@given(wider, wider, closest)
def test_texts_are_distinct_and_plain_in_each_language(
    language: str, wide: CropFacts, medium: CropFacts, tight: CropFacts
) -> None:
    texts = describe((wide, medium, tight), language)
    assert len({text.caption for text in texts}) == 3
    stop = Catalogue(language).say(tool.rules.SENTENCE, text="")
    for text in texts:
        assert not text.caption.endswith(stop) and text.alt_text.endswith(stop)
        for one in (text.caption, text.alt_text):
            assert one[0] == one[0].upper() and "  " not in one and not {"{", "}"} & set(one)
            assert not re.search(r"\s[,.]|,,|,,", one)


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_are_in_their_language(language: str) -> None:
    said = list(tool.sentences(language))
    assert all(said)
    words = set(re.findall(r"[^\W\d_]+", " ".join(said).lower()))
    english = {"the", "with", "and", "people", "facing", "seen", "outdoors"}
    assert words & english == (english if language == SOURCE_LANGUAGE else set())


def test_each_message_is_in_a_sentence_that_translators_read() -> None:
    asked: set[tuple[str, str]] = set()

    class Recorder(Catalogue):
        def say(self, message: Message, *, is_one: bool = True, **fields: str) -> str:
            asked.add((message.context, message.text))
            return super().say(message, is_one=is_one, **fields)

    with pytest.MonkeyPatch.context() as patch:
        for module in (tool, tool.rules, tool.keywords):
            patch.setattr(module, "catalogue", Recorder)
        list(tool.sentences(SOURCE_LANGUAGE))
    for context, text in ids(tool.messages()):
        assert (context or "", text[0] if isinstance(text, tuple) else text) in asked, f"add it to sentences(): {text}"
