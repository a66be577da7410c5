"""The review page in a real browser: correct boxes and captions, keep and reject crops, with mouse and keyboard."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from review_pages import Library, Running, until

Serve = Callable[..., Running]
Open = Callable[..., Page]


def open_photo(page: Page, name: str) -> None:
    page.locator(".card", has_text=name).locator("a").click()
    expect(page.locator("#photo-title")).to_contain_text(name)
    expect(page.locator(".box.close_up")).to_be_visible()


def box_of(page: Page, key: str) -> dict[str, int]:
    """Return the box that the page shows, in pixels of the photo."""
    panel = page.locator(f".shot.{key}")
    return {name: int(panel.locator(f'input[name="{name}"]').input_value()) for name in ("x", "y", "width", "height")}


def saved(page: Page) -> None:
    expect(page.locator("#saved")).to_have_text("Saved")


def drag(page: Page, selector: str, dx: float, dy: float) -> None:
    """Drag the middle of an element by pixels of the window."""
    area = page.locator(selector).bounding_box()
    assert area is not None
    x, y = area["x"] + area["width"] / 2, area["y"] + area["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx / 2, y + dy / 2)
    page.mouse.move(x + dx, y + dy)
    page.mouse.up()


def assert_cropped(library: Library, name: str, key: str) -> None:
    """Check that the file of a crop shows what its box names."""
    shot = library.shot(name, key)
    box = shot["box"]
    with (
        Image.open(library.record(name)["source"]["path"]) as photo,
        Image.open(library.sidecar(name).parent / shot["file"]) as crop,
    ):
        corners = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
        expected = np.asarray(photo.convert("RGB").crop(corners), np.int16)
        found = np.asarray(crop.convert("RGB"), np.int16)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 4


def test_a_dragged_box_is_cropped_again(serve: Serve, open_page: Open, library: Library) -> None:
    server = serve()
    page = open_page(server.address)
    open_photo(page, "astronaut.jpg")
    before = library.shot("astronaut.jpg", "close_up")["box"]
    page.locator("#snap").click()
    drag(page, ".box.close_up", -60, 45)
    expect(page.locator(".shot.close_up .keep")).to_have_text("Kept")
    saved(page)
    page.reload()
    shown = box_of(page, "close_up")
    shot = library.shot("astronaut.jpg", "close_up")
    assert shown == shot["box"] != before
    assert (shown["width"], shown["height"]) == (before["width"], before["height"])
    assert shown["x"] < before["x"] and shown["y"] > before["y"]
    assert shot["edited"] is True
    assert_cropped(library, "astronaut.jpg", "close_up")
    # The preview of the page shows the same pixels as the file.
    until(lambda: close_to_file(page, library))
    assert library.shot("astronaut.jpg", "medium")["edited"] is False


def close_to_file(page: Page, library: Library) -> bool:
    """Say whether the preview of the close-up shows the pixels of its file."""
    picture = page.locator(".shot.close_up canvas").evaluate("(canvas) => canvas.toDataURL('image/png')")
    with Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))) as shown:
        preview = shown.convert("RGB")
    with Image.open(library.shots / library.shot("astronaut.jpg", "close_up")["file"]) as crop:
        expected = crop.convert("RGB").resize(preview.size, Image.Resampling.BICUBIC)
    difference = np.abs(np.asarray(preview, np.int16) - np.asarray(expected, np.int16))
    return float(difference.mean()) < 8


def test_a_corner_keeps_the_recorded_ratio(serve: Serve, open_page: Open, library: Library) -> None:
    page = open_page(serve().address)
    open_photo(page, "camera.jpg")
    drag(page, ".box.close_up .grip.se", -40, -10)
    saved(page)
    box = library.shot("camera.jpg", "close_up")["box"]
    assert 5 * box["width"] == 4 * box["height"]
    page.locator(".shot.medium .preview").click()
    before = box_of(page, "medium")
    drag(page, ".box.medium .grip.e", -50, 0)
    saved(page)
    after = box_of(page, "medium")
    assert after["width"] < before["width"] and after["height"] == before["height"]


def test_a_finger_drags_a_box(serve: Serve, open_page: Open, library: Library) -> None:
    page = open_page(serve().address, has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844})
    open_photo(page, "astronaut.jpg")
    before = box_of(page, "close_up")
    area = page.locator(".box.close_up").bounding_box()
    assert area is not None
    x, y = area["x"] + area["width"] / 2, area["y"] + area["height"] / 2
    session = page.context.new_cdp_session(page)
    for kind, points in (
        ("touchStart", [{"x": x, "y": y}]),
        ("touchMove", [{"x": x + 10, "y": y + 20}]),
        ("touchMove", [{"x": x + 20, "y": y + 40}]),
        ("touchEnd", []),
    ):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    saved(page)
    assert box_of(page, "close_up")["y"] > before["y"]
    assert library.shot("astronaut.jpg", "close_up")["box"] == box_of(page, "close_up")


def test_a_head_snaps_to_the_thirds(serve: Serve, open_page: Open, library: Library) -> None:
    page = open_page(serve().address)
    open_photo(page, "astronaut.jpg")
    head = library.record("astronaut.jpg")["people"][0]["head"]
    width = library.record("astronaut.jpg")["source"]["width"]
    middle = (head[0] + head[2]) / 2 * width
    box = box_of(page, "close_up")
    # Put the head four pixels beside a third of the box, and then move the box a little. Boxes snap to the middle of
    # the photo, too, so stay away from it.
    third = round(middle - box["width"] / 3)
    aside = 1 if third + box["width"] / 2 > width / 2 else -1
    panel = page.locator(".shot.close_up")
    panel.locator("summary").click()
    panel.locator('input[name="x"]').fill(str(third + 4 * aside))
    panel.locator('input[name="x"]').press("Tab")
    frame = page.locator("#frame").bounding_box()
    assert frame is not None
    drag(page, ".box.close_up", -aside * frame["width"] / width, 0)
    box = box_of(page, "close_up")
    assert abs(box["x"] + box["width"] / 3 - middle) <= 1


def test_the_keyboard_does_everything(serve: Serve, open_page: Open, library: Library) -> None:
    page = open_page(serve().address)
    expect(page.locator(".card").first).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("astronaut")
    page.keyboard.press("Enter")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".card a")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".box.close_up")).to_be_focused()
    before = box_of(page, "close_up")
    page.keyboard.press("Control+ArrowLeft")
    page.keyboard.press("Control+ArrowUp")
    moved = box_of(page, "close_up")
    assert (moved["x"], moved["y"]) == (before["x"] - 1, max(before["y"] - 1, 0))
    page.keyboard.press("Shift+ArrowLeft")
    smaller = box_of(page, "close_up")
    assert smaller["width"] < before["width"] and 5 * smaller["width"] == 4 * smaller["height"]
    page.keyboard.press("2")
    expect(page.locator(".box.medium")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("c")
    page.keyboard.press("Control+A")
    page.keyboard.type("Ana at the harbour")
    page.keyboard.press("Enter")
    expect(page.locator(".box.medium")).to_be_focused()
    page.keyboard.press("a")
    page.keyboard.press("Control+A")
    page.keyboard.type("A woman in an orange suit")
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    page.keyboard.press("x")
    saved(page)
    medium, establishing = library.shot("astronaut.jpg", "medium"), library.shot("astronaut.jpg", "establishing")
    assert (medium["caption"], medium["alt_text"]) == ("Ana at the harbour", "A woman in an orange suit")
    assert medium["edited"] and establishing["rejected"] and not establishing["edited"]
    assert library.shot("astronaut.jpg", "close_up")["box"] == smaller
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#shortcuts")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("#list")).to_be_visible()


def test_keeping_goes_through_the_photos(serve: Serve, open_page: Open, library: Library) -> None:
    page = open_page(serve().address)
    expect(page.locator(".card")).to_have_count(3)
    page.locator(".card a").first.click()
    titles = []
    for _ in range(3):
        expect(page.locator("#position")).to_have_text(f"{len(titles) + 1} of 3")
        titles.append(page.locator("#photo-title").text_content())
        page.keyboard.press("k")
        if len(titles) < 3:
            expect(page.locator("#photo-title")).not_to_have_text(titles[-1] or "")
    saved(page)
    assert len(set(titles)) == 3
    for name in titles:
        assert all(shot["edited"] for shot in library.record(str(name))["shots"])
    page.keyboard.press("Escape")
    page.locator('select[name="state"]').select_option("open")
    expect(page.locator("#empty")).to_have_text("No photo fits these filters.")


def test_undo_goes_back_to_the_photo(serve: Serve, open_page: Open, library: Library) -> None:
    page = open_page(serve().address)
    page.locator(".card a").first.click()
    expect(page.locator(".box.close_up")).to_be_visible()
    first = str(page.locator("#photo-title").text_content())
    page.keyboard.press("Shift+X")
    expect(page.locator("#photo-title")).not_to_have_text(first)
    until(lambda: library.record(first)["rejected"])
    page.keyboard.press("u")
    expect(page.locator("#photo-title")).to_have_text(first)
    until(lambda: not library.record(first)["rejected"])
    page.keyboard.press("y")
    until(lambda: library.record(first)["rejected"])


def test_a_box_can_be_undone(serve: Serve, open_page: Open, library: Library) -> None:
    page = open_page(serve().address)
    open_photo(page, "astronaut.jpg")
    before = box_of(page, "close_up")
    page.keyboard.press("ArrowDown")
    saved(page)
    page.keyboard.press("Control+z")
    assert box_of(page, "close_up") == before
    until(lambda: library.shot("astronaut.jpg", "close_up")["box"] == before)
    saved(page)
    assert_cropped(library, "astronaut.jpg", "close_up")


def test_another_person_gets_the_boxes(serve: Serve, open_page: Open, library: Library) -> None:
    page = open_page(serve().address)
    open_photo(page, "pair.jpg")
    before = box_of(page, "close_up")
    page.get_by_role("button", name="person 2", exact=True).click()
    after = box_of(page, "close_up")
    assert abs(after["x"] - before["x"]) > 300
    assert 5 * after["width"] == 4 * after["height"]
    saved(page)
    assert_cropped(library, "trips/pair.jpg", "close_up")


def test_a_rejected_crop_keeps_its_file(serve: Serve, open_page: Open, library: Library) -> None:
    page = open_page(serve().address)
    open_photo(page, "astronaut.jpg")
    file = library.shots / library.shot("astronaut.jpg", "close_up")["file"]
    before = file.read_bytes()
    page.locator(".shot.close_up .reject").click()
    saved(page)
    assert library.shot("astronaut.jpg", "close_up")["rejected"] is True
    assert file.read_bytes() == before


def test_a_deleted_crop_comes_back(serve: Serve, open_page: Open, library: Library) -> None:
    file = library.shots / library.shot("astronaut.jpg", "close_up")["file"]
    file.unlink()
    page = open_page(serve().address)
    open_photo(page, "astronaut.jpg")
    expect(page.locator(".shot.close_up .tags")).to_have_text("file deleted")
    page.locator(".shot.close_up .keep").click()
    until(file.is_file)
    saved(page)
    shot = library.shot("astronaut.jpg", "close_up")
    assert shot["edited"] and not shot["rejected"] and shot["written"]["caption"] == shot["caption"]
    assert_cropped(library, "astronaut.jpg", "close_up")


def test_a_crop_that_another_program_changed_stays(serve: Serve, open_page: Open, library: Library) -> None:
    file = library.shots / library.shot("astronaut.jpg", "close_up")["file"]
    Image.new("RGB", (100, 125), "red").save(file)
    painted = file.read_bytes()
    page = open_page(serve().address)
    open_photo(page, "astronaut.jpg")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#notice")).to_contain_text("another program changed it")
    assert file.read_bytes() == painted
    page.get_by_role("button", name="Replace it and keep a backup").click()
    until(lambda: file.is_file() and file.read_bytes() != painted)
    expect(page.locator("#notice")).to_be_hidden()
    assert_cropped(library, "astronaut.jpg", "close_up")
    assert Path(f"{file}.bak").read_bytes() == painted


def test_captions_are_text(serve: Serve, open_page: Open, library: Library) -> None:
    evils = ["<img src=x onerror=alert(1)>", '"><script>alert(1)</script>', "</script><!--<b>x"]

    def poison(record: dict[str, Any]) -> None:
        for shot, evil in zip(record["shots"], evils, strict=True):
            shot["caption"] = shot["alt_text"] = evil
        record["reasoning"]["scene"] = record["source"]["camera"] = evils[2]
        record["warnings"] = evils

    library.edit("astronaut.jpg", poison)
    # A server that may save would crop the photo for its new captions, and replace the warnings.
    page = open_page(serve(read_only=True).address)
    page.on("dialog", lambda dialog: pytest.fail("a script of a caption ran"))
    open_photo(page, "astronaut.jpg")
    for _ in range(2):
        for key, evil in zip(("establishing", "medium", "close_up"), evils, strict=True):
            expect(page.locator(f".shot.{key} .caption")).to_have_value(evil)
            expect(page.locator("#notes")).to_contain_text(evil)
        page.reload()
    assert page.locator("img[onerror], #notes b, #notes img").count() == 0


def test_file_names_are_text(serve: Serve, open_page: Open, library: Library) -> None:
    name = '<img src=x onerror="alert(1)">&amp;\'.jpg'
    folder = library.shots / "<b>folder"
    folder.mkdir()
    record = library.record("astronaut.jpg")
    (folder / f"{name}.json").write_text(json.dumps(record))
    page = open_page(serve().address)
    page.on("dialog", lambda dialog: pytest.fail("a script of a file name ran"))
    expect(page.locator(".card .name", has_text=name)).to_have_text(f"<b>folder/{name}")
    page.locator(".card", has_text="<b>folder").locator("a").click()
    expect(page.locator("#photo-title")).to_have_text(f"<b>folder/{name}")
    assert page.locator("img[onerror], h1 b").count() == 0


def test_names_that_are_not_utf_8_can_be_reviewed(serve: Serve, open_page: Open, library: Library) -> None:
    record = library.record("astronaut.jpg")
    path = library.shots / "caf\udce9.jpg.json"
    try:
        path.write_text(json.dumps(record))
    except OSError:
        pytest.skip("this file system has only names in UTF-8")
    page = open_page(serve().address)
    page.locator(".card", has_text="caf?.jpg").locator("a").click()
    page.locator("#reject-photo").click()
    until(lambda: json.loads(path.read_bytes())["rejected"])


def test_filters_and_addresses(serve: Serve, open_page: Open) -> None:
    page = open_page(serve().address)
    expect(page.locator(".card")).to_have_count(3)
    page.locator('select[name="people"]').select_option("2")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator("#status")).to_contain_text("1 photo")
    assert page.url.endswith("/?people=2")
    page.reload()
    expect(page.locator(".card .name")).to_have_text("trips/pair.jpg")
    page.locator(".card a").click()
    expect(page.locator("#position")).to_have_text("1 of 1")
    page.go_back()
    expect(page.locator(".card")).to_have_count(1)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".card")).to_have_count(3)
    page.locator('input[name="folder"]').fill("trips")
    expect(page.locator(".card")).to_have_count(1)


def test_a_read_only_page_offers_no_changes(serve: Serve, open_page: Open) -> None:
    page = open_page(serve(read_only=True).address)
    open_photo(page, "astronaut.jpg")
    before = box_of(page, "close_up")
    expect(page.locator("#keep-shown")).to_be_hidden()
    expect(page.locator(".shot.medium .reject")).to_be_hidden()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("x")
    drag(page, ".box.close_up", 40, 40)
    assert box_of(page, "close_up") == before


def test_photos_are_kept_and_rejected_in_the_list(serve: Serve, open_page: Open, library: Library) -> None:
    page = open_page(serve().address)
    page.locator('select[name="sort"]').select_option("name")
    expect(page.locator(".card .name").first).to_have_text("astronaut.jpg")
    page.locator(".card a").first.focus()
    page.keyboard.press("k")
    expect(page.locator(".card", has_text="camera.jpg").locator("a")).to_be_focused()
    page.keyboard.press("Shift+X")
    expect(page.locator(".card", has_text="pair.jpg").locator("a")).to_be_focused()
    expect(page.locator(".card", has_text="camera.jpg")).to_contain_text("rejected")
    expect(page.locator(".card", has_text="astronaut.jpg")).to_contain_text("kept")
    assert all(shot["edited"] for shot in library.record("astronaut.jpg")["shots"])
    assert library.record("camera.jpg")["rejected"]
    page.keyboard.press("u")
    expect(page.locator("#photo-title")).to_have_text("camera.jpg")
    until(lambda: not library.record("camera.jpg")["rejected"])
