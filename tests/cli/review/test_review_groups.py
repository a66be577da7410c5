"""The review page shows the crops of one person and ratio set at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from review_pages import Library, Running, until
from shotcrop_cli.library.output_files import OutputFiles
from shotcrop_cli.review.index import Filter, PhotoIndex
from shotcrop_cli.review.photo_state import read_state
from shotcrop_cli.review.static_export import write_static

Serve = Callable[..., Running]
Open = Callable[..., Page]
PAIR = "trips/pair.jpg"


def ask_for_sets(record: dict) -> None:
    """Turn the crops into those of a run for two people and the sets `story` and `web`, without ordinary crops."""
    more = []
    for person in ("main", "person2"):
        for name in ("story", "web"):
            for shot in record["shots"][0 if person == "main" else 1 :]:
                crop = {**copy.deepcopy(shot), "person": person, "set": name}
                if (person, name) == ("main", "story"):
                    crop.update(file=None, size=None, written=None, left_out="9:16 cannot hold the head")
                more.append(crop)
    for shot in record["shots"]:
        shot.update(file=None, size=None, score=0.01)
        shot["written"].update(size_bytes=None, sha256=None)
    record["more_crops"] = more


@pytest.fixture
def with_sets(library: Library) -> Library:
    library.edit(PAIR, ask_for_sets)
    return library


def shown_boxes(page: Page) -> list[str]:
    return [
        label.partition(":")[0]
        for label in page.locator(".box").evaluate_all("(all) => all.map((one) => one.ariaLabel)")
    ]


def assert_groups(page: Page) -> None:
    """Check that the card and the editor show one group, and that the S key leads to the next one."""
    card = page.locator(".card", has_text="pair.jpg")
    expect(card.locator(".group-name")).to_have_text("main person, web")
    expect(card).to_contain_text("+ 7 more")
    expect(card.locator(".crop")).to_have_count(3)
    expect(card.locator("rect")).to_have_count(3)
    expect(card.locator(".none")).to_have_count(0)
    card.locator("a").click()
    group = page.locator("#group option:checked")
    expect(group).to_have_text("main person, web")
    expect(page.locator("#group option")).to_have_count(4)
    assert shown_boxes(page) == ["Establishing, web", "Medium, web", "Close-up, web"]
    expect(page.locator(".shot")).to_have_count(3)
    page.keyboard.press("s")
    expect(group).to_have_text("person 2, story")
    assert shown_boxes(page) == ["Establishing, story", "Medium, person 2, story", "Close-up, person 2, story"]
    expect(page.locator(".box.close_up")).to_be_focused()
    expect(page.locator(".shot h2").first).to_have_text("Establishing, shared")


def test_one_group_is_shown_at_a_time(serve: Serve, open_page: Open, with_sets: Library) -> None:
    page = open_page(serve().address)
    expect(page.locator(".card", has_text="astronaut.jpg").locator(".group-name")).to_have_count(0)
    assert_groups(page)
    page.keyboard.press("x")
    expect(page.locator(".shot.close_up .reject")).to_have_text("Rejected")
    page.keyboard.press("Shift+S")
    expect(page.locator(".shot.close_up .reject")).to_have_text("Reject")
    # Undo shows what it changes.
    page.keyboard.press("u")
    expect(page.locator("#group option:checked")).to_have_text("person 2, story")
    expect(page.locator(".shot.close_up .reject")).to_have_text("Reject")
    page.locator("#group").focus()
    page.locator("#group").select_option("person 2, web")
    expect(page.locator("#group")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".box.close_up")).to_be_focused()
    page.keyboard.press("?")
    expect(page.locator("#shortcut-list")).to_contain_text("Next or previous person or ratio set")


def kept(library: Library) -> list[str]:
    """Return the names of the crops that a person kept."""
    crops = [*library.record(PAIR)["shots"], *library.record(PAIR)["more_crops"]]
    return sorted(
        f"{crop.get('person', 'main')} {crop.get('set', 'default')} {crop['shot']}" for crop in crops if crop["edited"]
    )


WEB = ["main web close_up", "main web establishing", "main web medium"]
STORY_2 = ["person2 story close_up", "person2 story medium"]
WEB_2 = ["person2 web close_up", "person2 web medium"]


def test_keeping_keeps_what_is_shown_and_goes_through_the_groups(
    serve: Serve, open_page: Open, with_sets: Library
) -> None:
    page = open_page(serve().address)
    page.locator(".card", has_text="pair.jpg").locator("a").click()
    group, keep = page.locator("#group option:checked"), page.locator("#keep-shown")
    expect(keep).to_have_text("Keep these and next")
    expect(group).to_have_text("main person, web")
    keep.click()
    expect(group).to_have_text("person 2, story")
    until(lambda: kept(with_sets) == WEB)
    page.locator(".box.close_up").focus()
    page.keyboard.press("k")
    expect(group).to_have_text("person 2, web")
    expect(page.locator("#photo-title")).to_have_text(PAIR)
    until(lambda: kept(with_sets) == sorted([*WEB, *STORY_2]))
    # Undo shows what it changes, and who comes back sees first what is not judged.
    page.keyboard.press("u")
    expect(group).to_have_text("person 2, story")
    until(lambda: kept(with_sets) == WEB)
    page.reload()
    expect(group).to_have_text("person 2, story")
    for shown in ("person 2, web", "person 2, story"):
        page.locator("#group").select_option(shown)
        page.locator(".box.close_up").focus()
        page.keyboard.press("k")
    # The first group has no crops, because its ratio left them out.
    expect(page.locator("#photo-title")).not_to_have_text(PAIR)
    expect(keep).to_have_text("Keep and next")
    expect(page.locator("#keep-photo")).to_be_hidden()
    until(lambda: kept(with_sets) == sorted([*WEB, *STORY_2, *WEB_2]))


@pytest.mark.parametrize("in_list", [False, True])
def test_all_crops_of_a_photo_can_be_kept_at_once(
    serve: Serve, open_page: Open, with_sets: Library, in_list: bool
) -> None:
    page = open_page(serve().address)
    link = page.locator(".card", has_text="pair.jpg").locator("a")
    if in_list:
        link.focus()
        page.keyboard.press("k")
        expect(page.locator("#toast")).to_have_text(f"Kept all 7 crops of {Path(PAIR).name}.")
    else:
        link.click()
        expect(page.locator("#keep-photo")).to_have_text("Keep all 7")
        page.locator("#keep-photo").click()
        expect(page.locator("#photo-title")).not_to_have_text(PAIR)
    until(lambda: kept(with_sets) == sorted([*WEB, *STORY_2, *WEB_2]))


def test_a_static_page_has_the_same_groups(open_page: Open, with_sets: Library, tmp_path: Path) -> None:
    write_static(OutputFiles(with_sets.shots), tmp_path / "static")
    page = open_page(f"file://{tmp_path}/static/index.html")
    assert_groups(page)


def test_the_filters_choose_the_group(serve: Serve, open_page: Open, with_sets: Library) -> None:
    page = open_page(serve().address)
    page.locator('select[name="person"]').select_option("person2")
    page.locator('select[name="set"]').select_option("web")
    expect(page.locator(".card .group-name")).to_have_text("person 2, web")
    page.locator(".card a").click()
    expect(page.locator("#group option:checked")).to_have_text("person 2, web")


def test_ordinary_crops_that_nobody_asked_for_are_not_offered(with_sets: Library) -> None:
    def keys() -> list[str]:
        return [shot.key for shot in read_state(with_sets.sidecar(PAIR), with_sets.shots).shots][:3]

    def pairs_below(score: float) -> int:
        index = PhotoIndex(with_sets.shots)
        index.scan()
        found = index.page(Filter(folder="trips", below=score), 0, 9)
        index.close()
        return found.total

    assert keys() == ["establishing-story", "medium-story", "close_up-story"]
    assert pairs_below(0.02) == 0 and pairs_below(1.0) == 1
    # Whoever edited one wants to see it.
    with_sets.edit(PAIR, lambda record: record["shots"][1].update(edited=True))
    assert keys() == ["establishing", "medium", "close_up"]
    assert pairs_below(0.02) == 0


def test_all_buttons_have_room_on_a_phone(serve: Serve, open_page: Open, with_sets: Library) -> None:
    page = open_page(serve().address, viewport={"width": 390, "height": 844})
    page.locator(".card", has_text="pair.jpg").locator("a").click()
    for button in ("#undo", "#redo", "#reject-photo", "#keep-photo", "#keep-shown"):
        expect(page.locator(button)).to_be_in_viewport(ratio=1)
    page.locator(".shot.close_up").scroll_into_view_if_needed()
    page.keyboard.press("End")
    bar, last = page.locator(".actions").bounding_box(), page.locator(".shot.close_up .keep")
    last.scroll_into_view_if_needed()
    assert bar is not None and bar["height"] < 120
    last.click()
    expect(last).to_have_attribute("aria-pressed", "true")


def test_notes_do_not_repeat_what_panels_say(with_sets: Library) -> None:
    left_out = "medium-story: left out: 9:16 cannot hold the head"
    with_sets.edit(PAIR, lambda record: record.update(warnings=[left_out, "HDR was converted"]))
    state = read_state(with_sets.sidecar(PAIR), with_sets.shots)
    assert "HDR was converted" in state.notes and left_out not in state.notes


@pytest.mark.parametrize("width", [1280, 390])
def test_the_filters_have_room(serve: Serve, open_page: Open, with_sets: Library, width: int) -> None:
    page = open_page(serve().address, viewport={"width": width, "height": 800})
    if width < 900:
        page.locator("#filter-toggle").click()
    expect(page.locator('select[name="set"]')).to_be_visible()
    fields = page.locator("#filters .field:visible")
    boxes = [box for box in (field.bounding_box() for field in fields.all()) if box is not None]
    assert len(boxes) == 10
    for at, one in enumerate(boxes):
        assert one["x"] >= 0 and one["x"] + one["width"] <= width
        for other in boxes[at + 1 :]:
            assert (
                one["x"] + one["width"] <= other["x"]
                or other["x"] + other["width"] <= one["x"]
                or one["y"] + one["height"] <= other["y"]
                or other["y"] + other["height"] <= one["y"]
            )
    # A select without a width of its own is as wide as its longest text.
    cut = page.locator("#filters select:visible").evaluate_all(
        """(all) => all.filter((one) => {
          const free = one.cloneNode(true);
          Object.assign(free.style, { position: "absolute", width: "auto", maxWidth: "none" });
          one.parentElement.append(free);
          const isCut = one.offsetWidth < free.offsetWidth - 1;
          free.remove();
          return isCut;
        }).map((one) => one.name)"""
    )
    assert cut == []
