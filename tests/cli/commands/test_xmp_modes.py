"""`crop --xmp embedded|sidecar|both`: captions where photo managers look for them, through the life of a crop."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from caption_server import GOOD, CaptionServer, running
from conftest import FakeComposer, fixed_composition, open_image, picture, write_photo
from shotcrop_cli.crop_facts import CropFacts
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.metadata import iptc, xmp
from shotcrop_cli.main import cli
from shotcrop_cli.shots import Answer, Composition, Grounding
from shotcrop_cli.sidecar import read

pytestmark = pytest.mark.usefixtures("composer")

DC, CORE = "{http://purl.org/dc/elements/1.1/}", "{http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/}"
DESCRIPTION, ALT_TEXT, SUBJECT = f"{DC}description", f"{CORE}AltTextAccessibility", f"{DC}subject"
HEADLINE, RATING = "{http://ns.adobe.com/photoshop/1.0/}Headline", "{http://ns.adobe.com/xap/1.0/}Rating"
RATED = """<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
<rdf:Description rdf:about='' xmlns:xmp='http://ns.adobe.com/xap/1.0/' xmp:Rating='5'
 xmlns:dc='http://purl.org/dc/elements/1.1/'><dc:description><rdf:Alt>
<rdf:li xml:lang='x-default'>Grandma at the picnic</rdf:li></rdf:Alt></dc:description></rdf:Description>
</rdf:RDF></x:xmpmeta>"""


def run(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result


def embedded(crop: Path) -> dict[str, str]:
    return xmp.values(decode(read_source(crop)).metadata.xmp)


def in_file(crop: Path) -> dict[str, str]:
    return xmp.values(Path(f"{crop}.xmp").read_bytes())


def texts(found: dict[str, str]) -> list[str | None]:
    return [found.get(name) for name in (DESCRIPTION, ALT_TEXT, HEADLINE, SUBJECT)]


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def pixels(path: Path) -> bytes:
    return open_image(path).tobytes()


@pytest.fixture
def medium(photos: Path, output: Path) -> Path:
    write_photo(photos / "a.jpg")
    return output / "a.jpg.medium.jpg"


@pytest.mark.parametrize(
    ("options", "embeds", "has_file"),
    [
        (["--xmp"], False, True),
        (["--xmp", "sidecar"], False, True),
        (["--xmp=sidecar"], False, True),
        (["--xmp", "embedded"], True, False),
        (["--xmp", "both"], True, True),
        (["--xmp", "none"], False, False),
        ([], False, False),
    ],
)
def test_captions_go_where_they_are_asked_for(
    medium: Path, photos: Path, output: Path, options: list[str], embeds: bool, has_file: bool
) -> None:
    run("crop", *options, photos, "-o", output)  # the old spelling, right before an argument
    assert embedded(medium).get(DESCRIPTION) == ("the medium shot" if embeds else None)
    assert Path(f"{medium}.xmp").exists() == has_file
    if has_file:
        assert in_file(medium)[DESCRIPTION] == "the medium shot"
    assert (iptc.values(decode(read_source(medium)).metadata.iptc).get(iptc.CAPTION) == "the medium shot") == embeds
    assert "0 done, 1 unchanged" in run("crop", photos, "-o", output, *options).stderr


@pytest.mark.parametrize("form", ["png", "webp", "tiff", "avif"])
def test_other_formats_have_captions_inside_too(photos: Path, output: Path, form: str) -> None:
    write_photo(photos / "a.jpg")
    run("crop", photos, "-o", output, "--xmp", "embedded", "--format", form)
    crop = next(output.glob("*.medium.*"))
    assert embedded(crop)[DESCRIPTION] == "the medium shot"


@pytest.mark.parametrize(
    ("variable", "table", "wanted"),
    [
        ("1", "", "sidecar"),
        ("embedded", "", "embedded"),
        (None, "xmp = true", "sidecar"),
        (None, "xmp = false", "none"),
        (None, 'xmp = "both"', "both"),
    ],
)
def test_old_and_new_spellings_in_variables_and_files(
    medium: Path,
    photos: Path,
    output: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
    table: str,
    wanted: str,
) -> None:
    if variable:
        monkeypatch.setenv("SHOTCROP_CROP_XMP", variable)
    (tmp_path / "c.toml").write_text(f"[crop]\n{table}\n", "utf-8")
    run("--config", tmp_path / "c.toml", "crop", photos, "-o", output)
    assert str(read(output / "a.jpg.json").settings.xmp) == wanted


def test_wrong_spellings_are_refused_with_what_is_possible(photos: Path, output: Path) -> None:
    result = run("crop", photos, "-o", output, "--xmp=inside", code=ExitCode.USAGE)
    assert "'inside' is not one of embedded, sidecar, both, none." in result.stderr
    result = run("crop", photos, "-o", output, "--keywords", code=ExitCode.USAGE)
    assert "--keywords needs --xmp." in result.stderr


def test_sidecars_of_earlier_versions_say_whether_there_are_files(medium: Path, photos: Path, output: Path) -> None:
    run("crop", photos, "-o", output, "--xmp")
    before = read(output / "a.jpg.json").settings
    edit(output / "a.jpg.json", lambda document: document["settings"].update(xmp=True))
    assert read(output / "a.jpg.json").settings == before
    assert "1 unchanged" in run("crop", photos, "-o", output, "--xmp").stderr


def test_keywords_are_what_the_model_surely_sees(
    medium: Path, photos: Path, output: Path, composer: FakeComposer
) -> None:
    def answer(_image: object, _aspect: float) -> Answer:
        old = fixed_composition()
        facts = (CropFacts(place="outdoor"), CropFacts(place="in water", thing="boat"), CropFacts())
        return Composition(old.shots, old.reasoning, Grounding(setting="outdoor"), facts=facts)

    composer.answer = answer
    run("crop", photos, "-o", output, "--xmp", "both", "--keywords")
    assert embedded(medium)[SUBJECT] == in_file(medium)[SUBJECT] == "outdoors"
    wanted = [("outdoors",), ("outdoors", "water", "boat"), ("outdoors",)]
    assert [shot.keywords for shot in read(output / "a.jpg.json").shots] == wanted
    assert Path(f"{medium}.xmp").read_text("utf-8").count("<rdf:li>boat</rdf:li>") == 2  # also for digiKam
    assert "1 unchanged" in run("crop", photos, "-o", output, "--xmp", "both", "--keywords").stderr
    run("crop", photos, "-o", output, "--xmp", "both", "--keywords", "--language", "de")
    assert Path(f"{medium}.xmp").read_text("utf-8").count("<rdf:li>Boot</rdf:li>") == 2
    assert "boat" not in Path(f"{medium}.xmp").read_text("utf-8")
    assert [shot.keywords for shot in read(output / "a.jpg.json").shots] == wanted
    run("crop", photos, "-o", output, "--xmp", "both")
    assert SUBJECT not in embedded(medium) and SUBJECT not in in_file(medium)


class TestDescribedPhotos:
    """A caption that a person gave the photo is never hidden by ours."""

    @pytest.fixture
    def medium(self, photos: Path, output: Path) -> Path:
        write_photo(photos / "a.jpg", picture(), xmp=RATED.encode())
        return output / "a.jpg.medium.jpg"

    def test_it_stays_the_description_and_ours_becomes_the_alternative_text(
        self, medium: Path, photos: Path, output: Path
    ) -> None:
        run("crop", photos, "-o", output, "--xmp", "both")
        assert texts(embedded(medium)) == ["Grandma at the picnic", "the medium shot", None, None]
        assert embedded(medium)[RATING] == "5"
        assert texts(in_file(medium)) == [None, "the medium shot", None, None]
        assert "1 unchanged" in run("crop", photos, "-o", output, "--xmp", "both").stderr
        edit(output / "a.jpg.json", lambda document: document["shots"][1].update(caption="Ana and Tom"))
        run("apply", output)
        assert texts(embedded(medium)) == ["Grandma at the picnic", "Ana and Tom", None, None]
        assert texts(in_file(medium)) == [None, "Ana and Tom", None, None]

    def test_ours_replaces_it_on_request(self, medium: Path, photos: Path, output: Path) -> None:
        run("crop", photos, "-o", output, "--xmp", "both", "--prefer-own-captions")
        assert texts(embedded(medium)) == texts(in_file(medium)) == ["the medium shot", None, None, None]
        assert embedded(medium)[RATING] == "5"

    def test_without_the_photos_metadata_there_is_nothing_to_hide(
        self, medium: Path, photos: Path, output: Path
    ) -> None:
        run("crop", photos, "-o", output, "--xmp", "both", "--metadata", "none")
        assert texts(embedded(medium)) == texts(in_file(medium)) == ["the medium shot", None, None, None]

    @pytest.mark.parametrize(
        ("text", "preferred", "description"),
        [
            ("Oma am Fluss", False, None),
            ("Oma am Fluss", True, "the medium shot"),
            ("OLYMPUS DIGITAL CAMERA", False, "the medium shot"),
        ],
    )
    def test_the_description_in_exif_counts_unless_a_camera_wrote_it(
        self, photos: Path, output: Path, text: str, preferred: bool, description: str | None
    ) -> None:
        exif = Image.Exif()
        exif[0x010E] = text
        write_photo(photos / "b.jpg", picture(), exif=exif.tobytes())
        run("crop", photos / "b.jpg", "-o", output, "--xmp", "embedded", *["--prefer-own-captions"] * preferred)
        crop = output / "b.jpg.medium.jpg"
        assert embedded(crop).get(DESCRIPTION) == description
        assert embedded(crop).get(ALT_TEXT) == (None if description else "the medium shot")
        # Programs that look into EXIF first find no other text there.
        assert open_image(crop).getexif().get(0x010E) == (None if description else text)


class TestRetouchedCrops:
    """Captions in crops that somebody changed are renewed without touching the pixels."""

    @pytest.fixture
    def retouched(self, medium: Path, photos: Path, output: Path) -> Path:
        run("crop", photos, "-o", output, "--xmp", "both")
        image = open_image(medium)
        packet = image.info["xmp"]
        image.convert("L").save(medium, xmp=packet.replace(b"</rdf:RDF>", RATING_ONLY + b"</rdf:RDF>"))
        return medium

    def test_an_edited_caption_reaches_the_file(self, retouched: Path, output: Path) -> None:
        before = pixels(retouched)
        edit(output / "a.jpg.json", lambda document: document["shots"][1].update(caption="Ana & Tom"))
        run("apply", output)
        assert embedded(retouched)[DESCRIPTION] == in_file(retouched)[DESCRIPTION] == "Ana & Tom"
        assert embedded(retouched)[RATING] == "4"
        assert pixels(retouched) == before and open_image(retouched).mode == "L"
        assert read(output / "a.jpg.json").shots[1].retouched

    def test_a_caption_that_somebody_changed_in_the_file_stays(
        self, retouched: Path, photos: Path, output: Path
    ) -> None:
        content = retouched.read_bytes().replace(b"the medium shot", b"by Lightroom 13")
        retouched.write_bytes(content)
        edit(output / "a.jpg.json", lambda document: document["shots"][1].update(caption="Ana & Tom"))
        run("apply", output)
        assert embedded(retouched)[DESCRIPTION] == "by Lightroom 13"
        run("crop", photos, "-o", output, "--xmp", "both", "--quality", "50")
        assert embedded(retouched)[DESCRIPTION] == "by Lightroom 13"

    def test_without_embedding_the_file_is_not_touched(self, retouched: Path, photos: Path, output: Path) -> None:
        content = retouched.read_bytes()
        run("crop", photos, "-o", output, "--xmp", "--quality", "50")
        assert retouched.read_bytes() == content


RATING_ONLY = b'<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"/>'


class TestCaptioners:
    """What a captioner writes later goes into finished crops."""

    @pytest.fixture(autouse=True)
    def server(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptionServer]:
        pytest.importorskip("openai")
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            monkeypatch.setenv(name, str(tmp_path / name))
        with running() as server:
            table = f'[captioner.stub]\nurl = "{server.url}"\nmodel = "m"\nretries = 0\n'
            (tmp_path / "c.toml").write_text(table, "utf-8")
            monkeypatch.setenv("SHOTCROP_CONFIG", str(tmp_path / "c.toml"))
            yield server

    def test_crops_get_all_texts_and_stay_shotcrops_own(
        self, medium: Path, photos: Path, output: Path, server: CaptionServer
    ) -> None:
        run("crop", photos, "-o", output, "--xmp", "both")
        before, status = pixels(medium), medium.stat()
        run("caption", output, "--captions", "stub")
        words = GOOD["medium"]
        wanted = [words["caption"], words["alt_text"], GOOD["story"], None]
        assert texts(embedded(medium)) == texts(in_file(medium)) == wanted
        assert pixels(medium) == before and medium.stat().st_mtime_ns == status.st_mtime_ns
        assert "0 done, 1 unchanged" in run("caption", output, "--captions", "stub").stderr
        assert "0 done, 1 unchanged" in run("crop", photos, "-o", output, "--xmp", "both").stderr
        assert len(server.requests) == 1
        # They are not mistaken for retouched ones, and new crops with the same pixels are not asked about again.
        result = run("crop", photos, "-o", output, "--xmp", "both", "--overwrite", "--captions", "stub")
        assert "kept" not in result.stderr
        assert texts(embedded(medium)) == wanted and len(server.requests) == 1
        # Without the option, they go.
        run("crop", photos, "-o", output)
        assert texts(embedded(medium)) == [None] * 4 and not Path(f"{medium}.xmp").exists()

    def test_an_edited_story_reaches_all_crops(self, medium: Path, photos: Path, output: Path) -> None:
        run("crop", photos, "-o", output, "--xmp", "both")
        run("caption", output, "--captions", "stub")
        edit(output / "a.jpg.json", lambda document: document["captions"].update(story="Ana waits for the boat."))
        run("caption", output, "--captions", "stub", "--renew")
        for shot in ("establishing", "medium", "close_up"):
            crop = output / f"a.jpg.{shot}.jpg"
            assert embedded(crop)[HEADLINE] == in_file(crop)[HEADLINE] == "Ana waits for the boat."

    def test_retouched_crops_get_new_words_and_keep_their_pixels(
        self, medium: Path, photos: Path, output: Path
    ) -> None:
        run("crop", photos, "-o", output, "--xmp", "embedded")
        open_image(medium).convert("L").save(medium, xmp=open_image(medium).info["xmp"])
        before = pixels(medium)
        run("caption", output, "--captions", "stub")
        assert embedded(medium)[DESCRIPTION] == GOOD["medium"]["caption"]
        assert pixels(medium) == before
        assert "1 edited file kept" in run("crop", photos, "-o", output, "--xmp", "embedded", "--quality", "50").stderr

    def test_a_killed_run_leaves_crops_that_are_still_shotcrops_own(
        self, medium: Path, photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run("crop", photos, "-o", output, "--xmp", "embedded")
        rename, done = Path.replace, []

        def killed(self: Path, target: Path) -> Path:
            if Path(target).name == "a.jpg.json" and done:
                raise KeyboardInterrupt
            done.append(target)
            return rename(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", killed)
            CliRunner().invoke(cli, ["caption", str(output), "--captions", "stub"])
        assert embedded(medium)[DESCRIPTION] == GOOD["medium"]["caption"]
        assert "kept" not in run("crop", photos, "-o", output, "--xmp", "embedded", "--quality", "50").stderr


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not on PATH")
def test_exiftool_reads_the_languages_and_finds_no_fault(medium: Path, photos: Path, output: Path) -> None:
    run("crop", photos, "-o", output, "--xmp", "both")
    for path in (medium, Path(f"{medium}.xmp")):
        command = ["exiftool", "-j", "-validate", "-XMP-dc:all", "-IPTC:Caption-Abstract", str(path)]
        found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]
        assert found["Description"] == found["Description-en"] == "the medium shot"
        assert found["Validate"] == "OK", found


def test_a_wrong_word_is_no_path(photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    for arguments in (["--xmp", "full", "photos"], ["photos", "--xmp=full"]):
        result = CliRunner().invoke(cli, ["crop", *arguments, "-o", str(output)])
        assert result.exit_code == ExitCode.USAGE
        assert "'full' is not one of embedded, sidecar, both, none." in result.output
    (photos.parent / "full").mkdir()
    result = CliRunner().invoke(cli, ["crop", "--xmp", "full", "-o", str(output)])
    assert "no photos found" in result.output
