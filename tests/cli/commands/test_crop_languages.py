"""`crop --language` and `--captions strict`: words by rule, alternative texts, and what happens when they change."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from conftest import FakeComposer, fixed_composition, write_photo
from shotcrop_cli.body import native_scale
from shotcrop_cli.captions.rules import describe
from shotcrop_cli.crop_facts import CropFacts, Part, Who
from shotcrop_cli.crop_settings import CropSettings, RuleCaptions
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.metadata import xmp
from shotcrop_cli.main import cli
from shotcrop_cli.shots import Answer, Box, Composition, Grounding, Person, Shot
from shotcrop_cli.sidecar import Sidecar, read

DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"
ALT_TEXT = "{http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/}AltTextAccessibility"
CHILD = CropFacts(Who.CHILD, colour="red", thing="dog", place="snow")
FACTS = (CHILD, replace(CHILD, thing=None, facing="left"), CropFacts(Who.CHILD, Part.FACE, facing="left"))
ENGLISH = [text.caption for text in describe(FACTS)]
ENGLISH_ALT = [text.alt_text for text in describe(FACTS)]
GERMAN = [text.caption for text in describe(FACTS, "de")]
NARROW = (replace(CHILD, thing=None), *FACTS[1:])
"""A narrower crop may have lost the dog."""


def sees(*facts: CropFacts) -> Callable[..., Answer]:
    def answer(_image: object, _aspect: float) -> Composition:
        old, box = fixed_composition(), Box(0.0, 0.0, 0.3, 1.0)
        shots = tuple(Shot(shot.type, shot.box) for shot in old.shots)
        people = (Person(box, None, None, 1.0, shots),)
        head = Box(0.1, 0.0, 0.2, 0.1)
        grounding = Grounding(box, head, native_scale=native_scale(head.height))
        return Composition(old.shots, old.reasoning, grounding, people, facts)

    return answer


@pytest.fixture
def run(composer: FakeComposer, photos: Path, output: Path) -> Callable[..., Result]:
    composer.answer = sees(*FACTS)
    write_photo(photos / "a.jpg")

    def crop(*options: object, code: ExitCode = ExitCode.OK) -> Result:
        result = CliRunner().invoke(cli, list(map(str, ["crop", photos, "-o", output, *options])))
        assert result.exit_code == code, result.output
        return result

    return crop


@pytest.fixture
def record(output: Path) -> Callable[[], Sidecar]:
    return lambda: read(output / "a.jpg.json")


def captions(record: Sidecar) -> list[str]:
    return [shot.caption for shot in record.shots]


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def test_captions_alternative_texts_and_reasoning_are_in_the_language(
    run: Callable[..., Result], record: Callable[[], Sidecar]
) -> None:
    run("--language", "de")
    found = record()
    assert captions(found) == GERMAN and GERMAN[0] == "Ein Kind in Rot mit einem Hund im Schnee"
    assert found.shots[0].alt_text == "Ein Kind in Rot mit einem Hund im Schnee."
    assert found.reasoning.scene == "Ein Kind im Schnee."
    assert found.reasoning.story.startswith("Zuerst ")
    assert not found.edited


def test_alternative_texts_by_rule_are_written_and_are_no_edit(
    run: Callable[..., Result], record: Callable[[], Sidecar], output: Path
) -> None:
    run("--xmp", "both", "--manifest", output / "crops.jsonl")
    medium = record().shots[1]
    assert medium.alt_text == ENGLISH_ALT[1]
    assert medium.written is not None and medium.written.alt_text == medium.alt_text
    assert not record().edited
    crop = output / "a.jpg.medium.jpg"
    for packet in (decode(read_source(crop)).metadata.xmp, Path(f"{crop}.xmp").read_bytes()):
        assert xmp.values(packet)[ALT_TEXT] == medium.alt_text
        assert f'xml:lang="en">{ENGLISH_ALT[1]}<'.encode() in packet
    rows = [json.loads(line) for line in (output / "crops.jsonl").read_text("utf-8").splitlines()]
    assert rows[1]["alt_text"] == medium.alt_text
    assert "1 unchanged" in run("--xmp", "both").stderr


def test_a_finished_folder_gets_another_language_without_the_model(
    run: Callable[..., Result], record: Callable[[], Sidecar], composer: FakeComposer, output: Path
) -> None:
    run()
    stamps = {path: path.stat().st_mtime_ns for path in output.glob("*.jpg")}
    composer.seen.clear()
    assert "other words" in run("--language", "de", "--dry-run").stdout
    run("--language", "de")
    assert captions(record()) == GERMAN and record().reasoning.scene == "Ein Kind im Schnee."
    assert not record().edited and not composer.seen
    assert {path: path.stat().st_mtime_ns for path in output.glob("*.jpg")} == stamps
    assert "1 unchanged" in run("--language", "de").stderr
    run("--replace")
    assert captions(record()) == ENGLISH


@pytest.mark.parametrize("mode", ["embedded", "sidecar", "both"])
def test_captions_in_files_follow_the_language(
    mode: str, run: Callable[..., Result], record: Callable[[], Sidecar], composer: FakeComposer, output: Path
) -> None:
    run("--xmp", mode)
    composer.seen.clear()
    run("--xmp", mode, "--language", "de")
    crop = output / "a.jpg.medium.jpg"
    packets = [decode(read_source(crop)).metadata.xmp] if mode != "sidecar" else []
    packets += [Path(f"{crop}.xmp").read_bytes()] if mode != "embedded" else []
    for packet in packets:
        assert xmp.values(packet)[DESCRIPTION] == GERMAN[1]
        assert b'xml:lang="de"' in packet and b'xml:lang="en"' not in packet
    assert not composer.seen and not record().edited
    assert "1 unchanged" in run("--xmp", mode, "--language", "de").stderr


@pytest.mark.parametrize("mode", ["none", "both"])
def test_what_a_person_edited_keeps_its_words_through_everything(
    mode: str, run: Callable[..., Result], record: Callable[[], Sidecar], output: Path
) -> None:
    run("--xmp", mode)
    edit(output / "a.jpg.json", lambda document: document["shots"][1].update(alt_text="Anna on her sledge."))
    for options in (
        ("--language", "de"),
        ("--language", "fr", "--aspect", "medium=1:1", "--replace"),
        ("--overwrite",),
        ("--captions", "strict"),
        ("--captions", "none"),
    ):
        run("--xmp", mode, *options)
        assert (record().shots[1].caption, record().shots[1].alt_text) == (ENGLISH[1], "Anna on her sledge.")
        assert record().shots[1].edited
    assert captions(record())[0] == ""


def test_a_retouched_crop_gets_the_words_and_keeps_its_pixels(
    run: Callable[..., Result], record: Callable[[], Sidecar], output: Path
) -> None:
    run("--xmp", "both")
    crop = output / "a.jpg.medium.jpg"
    content = crop.read_bytes()
    crop.write_bytes(content + b"retouched")
    run("--xmp", "both", "--language", "de")
    assert crop.read_bytes().endswith(b"retouched")
    assert record().shots[1].retouched and record().shots[1].caption == GERMAN[1] and not record().edited
    assert xmp.values(decode(read_source(crop)).metadata.xmp)[DESCRIPTION] == GERMAN[1]
    run("--xmp", "both", "--language", "de")
    assert record().shots[1].caption == GERMAN[1]


def test_a_rejected_crop_keeps_its_words_until_it_is_restored(
    run: Callable[..., Result], record: Callable[[], Sidecar], output: Path
) -> None:
    run()
    (output / "a.jpg.medium.jpg").unlink()
    run("--language", "de")
    assert captions(record()) == [GERMAN[0], ENGLISH[1], GERMAN[2]] and not record().edited
    run("--language", "de", "--restore-rejected")
    assert captions(record()) == GERMAN


def test_sidecars_of_earlier_versions_are_up_to_date_until_other_words_are_asked_for(
    run: Callable[..., Result], record: Callable[[], Sidecar], composer: FakeComposer, output: Path
) -> None:
    def as_before(document: dict[str, Any]) -> None:
        for shot in document["shots"]:
            for name in ("facts", "language", "alt_text"):
                shot.pop(name)
            shot.pop("text_edited")
            shot["written"].pop("alt_text")
            shot["written"].pop("caption_sha256")
            shot["written"].pop("alt_text_sha256")

    run()
    edit(output / "a.jpg.json", as_before)
    composer.seen.clear()
    for options in ((), ("--captions", "none")):
        assert "1 unchanged" in run(*options).stderr
    assert captions(record()) == ENGLISH and not record().edited and not composer.seen
    assert "other words" in run("--language", "de", "--dry-run").stdout
    run("--language", "de")
    assert captions(record()) == GERMAN and len(composer.seen) == 1


def test_strict_captions_are_empty_unless_they_say_something(
    run: Callable[..., Result], record: Callable[[], Sidecar], composer: FakeComposer, output: Path
) -> None:
    person = CropFacts(Who.PERSON, place="outdoor", side="left")
    medium = replace(person, facing="left", side=None)
    facts = (person, medium, CropFacts(Who.PERSON, Part.FACE, place="outdoor"))
    composer.answer = sees(*facts)
    run("--captions", "strict", "--xmp", "both", "--manifest", output / "crops.csv")
    said = describe(facts)[1]
    assert captions(record()) == ["", said.caption, ""]
    assert [shot.alt_text for shot in record().shots] == ["", said.alt_text, ""]
    wide = output / "a.jpg.establishing.jpg"
    assert not {DESCRIPTION, ALT_TEXT} & set(xmp.values(decode(read_source(wide)).metadata.xmp))
    assert not {DESCRIPTION, ALT_TEXT} & set(xmp.values(Path(f"{wide}.xmp").read_bytes()))
    assert "1 unchanged" in run("--captions", "strict", "--xmp", "both").stderr
    run("--xmp", "both")
    assert captions(record())[0] == "A person outdoors, on the left of the picture"
    assert xmp.values(Path(f"{wide}.xmp").read_bytes())[DESCRIPTION] == captions(record())[0]
    run("--captions", "strict", "--xmp", "both")
    assert DESCRIPTION not in xmp.values(Path(f"{wide}.xmp").read_bytes())
    assert DESCRIPTION not in xmp.values(decode(read_source(wide)).metadata.xmp)


def test_crops_of_ratio_sets_have_the_same_words(run: Callable[..., Result], record: Callable[[], Sidecar]) -> None:
    run("--set", "story=4:5")
    run("--set", "story=4:5", "--language", "de")
    more = [crop for crop in record().more_crops if crop.set_name == "story"]
    assert [crop.caption for crop in more] == [text.caption for text in describe(NARROW, "de")]
    assert not record().edited


def test_a_crop_with_an_aspect_is_described_by_what_is_in_it(
    run: Callable[..., Result], record: Callable[[], Sidecar]
) -> None:
    run("--aspect", "establishing=4:5")
    assert captions(record()) == [text.caption for text in describe(NARROW)]
    run("--aspect", "establishing=4:5", "--language", "de")
    assert captions(record()) == [text.caption for text in describe(NARROW, "de")]
    run("--replace")
    assert captions(record()) == ENGLISH


def test_a_moved_crop_is_described_by_what_is_in_it(
    run: Callable[..., Result], record: Callable[[], Sidecar], output: Path
) -> None:
    def halve(document: dict[str, Any]) -> None:
        document["shots"][0]["box"]["width"] //= 2

    run()
    edit(output / "a.jpg.json", halve)
    assert CliRunner().invoke(cli, ["apply", str(output)]).exit_code == ExitCode.OK
    assert captions(record()) == [text.caption for text in describe(NARROW)]
    assert [(shot.edited, shot.text_edited) for shot in record().shots] == [
        (True, False),
        (False, False),
        (False, False),
    ]
    edit(output / "a.jpg.json", lambda document: document["shots"][0].update(caption="Anna", box_norm=[0, 0, 0.6, 1]))
    assert CliRunner().invoke(cli, ["apply", str(output)]).exit_code == ExitCode.OK
    assert captions(record())[0] == "Anna"


def caption(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, list(map(str, ["caption", *arguments])))
    assert result.exit_code == code, result.output
    return result


@pytest.mark.parametrize("mode", ["none", "both"])
def test_finished_crops_get_other_words_without_their_photos(
    mode: str, run: Callable[..., Result], record: Callable[[], Sidecar], photos: Path, output: Path
) -> None:
    run("--xmp", mode, "--set", "default", "--set", "story=4:5")
    edit(output / "a.jpg.json", lambda document: document["shots"][2].update(caption="Anna"))
    photo = (photos / "a.jpg").read_bytes()
    times = (photos / "a.jpg").stat()
    (photos / "a.jpg").unlink()
    wanted = (output, "--captions", "rules", "--language", "de")
    assert "1 to do" in caption(*wanted, "--dry-run").stderr
    assert "1 written" in caption(*wanted).stderr
    assert captions(record()) == [*GERMAN[:2], "Anna"]
    assert record().more_crops[0].caption == describe(NARROW, "de")[0].caption
    assert [shot.edited for shot in record().shots] == [False, False, True]
    if mode == "both":
        for crop in (output / str(shot.file) for shot in record().all_crops if not shot.edited):
            assert b'xml:lang="de"' in decode(read_source(crop)).metadata.xmp
            assert b'xml:lang="de"' in Path(f"{crop}.xmp").read_bytes()
    assert "1 unchanged" in caption(*wanted).stderr
    (photos / "a.jpg").write_bytes(photo)
    os.utime(photos / "a.jpg", ns=(times.st_atime_ns, times.st_mtime_ns))
    by_rule = {"caption": ENGLISH[2], "edited": False, "text_edited": False}
    edit(output / "a.jpg.json", lambda document: document["shots"][2].update(by_rule))
    edit(output / "a.jpg.json", lambda document: document["shots"][2]["written"].update(caption=ENGLISH[2]))
    edit(output / "a.jpg.json", lambda document: document["shots"][2]["written"].pop("caption_sha256"))
    run("--xmp", mode, "--set", "default", "--set", "story=4:5", "--language", "de")
    assert captions(record()) == GERMAN


def test_captions_without_facts_need_the_model(run: Callable[..., Result], output: Path) -> None:
    def as_before(document: dict[str, Any]) -> None:
        for shot in document["shots"]:
            shot.pop("facts")
            shot.pop("language")

    run()
    edit(output / "a.jpg.json", as_before)
    result = caption(output, "--captions", "strict")
    assert "run `shotcrop crop` with the same options" in result.stderr
    assert "0 written, 1 failed" in result.stderr


@pytest.mark.parametrize("tag", ["DE", "de-AT", "de_CH"])
def test_a_region_is_written_in_its_language(
    tag: str, run: Callable[..., Result], record: Callable[[], Sidecar]
) -> None:
    run("--language", tag)
    assert captions(record()) == GERMAN


@pytest.mark.parametrize("tag", ["ja", "zh-Hant", "x"])
def test_an_unknown_language_is_refused(tag: str, run: Callable[..., Result]) -> None:
    assert "en, de, es, fr, it, zh" in run("--language", tag, code=ExitCode.USAGE).output


def test_settings_of_earlier_versions_keep_their_hash() -> None:
    settings = CropSettings()
    assert settings.hash == replace(settings, captions=RuleCaptions.RULES, language="en").hash
    hashes = {replace(settings, language=one).hash for one in ("en", "de")}
    assert len(hashes | {replace(settings, captions=RuleCaptions.STRICT).hash}) == 3


def test_options_that_a_run_forgets_are_named(run: Callable[..., Result], record: Callable[[], Sidecar]) -> None:
    run("--language", "de", "--xmp", "both", "--keywords")
    assert "settings changed" not in run("--language", "de", "--xmp", "both", "--keywords").stderr
    words = "language de to en, xmp both to off, keywords on to off"
    planned = run("-n")
    assert f"(the settings changed: {words})" in planned.stdout
    assert f"settings changed for 1 finished photo: {words}\n" in planned.stderr
    assert captions(record()) == GERMAN
    assert f"settings changed for 1 finished photo: {words}\n" in run().stderr
    assert captions(record()) == ENGLISH
    assert "(captions in other words are asked for: language en to de)" in run("--language", "de", "-n").stdout
