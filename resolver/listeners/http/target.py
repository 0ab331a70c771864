"""The request target: what a client asked for, byte for byte, before anything normalises it (RFC 9112 3.2).

An identifier is everything after its route's prefix: slashes, dots and empty segments are its own. It is percent-decoded
exactly once, so `%252F` asks for an identifier that contains `%2F`.
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_to_bytes

from proto.errors import Reason, Refusal
from resolver.listeners.http.limits import MAX_PARAMETERS

_LONE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_AUTHORITY = re.compile("https?://[^/?#]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
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
    authority = _AUTHORITY.match(raw)
    path, _, query = (raw[authority.end() :] if authority else raw).partition("?")
    return Target(path or "/", query)


def decode_identifier(encoded: str) -> str:
    """Percent-decode the part of a path that is an identifier, once. Raises `Refusal(INVALID_ENCODING)`."""
    if "%" not in encoded:
        return encoded
    if _LONE_PERCENT.search(encoded):
        raise Refusal(Reason.INVALID_ENCODING, "a '%' that begins no escape; write it as %25", "identifier")
    try:
        return unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        raise Refusal(Reason.INVALID_ENCODING, "the identifier is not UTF-8", "identifier") from None
