"""Azure Blob Storage, through adlfs and its client: pages of listings, and one conditional request for each object."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import adlfs
from azure.core import MatchConditions
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from fsspec.asyn import sync

from shotcrop_cli.storage.interface import ABSENT, ANY, Changed, Content, Denied, Entry
from shotcrop_cli.storage.objects import FIX_DENIED, FsspecStorage

_PAGE = 1_000
_DENIED = frozenset({"AuthorizationPermissionMismatch", "AuthorizationFailure", "InsufficientAccountPermissions"})
"""Codes of answers that concern the rights to an object, and not the credentials."""


class AzureStorage(FsspecStorage):
    """A folder of a container; see `Storage`. Tags are etags.

    adlfs finds account and credentials in the environment, or asks `DefaultAzureCredential`. The client of Azure
    repeats requests that may pass, and writes large objects in parts.

    Args:
        url: Its URL in canonical form.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, adlfs.AzureBlobFileSystem(anon=False, use_listings_cache=False))
        container, _, self._prefix = url.removeprefix("az://").partition("/")
        self._container = self._files.service_client.get_container_client(container)

    def list(self, *, start: str = "", below: str = "") -> Iterator[Entry]:
        """See `Storage.list`. One page of 1,000 objects is in memory at a time. The store cannot begin at a name."""
        base, token = self._key(""), None
        while True:
            with self._errors(below):
                items, token = sync(self._files.loop, self._page, base + below, token)
            for item in items:
                name = item.name[len(base) :]
                is_folder = name.endswith("/") or (item.metadata or {}).get("hdi_isfolder") == "true"
                if not is_folder and name.encode() >= start.encode():
                    yield _found(name, item)
            if not token:
                return

    async def _page(self, prefix: str, token: str | None) -> tuple[Sequence[Any], str | None]:
        listing = self._container.list_blobs(prefix or None, include=["metadata"], results_per_page=_PAGE)
        pages = listing.by_page(token)
        async for page in pages:
            return [item async for item in page], pages.continuation_token
        return [], None

    def stat(self, name: str) -> Entry | None:
        """See `Storage.stat`."""
        try:
            with self._errors(name):
                client = self._container.get_blob_client(self._key(name))
                return _found(name, sync(self._files.loop, client.get_blob_properties))
        except FileNotFoundError:
            return None

    def read(self, name: str, tag: str = "") -> Content:
        """See `Storage.read`."""
        with self._errors(name):
            content: Content = sync(self._files.loop, self._read, name, tag)
            return content

    async def _read(self, name: str, tag: str) -> Content:
        stream = await self._container.download_blob(self._key(name), **_if_match(tag))
        metadata = {key.replace("_", "-"): value for key, value in (stream.properties.metadata or {}).items()}
        return Content(await stream.readall(), stream.properties.etag.strip('"'), metadata)

    def write(self, name: str, data: bytes, tag: str = ANY, metadata: Mapping[str, str] | None = None) -> str:
        """See `Storage.write`."""
        # Names of metadata are identifiers of C#.
        about = {key.replace("-", "_"): value for key, value in (metadata or {}).items()}
        condition: dict[str, Any] = {} if tag in (ANY, ABSENT) else _if_match(tag)
        with self._errors(name):
            client = self._container.get_blob_client(self._key(name))
            answer = sync(
                self._files.loop,
                client.upload_blob,
                io.BytesIO(data),
                length=len(data),
                overwrite=tag != ABSENT,
                metadata=about,
                **condition,
            )
        return str(answer["etag"]).strip('"')

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        try:
            with self._errors(name):
                sync(self._files.loop, self._container.get_blob_client(self._key(name)).delete_blob)
        except FileNotFoundError:
            return

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _translated(self, name: str, error: Exception) -> Exception:
        """Tell errors of one object from those that would hit every request."""
        code = str(getattr(error, "error_code", "") or "")
        if isinstance(error, (ResourceExistsError, ResourceModifiedError)) or code == "ConditionNotMet":
            return Changed(name)
        if code == "ContainerNotFound":
            return self._no_bucket()
        if isinstance(error, ResourceNotFoundError):
            return FileNotFoundError(name)
        if code in _DENIED:
            return Denied(f"{self.url}/{name}: access denied", hint=FIX_DENIED)
        if isinstance(error, ClientAuthenticationError) or (
            isinstance(error, HttpResponseError) and error.status_code in (401, 403)
        ):
            return super()._translated(name, PermissionError(code or type(error).__name__))
        return super()._translated(name, error)


def _if_match(tag: str) -> dict[str, Any]:
    return {"etag": f'"{tag}"', "match_condition": MatchConditions.IfNotModified} if tag else {}


def _found(name: str, item: Any) -> Entry:
    mtime_ns = round(item.last_modified.timestamp() * 1_000) * 1_000_000
    return Entry(name, int(item.size), mtime_ns, str(item.etag).strip('"'))
