"""No edit is lost, and none replaces a newer one: two tabs, other runs, a full disk, killed browsers and servers."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import APIResponse, Page, Response, Route, expect

from review_pages import Library, Running, edit_of, running, until
from shotcrop_cli.library import atomic_write
from shotcrop_cli.library.output_folder import output_lock
from shotcrop_cli.review.server import ServerOptions

Serve = Callable[..., Running]
Open = Callable[..., Page]
NAME = "astronaut.jpg"


def open_photo(page: Page) -> None:
    page.locator(".card", has_text=NAME).locator("a").click()
    expect(page.locator(".box.close_up")).to_be_visible()


def write_caption(page: Page, text: str) -> None:
    field = page.locator(".shot.medium .caption")
    field.fill(text)
    field.press("Enter")


def caption(library: Library) -> str:
    return str(library.shot(NAME, "medium")["caption"])


def notice(page: Page) -> Any:
    return expect(page.locator("#notice"))


def test_a_stale_edit_is_not_saved(serve: Serve, open_page: Open, library: Library) -> None:
    page = open_page(serve().address)
    open_photo(page)
    library.edit(NAME, lambda record: record["shots"][1].update(caption="from an editor"))
    write_caption(page, "from the page")
    notice(page).to_contain_text("changed elsewhere")
    notice(page).to_contain_text("caption “from an editor”")
    expect(page.locator(".shot.medium .caption")).to_have_value("from the page")
    assert caption(library) == "from an editor"
    page.get_by_role("button", name="Keep my changes").click()
    until(lambda: caption(library) == "from the page")
    notice(page).to_be_hidden()


def test_the_newer_state_can_be_taken(serve: Serve, open_page: Open, library: Library) -> None:
    page = open_page(serve().address)
    open_photo(page)
    library.edit(NAME, lambda record: record["shots"][1].update(caption="from an editor"))
    write_caption(page, "from the page")
    page.get_by_role("button", name="Take the newer state").click()
    expect(page.locator(".shot.medium .caption")).to_have_value("from an editor")
    notice(page).to_be_hidden()
    assert caption(library) == "from an editor"


def test_what_others_changed_stays_with_my_changes(serve: Serve, open_page: Open, library: Library) -> None:
    page = open_page(serve().address)
    open_photo(page)
    library.edit(NAME, lambda record: record["shots"][2].update(caption="theirs"))
    write_caption(page, "mine")
    page.get_by_role("button", name="Keep my changes").click()
    until(lambda: caption(library) == "mine")
    assert library.shot(NAME, "close_up")["caption"] == "theirs"


def test_two_tabs_agree(serve: Serve, open_page: Open, library: Library) -> None:
    one = open_page(serve().address)
    other = open_page(one.url, context=one.context)
    open_photo(one)
    open_photo(other)
    write_caption(one, "from one tab")
    expect(other.locator(".shot.medium .caption")).to_have_value("from one tab")
    write_caption(other, "from the other tab")
    expect(one.locator(".shot.medium .caption")).to_have_value("from the other tab")
    until(lambda: caption(library) == "from the other tab")
    notice(one).to_be_hidden()
    notice(other).to_be_hidden()


def test_a_late_answer_does_not_undo_a_newer_one(serve: Serve, open_page: Open, library: Library) -> None:
    one = open_page(serve().address)
    other = open_page(one.url, context=one.context)
    open_photo(one)
    open_photo(other)
    held: list[tuple[Route, APIResponse]] = []

    def is_final(answer: Response) -> bool:
        return "/api/photo/" in answer.url and (answer.json()["job"] or {}).get("state") != "waiting"

    def hold_the_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append((route, route.fetch()))

    one.route("**/api/photo/*", hold_the_first)
    write_caption(other, "first")
    until(lambda: one.wait_for_timeout(20) is None and bool(held))
    with one.expect_response(is_final):
        write_caption(other, "second")
    field = one.locator(".shot.medium .caption")
    expect(field).to_have_value("second")
    route, answer = held[0]
    with one.expect_response("**/api/photo/*"):
        route.fulfill(json={**answer.json(), "job": None})
    one.evaluate(
        "async () => { await (await fetch('/api/status')).json(); }"
    )  # the page has seen the late answer by then
    expect(field).to_have_value("second")


def test_an_edit_waits_for_another_run(serve: Serve, open_page: Open, library: Library) -> None:
    page = open_page(serve().address)
    open_photo(page)
    before = caption(library)
    with output_lock(library.shots):
        write_caption(page, "during a run")
        notice(page).to_contain_text("another run is still using this output folder")
        expect(page.locator("#saved")).to_have_text("Not saved")
        assert caption(library) == before
    until(lambda: caption(library) == "during a run")
    notice(page).to_be_hidden()


def test_a_full_disk_keeps_the_edit(
    serve: Serve, open_page: Open, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page(serve().address)
    open_photo(page)
    before = library.sidecar(NAME).read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(atomic_write.os, "fsync", full)
        write_caption(page, "on a full disk")
        notice(page).to_contain_text("No space left on device")
        notice(page).to_contain_text("kept in this browser")
    assert library.sidecar(NAME).read_bytes() == before
    page.reload()
    expect(page.locator(".shot.medium .caption")).to_have_value("on a full disk")
    until(lambda: caption(library) == "on a full disk")


def test_a_killed_page_loses_nothing(serve: Serve, open_page: Open, library: Library) -> None:
    server = serve()
    page = open_page(server.address)
    open_photo(page)
    before = caption(library)
    # While another run holds the folder, the server saves nothing, however often the page asks until it is gone.
    with output_lock(library.shots):
        write_caption(page, "before the end")
        notice(page).to_contain_text("another run is still using this output folder")
        page.close()
        assert caption(library) == before
    again = open_page(f"{server.base}/", context=page.context)
    expect(again.locator(".shot.medium .caption")).to_have_value("before the end")
    until(lambda: caption(library) == "before the end")


def test_a_killed_server_loses_nothing(open_page: Open, library: Library) -> None:
    options = ServerOptions(library.shots)
    with running(options) as first:
        page = open_page(first.address)
        open_photo(page)
    write_caption(page, "without a server")
    notice(page).to_contain_text("The server does not answer")
    with running(options) as second:
        assert second.port == first.port, "a browser keeps edits by the port"
        page.goto(second.address)
        expect(page.locator(".shot.medium .caption")).to_have_value("without a server")
        until(lambda: caption(library) == "without a server")


def test_an_old_page_says_that_it_needs_the_new_address(open_page: Open, library: Library) -> None:
    with running(ServerOptions(library.shots)) as first:
        page = open_page(first.address)
        open_photo(page)
    with running(ServerOptions(library.shots)):
        write_caption(page, "with the old token")
        notice(page).to_contain_text("open its new address")
        expect(page.locator(".shot.medium .caption")).to_have_value("with the old token")


def test_what_a_killed_server_did_not_crop_is_cropped_at_its_next_start(library: Library) -> None:
    box = library.shot(NAME, "close_up")["box"]
    library.edit(NAME, lambda record: record["shots"][2]["box"].update(y=box["y"] + 10))
    with running(ServerOptions(library.shots)) as server:
        until(lambda: library.shot(NAME, "close_up")["edited"])
        server.wait_for_crops()
        assert not server.photo(NAME)["is_pending"]
    with running(ServerOptions(library.shots, read_only=True)):
        pass


def test_a_read_only_server_crops_nothing(library: Library) -> None:
    library.edit(NAME, lambda record: record["shots"][2]["box"].update(y=10))
    before = library.sidecar(NAME).read_bytes()
    with running(ServerOptions(library.shots, read_only=True)) as server:
        assert server.photo(NAME)["is_pending"]
    assert library.sidecar(NAME).read_bytes() == before


def test_the_same_edit_twice_is_saved_once(serve: Serve, library: Library) -> None:
    server = serve()
    state = server.photo(NAME)
    edit = edit_of(state)
    edit["shots"][1]["caption"] = "once"
    assert server.post(f"/api/photo/{state['id']}", {"edit": edit})[0] == 200
    server.wait_for_crops()
    after = library.sidecar(NAME).read_bytes()
    # The answer to the first request was lost, so the page asks again.
    assert server.post(f"/api/photo/{state['id']}", {"edit": edit})[0] == 200
    assert library.sidecar(NAME).read_bytes() == after
    edit["shots"][1]["caption"] = "twice"
    assert server.post(f"/api/photo/{state['id']}", {"edit": edit})[0] == 409


def test_a_gone_photo_is_saved_and_not_cropped(serve: Serve, open_page: Open, library: Library, tmp_path: Path) -> None:
    photos = tmp_path / "moved"
    photos.mkdir()
    page = open_page(serve(photos=(photos,)).address)
    page.locator(".card", has_text=NAME).locator("a").click()  # without its photo, the page hides the boxes
    expect(page.locator("#gone")).to_be_visible()
    write_caption(page, "of a photo that is gone")
    notice(page).to_contain_text("the crops could not be made")
    assert caption(library) == "of a photo that is gone"


def test_a_sidecar_that_goes_away(serve: Serve, open_page: Open, library: Library) -> None:
    page = open_page(serve().address)
    open_photo(page)
    library.sidecar(NAME).unlink()
    write_caption(page, "too late")
    notice(page).to_contain_text("no sidecar any more")
    expect(page.locator(".shot.medium .caption")).to_have_value("too late")


def test_edits_of_a_static_page_are_applied(library: Library, open_page: Open, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from shotcrop_cli.main import cli

    runner, static = CliRunner(), tmp_path / "static"
    made = runner.invoke(cli, ["review", str(library.shots), "--static", str(static)])
    assert made.exit_code == 0, made.output
    page = open_page(f"file://{static}/index.html")
    expect(page.locator(".card")).to_have_count(3)
    open_photo(page)
    write_caption(page, "<b>from a friend</b>")
    page.keyboard.press("3")
    page.keyboard.press("Control+ArrowDown")
    page.keyboard.press("Escape")
    page.reload()
    with page.expect_download() as download:
        page.locator("#export").click()
    edits = tmp_path / "edits.json"
    download.value.save_as(edits)
    before = library.shot(NAME, "close_up")["box"]
    planned = runner.invoke(cli, ["apply", str(library.shots), "--edits", str(edits), "--dry-run"])
    assert planned.exit_code == 0 and library.shot(NAME, "close_up")["box"] == before
    applied = runner.invoke(cli, ["apply", str(library.shots), "--edits", str(edits)])
    assert applied.exit_code == 0, applied.output
    assert caption(library) == "<b>from a friend</b>"
    assert library.shot(NAME, "close_up")["box"] == {**before, "y": before["y"] + 1}
    library.edit(NAME, lambda record: record["shots"][1].update(caption="newer"))
    stale = runner.invoke(cli, ["apply", str(library.shots), "--edits", str(edits), "--json"])
    assert stale.exit_code == 1
    (line,) = [json.loads(line) for line in stale.stdout.splitlines()]
    assert line["status"] == "failed" and "somebody changed it" in line["reason"]
    assert caption(library) == "newer"
