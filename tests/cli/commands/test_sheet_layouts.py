"""`shotcrop sheet --layout`: triptychs, stories and PDF files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from finished_shots import GREY, change, write_shots
from shotcrop_cli.commands.sheet import sheet_command
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.library.output_files import OutputFiles
from shotcrop_cli.report import pdf
from shotcrop_cli.report.entry import Choice, choose, read_entries
from shotcrop_cli.report.page import BACKGROUND, Page, Picture, Words
from shotcrop_cli.report.sheet import SHOT_COLOURS
from shotcrop_cli.report.story import Setting, draw_stories
from shotcrop_cli.report.text import BUILT_IN, Typeface, open_typeface, typeface_for

PDF_PAGE = re.compile(rb"/Type /Page\b(?!s)")


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    root = tmp_path / "shots"
    write_shots(root, "wide.png", (300, 200))
    write_shots(root, "ana/tall.png", (200, 300))
    return root


def draw(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(sheet_command, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def stories(shots: Path) -> list[Page]:
    sidecars = choose(OutputFiles(shots), needs_crops=True).sidecars
    return list(draw_stories(read_entries(OutputFiles(shots), sidecars), len(sidecars), Setting(1600)))


def words(page: Page) -> list[str]:
    return [item.text for item in page.items if isinstance(item, Words)]


def test_a_story_page_has_three_shots_their_captions_and_the_story_but_no_boxes(shots: Path) -> None:
    (tall, wide), photos = stories(shots), (shots / "ana" / "tall.png", shots / "wide.png")
    for page, photo in zip((tall, wide), photos, strict=True):
        assert (page.width, page.height) == (1600, round(1600 * 210 / 297))
        assert len([item for item in page.items if isinstance(item, Picture)]) == 3
        for text in ("Nothing happens.", "A person in grey, close_up.", photo.relative_to(shots).as_posix()):
            assert text in words(page)
        found = {colour for _, colour in page.to_image().getcolors(1600 * 1131) or ()}
        assert GREY in found and not found & set(SHOT_COLOURS.values())
        assert not any("0.5" in text for text in words(page))
    assert "1 / 2" in words(tall) and "2 / 2" in words(wide)


def test_the_captioners_story_is_told_instead_of_the_models(shots: Path) -> None:
    path = shots / "wide.png.json"
    document = json.loads(path.read_bytes())
    document["captions"] = {
        "model": "m",
        "host": "h",
        "key": "k",
        "story": "Ana waits for the boat.",
        "written_story": "",
    }
    path.write_text(json.dumps(document), "utf-8")
    tall, wide = stories(shots)
    assert "Ana waits for the boat." in words(wide) and "Nothing happens." not in words(wide)
    assert "Nothing happens." in words(tall)


def test_rejected_and_deleted_crops_are_left_out_of_stories(shots: Path) -> None:
    change(shots / "wide.png.json", 0, rejected=True)
    (shots / "wide.png.medium.png").unlink()
    (picture,) = [item for item in stories(shots)[1].items if isinstance(item, Picture)]
    assert picture.alt_text == "A person in grey, close_up."
    document = json.loads((shots / "ana" / "tall.png.json").read_bytes())
    document["rejected"] = True
    (shots / "ana" / "tall.png.json").write_text(json.dumps(document), "utf-8")
    result = draw(shots, "-o", shots.parent / "a.png", "--layout", "story")
    assert result.stdout == f"{shots.parent / 'a.png'}\n"
    assert "left out 1 photo that you rejected" in result.stderr


def test_a_crop_that_somebody_cut_again_keeps_its_new_shape(shots: Path) -> None:
    Image.new("RGB", (400, 100), GREY).save(shots / "wide.png.establishing.png")
    first = next(item for item in stories(shots)[1].items if isinstance(item, Picture))
    assert abs(first.image.width / first.image.height - 4.0) < 0.05


def test_a_crop_that_cannot_be_read_is_named_and_does_not_end_the_story(shots: Path) -> None:
    (shots / "wide.png.medium.png").write_bytes(b"no picture")
    assert "The crop cannot be read." in " ".join(words(stories(shots)[1]))


def test_a_triptych_is_one_row_for_each_photo(shots: Path, tmp_path: Path) -> None:
    draw(shots, "-o", tmp_path / "all.png", "--layout", "triptych")
    draw(shots, "-o", tmp_path / "each.png", "--layout", "triptych", "--page", 1)
    with Image.open(tmp_path / "all.png") as both, Image.open(tmp_path / "each-001.png") as one:
        assert both.width == one.width == 1600 and both.height > one.height + 200
        middle = both.convert("RGB").crop((0, 150, 1600, 151))
        assert middle.getpixel((100, 0)) == GREY and middle.getpixel((2, 0)) == BACKGROUND


def test_stories_of_photos_without_people_are_an_error_that_says_why(tmp_path: Path) -> None:
    write_shots(tmp_path / "shots", "empty.png", person=False)
    result = CliRunner().invoke(
        sheet_command, [str(tmp_path / "shots"), "-o", str(tmp_path / "a.png"), "--layout", "story"]
    )
    assert isinstance(result.exception, ShotcropError)
    assert "no photo in this folder has crops" in str(result.exception)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layout", "story", "--page", "3"], "--layout story shows one photo on a page. Leave out --page."),
        (["--layout", "triptych", "--columns", "2"], "--columns is for --layout contact. Leave it out."),
    ],
)
def test_options_of_another_layout_are_refused(shots: Path, options: list[str], message: str) -> None:
    assert message in draw(shots, "-o", shots.parent / "a.png", *options, code=2).stderr


@pytest.mark.parametrize("layout", ["contact", "triptych", "story"])
def test_a_pdf_has_its_pages_on_paper(shots: Path, tmp_path: Path, layout: str) -> None:
    output = tmp_path / "new" / f"{layout}.pdf"
    assert draw(shots, "-o", output, "--layout", layout).stdout == f"{output}\n"
    content = output.read_bytes()
    assert content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF")
    assert len(PDF_PAGE.findall(content)) == (2 if layout == "story" else 1)
    assert b"/DCTDecode" in content
    box = b"841.89 595.28" if layout == "story" else b"595.28 841.89"
    assert re.search(rb"/MediaBox \[0 0 " + box + rb"\]", content), re.findall(rb"/MediaBox[^]]*", content)


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler is not installed")
def test_texts_of_a_pdf_can_be_searched(shots: Path, tmp_path: Path) -> None:
    change(shots / "wide.png.json", 1, caption="Zoë mit Käse in Łódź, 25 % “billiger”")
    draw(shots, "-o", tmp_path / "a.pdf", "--layout", "story")
    text = subprocess.run(["pdftotext", tmp_path / "a.pdf", "-"], capture_output=True, check=True).stdout.decode()
    assert "Nothing happens." in text and "A person in grey, close_up." in text
    if typeface_for("Zoë Łódź") != BUILT_IN:
        assert "Zoë mit Käse in Łódź" in " ".join(text.split())


def test_a_pdf_without_the_library_is_refused_with_the_command_that_installs_it(
    shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf, "find_spec", lambda _: None)
    result = CliRunner().invoke(sheet_command, [str(shots), "-o", str(tmp_path / "a.pdf")])
    assert isinstance(result.exception, ShotcropError)
    assert "a.pdf: PDF support is not installed. Fix: " in str(result.exception)
    assert "pdf" in str(result.exception).partition("Fix:")[2]
    assert not (tmp_path / "a.pdf").exists()


def test_many_pages_become_several_pdf_files(shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shots(shots, "z.png")
    monkeypatch.setattr(pdf, "PAGES_PER_FILE", 2)
    result = draw(shots, "-o", tmp_path / "a.pdf", "--layout", "story")
    assert result.stdout.split() == [str(tmp_path / "a-001.pdf"), str(tmp_path / "a-002.pdf")]
    assert [len(PDF_PAGE.findall((tmp_path / f"a-00{n}.pdf").read_bytes())) for n in (1, 2)] == [2, 1]


def test_photos_are_opened_page_by_page(shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is written before the photos of the next one are read."""
    write_shots(shots, "z.png")
    opened: list[int] = []

    def read(files: OutputFiles, sidecars: list[Path], choice: Choice) -> Iterator[object]:
        for entry in read_entries(files, sidecars, choice):
            opened.append(len(list(tmp_path.glob("a-*.png"))))
            yield entry

    monkeypatch.setattr("shotcrop_cli.report.entry.read_entries", read)
    draw(shots, "-o", tmp_path / "a.png", "--page", 1)
    assert opened == [0, 1, 2]


def some_font() -> Path:
    found = typeface_for("äöüßłЖ")
    if found.file is None:
        pytest.skip("this system has no font with these characters")
    return found.file


def test_a_font_of_the_system_writes_what_the_built_in_one_lacks() -> None:
    assert typeface_for("Plain text, “quoted”.") == BUILT_IN
    font = open_typeface(some_font())
    assert font.legible("Zoë’s Käse ß Жук") == "Zoë’s Käse ß Жук"
    assert font.missing("Zoë\n") == set()
    assert font.has("Ж") and not font.has("\U0010fffe")
    assert font.legible("Ж\U0010fffe") == "Ж?"
    assert Typeface().legible("Zoë ß Жук") == "Zoe ss ???"


def test_a_warning_names_the_characters_that_no_font_has(
    shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    font = some_font()
    monkeypatch.setattr("shotcrop_cli.report.text._FONT_NAMES", ())
    change(shots / "wide.png.json", 1, caption="Käse Ж")
    result = draw(shots, "-o", tmp_path / "a.png", "--layout", "story")
    assert "no font that shotcrop found here has ä, Ж" in result.stderr and "--font" in result.stderr
    assert draw(shots, "-o", tmp_path / "a.png", "--font", font).stderr == ""


def test_a_file_that_is_no_font_is_refused(shots: Path, tmp_path: Path) -> None:
    (tmp_path / "a.ttf").write_bytes(b"no font")
    result = CliRunner().invoke(
        sheet_command, [str(shots), "-o", str(tmp_path / "a.png"), "--font", str(tmp_path / "a.ttf")]
    )
    assert isinstance(result.exception, ShotcropError)
    assert "a.ttf: not a font that can be read" in str(result.exception)
