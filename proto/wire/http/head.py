"""What requests say in their headers about themselves: who sent them, and how they can be found again."""

import re
from collections.abc import Mapping
from typing import Final

from proto.errors import Reason, Refusal
from proto.limits import MAX_REQUEST_ID_CHARS

REQUEST_ID: Final = "X-Request-Id"
TRACEPARENT: Final = "traceparent"

# Of random bytes: as many as a W3C trace id has.
REQUEST_ID_BYTES: Final = 16

_VISIBLE: Final = re.compile("[!-~]+")
_TRACEPARENT: Final = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_SCHEME: Final = "bearer"
# RFC 3986 3.2.2 and 3.2.3: an address in brackets or a name, and a port.
_HOST: Final = re.compile(r"(?:\[[0-9A-Za-z.:_~!$&'()*+,;=-]+\]|(?:[0-9A-Za-z._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?")


def parse_request_id(headers: Mapping[str, str]) -> str:
    """The request's own id; empty if it has none, or none that can be kept."""
    return check_request_id(headers.get(REQUEST_ID, ""))


def check_request_id(text: str) -> str:
    """An id that a request gave itself; empty if it cannot be kept."""
    return text if len(text) <= MAX_REQUEST_ID_CHARS and _VISIBLE.fullmatch(text) else ""


def parse_traceparent(headers: Mapping[str, str]) -> str:
    """The W3C trace context of the request; empty unless it is well formed."""
    return check_traceparent(headers.get(TRACEPARENT, ""))


def check_traceparent(text: str) -> str:
    """A W3C trace context; empty unless it is well formed."""
    return text if _TRACEPARENT.fullmatch(text) else ""


def is_host(text: str) -> bool:
    """Whether a Host field names a host and perhaps a port, or is empty (RFC 9112 3.2)."""
    return _HOST.fullmatch(text) is not None


def parse_bearer(headers: Mapping[str, str]) -> str:
    """The bearer token (RFC 6750 2.1), empty without credentials. Raises `Refusal(UNAUTHENTICATED)` for another scheme."""
    found = headers.get("Authorization", "")
    if not found:
        return ""
    scheme, _, token = found.partition(" ")
    if scheme.lower() != _SCHEME or not token.strip():
        raise Refusal(Reason.UNAUTHENTICATED, "the credentials are to be 'Bearer <key>'", "authorization")
    return token.strip()
