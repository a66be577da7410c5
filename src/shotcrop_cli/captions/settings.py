"""Where captions come from: the rules, nowhere, an endpoint of the configuration, or a large model on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from shotcrop_cli.errors import ShotcropError

MODEL_PREFIX = "model:"
"""Begins a value of `--captions` that names a large model."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that speaks the protocol of OpenAI's chat completions, and how to ask it.

    Args:
        url: Its base, such as `http://localhost:11434/v1`.
        model: Name of the model there.
        key_env: Environment variable with the key; empty if it needs none.
        language: Language of the captions, as in BCP 47.
        concurrency: Requests at the same time.
        timeout: Seconds to wait for the server.
        retries: How often to repeat a request that failed, with growing pauses.
        image_size: Pixels that the longer side of a picture may have.
        whole_photo: Whether it may also see the whole photo, small.
    """

    url: str
    model: str
    key_env: str = ""
    language: str = "en"
    concurrency: int = 2
    timeout: float = 60.0
    retries: int = 2
    image_size: int = 768
    whole_photo: bool = False

    @property
    def host(self) -> str:
        """Host and port, as the user wrote them."""
        return urlsplit(self.url).netloc

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""
        name = (urlsplit(self.url).hostname or "").rstrip(".").lower()
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return name == "localhost" or name.endswith(".localhost")

    @property
    def announcement(self) -> str:
        """What the first line of a run says."""
        sent = "crops and the whole photos" if self.whole_photo else "crops"
        line = f"captions by {self.model} at {self.host}; {sent} are sent there"
        if self.is_local:
            return f"{line}, which is this machine"
        return f"{line}, over the network" + ("" if self.url.lower().startswith("https:") else " and unencrypted")

    def key(self) -> str:
        """Return the key from the environment; empty if none is needed.

        Raises:
            ShotcropError: The variable is not set.
        """
        if not self.key_env:
            return ""
        key = os.environ.get(self.key_env, "").strip()
        if not key:
            raise ShotcropError(
                f"captions: the environment variable {self.key_env} has no key", hint=f"export {self.key_env}=..."
            )
        return key


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A large model that describes crops in this process. It has the settings of an `Endpoint` that it needs.

    Args:
        folder: The model, as `--model` names it.
        model: What sidecars call it: name and hash.
    """

    folder: str
    model: str = ""
    language: str = "en"
    image_size: int = 768
    whole_photo: bool = False

    @property
    def host(self) -> str:
        """Where it runs."""
        return "this process"

    @property
    def concurrency(self) -> int:
        """Requests at the same time: the model takes one."""
        return 1

    @property
    def announcement(self) -> str:
        """What the first line of a run says."""
        return f"captions by {self.model} on this machine; nothing is sent anywhere"


_NUMBERS: dict[str, tuple[type, float, float]] = {
    "concurrency": (int, 1, 64),
    "timeout": (float, 1, 3600),
    "retries": (int, 0, 20),
    "image-size": (int, 64, 4096),
}
"""Keys with a number: its type, the lowest and the highest value."""
_TEXTS = {
    "url": r"https?://\S+",
    "model": r"\S.*",
    "key-env": r"[A-Za-z_][A-Za-z0-9_]*",
    "language": r"[A-Za-z]{2,3}(-[A-Za-z0-9]+)*",
}
"""Keys with a text, and what it has to look like."""
_EXAMPLES = {
    "url": "http://localhost:11434/v1",
    "model": "qwen2.5vl",
    "key-env": "OPENAI_API_KEY, the name of an environment variable",
    "language": "en or de",
}
KEYS = (*_TEXTS, *_NUMBERS, "whole-photo")


def is_language(tag: str) -> bool:
    """Say whether a text looks like the tag of a language in BCP 47."""
    return re.fullmatch(_TEXTS["language"], tag) is not None


def read_endpoint(table: Mapping[str, Any], where: str) -> Endpoint:
    """Read a table `[captioner.NAME]`.

    Args:
        table: Its keys and values.
        where: File and table, for messages.

    Raises:
        ShotcropError: A key or value is wrong or missing.
    """
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in KEYS:
            raise ShotcropError(f"{where} there is no key '{key}'", hint=_hint(key))
        values[key.replace("-", "_")] = _checked(key, value, where)
    if missing := [key for key in ("url", "model") if key not in values]:
        raise ShotcropError(f"{where} has no {missing[0]}", hint="set url and model")
    if "@" in urlsplit(values["url"]).netloc:
        raise ShotcropError(
            f"{where} url: must not hold a password",
            hint="put the key into an environment variable and name that in key-env",
        )
    return Endpoint(**values)


def _hint(key: str) -> str:
    from difflib import get_close_matches

    if key in ("key", "api-key", "api_key", "token", "password"):
        return 'put the key into an environment variable and name that, as in key-env = "OPENAI_API_KEY"'
    close = get_close_matches(key.replace("_", "-"), KEYS, n=1)
    return f"write {close[0]}" if close else f"use one of: {', '.join(KEYS)}"


def _checked(key: str, value: object, where: str) -> object:
    if key == "whole-photo":
        if not isinstance(value, bool):
            raise ShotcropError(f"{where} {key}: must be true or false")
        return value
    if key in _TEXTS:
        if not isinstance(value, str) or not re.fullmatch(_TEXTS[key], value):
            raise ShotcropError(f"{where} {key}: {value!r} is not valid", hint=f"write a text such as {_EXAMPLES[key]}")
        return value.rstrip("/") if key == "url" else value
    kind, low, high = _NUMBERS[key]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or (kind is int and not isinstance(value, int)) or not low <= float(str(value)) <= high:
        what = "number" if kind is float else "whole number"
        raise ShotcropError(f"{where} {key}: must be a {what} from {low:g} to {high:g}")
    return value
