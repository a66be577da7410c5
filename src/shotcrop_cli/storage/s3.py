"""S3 and stores that speak its language, through s3fs: pages of listings, and one request for each object."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import s3fs
from fsspec.asyn import sync

from shotcrop_cli.storage.interface import ABSENT, ANY, Changed, Content, Denied, Entry
from shotcrop_cli.storage.objects import FIX_DENIED, FsspecStorage

_MULTIPART_BYTES = 64 << 20
"""Larger objects are written in parts."""
_ATTEMPTS = 8
"""How often botocore repeats a request, waiting longer each time. s3fs repeats that for some errors."""
_BODY_ATTEMPTS = 4
"""How often a body is read that breaks off."""
_CONNECTIONS = 64
_CHANGED = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_DENIED = frozenset({"AccessDenied", "403", "Forbidden"})


class S3Storage(FsspecStorage):
    """A folder of a bucket; see `Storage`. Every method but `list` sends one request, unless it has to be repeated.

    botocore finds credentials, region and endpoint: in the environment, in ~/.aws or from the machine.

    Args:
        url: Its URL in canonical form.
    """

    def __init__(self, url: str) -> None:
        retries = {"mode": "standard", "max_attempts": _ATTEMPTS}
        config = {"retries": retries, "max_pool_connections": _CONNECTIONS}
        super().__init__(url, s3fs.S3FileSystem(config_kwargs=config, use_listings_cache=False))
        self._bucket, _, self._prefix = url.removeprefix("s3://").partition("/")

    def list(self, *, start: str = "", below: str = "") -> Iterator[Entry]:
        """See `Storage.list`. One page of 1,000 objects is in memory at a time."""
        base = self._key("")
        arguments: dict[str, Any] = {"Bucket": self._bucket, "Prefix": base + below}
        if start:
            arguments["StartAfter"] = base + start[:-1]  # S3 leaves out this very name
        while True:
            with self._errors(below):
                page = self._files.call_s3("list_objects_v2", **arguments)
            for item in page.get("Contents", ()):
                if not item["Key"].endswith("/") and item["Key"][len(base) :].encode() >= start.encode():
                    yield self._found(item["Key"][len(base) :], item, item["Size"])
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]

    def stat(self, name: str) -> Entry | None:
        """See `Storage.stat`."""
        try:
            with self._errors(name):
                head = self._files.call_s3("head_object", Bucket=self._bucket, Key=self._key(name))
        except FileNotFoundError:
            return None
        return self._found(name, head, head["ContentLength"])

    def read(self, name: str, tag: str = "") -> Content:
        """See `Storage.read`."""
        with self._errors(name):
            content: Content = sync(self._files.loop, self._read, name, tag)
            return content

    async def _read(self, name: str, tag: str) -> Content:
        condition = {"IfMatch": f'"{tag}"'} if tag else {}
        for attempt in range(_BODY_ATTEMPTS):
            answer = await self._files._call_s3("get_object", Bucket=self._bucket, Key=self._key(name), **condition)
            try:
                async with answer["Body"] as body:
                    data = await body.read()
                return Content(data, answer["ETag"].strip('"'), answer.get("Metadata", {}))
            except Exception:
                if attempt == _BODY_ATTEMPTS - 1:
                    raise
                await asyncio.sleep(0.2 * 2**attempt)
        raise AssertionError("unreachable")

    def write(self, name: str, data: bytes, tag: str = ANY, metadata: Mapping[str, str] | None = None) -> str:
        """See `Storage.write`."""
        key, more = self._key(name), dict(metadata or {})
        condition = {} if tag == ANY else {"IfNoneMatch": "*"} if tag == ABSENT else {"IfMatch": f'"{tag}"'}
        if len(data) >= _MULTIPART_BYTES:
            return self._write_parts(name, data, tag, more)
        try:
            with self._errors(name):
                answer = self._files.call_s3(
                    "put_object", Bucket=self._bucket, Key=key, Body=data, Metadata=more, **condition
                )
        except FileNotFoundError:  # of an object that must have a tag
            raise Changed(name) from None
        return str(answer["ETag"]).strip('"')

    def _write_parts(self, name: str, data: bytes, tag: str, metadata: dict[str, str]) -> str:
        """Write a large object in parts. It appears once all are there; if one fails, s3fs removes the others."""
        if tag not in (ANY, ABSENT) and ((entry := self.stat(name)) is None or entry.tag != tag):
            raise Changed(name)
        with self._errors(name):
            mode = "create" if tag == ABSENT else "overwrite"
            path = f"{self._bucket}/{self._key(name)}"
            try:
                self._files.pipe_file(path, data, chunksize=_MULTIPART_BYTES // 2, mode=mode, Metadata=metadata)
            except FileExistsError:
                raise Changed(name) from None
        written = self.stat(name)
        return "" if written is None else written.tag

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        with self._errors(name):
            self._files.call_s3("delete_object", Bucket=self._bucket, Key=self._key(name))

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    @staticmethod
    def _found(name: str, answer: Mapping[str, Any], size: int) -> Entry:
        mtime_ns = round(answer["LastModified"].timestamp() * 1_000) * 1_000_000
        return Entry(name, size, mtime_ns, answer["ETag"].strip('"'))

    def _translated(self, name: str, error: Exception) -> Exception:
        """Tell errors of one object from those that would hit every request."""
        code = _code(error)
        if code in _CHANGED:
            return Changed(name)
        if code in _MISSING:
            return FileNotFoundError(name)
        if code in _DENIED:
            return Denied(f"{self.url}/{name}: access denied", hint=FIX_DENIED)
        if code == "NoSuchBucket":
            return self._no_bucket()
        return super()._translated(name, error)


def _code(error: BaseException | None) -> str:
    """Return the code of an answer of S3; empty for other errors. s3fs hides it in the cause."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, Mapping) and "Error" in response:
            return str(response["Error"].get("Code", ""))
        error = error.__cause__
    return ""
