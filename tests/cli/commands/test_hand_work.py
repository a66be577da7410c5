"""What people and other programs did to finished crops survives every run; docs/hand-work.md."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from lxml import etree

from conftest import FakeComposer, fixed_composition, names_in, no_people, open_image, picture, write_photo
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.main import cli
from shotcrop_cli.shots import Answer, Composition, Shot
from shotcrop_cli.sidecar import read

pytestmark = pytest.mark.usefixtures("composer")

RATED = """<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x='adobe:ns:meta/' x:xmptk='Image::ExifTool 12.57'>
<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
 <rdf:Description rdf:about='' xmlns:dc='http://purl.org/dc/elements/1.1/'>
  <dc:description><rdf:Alt><rdf:li xml:lang='x-default'>CAPTION</rdf:li></rdf:Alt></dc:description>
  <dc:subject><rdf:Bag><rdf:li>Grandma</rdf:li></rdf:Bag></dc:subject>
 </rdf:Description>
 <rdf:Description rdf:about='' xmlns:xmp='http://ns.adobe.com/xap/1.0/'>
  <xmp:Rating>5</xmp:Rating>
 </rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end='w'?>"""


def _run(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def photo(photos: Path, output: Path) -> Path:
    """Return a photo that was cropped with XMP files."""
    path = write_photo(photos / "a.jpg")
    _run("crop", photos, "-o", output, "--xmp")
    return path


@pytest.fixture
def medium(photo: Path, output: Path) -> Path:
    """Return its medium shot."""
    return output / "a.jpg.medium.jpg"


def _retouch(crop: Path) -> bytes:
    """Change a crop as a picture editor would."""
    open_image(crop).convert("L").save(crop)
    return crop.read_bytes()


def _edit(sidecar: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(sidecar.read_bytes())
    change(document)
    sidecar.write_text(json.dumps(document), encoding="utf-8")


def _caption(text: str) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["shots"][1].update(caption=text)


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if not path.name.startswith(".shotcrop")}


def _another_model(composer: FakeComposer) -> None:
    composer.sha256 = "cd" * 32

    def answer(_image: object, _aspect: float) -> Answer:
        old = fixed_composition()
        return Composition(tuple(Shot(s.type, s.box, f"new words for {s.type}", 0.5) for s in old.shots), old.reasoning)

    composer.answer = answer


EVERYTHING_AGAIN: list[tuple[str, ...]] = [
    ("--xmp", "--quality", "90"),
    ("--xmp", "--metadata", "none"),
    ("--xmp", "--overwrite"),
    ("--overwrite",),
    (),
    ("--xmp", "--aspect", "1:1", "--replace"),
    ("--xmp", "--max-size", "40", "--replace"),
]


class TestXmpFiles:
    """XMP files that other programs changed are merged."""

    @pytest.mark.parametrize("options", [*EVERYTHING_AGAIN, ("--xmp", "--overwrite", "--overwrite-edited")], ids=str)
    def test_what_another_program_wrote_stays_word_by_word(
        self, photos: Path, output: Path, medium: Path, options: tuple[str, ...]
    ) -> None:
        xmp = Path(f"{medium}.xmp")
        xmp.write_text(RATED.replace("CAPTION", "Grandma at the picnic"), "utf-8")
        before = xmp.read_bytes()
        _run("crop", photos, "-o", output, *options)
        assert xmp.read_bytes() == before

    def test_a_new_caption_replaces_that_of_shotcrop_and_nothing_else(
        self, photos: Path, output: Path, medium: Path, composer: FakeComposer
    ) -> None:
        xmp = Path(f"{medium}.xmp")
        xmp.write_text(RATED.replace("CAPTION", "the medium shot"), "utf-8")
        _another_model(composer)
        _run("crop", photos, "-o", output, "--xmp")
        expected = RATED.replace("CAPTION", "new words for medium")
        assert _canonical(xmp.read_bytes()) == _canonical(expected.encode())

    def test_an_edited_original_changes_nothing_in_them(self, photo: Path, output: Path, medium: Path) -> None:
        xmp = Path(f"{medium}.xmp")
        xmp.write_text(RATED, "utf-8")
        write_photo(photo, picture(240, 160))
        assert "1 done" in _run("crop", photo, "-o", output, "--xmp").stderr
        assert xmp.read_text("utf-8") == RATED

    @pytest.mark.parametrize("xmp_option", [("--xmp",), ()])
    @pytest.mark.parametrize("ending", [".jpg.xmp", ".xmp"])
    def test_they_follow_crops_to_other_names(
        self, photos: Path, output: Path, medium: Path, xmp_option: tuple[str, ...], ending: str
    ) -> None:
        xmp = medium.with_name(medium.name.removesuffix(".jpg") + ending)
        xmp.write_text(RATED, "utf-8")
        _run("crop", photos, "-o", output, "--name-template", "{shot}/{stem}.{ext}", "--replace", *xmp_option)
        assert (output / "medium" / f"a{ending}").read_text("utf-8") == RATED
        assert not xmp.exists() and not medium.exists()

    def test_they_stay_if_a_deleted_crop_stays_away(self, photos: Path, output: Path, medium: Path) -> None:
        Path(f"{medium}.xmp").write_text(RATED, "utf-8")
        medium.unlink()
        _run("crop", photos, "-o", output, "--xmp", "--quality", "90")
        assert Path(f"{medium}.xmp").read_text("utf-8") == RATED

    @pytest.mark.parametrize("content", [b"", b"no XML", b"<!DOCTYPE x [<!ENTITY a 'b'>]><x/>", b"<html/>"])
    def test_one_that_cannot_be_read_stays_and_is_named(
        self, photos: Path, output: Path, medium: Path, content: bytes
    ) -> None:
        Path(f"{medium}.xmp").write_bytes(content)
        _run("crop", photos, "-o", output, "--xmp", "--quality", "90")
        assert Path(f"{medium}.xmp").read_bytes() == content
        assert read(output / "a.jpg.json").warnings == ("a.jpg.medium.jpg.xmp: it cannot be read as XMP",)

    def test_two_edited_captions_are_both_kept_until_one_may_be_overwritten(
        self, photos: Path, output: Path, medium: Path
    ) -> None:
        xmp = Path(f"{medium}.xmp")
        xmp.write_text(RATED.replace("CAPTION", "In the file"), "utf-8")
        before = xmp.read_bytes()
        _edit(output / "a.jpg.json", _caption("In the sidecar"))
        assert f"kept: {xmp}" in _run("apply", output).stderr
        assert xmp.read_bytes() == before
        assert read(output / "a.jpg.json").shots[1].caption == "In the sidecar"
        _edit(output / "a.jpg.json", _caption("In the sidecar again"))
        _run("apply", output, "--overwrite-edited")
        assert Path(f"{xmp}.bak").read_bytes() == before
        assert "In the sidecar again" in xmp.read_text("utf-8") and "<xmp:Rating>5<" in xmp.read_text("utf-8")


def _canonical(packet: bytes) -> bytes:
    """Return a packet without differences that mean nothing, such as the order of attributes."""
    return etree.tostring(etree.fromstring(packet), method="c14n")


class TestRetouchedCrops:
    """Crops that somebody changed are kept."""

    @pytest.mark.parametrize("options", EVERYTHING_AGAIN)
    def test_nothing_overwrites_one(self, photos: Path, output: Path, medium: Path, options: tuple[str, ...]) -> None:
        content = _retouch(medium)
        result = _run("crop", photos, "-o", output, *options, "--json")
        assert medium.read_bytes() == content
        assert f"kept: {medium}: somebody changed it" in result.stderr
        assert "1 edited file kept" in result.stderr
        assert json.loads(result.stdout)["kept"] == [str(medium)]
        shot = read(output / "a.jpg.json").shots[1]
        assert (shot.file, shot.retouched) == (medium.name, True)
        again = _run("crop", photos, "-o", output, *options)
        assert "1 edited file kept" in again.stderr
        assert medium.read_bytes() == content

    def test_a_rating_written_into_the_file_counts_too(self, photos: Path, output: Path, medium: Path) -> None:
        content = medium.read_bytes()
        comment = b"\xff\xfe\x00\x0arated 5!"
        medium.write_bytes(content[:2] + comment + content[2:])
        _run("crop", photos, "-o", output, "--xmp", "--quality", "50")
        assert medium.read_bytes() == content[:2] + comment + content[2:]

    def test_one_of_the_same_size_counts_too(self, photos: Path, output: Path, medium: Path) -> None:
        content = medium.read_bytes()
        status = medium.stat()
        changed = content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]
        medium.write_bytes(changed)
        os.utime(medium, ns=(status.st_atime_ns, status.st_mtime_ns))
        _run("crop", photos, "-o", output, "--xmp", "--quality", "50")
        assert medium.read_bytes() == changed

    def test_another_model_keeps_it_with_its_own_caption_and_box(
        self, photos: Path, output: Path, medium: Path, composer: FakeComposer
    ) -> None:
        content, before = _retouch(medium), read(output / "a.jpg.json").shots[1]
        _another_model(composer)
        assert "1 done" in _run("crop", photos, "-o", output, "--xmp").stderr
        record = read(output / "a.jpg.json")
        assert medium.read_bytes() == content
        assert (record.shots[1].box, record.shots[1].caption) == (before.box, before.caption)
        assert record.shots[0].caption == "new words for establishing"

    def test_another_photo_size_keeps_it(self, photo: Path, output: Path, medium: Path) -> None:
        content = _retouch(medium)
        write_photo(photo, picture(40, 30))
        assert "1 done" in _run("crop", photo, "-o", output, "--xmp").stderr
        assert medium.read_bytes() == content
        assert read(output / "a.jpg.json").shots[1].box.width <= 40

    def test_another_name_keeps_it_under_the_old_one(self, photos: Path, output: Path, medium: Path) -> None:
        content = _retouch(medium)
        _run("crop", photos, "-o", output, "--name-template", "{stem}-{shot}.{ext}", "--replace")
        assert medium.read_bytes() == content
        assert not (output / "a-medium.jpg").exists() and (output / "a-close_up.jpg").exists()

    def test_on_request_it_is_replaced_and_each_old_one_kept(self, photos: Path, output: Path, medium: Path) -> None:
        original = medium.read_bytes()
        for backup in (f"{medium}.bak", f"{medium}.bak.2"):
            content = _retouch(medium)
            planned = _run("crop", photos, "-o", output, "--xmp", "-n").stdout
            assert planned == ""
            result = _run("crop", photos, "-o", output, "--xmp", "--overwrite-edited", "--json")
            assert json.loads(result.stdout)["backups"] == [backup]
            assert f"{backup}: the file that was replaced is kept under this name" in result.stderr
            assert Path(backup).read_bytes() == content
            assert medium.read_bytes() == original
            assert not read(output / "a.jpg.json").shots[1].retouched

    def test_apply_asks_the_same_way(self, output: Path, medium: Path) -> None:
        content = _retouch(medium)
        sidecar = output / "a.jpg.json"
        _edit(sidecar, lambda document: document["shots"][1].update(box={"x": 1, "y": 2, "width": 33, "height": 44}))
        for _ in range(2):  # the edit stays pending
            assert "1 edited file kept" in _run("apply", output).stderr
            assert medium.read_bytes() == content
        _run("apply", output, "--overwrite-edited")
        assert open_image(medium).size == (33, 44)
        assert Path(f"{medium}.bak").read_bytes() == content
        assert "0 done" in _run("apply", output, "--overwrite-edited").stderr

    def test_a_dry_run_names_what_stays(self, photos: Path, output: Path, medium: Path) -> None:
        _retouch(medium)
        before = _content(output)
        result = _run("crop", photos, "-o", output, "--xmp", "--quality", "90", "-n")
        assert "(the settings changed: quality same to 90; keeps a.jpg.medium.jpg)" in result.stdout
        assert "1 to do, 0 unchanged, 1 edited file kept; nothing was written" in result.stderr
        assert _content(output) == before

    def test_a_dry_run_names_what_gets_a_backup_and_what_is_deleted(
        self, photos: Path, output: Path, medium: Path
    ) -> None:
        _retouch(medium)
        before = _content(output)
        template = ("--name-template", "{stem}-{shot}.{ext}", "--replace")
        result = _run("crop", photos, "-o", output, *template, "--overwrite-edited", "-n")
        line = "".join(result.stdout.split("\n"))
        assert "; keeps a.jpg.medium.jpg as backup; deletes a.jpg.establishing.jpg, a.jpg.close_up.jpg)" in line
        assert _content(output) == before

    def test_a_file_in_the_place_of_a_new_crop_is_kept(self, photos: Path, output: Path) -> None:
        write_photo(photos / "a.jpg")
        own = write_photo(output / "a.jpg.medium.jpg", picture(7, 8))
        content = own.read_bytes()
        assert f"kept: {own}" in _run("crop", photos, "-o", output).stderr
        assert own.read_bytes() == content
        shot = read(output / "a.jpg.json").shots[1]
        assert (shot.file, shot.size and (shot.size.width, shot.size.height), shot.retouched) == (
            own.name,
            (7, 8),
            True,
        )

    def test_without_a_sidecar_crops_with_the_time_of_the_photo_are_replaced(
        self, photos: Path, output: Path, medium: Path
    ) -> None:
        retouched = output / "a.jpg.close_up.jpg"
        content = _retouch(retouched)
        (output / "a.jpg.json").unlink()
        before = medium.stat().st_ino
        result = _run("crop", photos, "-o", output, "--quality", "50")
        assert "1 edited file kept" in result.stderr
        assert (retouched.read_bytes(), medium.stat().st_ino == before) == (content, False)

    def test_in_sidecars_of_earlier_versions_the_time_of_the_crop_decides(
        self, photos: Path, output: Path, medium: Path
    ) -> None:
        retouched = output / "a.jpg.close_up.jpg"
        content = _retouch(retouched)

        def forget(document: dict[str, Any]) -> None:
            for shot in document["shots"]:
                for key in ("written", "rejected", "retouched"):
                    del shot[key]

        _edit(output / "a.jpg.json", forget)
        before = medium.stat().st_ino
        _run("crop", photos, "-o", output, "--xmp", "--quality", "50")
        assert (retouched.read_bytes(), medium.stat().st_ino == before) == (content, False)
        assert read(output / "a.jpg.json").shots[1].written is not None

    def test_a_model_that_finds_no_people_deletes_no_edited_crops(
        self, photos: Path, output: Path, medium: Path, composer: FakeComposer
    ) -> None:
        content = _retouch(medium)
        names = names_in(output)
        composer.sha256, composer.answer = "cd" * 32, no_people
        assert "1 edited file kept" in _run("crop", photos, "-o", output, "--xmp").stderr
        assert (medium.read_bytes(), set(names) <= set(names_in(output))) == (content, True)
        assert "1 unchanged" in _run("crop", photos, "-o", output, "--xmp").stderr

    def test_a_model_that_finds_no_people_deletes_no_rated_xmp_file(
        self, photos: Path, output: Path, medium: Path, composer: FakeComposer
    ) -> None:
        Path(f"{medium}.xmp").write_text(RATED, "utf-8")
        composer.sha256, composer.answer = "cd" * 32, no_people
        _run("crop", photos, "-o", output, "--xmp")
        assert Path(f"{medium}.xmp").read_text("utf-8") == RATED and medium.exists()


class TestCaptions:
    """An edited caption is an edit."""

    def test_it_reaches_json_and_xmp_with_apply_and_marks_the_shot(self, output: Path, medium: Path) -> None:
        xmp = Path(f"{medium}.xmp")
        xmp.write_text(RATED.replace("CAPTION", "the medium shot"), "utf-8")
        _edit(output / "a.jpg.json", _caption("Ana & Tom"))
        assert "1 done" in _run("apply", output).stderr
        assert "0 done" in _run("apply", output).stderr
        assert "Ana &amp; Tom" in xmp.read_text("utf-8") and "<xmp:Rating>5<" in xmp.read_text("utf-8")
        document = json.loads((output / "a.jpg.json").read_bytes())
        assert (document["shots"][1]["edited"], document["shots"][0]["edited"]) == (True, False)

    @pytest.mark.parametrize("applied", [False, True])
    @pytest.mark.parametrize("option", ["--overwrite", "--xmp"])
    def test_it_survives_overwriting_and_another_model(
        self, photos: Path, output: Path, medium: Path, composer: FakeComposer, applied: bool, option: str
    ) -> None:
        _edit(output / "a.jpg.json", _caption("Ana"))
        if applied:
            _run("apply", output)
        _another_model(composer)
        for _ in range(2):
            _run("crop", photos, "-o", output, "--xmp", option)
            assert read(output / "a.jpg.json").shots[1].caption == "Ana"
            assert read(output / "a.jpg.json").shots[1].edited

    def test_only_both_options_give_it_up_and_keep_the_old_sidecar(
        self, photos: Path, output: Path, photo: Path, composer: FakeComposer
    ) -> None:
        _edit(output / "a.jpg.json", _caption("Ana"))
        _another_model(composer)
        _run("crop", photos, "-o", output, "--xmp", "--overwrite-edited")
        assert read(output / "a.jpg.json").shots[1].caption == "Ana"
        _run("crop", photos, "-o", output, "--xmp", "--overwrite", "--overwrite-edited")
        assert read(output / "a.jpg.json").shots[1].caption == "new words for medium"
        assert read(output / "a.jpg.json.bak").shots[1].caption == "Ana"


class TestDamagedSidecars:
    """A sidecar with a typo is never replaced."""

    @pytest.mark.parametrize("command", ["crop", "apply"])
    @pytest.mark.parametrize("options", [(), ("-n",), ("--overwrite-edited",)])
    def test_it_fails_its_photo_with_line_and_column_and_the_run_goes_on(
        self, photos: Path, output: Path, photo: Path, command: str, options: tuple[str, ...]
    ) -> None:
        write_photo(photos / "b.jpg")
        _run("crop", photos, "-o", output, "--xmp")
        sidecar = output / "a.jpg.json"
        broken = sidecar.read_text("utf-8").replace('"status": "done",', '"status": "done"', 1)
        sidecar.write_text(broken, "utf-8")
        _edit(output / "b.jpg.json", _caption("Ana"))
        before = _content(output)
        arguments = (photos, "-o", output, "--xmp", "--overwrite") if command == "crop" else (output,)
        result = _run(command, *arguments, *options, code=ExitCode.SOME_FAILED)
        assert "Expecting ',' delimiter: line 4 column 3" in result.stderr
        after = _content(output)
        assert {name for name in before if name.startswith("a.jpg")} == {
            name for name in after if name.startswith("a.jpg") and before[name] == after[name]
        }
        assert ("1 to do" if "-n" in options else "1 done") in result.stderr

    @pytest.mark.parametrize("content", [b"{}", b"[" * 100_000, b"\xff\xfe{\x00", b'{"schema": "shotcrop/1"'])
    def test_whatever_it_contains(self, photos: Path, output: Path, photo: Path, content: bytes) -> None:
        (output / "a.jpg.json").write_bytes(content)
        before = _content(output)
        _run("crop", photos, "-o", output, code=ExitCode.SOME_FAILED)
        assert _content(output) == before


class TestRejecting:
    """What somebody rejected or deleted does not come back."""

    @pytest.mark.parametrize("options", [(), ("--overwrite",), ("--quality", "50"), ("--metadata", "none")])
    def test_a_deleted_crop(
        self, photos: Path, output: Path, medium: Path, composer: FakeComposer, options: tuple[str, ...]
    ) -> None:
        medium.unlink()
        for model in ("ab", "cd"):
            composer.sha256 = model * 32
            result = _run("crop", photos, "-o", output, "--xmp", *options, "--json")
            assert "1 rejected crop left out" in result.stderr
            assert json.loads(result.stdout)["rejected"] == ["medium"]
            assert not medium.exists()
        _run("apply", output / "a.jpg.json")
        assert not medium.exists()
        assert json.loads((output / "a.jpg.json").read_bytes())["shots"][1]["rejected"] is True
        _run("crop", photos, "-o", output, "--xmp", *options, "--restore-rejected")
        assert medium.exists()
        assert "rejected" not in _run("crop", photos, "-o", output, "--xmp", *options).stderr

    def test_all_crops_of_a_photo(self, photos: Path, output: Path, photo: Path, composer: FakeComposer) -> None:
        for crop in output.glob("a.jpg.*.jpg"):
            crop.unlink()
        composer.sha256 = "cd" * 32
        composer.seen.clear()
        assert "0 done, 1 unchanged" in _run("crop", photos, "-o", output, "--xmp", "--overwrite").stderr
        assert (composer.seen, list(output.glob("a.jpg.*.jpg"))) == ([], [])
        assert "1 done" in _run("crop", photos, "-o", output, "--xmp", "--restore-rejected").stderr
        assert len(list(output.glob("a.jpg.*.jpg"))) == 3

    def test_a_shot_in_the_sidecar(self, photos: Path, output: Path, medium: Path, composer: FakeComposer) -> None:
        _edit(output / "a.jpg.json", lambda document: document["shots"][1].update(rejected=True))
        medium.unlink()
        _another_model(composer)
        _run("crop", photos, "-o", output, "--xmp")
        record = read(output / "a.jpg.json")
        assert [shot.rejected for shot in record.shots] == [False, True, False]
        assert record.shots[0].caption == "new words for establishing"
        assert not medium.exists()

    def test_a_rejected_crop_that_is_still_there_is_left_alone(
        self, photos: Path, output: Path, medium: Path, composer: FakeComposer
    ) -> None:
        _edit(output / "a.jpg.json", lambda document: document["shots"][1].update(rejected=True))
        before = medium.read_bytes()
        _another_model(composer)
        _run("crop", photos, "-o", output, "--xmp", "--quality", "50")
        assert medium.read_bytes() == before
        assert read(output / "a.jpg.json").shots[1].file == medium.name

    def test_a_photo_in_the_sidecar(self, photos: Path, output: Path, photo: Path, composer: FakeComposer) -> None:
        _edit(output / "a.jpg.json", lambda document: document.update(rejected=True))
        for crop in output.glob("a.jpg.*.jpg"):
            crop.unlink()
        composer.sha256 = "cd" * 32
        composer.seen.clear()
        for _ in range(2):
            result = _run("crop", photos, "-o", output, "--xmp", "--overwrite", "-v")
            assert "1 unchanged" in result.stderr and "3 rejected crops left out" in result.stderr
        assert composer.seen == []
        assert "1 done" in _run("crop", photos, "-o", output, "--xmp", "--restore-rejected").stderr
        assert not read(output / "a.jpg.json").rejected


class TestOtherSets:
    """Another ratio, size, format or name never deletes finished crops in silence."""

    OPTIONS = (
        ("--aspect", "close_up=1:1"),
        ("--pad", "10%"),
        ("--max-size", "20"),
        ("--format", "png"),
        ("--name-template", "{stem}-{shot}.{ext}"),
    )

    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    @pytest.mark.parametrize("more", [(), ("-n",), ("--overwrite",), ("--overwrite-edited",)])
    def test_it_says_what_would_go_and_needs_an_option(
        self, photos: Path, output: Path, photo: Path, options: tuple[str, ...], more: tuple[str, ...]
    ) -> None:
        before = _content(output)
        write_photo(photos / "new.jpg")
        result = _run("crop", photos, "-o", output, "--xmp", *options, *more, code=ExitCode.SOME_FAILED)
        assert "close_up. Fix: " in result.stderr and "--replace" in result.stderr
        after = _content(output)
        assert {name: after[name] for name in before} == before
        assert ("1 to do" if "-n" in more else "1 done") in result.stderr  # the new photo
        _run("crop", photos / "a.jpg", "-o", output, "--xmp", *options, "--replace")
        assert _content(output)["a.jpg.json"] != before["a.jpg.json"]
        assert "1 unchanged" in _run("crop", photos / "a.jpg", "-o", output, "--xmp", *options).stderr


def _killed_after(changes: int, output: Path, patch: pytest.MonkeyPatch) -> None:
    """Let the process die after this many files of the output got or lost their name."""
    count = 0

    def killed(change: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(self: Path, *arguments: Any, **options: Any) -> Any:
            nonlocal count
            if self.parent == output and (arguments or "tmp" not in self.name):
                count += 1
                if count > changes:
                    raise SystemExit(99)
            return change(self, *arguments, **options)

        return wrapped

    for name in ("replace", "rename", "unlink"):
        patch.setattr(Path, name, killed(getattr(Path, name)))


@pytest.mark.parametrize("killed_at", range(12))
@pytest.mark.parametrize("again", [(), ("--overwrite-edited",)])
def test_a_run_killed_while_it_overwrites_edited_crops_leaves_each_as_it_was_or_as_backup(
    photos: Path, output: Path, medium: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int, again: tuple[str, ...]
) -> None:
    content = _retouch(medium)
    with monkeypatch.context() as patch:
        _killed_after(killed_at, output, patch)
        command = ("crop", photos, "-o", output, "--xmp", "--quality", "90", "--overwrite-edited")
        CliRunner().invoke(cli, list(map(str, command)))
    _run("crop", photos, "-o", output, "--xmp", "--quality", "90", *again)
    assert content in [path.read_bytes() for path in output.glob("a.jpg.medium.jpg*")]
    assert not any(shot.rejected for shot in read(output / "a.jpg.json").shots)
    assert medium.exists()


@pytest.mark.parametrize("killed_at", range(14))
@pytest.mark.parametrize("options", [("--quality", "90"), ("--name-template", "{stem}-{shot}.{ext}", "--replace")])
def test_a_run_killed_at_any_change_loses_and_rejects_nothing(
    photos: Path,
    output: Path,
    medium: Path,
    composer: FakeComposer,
    monkeypatch: pytest.MonkeyPatch,
    killed_at: int,
    options: tuple[str, ...],
) -> None:
    retouched = output / "a.jpg.close_up.jpg"
    content = _retouch(retouched)
    Path(f"{medium}.xmp").write_text(RATED, "utf-8")
    _another_model(composer)
    with monkeypatch.context() as patch:
        _killed_after(killed_at, output, patch)
        CliRunner().invoke(cli, list(map(str, ("crop", photos, "-o", output, "--xmp", *options))))
    _run("crop", photos, "-o", output, "--xmp", *options)
    record = read(output / "a.jpg.json")
    assert retouched.read_bytes() == content
    assert [shot.rejected for shot in record.shots] == [False] * 3
    assert all(shot.file is not None and (output / shot.file).is_file() for shot in record.shots)
    assert Path(f"{output / (record.shots[1].file or '')}.xmp").read_text("utf-8") == RATED
    assert len(list(output.glob("*.jpg"))) == 3 and not list(output.glob("*.bak"))


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_a_rating_by_exiftool_stays_in_crop_and_xmp_file(photos: Path, output: Path, medium: Path) -> None:
    files = (medium, Path(f"{medium}.xmp"))
    subprocess.run(["exiftool", "-q", "-overwrite_original", "-XMP:Rating=5", *files], check=True)
    _run("crop", photos, "-o", output, "--xmp", "--quality", "50", "--overwrite")
    for path in files:
        rating = ["exiftool", "-s3", "-XMP:Rating", path]
        assert subprocess.run(rating, capture_output=True, check=True, text=True).stdout == "5\n"
