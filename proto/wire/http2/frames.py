"""Frames as bytes (RFC 9113 4.1): 9 bytes of head (length 3, type 1, flags 1, stream 4) and a payload."""

import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from proto import compiled
from proto.wire.http2.codes import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    MAX_STREAM,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCode,
)
from proto.wire.http2.limits import MAX_DEBUG_BYTES, MAX_FRAME_BYTES

HEAD_BYTES: Final = 9
PING_BYTES: Final = 8

HEAD: Final = struct.Struct(">HBBBI")
"""Upper 16 and lower 8 bits of the length, type, flags, stream behind a reserved bit: to be read by `read_head`."""

NUMBER: Final = struct.Struct(">I")
SETTING: Final = struct.Struct(">HI")
_TWO_NUMBERS: Final = struct.Struct(">II")

# Answers of a service are of a few hundred lengths.
_BEGINS_KEPT: Final = 1_024

MAX_SIZE: Final = 0xFF_FFFF
"""What the length of a frame can say."""

_ENDS: Final = END_HEADERS | END_STREAM

SETTINGS_ACK: Final = HEAD.pack(0, 0, SETTINGS, ACK, 0)


def compose_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of at most 2^24 - 1 bytes."""
    size = len(payload)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


@lru_cache(_BEGINS_KEPT)
def compose_begin(size: int, kind: int, flags: int) -> bytes:
    """The first five bytes of a frame whose payload has `size` bytes: all of its head but the stream."""
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, 0)[:5]


@compiled.preferred
def compose_answer(head: bytes, data: bytes, trailers: bytes, tail_bytes: int) -> tuple[bytes, bytes, bytes, bytes]:
    """What stands before, between and behind the three numbers of an answer's stream: headers, data in one frame, and trailers
    that go on for so many bytes."""
    last = compose_begin(len(trailers) + tail_bytes, HEADERS, _ENDS)
    begin = compose_begin(len(head), HEADERS, END_HEADERS)
    return begin, head + compose_begin(len(data) & MAX_SIZE, DATA, 0), data + last, trailers


@compiled.preferred
def read_head(data: bytes, at: int) -> tuple[int, int, int, int]:
    """The head of a frame, all of which is there: the payload's size, type, flags, stream. The bit in front of the stream is
    reserved and ignored (RFC 9113 4.1)."""
    high, low, kind, flags, number = HEAD.unpack_from(data, at)
    return high << 8 | low, kind, flags, number & MAX_STREAM


@compiled.preferred
def read_call(data: bytes, at: int) -> tuple[int, bytes, bytes, int] | None:
    """A request in two frames, as unary calls come: its stream, its header block, its body, and where the next frame begins.

    None if what begins at `at` is anything else, or not all there.
    """
    if len(data) - at < HEAD_BYTES:
        return None
    size, kind, flags, number = read_head(data, at)
    begin = at + HEAD_BYTES
    middle = begin + size
    if kind != HEADERS or flags != END_HEADERS or middle - begin > MAX_FRAME_BYTES or len(data) - middle < HEAD_BYTES:
        return None
    size, kind, flags, same = read_head(data, middle)
    body = middle + HEAD_BYTES
    end = body + size
    if kind != DATA or flags != END_STREAM or same != number or end > len(data):
        return None
    return (number, data[begin:middle], data[body:end], end) if end - body <= MAX_FRAME_BYTES else None


def compose_headers(stream: int, block: bytes, *, ends: bool) -> bytes:
    """A whole header block, which must fit one frame."""
    return compose_frame(HEADERS, END_HEADERS | END_STREAM if ends else END_HEADERS, stream, block)


def compose_data(stream: int, data: bytes, *, ends: bool = False) -> bytes:
    return compose_frame(DATA, END_STREAM if ends else 0, stream, data)


def compose_settings(settings: Iterable[tuple[int, int]]) -> bytes:
    return compose_frame(SETTINGS, 0, 0, b"".join(SETTING.pack(*setting) for setting in settings))


def compose_window_update(stream: int, increment: int) -> bytes:
    return compose_frame(WINDOW_UPDATE, 0, stream, NUMBER.pack(increment))


def compose_reset(stream: int, code: ErrorCode) -> bytes:
    return compose_frame(RST_STREAM, 0, stream, NUMBER.pack(code))


def compose_ping(payload: bytes, flags: int = 0) -> bytes:
    return compose_frame(PING, flags, 0, payload)


def compose_goaway(last_stream: int, code: ErrorCode, why: str) -> bytes:
    """`why` is for people; what is too long of it is cut."""
    return compose_frame(GOAWAY, 0, 0, _TWO_NUMBERS.pack(last_stream, code) + why.encode()[:MAX_DEBUG_BYTES])
