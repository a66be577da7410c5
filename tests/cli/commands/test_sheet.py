from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from finished_shots import GREY, change, sidecar_of, write_shots
from shotcrop_cli.cli.sheet_file import page_paths
from shotcrop_cli.commands.sheet import sheet_command
from shotcrop_cli.errors import ExitCode, ShotcropError
from shotcrop_cli.library.output_files import OutputFiles
from shotcrop_cli.library.output_folder import LOCK_NAME
from shotcrop_cli.report.entry import Entry, choose, read_entries
from shotcrop_cli.report.page import Page
from shotcrop_cli.report.sheet import SHOT_COLOURS, SheetLayout, _absence, outline
from shotcrop_cli.report.text import font_for, legible, shorten, wrap
from shotcrop_cli.shots import PixelBox, ShotType
from shotcrop_cli.sidecar import read

FONT = font_for(1600, 0.012)


def entries_of(root: Path) -> list[Entry]:
    files = OutputFiles(root)
    return list(read_entries(files, choose(files).sidecars))


def draw(*arguments: object) -> Result:
    return CliRunner().invoke(sheet_command, [str(argument) for argument in arguments])


def colours(path: Path) -> set[tuple[int, ...]]:
    with Image.open(path) as image:
        counted = image.convert("RGB").getcolors(image.width * image.height)
    assert counted is not None
    return {colour for _, colour in counted if isinstance(colour, tuple)}


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    root = tmp_path / "shots"
    write_shots(root, "wide.png", (300, 200))
    write_shots(root, "ana/tall.png", (200, 300))
    return root


def test_one_page_takes_the_name_that_was_asked_for(shots: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "sheet.png"
    result = draw(shots, "-o", output)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{output}\n"
    with Image.open(output) as page:
        assert page.width == 1600
    assert colours(output).issuperset({*SHOT_COLOURS.values(), GREY})


def test_more_photos_than_a_page_holds_go_to_numbered_pages(shots: Path, tmp_path: Path) -> None:
    result = draw(shots, "-o", tmp_path / "sheet.jpg", "--page", 1, "--width", 800)
    assert result.stdout.split() == [str(tmp_path / "sheet-001.jpg"), str(tmp_path / "sheet-002.jpg")]
    assert all(Path(line).is_file() for line in result.stdout.split())
    assert not (tmp_path / "sheet.jpg").exists()


def test_limit_shows_the_first_photos_only(shots: Path, tmp_path: Path) -> None:
    draw(shots, "-o", tmp_path / "all.png")
    draw(shots, "-o", tmp_path / "first.png", "--limit", 1)
    with Image.open(tmp_path / "all.png") as both, Image.open(tmp_path / "first.png") as first:
        assert first.height < both.height


def drawn(monkeypatch: pytest.MonkeyPatch, shots: Path, *arguments: object) -> list[str]:
    """Return the titles of the photos on the sheet, in their order."""
    titles: list[str] = []

    def draw_pages(entries: Iterable[Entry], *_: object) -> list[Page]:
        titles.extend(entry.title for entry in entries)
        return [Page(1, 1)]

    monkeypatch.setattr("shotcrop_cli.report.sheet.draw_pages", draw_pages)
    result = draw(shots, "-o", shots.parent / "sheet.png", *arguments)
    assert result.exit_code == 0, result.output
    return titles


def test_options_choose_photos_by_status_score_and_list(
    shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shots(shots, "empty.png", person=False)
    change(shots / "wide.png.json", 1, score=0.2)
    assert drawn(monkeypatch, shots) == ["ana/tall.png", "empty.png", "wide.png"]
    assert drawn(monkeypatch, shots, "--status", "done") == ["ana/tall.png", "wide.png"]
    assert drawn(monkeypatch, shots, "--status", "no_subject") == ["empty.png"]
    assert drawn(monkeypatch, shots, "--below-score", 0.3) == ["wide.png"]
    assert drawn(monkeypatch, shots, "--below-score", 0.6) == ["ana/tall.png", "wide.png"]
    assert drawn(monkeypatch, shots, "--below-score", 0.6, "--limit", 1) == ["ana/tall.png"]
    assert drawn(monkeypatch, shots, "--status", "no_subject", "--limit", 1) == ["empty.png"]
    review = tmp_path / "review.txt"
    review.write_text(f"{tmp_path / 'photos' / 'ana' / 'tall.png'}\n{tmp_path / 'photos' / 'other.png'}\n", "utf-8")
    assert drawn(monkeypatch, shots, "--files-from", review) == ["ana/tall.png"]
    monkeypatch.chdir(tmp_path / "photos")
    review.write_bytes(b"wide.png\0empty.png\0")
    assert drawn(monkeypatch, shots, "--files-from", review, "-0") == ["empty.png", "wide.png"]
    assert drawn(monkeypatch, shots, "--files-from", review, "-0", "--status", "done") == ["wide.png"]


def test_accepted_crops_do_not_count_as_low_scores(shots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(shots / "wide.png.json", 1, score=0.2)
    change(shots / "ana" / "tall.png.json", 1, score=0.1, edited=True)
    assert drawn(monkeypatch, shots, "--below-score", 0.3) == ["wide.png"]


def test_photos_can_be_sorted_by_their_lowest_score(shots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shots(shots, "empty.png", person=False)
    write_shots(shots, "z.png")
    change(shots / "z.png.json", 2, score=0.1)
    change(shots / "wide.png.json", 0, score=0.3)
    assert drawn(monkeypatch, shots, "--sort", "score") == ["z.png", "wide.png", "ana/tall.png", "empty.png"]
    assert drawn(monkeypatch, shots, "--sort", "score", "--limit", 2) == ["z.png", "wide.png"]


def test_options_that_no_photo_fits_are_an_error(shots: Path, tmp_path: Path) -> None:
    error = draw(shots, "-o", tmp_path / "sheet.png", "--below-score", 0.1).exception
    assert isinstance(error, ShotcropError)
    assert error.exit_code is ExitCode.USAGE
    assert "no photo in this folder matches" in str(error)
    assert not (tmp_path / "sheet.png").exists()
    assert isinstance(
        draw(shots, "-o", tmp_path / "s.png", "--files-from", tmp_path / "no.txt").exception, ShotcropError
    )


def add_crop(sidecar: Path, **values: Any) -> None:
    """Add a crop of another person or ratio set to a sidecar, without a file of its own."""
    record = read(sidecar)
    crop = replace(record.shots[1], **values)
    sidecar.write_bytes(replace(record, more_crops=(*record.more_crops, crop)).to_bytes())


def test_photos_without_the_person_or_set_are_left_out(shots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shots(shots, "empty.png", person=False)
    add_crop(shots / "wide.png.json", person="person3")
    add_crop(shots / "ana" / "tall.png.json", set_name="web")
    assert drawn(monkeypatch, shots, "--subject", 3) == ["wide.png"]
    assert drawn(monkeypatch, shots, "--set", "web") == ["ana/tall.png"]
    assert drawn(monkeypatch, shots, "--set", "default") == ["ana/tall.png", "wide.png"]
    assert drawn(monkeypatch, shots) == ["ana/tall.png", "empty.png", "wide.png"]
    result = draw(shots, "-o", shots.parent / "sheet.png", "--subject", 3)
    assert "left out 2 photos without crops of person 3\n" in result.stderr


@pytest.mark.parametrize("layout", ["contact", "triptych", "story"])
def test_a_set_or_person_that_no_photo_has_is_an_error_that_names_those_there_are(
    shots: Path, tmp_path: Path, layout: str
) -> None:
    add_crop(shots / "wide.png.json", person="person3", set_name="web")

    def error_of(*arguments: object) -> str:
        result = draw(shots, "-o", tmp_path / "sheet.png", "--layout", layout, *arguments)
        assert isinstance(result.exception, ShotcropError)
        assert result.exception.exit_code is ExitCode.USAGE
        assert not (tmp_path / "sheet.png").exists()
        return str(result.exception)

    assert "no photo has crops of the set 'feed'. Fix: use --set with one of: default, web" in error_of("--set", "feed")
    assert "no photo has crops of person 4. Fix: use --subject with one of: main, 3;" in error_of("--subject", 4)
    assert "no photo has crops of the group" in error_of("--subject", "group")
    assert "of person 3 in the set 'default'" in error_of("--subject", 3, "--set", "default")


def test_the_default_set_does_not_count_if_only_others_were_asked_for(shots: Path, tmp_path: Path) -> None:
    for name in ("wide.png.json", "ana/tall.png.json"):
        for shot in range(3):
            change(shots / name, shot, file=None)
        add_crop(shots / name, set_name="web", file="web.png")
    error = draw(shots, "-o", tmp_path / "sheet.png", "--set", "default").exception
    assert "one of: web" in str(error)


def test_columns_set_photos_side_by_side(shots: Path, tmp_path: Path) -> None:
    draw(shots, "-o", tmp_path / "rows.png")
    draw(shots, "-o", tmp_path / "columns.png", "--columns", 2)
    with Image.open(tmp_path / "rows.png") as rows, Image.open(tmp_path / "columns.png") as columns:
        assert columns.width == rows.width
        assert columns.height < rows.height / 2


def test_photo_that_is_gone_keeps_its_crops_on_the_sheet(tmp_path: Path) -> None:
    photo = write_shots(tmp_path / "shots", "a.png")
    photo.unlink()
    result = draw(tmp_path / "shots", "-o", tmp_path / "sheet.png")
    assert result.exit_code == 0, result.output
    assert GREY in colours(tmp_path / "sheet.png")


def test_names_that_no_file_can_have_do_not_end_the_sheet(shots: Path, tmp_path: Path) -> None:
    sidecar = shots / "wide.png.json"
    document = json.loads(sidecar.read_bytes())
    document["source"]["path"] = "/photos/\ud800.png"
    document["shots"][0]["file"] = "\ud800.png"
    sidecar.write_text(json.dumps(document), encoding="utf-8")
    result = draw(shots, "-o", tmp_path / "sheet.png")
    assert result.exit_code == 0, result.output


def test_crop_that_is_gone_does_not_end_the_sheet(shots: Path, tmp_path: Path) -> None:
    (shots / "wide.png.medium.png").unlink()
    (shots / "wide.png.close_up.png").write_bytes(b"no picture")
    assert draw(shots, "-o", tmp_path / "sheet.png").exit_code == 0


def test_a_shot_that_was_not_asked_for_is_not_called_missing(shots: Path) -> None:
    record = entries_of(shots)[0].record.shots[0]
    assert _absence(replace(record, file=None), None) == "This shot was not requested."
    assert _absence(replace(record, rejected=True), None) == "You rejected this crop."
    assert _absence(replace(record, file=None, left_out="too tall"), None) == "Left out: too tall."
    assert _absence(record, None) == "The crop was not found."


def test_folder_without_sidecars_is_a_usage_error_that_names_the_fix(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]", "utf-8")
    (tmp_path / LOCK_NAME).touch()
    error = draw(tmp_path, "-o", tmp_path / "sheet.png").exception
    assert isinstance(error, ShotcropError)
    assert error.exit_code is ExitCode.USAGE
    assert str(tmp_path) in str(error)
    assert "shotcrop crop" in str(error)


def test_unknown_kind_of_picture_is_refused_before_anything_is_drawn(shots: Path, tmp_path: Path) -> None:
    error = draw(shots, "-o", tmp_path / "sheet.gif").exception
    assert isinstance(error, ShotcropError)
    assert error.exit_code is ExitCode.USAGE
    assert not (tmp_path / "sheet.gif").exists()


def test_output_below_a_file_is_an_output_error(shots: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    error = draw(shots, "-o", tmp_path / "file" / "sheet.png").exception
    assert isinstance(error, ShotcropError)
    assert error.exit_code is ExitCode.OUTPUT


def test_photo_without_a_person_is_shown_as_such(tmp_path: Path) -> None:
    write_shots(tmp_path / "shots", "empty.png", person=False)
    entries = entries_of(tmp_path / "shots")
    assert "photo without people" in entries[0].note
    assert draw(tmp_path / "shots", "-o", tmp_path / "sheet.png").exit_code == 0
    assert GREY in colours(tmp_path / "sheet.png")


def test_json_that_is_no_sidecar_is_named_and_left_out(shots: Path, tmp_path: Path) -> None:
    (shots / "other.json").write_text("{}", "utf-8")
    result = draw(shots, "-o", tmp_path / "sheet.png")
    assert result.exit_code == 0
    assert "other.json" in result.stderr
    assert result.stdout == f"{tmp_path / 'sheet.png'}\n"


def test_boxes_are_drawn_where_they_lie_on_the_reduced_photo() -> None:
    photo = Image.new("RGB", (200, 100), GREY)
    record = sidecar_of(Path("a.png"), (2000, 1000), (PixelBox(400, 200, 800, 600),))
    marked = outline(photo, record)
    colour = SHOT_COLOURS[ShotType.ESTABLISHING]
    changed = [(x, y) for x in range(200) for y in range(100) if marked.getpixel((x, y)) == colour]
    xs, ys = zip(*changed, strict=True)
    assert (min(xs), min(ys), max(xs), max(ys)) == (41, 21, 118, 78)
    assert photo.getpixel((41, 21)) == GREY


@given(
    x=st.integers(0, 9_999),
    y=st.integers(0, 9_999),
    width=st.integers(1, 10_000),
    height=st.integers(1, 10_000),
)
def test_any_box_leaves_its_colour_on_the_photo(x: int, y: int, width: int, height: int) -> None:
    box = PixelBox(x, y, min(width, 10_000 - x), min(height, 10_000 - y))
    marked = outline(Image.new("RGB", (40, 40), GREY), sidecar_of(Path("a.png"), (10_000, 10_000), (box,)))
    found = marked.getcolors(1600)
    assert found is not None
    assert SHOT_COLOURS[ShotType.ESTABLISHING] in {colour for _, colour in found}


@given(text=st.text(max_size=80), width=st.integers(30, 400))
def test_wrapped_lines_fit_and_lose_no_character(text: str, width: int) -> None:
    lines = wrap(text, FONT, width)
    assert all(FONT.getlength(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == legible("".join(text.split())).replace(" ", "")


@given(text=st.text(max_size=80))
def test_shortened_title_fits_and_keeps_its_end(text: str) -> None:
    title = shorten(legible(text), FONT, 120)
    assert FONT.getlength(title) <= 120
    assert legible(text).endswith(title.removeprefix("..."))


def test_accents_become_plain_letters() -> None:
    assert legible("Zoë’s café – Åse 中") == "Zoe’s cafe - Ase ?"


@pytest.mark.parametrize("total", [1, 7, 8, 9, 17])
def test_pages_have_room_for_all_photos_and_none_is_empty(total: int) -> None:
    layout = SheetLayout()
    pages = layout.pages(total)
    assert (pages - 1) * layout.photos < total <= pages * layout.photos
    assert len(set(page_paths(Path("sheet.jpg"), pages))) == pages
