"""What people edit in sidecars is noticed, reported and never lost, however they edit it; docs/hand-work.md."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from conftest import FakeComposer, fixed_composition, open_image, write_photo
from shotcrop_cli.captions.rules import describe
from shotcrop_cli.crop_facts import CropFacts, Part, Who
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.metadata import xmp
from shotcrop_cli.imaging.metadata.own_texts import ALT_TEXT, DESCRIPTION
from shotcrop_cli.main import cli
from shotcrop_cli.shots import Answer, Box, Composition, Grounding, Person, Shot
from shotcrop_cli.sidecar import Sidecar, parse, read

FACTS = (
    CropFacts(Who.CHILD, place="outdoor"),
    CropFacts(Who.CHILD, place="outdoor", facing="left"),
    CropFacts(Who.CHILD, Part.FACE, facing="left"),
)
ENGLISH, GERMAN = ([text.caption for text in describe(FACTS, language)] for language in ("en", "de"))
MINE = "Ana at the harbour"


@pytest.fixture
def crop(composer: FakeComposer, photos: Path, output: Path) -> Callable[..., Result]:
    """Return a function that crops a photo of a child."""
    write_photo(photos / "a.jpg")

    def answer(_image: object, _aspect: float) -> Answer:
        found, box = fixed_composition(), Box(0.0, 0.0, 0.3, 1.0)
        people = (Person(box, None, None, 1.0, tuple(Shot(shot.type, shot.box) for shot in found.shots)),)
        return Composition(found.shots, found.reasoning, Grounding(box, Box(0.1, 0.0, 0.2, 0.1)), people, FACTS)

    composer.answer = answer
    return lambda *options, code=ExitCode.OK: run("crop", photos, "-o", output, *options, code=code)


@pytest.fixture
def sidecar(output: Path) -> Path:
    return output / "a.jpg.json"


def run(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def replace_all(path: Path, old: str, new: str) -> None:
    """Replace a text as `sed` or the "replace all" of an editor does."""
    content = path.read_text("utf-8")
    assert content.count(old) >= 2
    path.write_text(content.replace(old, new), encoding="utf-8")


def move_close_up(document: dict[str, Any]) -> None:
    document["shots"][2]["box"]["x"] += 3


def captions(record: Sidecar) -> list[str]:
    return [shot.caption for shot in record.shots]


class TestTextsThatAreReplacedEverywhere:
    """So also in `written`, by which shotcrop recognises its own texts."""

    def test_the_command_of_the_docs_edits_a_caption(
        self, crop: Callable[..., Result], sidecar: Path, output: Path
    ) -> None:
        crop("--xmp", "both")
        replace_all(sidecar, f'"caption": "{ENGLISH[0]}"', f'"caption": "{MINE}"')
        assert "1 photo with edits not applied" in crop("--xmp", "both").stderr
        assert "1 done" in run("apply", output).stderr
        shot = read(sidecar).shots[0]
        assert (shot.caption, shot.edited, shot.text_edited) == (MINE, True, True)
        path = output / "a.jpg.establishing.jpg"
        for packet in (decode(read_source(path)).metadata.xmp, Path(f"{path}.xmp").read_bytes()):
            assert xmp.values(packet)[DESCRIPTION] == MINE
        assert "nothing to apply" in run("apply", output).stderr

    @pytest.mark.parametrize("applied", [True, False])
    @pytest.mark.parametrize("modes", [(), ("--xmp", "both")], ids=str)
    @pytest.mark.parametrize("words", [("--language", "de"), ("--captions", "none")], ids=str)
    def test_the_text_stays_in_other_words(
        self,
        crop: Callable[..., Result],
        sidecar: Path,
        output: Path,
        applied: bool,
        modes: tuple[str, ...],
        words: tuple[str, ...],
    ) -> None:
        crop(*modes)
        replace_all(sidecar, ENGLISH[1], MINE)
        if applied:
            run("apply", output)
        crop(*modes, *words)
        crop(*modes, "--quality", "80", "--language", "fr", "--overwrite")
        assert captions(read(sidecar))[1] == MINE
        assert captions(read(sidecar))[2] == describe(FACTS, "fr")[2].caption

    def test_an_alternative_text_alone_counts_too(
        self, crop: Callable[..., Result], sidecar: Path, output: Path
    ) -> None:
        crop("--xmp", "both")
        alt_text = read(sidecar).shots[2].alt_text
        replace_all(sidecar, f'"{alt_text}"', f'"{MINE}"')
        run("apply", output)
        crop("--xmp", "both", "--language", "de")
        shot = read(sidecar).shots[2]
        assert (shot.alt_text, shot.caption) == (MINE, ENGLISH[2])
        assert xmp.values((output / "a.jpg.close_up.jpg.xmp").read_bytes())[ALT_TEXT] == MINE

    def test_an_xmp_file_that_a_program_rated_follows(
        self, crop: Callable[..., Result], sidecar: Path, output: Path
    ) -> None:
        crop("--xmp", "both")
        path = output / "a.jpg.establishing.jpg.xmp"
        rating = '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"/></rdf:RDF>'
        path.write_text(path.read_text("utf-8").replace("</rdf:RDF>", rating), "utf-8")
        replace_all(sidecar, ENGLISH[0], MINE)
        assert "kept" not in run("apply", output).stderr
        assert xmp.values(path.read_bytes())[DESCRIPTION] == MINE
        assert b'Rating="4"' in path.read_bytes()

    def test_it_is_still_an_edit_after_a_run_that_did_not_apply_it(
        self, crop: Callable[..., Result], sidecar: Path, output: Path
    ) -> None:
        crop()
        replace_all(sidecar, ENGLISH[1], MINE)
        crop("--language", "de")
        record = read(sidecar)
        assert captions(record) == [GERMAN[0], MINE, GERMAN[2]]
        assert record.pending == ("medium",)
        assert "1 done" in run("apply", output).stderr
        assert not read(sidecar).pending

    def test_a_story_counts_as_edited(self, crop: Callable[..., Result], sidecar: Path) -> None:
        crop()
        story = {"model": "m", "host": "h", "key": "k", "story": "One day.", "written_story": "One day."}
        edit(sidecar, lambda document: document.update(captions=story))
        content = read(sidecar).to_bytes()
        assert not parse(content).captions.has_new_story  # type: ignore[union-attr]
        changed = parse(parse(content.replace(b"One day.", b"My day.")).to_bytes()).captions
        assert changed is not None
        assert changed.has_new_story and changed.story == "My day."

    def test_sidecars_without_hashes_have_no_edits(self, crop: Callable[..., Result], sidecar: Path) -> None:
        def as_before(document: dict[str, Any]) -> None:
            for shot in document["shots"]:
                shot.pop("text_edited")
                shot["written"].pop("caption_sha256")
                shot["written"].pop("alt_text_sha256")

        crop()
        edit(sidecar, as_before)
        assert not read(sidecar).edited
        edit(sidecar, lambda document: document["shots"][1].update(caption=MINE, edited=True))
        edit(sidecar, lambda document: document["shots"][1]["written"].update(caption=MINE))
        crop("--language", "de")
        assert captions(read(sidecar)) == [GERMAN[0], MINE, GERMAN[2]]


class TestEditsThatAreNotApplied:
    """`crop` says so, and never calls their crops up to date."""

    @pytest.mark.parametrize("options", [(), ("--dry-run",), ("--language", "de"), ("--xmp", "both", "-n")], ids=str)
    @pytest.mark.parametrize("seen", [1, 2])
    def test_each_run_names_the_command(
        self, crop: Callable[..., Result], sidecar: Path, output: Path, seen: int, options: tuple[str, ...]
    ) -> None:
        for _ in range(seen):  # the second run remembers in the index that all is up to date
            crop()
        edit(sidecar, move_close_up)
        if "--xmp" in options:  # this run would apply the box
            assert "not applied" not in crop(*options).stderr
            return
        for _ in range(2):
            said = " ".join(crop(*options).stderr.split())
            assert "1 photo with edits not applied" in said
            assert f"To apply them: shotcrop apply {output}" in said
            assert "up to date" not in said
        run("apply", output)
        assert "not applied" not in crop(*options).stderr

    def test_programs_read_which(self, crop: Callable[..., Result], sidecar: Path) -> None:
        crop()
        edit(sidecar, move_close_up)
        assert json.loads(crop("--json").stdout)["unapplied"] == ["close_up"]

    def test_rejected_crops_wait_for_nothing(self, crop: Callable[..., Result], sidecar: Path) -> None:
        crop()
        edit(sidecar, move_close_up)
        edit(sidecar, lambda document: document["shots"][2].update(rejected=True))
        assert "not applied" not in crop().stderr

    def test_apply_says_that_there_is_nothing(self, crop: Callable[..., Result], output: Path) -> None:
        crop()
        for options in ((), ("--dry-run",)):
            assert "nothing to apply: no edited box" in run("apply", output, *options).stderr


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["shots"][2]["box"].update(x=70_000),
        lambda document: document["shots"][2]["box"].update(width=70_000),
        lambda document: document["shots"][2].update(captoin=MINE),
        lambda document: document["shots"][2]["box"].update(x="3"),
        lambda document: document.update(rejectd=True),
    ],
    ids=["outside", "too wide", "misspelt", "text", "misspelt at the end"],
)
def test_crop_and_apply_fail_the_same_sidecars(
    change: Callable[[dict[str, Any]], object], crop: Callable[..., Result], sidecar: Path, output: Path
) -> None:
    crop()
    edit(sidecar, change)
    before = sidecar.read_bytes()
    for options in ((), ("--dry-run",), ("--language", "de")):
        assert "1 failed" in crop(*options, code=ExitCode.SOME_FAILED).stderr
    assert "1 failed" in run("apply", output, code=ExitCode.SOME_FAILED).stderr
    assert sidecar.read_bytes() == before


class TestABoxAlone:
    """Texts that a person did not edit follow the language."""

    @pytest.mark.parametrize("applied", [True, False])
    @pytest.mark.parametrize("modes", [(), ("--xmp", "both")], ids=str)
    def test_its_caption_follows(
        self, crop: Callable[..., Result], sidecar: Path, output: Path, applied: bool, modes: tuple[str, ...]
    ) -> None:
        options = (*modes, "--set", "default", "--set", "story=4:5")
        crop(*options)
        edit(sidecar, move_close_up)
        box = read(sidecar).shots[2].box
        if applied:
            run("apply", output)
        crop(*options, "--language", "de")
        record = read(sidecar)
        assert captions(record) == GERMAN
        assert [crop.caption for crop in record.more_crops] == GERMAN
        assert record.shots[2].box == box
        assert [shot.edited for shot in record.shots] == [False, False, True]
        if modes:
            packet = (output / "a.jpg.close_up.jpg.xmp").read_bytes()
            assert xmp.values(packet)[DESCRIPTION] == GERMAN[2] and b'xml:lang="de"' in packet
        run("caption", output, "--captions", "rules", "--language", "en")
        assert captions(read(sidecar)) == ENGLISH

    def test_an_accepted_caption_follows_and_an_edited_one_does_not(
        self, crop: Callable[..., Result], sidecar: Path, output: Path
    ) -> None:
        crop()
        edit(sidecar, lambda document: document["shots"][0].update(edited=True))
        edit(sidecar, lambda document: document["shots"][1].update(caption=MINE))
        edit(sidecar, move_close_up)
        run("apply", output)
        crop("--language", "de")
        assert captions(read(sidecar)) == [GERMAN[0], MINE, GERMAN[2]]

    @pytest.mark.parametrize("modes", [(), ("--xmp", "both")], ids=str)
    def test_crops_of_sets_keep_a_text_that_they_took_from_the_shot(
        self, crop: Callable[..., Result], sidecar: Path, output: Path, modes: tuple[str, ...]
    ) -> None:
        options = (*modes, "--set", "default", "--set", "square=1:1")
        crop(*options)
        edit(sidecar, lambda document: document["shots"][2].update(caption=MINE))
        run("apply", output)
        crop(*options, "--quality", "80")
        assert [crop.caption for crop in read(sidecar).more_crops] == [*ENGLISH[:2], MINE]
        crop(*options, "--quality", "80", "--language", "de")
        assert [crop.caption for crop in read(sidecar).all_crops] == [*GERMAN[:2], MINE] * 2
        assert "1 unchanged" in crop(*options, "--quality", "80", "--language", "de").stderr

    def test_the_crops_of_sets_keep_their_boxes(self, crop: Callable[..., Result], sidecar: Path, output: Path) -> None:
        crop("--set", "default", "--set", "square=1:1")
        before = read(sidecar).more_crops
        edit(sidecar, move_close_up)
        run("apply", output)
        assert [crop.box for crop in read(sidecar).more_crops] == [crop.box for crop in before]


class TestXmpFilesOfDeletedCrops:
    """They go, if they are as shotcrop wrote them."""

    @pytest.mark.parametrize("runs", [[("--xmp", "both")], [()], [("--xmp", "sidecar", "-n"), ()]], ids=str)
    @pytest.mark.parametrize("shots", [("medium",), ("establishing", "medium", "close_up")])
    def test_the_next_run_deletes_it(
        self, crop: Callable[..., Result], output: Path, runs: list[tuple[str, ...]], shots: tuple[str, ...]
    ) -> None:
        crop("--xmp", "both")
        for shot in shots:
            (output / f"a.jpg.{shot}.jpg").unlink()
        for options in runs:
            crop(*options)
        assert not [path for shot in shots for path in output.glob(f"*.{shot}.jpg.xmp")]
        crop("--xmp", "both", "--restore-rejected")
        for shot in shots:
            assert open_image(output / f"a.jpg.{shot}.jpg").size
            assert (output / f"a.jpg.{shot}.jpg.xmp").is_file()

    def test_one_that_a_program_changed_stays(self, crop: Callable[..., Result], output: Path) -> None:
        crop("--xmp", "both")
        (output / "a.jpg.medium.jpg").unlink()
        path = output / "a.jpg.medium.jpg.xmp"
        path.write_bytes(path.read_bytes() + b"<!-- 5 stars -->")
        for options in (("--xmp", "both"), (), ("--overwrite",)):
            crop(*options)
            assert path.read_bytes().endswith(b"<!-- 5 stars -->")


def test_a_caption_that_an_xmp_file_kept_is_written_on_a_later_request(
    crop: Callable[..., Result], sidecar: Path, output: Path
) -> None:
    crop("--xmp", "both")
    path = output / "a.jpg.establishing.jpg.xmp"
    path.write_text(path.read_text("utf-8").replace(ENGLISH[0], "Grandma"), "utf-8")
    edit(sidecar, lambda document: document["shots"][0].update(caption=MINE))
    assert "1 edited file kept" in run("apply", output).stderr
    assert xmp.values(path.read_bytes())[DESCRIPTION] == "Grandma"
    assert "1 done" in run("apply", output, "--overwrite-edited").stderr
    assert xmp.values(path.read_bytes())[DESCRIPTION] == MINE
    assert b"Grandma" in Path(f"{path}.bak").read_bytes()
