"""Frames of HTTP/2 made by hand, to say over gRPC what no library would (RFC 9113 4.1, 6; RFC 7541 6.2.2)."""

import struct
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 1, 1, 4, 8, 32
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


class Frame(NamedTuple):
    """One frame as it was read."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def number(self) -> int:
        """The number that a reset, an increment, or behind the last stream a farewell carries."""
        return int.from_bytes(self.payload[4:8] if self.kind == GOAWAY else self.payload[:4])


def parse_frames(raw: bytes) -> list[Frame]:
    """The whole frames in what a peer said; a rest that is none is left out."""
    frames, at = [], 0
    while len(raw) - at >= 9 and len(raw) >= (end := at + 9 + int.from_bytes(raw[at : at + 3])):
        stream = int.from_bytes(raw[at + 5 : at + 9])
        frames.append(Frame(raw[at + 3], raw[at + 4], stream, raw[at + 9 : end]))
        at = end
    return frames


def compose_headers(fields: Mapping[str, str] | Iterable[tuple[str, str]]) -> bytes:
    """A header block without compression: every field a literal that is not indexed."""
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    return b"".join(b"\x00" + _string(name) + _string(value) for name, value in pairs)


def compose_request(stream: int, data: bytes = b"", path: str = "/a", **more: str) -> bytes:
    """A call with all of its data in one frame."""
    return compose_frame(HEADERS, END_HEADERS, stream, compose_headers(_fields(path, more))) + compose_frame(
        DATA, END_STREAM, stream, data
    )


def compose_number(kind: int, stream: int, number: int) -> bytes:
    """A reset or an increment."""
    return compose_frame(kind, 0, stream, struct.pack(">I", number))


def compose_settings(*settings: tuple[int, int]) -> bytes:
    return compose_frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *each) for each in settings))


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


BEGIN: Final = PREFACE + compose_settings()
"""How a client begins."""


def call_fields(path: str = "/a", **more: str) -> dict[str, str]:
    """The fields of a call; underscores in names stand for hyphens."""
    return _fields(path, more)


def _fields(path: str, more: Mapping[str, str]) -> dict[str, str]:
    return {":path": path, **_CALL, **{name.replace("_", "-"): value for name, value in more.items()}}


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
