"""Frames of HTTP/2 made by hand, to say over gRPC what no library would (RFC 9113 4.1, 6; RFC 7541 6.2.2)."""

import struct
from collections.abc import Mapping
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS = 1, 4
_CALL: Final = {
    ":method": "POST",
    ":scheme": "http",
    ":authority": "test",
    "te": "trailers",
    "content-type": "application/grpc",
}


def compose_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def compose_headers(fields: Mapping[str, str]) -> bytes:
    """A header block without compression: every field a literal that is not indexed."""
    return b"".join(b"\x00" + _string(name) + _string(value) for name, value in fields.items())


def compose_calls(path: str, message: bytes, count: int, **more: str) -> bytes:
    """A connection with many calls of one method, each with the same (short) message."""
    data = b"\0" + struct.pack(">I", len(message)) + message
    block = compose_headers(_fields(path, more))
    frames = [PREFACE, compose_frame(SETTINGS, 0, 0, b"")]
    for stream in range(1, 2 * count, 2):
        frames += compose_frame(HEADERS, END_HEADERS, stream, block), compose_frame(DATA, END_STREAM, stream, data)
    return b"".join(frames)


def compose_call(path: str, **more: str) -> bytes:
    """The beginning of a connection with one call on it, up to its message; underscores in names stand for hyphens."""
    fields = _fields(path, more)
    return PREFACE + compose_frame(SETTINGS, 0, 0, b"") + compose_frame(HEADERS, END_HEADERS, 1, compose_headers(fields))


def compose_data(payload: bytes, ends: bool = False) -> bytes:
    """A piece of the call's messages."""
    return compose_frame(DATA, END_STREAM if ends else 0, 1, payload)


def _fields(path: str, more: Mapping[str, str]) -> dict[str, str]:
    return {**_CALL, ":path": path, **{name.replace("_", "-"): value for name, value in more.items()}}


def _string(text: str) -> bytes:
    raw = text.encode()
    if len(raw) < 127:
        return bytes((len(raw),)) + raw
    size, length = len(raw) - 127, bytearray((127,))
    while size >= 128:
        length.append(size % 128 + 128)
        size //= 128
    length.append(size)
    return bytes(length) + raw
