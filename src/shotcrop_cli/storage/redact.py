"""Keep secrets out of messages: libraries of object stores put URLs and headers into their errors."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_SECRET_NAMES = re.compile(r"SECRET|TOKEN|PASSWORD|ACCOUNT_KEY|ACCESS_KEY|SAS|CONNECTION_STRING", re.IGNORECASE)
"""Names of environment variables whose values must not be shown."""
_SECRET_PARAMETERS = re.compile(
    r"(?i)\b(sig|signature|x-amz-signature|x-amz-security-token|x-amz-credential|x-goog-signature|x-goog-credential"
    r"|awsaccesskeyid|accountkey|sharedaccesssignature|access_token|refresh_token|client_secret|authorization)"
    r"(\s*[=:]\s*)(Bearer\s+|AWS4-HMAC-SHA256\s+)?[^\s&;,'\"<>]+"
)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*@")
_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{12,}\b")
_SHORTEST = 6
"""A shorter value is no secret, and may be part of any word."""
HIDDEN = "***"


def redact(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return a text without secrets: values of the environment, signatures in URLs, passwords and key numbers."""
    for name, value in environment.items():
        if _SECRET_NAMES.search(name) and len(value) >= _SHORTEST and value in text and "/" not in value[:1]:
            text = text.replace(value, HIDDEN)
    text = _SECRET_PARAMETERS.sub(rf"\1\2{HIDDEN}", text)
    return _KEY_ID.sub(HIDDEN, _USER_INFO.sub("", text))
