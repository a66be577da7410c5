"""The review page works with assistive technology, at high zoom, on phones, in the dark and in the light."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from review_pages import Running

pytest.importorskip("axe_playwright_python", reason="axe-core is not installed")

from axe_playwright_python.sync_playwright import Axe

Serve = Callable[..., Running]
Open = Callable[..., Page]
WINDOWS = {
    "desktop": {"width": 1280, "height": 800},
    "phone": {"width": 390, "height": 844},
    "zoom of 400 %": {"width": 320, "height": 200},
}


def assert_accessible(page: Page) -> None:
    answer = Axe().run(page).response
    assert len(answer["passes"]) > 10, "axe looked at nothing"
    violations = [one for one in answer["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations] == []


@pytest.mark.parametrize(("window", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_axe_finds_nothing_serious(serve: Serve, open_page: Open, scheme: str, window: str) -> None:
    page = open_page(serve().address, color_scheme=scheme, viewport=WINDOWS[window])
    expect(page.locator(".card")).to_have_count(3)
    assert_accessible(page)
    page.locator(".card a").first.click()
    expect(page.locator(".box.close_up")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.locator(".shot.medium .reject").click()
    expect(page.locator("#saved")).to_have_text("Saved")
    assert_accessible(page)
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()
    assert_accessible(page)


@pytest.mark.parametrize("window", WINDOWS)
def test_nothing_is_wider_than_the_window(serve: Serve, open_page: Open, window: str) -> None:
    page = open_page(serve().address, viewport=WINDOWS[window])
    width = WINDOWS[window]["width"]
    expect(page.locator(".card").first).to_be_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    page.locator(".card a").first.click()
    expect(page.locator(".box.close_up")).to_be_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    for selector in ("#keep-shown", ".shot.medium .reject", ".shot.close_up .caption", "#back"):
        page.locator(selector).scroll_into_view_if_needed()
        box = page.locator(selector).bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width, selector


def test_the_theme_follows_the_system_and_the_button(serve: Serve, open_page: Open) -> None:
    page = open_page(serve().address, color_scheme="dark")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(ground)
    page.emulate_media(color_scheme="light")
    light = page.evaluate(ground)
    assert dark != light
    page.keyboard.press("d")
    assert page.evaluate(ground) == dark
    page.reload()
    assert page.evaluate(ground) == dark


def test_single_keys_can_be_switched_off(serve: Serve, open_page: Open) -> None:
    page = open_page(serve().address)
    page.locator(".card a").first.click()
    expect(page.locator(".box.close_up")).to_be_visible()
    page.locator("#help").click()
    page.locator("#single-keys").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    expect(page.locator(".shot.close_up .reject")).to_have_text("Reject")
    page.reload()
    expect(page.locator(".box.close_up")).to_be_visible()
    page.keyboard.press("x")
    expect(page.locator(".shot.close_up .reject")).to_have_text("Reject")


def test_boxes_say_where_they_are(serve: Serve, open_page: Open) -> None:
    page = open_page(serve().address)
    page.locator(".card", has_text="astronaut.jpg").locator("a").click()
    box = page.locator(".box.close_up")
    before = box.get_attribute("aria-label")
    assert before is not None and before.startswith("Close-up: left ")
    box.focus()
    page.keyboard.press("ArrowDown")
    expect(box).not_to_have_attribute("aria-label", before)
