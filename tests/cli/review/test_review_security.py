"""Only the person at this machine uses the page, and nothing outside the folders of the library is shown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from review_pages import Library, Running, edit_of, until

Serve = Callable[..., Running]


def test_the_token_becomes_a_strict_cookie(serve: Serve) -> None:
    page = serve()
    status, headers, _ = page.request("GET", f"/?token={page.token}&q=a", Cookie=None)
    assert (status, headers["location"]) == (303, "/?q=a")
    cookie = headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    name, _, value = headers["set-cookie"].partition(";")[0].partition("=")
    assert page.request("GET", "/", Cookie=f"{name}={value}")[0] == 200


@pytest.mark.parametrize("path", ["/", "/?token=wrong", "/api/list", "/assets/main.js", "/image/x/small"])
def test_without_the_token_there_is_nothing(serve: Serve, path: str) -> None:
    page = serve()
    status, _, content = page.request("GET", path, Cookie=None)
    assert status == 403 and b"token" in content


@pytest.mark.parametrize("cookie", ["{name}=wrong", "{name}=", "other={value}", "{name}\x01;;=", "{name}=ü"])
def test_a_wrong_cookie_is_refused(serve: Serve, cookie: str) -> None:
    page = serve()
    access = page.server.review.access
    cookie = cookie.format(name=access.cookie, value=access.session)
    assert page.request("GET", "/", Cookie=cookie)[0] in (400, 403)


def test_the_redirect_stays_on_the_server(serve: Serve) -> None:
    page = serve()
    status, headers, _ = page.request("GET", f"//evil.example/x?token={page.token}", Cookie=None)
    assert status == 303 and headers["location"] == "/evil.example/x"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", None])
def test_other_host_names_are_refused(serve: Serve, host: str | None) -> None:
    """A page of another site can let its own name lead to 127.0.0.1, and its script then reads what we answer."""
    page = serve()
    status, _, _ = page.request("GET", "/api/list", Host=None if host is None else host.format(port=page.port))
    assert status in (400, 421)


def test_localhost_is_a_name_of_this_machine(serve: Serve) -> None:
    page = serve()
    assert page.request("GET", "/api/list", Host=f"localhost:{page.port}")[0] == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"X_Shotcrop_CSRF": None},
        {"X_Shotcrop_CSRF": "wrong"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Cookie": None},
    ],
    ids=str,
)
def test_other_pages_change_nothing(serve: Serve, library: Library, changes: dict[str, str | None]) -> None:
    page = serve()
    state = page.photo("astronaut.jpg")
    before = library.sidecar("astronaut.jpg").read_bytes()
    body = json.dumps({"edit": {**edit_of(state), "rejected": True}}).encode()
    assert page.request("POST", f"/api/photo/{state['id']}", body, **changes)[0] == 403
    assert library.sidecar("astronaut.jpg").read_bytes() == before
    assert page.request("POST", f"/api/photo/{state['id']}", body)[0] == 200


def test_a_link_with_a_token_changes_nothing(serve: Serve) -> None:
    page = serve()
    state = page.photo("astronaut.jpg")
    assert page.request("POST", f"/api/photo/{state['id']}?token={page.token}", b"{}")[0] == 403


def test_every_answer_has_a_strict_policy(serve: Serve) -> None:
    page = serve()
    for path, cookie in (("/", None), ("/", "x"), ("/nothing", None), ("/assets/main.js", None)):
        changes = {} if cookie is None else {"Cookie": cookie}
        _, headers, _ = page.request("GET", path, **changes)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../app.py",
        "/assets/..%2fapp.py",
        "/assets/%2e%2e%2f%2e%2e%2fsidecar.py",
        "/image/..%2f..%2fetc%2fpasswd/small",
        "/api/photo/..%2f..%2fastronaut",
        "/crop/{id}/small/..%2f..%2fastronaut",
        "/crop/{id}/../close_up",
        "/image/{id}/..%2flarge",
        "/image/{id}/huge",
    ],
)
def test_addresses_lead_to_nothing_else(serve: Serve, path: str) -> None:
    page = serve()
    status, headers, content = page.request("GET", path.format(id=page.photo("astronaut.jpg")["id"]))
    assert status == 404, content
    assert headers["content-type"].partition(";")[0] in ("text/plain", "application/json")


def test_a_link_to_a_sidecar_is_no_photo(serve: Serve, library: Library, tmp_path: Path) -> None:
    outside = tmp_path / "secret.jpg.json"
    shutil.copy(library.sidecar("astronaut.jpg"), outside)
    (library.shots / "secret.jpg.json").symlink_to(outside)
    (library.shots / "folder").symlink_to(tmp_path)
    names = [row["name"] for row in serve().get("/api/list?limit=200")["rows"]]
    assert sorted(names) == ["astronaut.jpg", "camera.jpg", "pair.jpg"]


def test_a_sidecar_that_becomes_a_link_is_not_written(serve: Serve, library: Library, tmp_path: Path) -> None:
    page = serve()
    state = page.photo("astronaut.jpg")
    sidecar, outside = library.sidecar("astronaut.jpg"), tmp_path / "outside.json"
    sidecar.rename(outside)
    sidecar.symlink_to(outside)
    before = outside.read_bytes()
    status, answer = page.post(f"/api/photo/{state['id']}", {"edit": {**edit_of(state), "rejected": True}})
    assert status == 422 and "link" in answer["error"]
    assert outside.read_bytes() == before


def test_a_crop_that_leads_out_of_the_output_is_not_shown(serve: Serve, library: Library, tmp_path: Path) -> None:
    page = serve()
    state = page.photo("astronaut.jpg")
    crop = library.shots / library.shot("astronaut.jpg", "medium")["file"]
    Image.new("RGB", (50, 50)).save(tmp_path / "secret.jpg")
    crop.unlink()
    crop.symlink_to(tmp_path / "secret.jpg")
    assert page.request("GET", f"/crop/{state['id']}/small/medium")[0] == 404
    assert page.request("GET", f"/crop/{state['id']}/small/close_up")[0] == 200


@pytest.mark.parametrize("file", ["../../secret.jpg", "/etc/passwd", "a/../../secret.jpg"])
def test_a_sidecar_cannot_name_files_elsewhere(serve: Serve, library: Library, tmp_path: Path, file: str) -> None:
    Image.new("RGB", (50, 50)).save(tmp_path / "secret.jpg")
    library.edit("astronaut.jpg", lambda record: record["shots"][1].update(file=file))
    page = serve()
    state = page.photo("astronaut.jpg")
    assert page.request("GET", f"/crop/{state['id']}/small/medium")[0] == 404


def test_photos_outside_their_folders_are_not_shown(serve: Serve, library: Library, tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere" / "astronaut.jpg"
    secret.parent.mkdir()
    Image.new("RGB", (512, 512)).save(secret)
    before = serve()
    state = before.photo("astronaut.jpg")
    own = before.request("GET", f"/image/{state['id']}/small")[2]
    library.edit("astronaut.jpg", lambda record: record["source"].update(path=str(secret)))
    # The photo is still found at its own place below the folder of photos.
    assert before.request("GET", f"/image/{state['id']}/small")[2] == own
    library.edit("camera.jpg", lambda record: record["source"].update(path="/etc/passwd"))
    camera = before.photo("camera.jpg")
    assert before.request("GET", f"/image/{camera['id']}/small")[0] == 200
    assert b"/etc/passwd" not in before.request("GET", f"/api/photo/{camera['id']}")[2]


def test_a_read_only_page_changes_nothing(serve: Serve, library: Library) -> None:
    page = serve(read_only=True)
    state = page.photo("astronaut.jpg")
    before = library.sidecar("astronaut.jpg").read_bytes()
    status, answer = page.post(f"/api/photo/{state['id']}", {"edit": {**edit_of(state), "rejected": True}})
    assert status == 403 and "read-only" in answer["error"]
    assert library.sidecar("astronaut.jpg").read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda edit: edit["shots"][0]["box"].update(x=-1),
        lambda edit: edit["shots"][0]["box"].update(width=0),
        lambda edit: edit["shots"][0]["box"].update(width=10_000),
        lambda edit: edit["shots"][0]["box"].update(width=10.5),
        lambda edit: edit["shots"][0]["box"].update(width=10**400),
        lambda edit: edit["shots"][0].update(key="other"),
        lambda edit: edit["shots"][0].update(caption="x" * 5_001),
        lambda edit: edit["shots"][0].update(caption=None),
        lambda edit: edit["shots"][0].update(file="../x"),
        lambda edit: edit.update(status="no_subject"),
        lambda edit: edit.pop("fingerprint"),
    ],
)
def test_what_is_no_edit_changes_nothing(serve: Serve, library: Library, change: Callable[[dict], object]) -> None:
    page = serve()
    state = page.photo("astronaut.jpg")
    before = library.sidecar("astronaut.jpg").read_bytes()
    edit = edit_of(state)
    change(edit)
    status, answer = page.post(f"/api/photo/{state['id']}", {"edit": edit})
    assert status == 422 and answer["error"]
    assert library.sidecar("astronaut.jpg").read_bytes() == before


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"edit": 1}', b"[" * 100_000])
def test_what_is_no_json_is_refused(serve: Serve, body: bytes) -> None:
    page = serve()
    state = page.photo("astronaut.jpg")
    assert page.request("POST", f"/api/photo/{state['id']}", body)[0] == 422


def test_a_huge_request_is_refused(serve: Serve) -> None:
    page = serve()
    state = page.photo("astronaut.jpg")
    assert page.request("POST", f"/api/photo/{state['id']}", b" " * (2 << 20))[0] == 413


def test_only_this_machine_reaches_the_page(serve: Serve) -> None:
    page = serve()
    assert page.server._listener.getsockname()[0] == "127.0.0.1"


def test_the_server_ends(serve: Serve) -> None:
    page = serve()
    page.stop()
    until(lambda: not page.thread.is_alive())
