"""Who may use the page: only this machine's user, by the address with the token, and only from the page itself.

Other web pages in the same browser, other users of the machine and names that resolve to it are refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of every answer."""
CSRF_HEADER = "x-shotcrop-csrf"
_HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_SAFE_METHODS = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Access:
    """The secrets of one server, and the names it answers to.

    Args:
        hosts: Host headers that are right, such as `127.0.0.1:8000`.
        token: Part of the address that `shotcrop review` opens.
        session: Value of the cookie that the browser gets in exchange for the token.
        csrf: What the page sends with every change, and other pages cannot read.
    """

    hosts: Collection[str]
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    session: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def cookie(self) -> str:
        """Name of the cookie. Cookies do not tell ports apart, so its name does."""
        return f"shotcrop_{min(self.hosts).rpartition(':')[2]}"


class Guard:
    """Refuses requests that `Access` does not allow, and adds the headers that every answer has."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        answer = self._refusal(scope)
        await (self._app if answer is None else answer)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that must not reach the app; None if it may."""
        access, headers = self._access, Headers(scope=scope)
        if headers.getlist("host") not in [[host] for host in access.hosts]:
            return PlainTextResponse("This server answers only to the address that it printed.", 421)
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        if token := dict(query).get("token"):
            if scope["method"] not in _SAFE_METHODS or not _equal(token, access.token):
                return _forbidden()
            return self._exchange(scope["path"], [(name, value) for name, value in query if name != "token"])
        if not _equal(_cookie(headers, access.cookie), access.session):
            return _forbidden()
        if scope["method"] not in _SAFE_METHODS and not self._is_own(headers):
            return PlainTextResponse("Changes can come only from the review page.", 403)
        return None

    def _exchange(self, path: str, query: list[tuple[str, str]]) -> Response:
        """Return the cookie for the token, and hide the token from the address bar and the history."""
        address = "/" + path.lstrip("/") + (f"?{urlencode(query)}" if query else "")
        answer = RedirectResponse(address, 303)
        answer.set_cookie(self._access.cookie, self._access.session, httponly=True, samesite="strict", path="/")
        return answer

    def _is_own(self, headers: Headers) -> bool:
        """Say whether a change comes from the page itself, and not from another one in the same browser."""
        origin, host = headers.get("origin"), headers["host"]
        return (
            _equal(headers.get(CSRF_HEADER, ""), self._access.csrf)
            and origin in (None, f"http://{host}")
            and headers.get("sec-fetch-site", "same-origin") == "same-origin"
            and headers.get("content-type", "").partition(";")[0] == "application/json"
        )


def _forbidden() -> Response:
    text = (
        "This page needs the address that `shotcrop review` printed, with its token. If you restarted the command, "
        "open its new address: edits that were not saved are still in this browser."
    )
    return PlainTextResponse(text, 403)


def _cookie(headers: Headers, name: str) -> str:
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[name].value if name in cookies else ""


def _equal(given: str, right: str) -> bool:
    return secrets.compare_digest(given.encode("utf-8", "replace"), right.encode())
