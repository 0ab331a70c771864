"""The request target: what a client asked for, byte for byte, before anything normalises it (RFC 9112 3.2).

An identifier in a path is its own: slashes, dots and empty segments belong to it. It is percent-decoded exactly once, so
`%252F` asks for an identifier that contains `%2F`.
"""

import re
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes

from proto.errors import Reason, Refusal
from proto.frozen import frozen

# More than the filters that a query may have select nothing more.
MAX_PARAMETERS: Final = 2_064

_LONE_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_AUTHORITY: Final = re.compile("https?://[^/?#]*", re.IGNORECASE)


@frozen
class Target:
    """`path` as sent, still encoded; `query` the part after the first `?`."""

    path: str
    query: str

    def parameters(self) -> list[tuple[str, str]]:
        """The query's names and values, decoded, in order. Raises `Refusal`: INVALID_ENCODING, INVALID_ARGUMENT."""
        if not self.query:
            return []
        try:
            return parse_qsl(self.query, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
        except UnicodeDecodeError:
            raise Refusal(Reason.INVALID_ENCODING, "the query is not UTF-8", "query") from None
        except ValueError:
            raise Refusal(Reason.INVALID_ARGUMENT, f"more than {MAX_PARAMETERS} parameters", "query") from None


def parse_target(raw: str) -> Target:
    """Split a target in origin form (`/path?query`) or absolute form (`http://host/path?query`)."""
    if not raw.startswith("/"):
        authority = _AUTHORITY.match(raw)
        raw = raw[authority.end() :] if authority else raw
    path, _, query = raw.partition("?")
    return Target(path or "/", query)


def decode_part(encoded: str, field: str) -> str:
    """Percent-decode a part of a path, once. Raises `Refusal(INVALID_ENCODING)` naming `field`."""
    if "%" not in encoded:
        return encoded
    if _LONE_PERCENT.search(encoded):
        raise Refusal(Reason.INVALID_ENCODING, "a '%' that begins no escape; write it as %25", field)
    try:
        return unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        raise Refusal(Reason.INVALID_ENCODING, f"the {field} is not UTF-8", field) from None
