"""Google Cloud Storage, through gcsfs: pages of listings, and one conditional request for each object."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import gcsfs
from fsspec.asyn import sync
from gcsfs.core import UnclosableBytesIO

from shotcrop_cli.storage.interface import ABSENT, ANY, Changed, Content, Denied, Entry
from shotcrop_cli.storage.objects import FIX_DENIED, FsspecStorage

_MULTIPART_BYTES = 64 << 20
"""Larger objects are written in parts of half this size."""
_PAGE = 1_000
_METADATA = "x-goog-meta-"
# gcsfs logs the traceback of each error before it raises it. Ours take one line, and show no secrets.
logging.getLogger("gcsfs").setLevel(logging.CRITICAL)


class GcsStorage(FsspecStorage):
    """A folder of a bucket; see `Storage`. Tags are generations.

    gcsfs finds credentials, and repeats requests that may pass.

    Args:
        url: Its URL in canonical form.
    """

    def __init__(self, url: str) -> None:
        # The experimental class asks for the kind of each bucket first.
        super().__init__(url, gcsfs.core.GCSFileSystem(use_listings_cache=False))
        self._bucket, _, self._prefix = url.removeprefix("gs://").partition("/")

    def list(self, *, start: str = "", below: str = "") -> Iterator[Entry]:
        """See `Storage.list`. One page of 1,000 objects is in memory at a time."""
        base = self._key("")
        arguments: dict[str, Any] = {"prefix": base + below, "maxResults": _PAGE}
        if start:
            arguments["startOffset"] = base + start
        while True:
            with self._errors(below):
                page = self._call(self._files._call("GET", "b/{}/o", self._bucket, json_out=True, **arguments))
            for item in page.get("items", ()):
                name = item["name"][len(base) :]
                if not name.endswith("/") and name.encode() >= start.encode():
                    yield _found(name, item)
            if not page.get("nextPageToken"):
                return
            arguments["pageToken"] = page["nextPageToken"]

    def stat(self, name: str) -> Entry | None:
        """See `Storage.stat`."""
        try:
            with self._errors(name):
                item = self._call(self._files._call("GET", "b/{}/o/{}", self._bucket, self._key(name), json_out=True))
        except FileNotFoundError:
            return None
        return _found(name, item)

    def read(self, name: str, tag: str = "") -> Content:
        """See `Storage.read`."""
        condition = {"ifGenerationMatch": tag} if tag else {}
        with self._errors(name):
            headers, data = self._call(
                self._files._call("GET", "b/{}/o/{}", self._bucket, self._key(name), alt="media", **condition)
            )
        metadata = {
            key.lower().removeprefix(_METADATA): value
            for key, value in headers.items()
            if key.lower().startswith(_METADATA)
        }
        generation = headers.get("X-Goog-Generation", "")
        if tag not in ("", generation):
            raise Changed(name)
        return Content(data, generation, metadata)

    def write(self, name: str, data: bytes, tag: str = ANY, metadata: Mapping[str, str] | None = None) -> str:
        """See `Storage.write`."""
        condition = {} if tag == ANY else {"ifGenerationMatch": "0" if tag == ABSENT else tag}
        about = {"name": self._key(name), "metadata": dict(metadata or {})}
        upload = self._upload if len(data) < _MULTIPART_BYTES else self._upload_parts
        try:
            with self._errors(name):
                return str(self._call(upload(about, data, condition))["generation"])
        except FileNotFoundError:
            raise (self._no_bucket() if tag in (ANY, ABSENT) else Changed(name)) from None

    async def _upload(self, about: Mapping[str, Any], data: bytes, condition: Mapping[str, str]) -> Any:
        boundary = uuid.uuid4().hex
        parts = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(about)}\r\n".encode(),
            f"--{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n".encode(),
            data,
            f"\r\n--{boundary}--\r\n".encode(),
        )
        return await self._files._call(
            "POST",
            self._upload_url,
            uploadType="multipart",
            headers={"Content-Type": f'multipart/related; boundary="{boundary}"'},
            data=UnclosableBytesIO(b"".join(parts)),
            json_out=True,
            **condition,
        )

    async def _upload_parts(self, about: Mapping[str, Any], data: bytes, condition: Mapping[str, str]) -> Any:
        """Write a large object in parts. It appears once all are there; a store forgets an upload that ends early."""
        headers, _ = await self._files._call(
            "POST", self._upload_url, uploadType="resumable", json=dict(about), **condition
        )
        offset, size = 0, _MULTIPART_BYTES // 2
        while offset < len(data):
            part = data[offset : offset + size]
            about_part = {
                "Content-Type": "application/octet-stream",
                "Content-Range": f"bytes {offset}-{offset + len(part) - 1}/{len(data)}",
            }
            answer, text = await self._files._call(
                "POST", headers["Location"], headers=about_part, data=UnclosableBytesIO(part)
            )
            if offset + len(part) == len(data) and text:
                return json.loads(text)
            end = int(answer["Range"].rpartition("-")[2]) + 1 if "Range" in answer else offset + len(part)
            if end <= offset:
                break
            offset = end
        raise OSError(f"the upload ended at {offset} of {len(data)} bytes")

    @property
    def _upload_url(self) -> str:
        return f"{self._files._location}/upload/storage/v1/b/{quote(self._bucket, safe='')}/o"

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        try:
            with self._errors(name):
                self._call(self._files._call("DELETE", "b/{}/o/{}", self._bucket, self._key(name)))
        except FileNotFoundError:
            return

    def _call(self, request: Any) -> Any:
        return sync(self._files.loop, _awaited, request)

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _translated(self, name: str, error: Exception) -> Exception:
        """Tell errors of one object from those that would hit every request."""
        if isinstance(error, FileExistsError):  # gcsfs raises it if a condition does not hold
            return Changed(name)
        if isinstance(error, OSError) and str(error).startswith("Forbidden"):
            return Denied(f"{self.url}/{name}: access denied", hint=FIX_DENIED)
        if isinstance(error, FileNotFoundError) and not name:
            return self._no_bucket()
        if getattr(error, "code", None) in (401, "401"):
            return super()._translated(name, PermissionError(str(error)))
        return super()._translated(name, error)


async def _awaited(request: Any) -> Any:
    return await request


def _found(name: str, item: Mapping[str, Any]) -> Entry:
    moment = datetime.fromisoformat(item["updated"].replace("Z", "+00:00"))
    mtime_ns = round(moment.timestamp() * 1_000) * 1_000_000
    return Entry(name, int(item.get("size", 0)), mtime_ns, str(item["generation"]))
