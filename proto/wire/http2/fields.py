"""What a request's header fields must be like (RFC 9113 8.2, 8.3). Pure judgement over decoded fields."""

import re
from dataclasses import dataclass
from typing import Final

from proto.wire.http2.codes import ErrorCode, StreamFault

Fields = tuple[tuple[bytes, bytes], ...]

_PSEUDO: Final = frozenset((b":method", b":scheme", b":path", b":authority"))
# They are about a connection of HTTP/1 (RFC 9113 8.2.2).
_OF_CONNECTIONS: Final = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))
# Lower-case tokens (RFC 9110 5.6.2).
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_BAD_IN_VALUE: Final = re.compile(rb"[\x00\r\n]|^[ \t]|[ \t]$")
_DIGITS: Final = re.compile(rb"[0-9]{1,15}")

UNKNOWN_LENGTH: Final = -1


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The head of a request. `fields` are the others, in order; `content_length` is -1 if it is not told."""

    method: bytes
    path: bytes
    authority: bytes
    fields: Fields
    content_length: int = UNKNOWN_LENGTH


def read_request(fields: Fields) -> RequestHead:
    """The request that decoded fields make. Raises `StreamFault(PROTOCOL_ERROR)` if they make none."""
    pseudo: dict[bytes, bytes] = {}
    others: list[tuple[bytes, bytes]] = []
    content_length = UNKNOWN_LENGTH
    for name, value in fields:
        if name.startswith(b":"):
            if others or name in pseudo or name not in _PSEUDO:
                raise _malformed("a pseudo-header field is unknown, doubled, or behind others")
            pseudo[name] = value
        else:
            _check_field(name, value)
            if name == b"content-length":
                content_length = _parse_length(value, content_length)
            others.append((name, value))
        if _BAD_IN_VALUE.search(value):
            raise _malformed("a field's value has a control character or white space at its edge")
    method, path = pseudo.get(b":method"), pseudo.get(b":path")
    if not method or not path or not pseudo.get(b":scheme"):
        raise _malformed("a request has a method, a scheme and a path")
    return RequestHead(method, path, pseudo.get(b":authority", b""), tuple(others), content_length)


def check_trailers(fields: Fields) -> None:
    """Raises `StreamFault(PROTOCOL_ERROR)` if the fields behind a request's body are malformed."""
    for name, value in fields:
        if name.startswith(b":"):
            raise _malformed("a pseudo-header field among the trailers")
        _check_field(name, value)


def _check_field(name: bytes, value: bytes) -> None:
    if not _NAME.fullmatch(name):
        raise _malformed("a field's name is no token in lower case")
    if name in _OF_CONNECTIONS or (name == b"te" and value != b"trailers"):
        raise _malformed("a field that is about a connection of HTTP/1")


def _parse_length(value: bytes, before: int) -> int:
    if not _DIGITS.fullmatch(value) or before not in (UNKNOWN_LENGTH, int(value)):
        raise _malformed("the content-length is no number, or is two")
    return int(value)


def _malformed(why: str) -> StreamFault:
    return StreamFault(ErrorCode.PROTOCOL_ERROR, why)
