"""gRPC as stock clients send it: HTTP/2 on a connection kept open, whose later header blocks are indexes into what was sent."""

import struct
from collections.abc import Callable
from typing import Final

import hpack

from load_tests.generator.expectation import Expectation
from load_tests.generator.loop import WrongAnswerError

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7, 0x8
_END_STREAM, _ACK = 0x1, 0x1
_END_HEADERS: Final = 0x4
_FRAME_BYTES: Final = 9
# Of the five bytes before a message: not compressed, and its length.
_PREFIX_BYTES: Final = 5
# Settings: no dynamic table for what the server sends, and windows so large that no reply waits for one.
_HEADER_TABLE_SIZE, _INITIAL_WINDOW_SIZE = 0x1, 0x4
_WINDOW: Final = 1 << 24
_CONNECTION_WINDOW: Final = 1 << 30
_FIRST_WINDOW: Final = 65_535
# What was received is granted again in pieces of this size.
_GRANT: Final = 1 << 28
_USER_AGENT: Final = "grpc-python/1.85.1 grpc-c/57.0.0 (linux; chttp2)"


class GrpcDialogue:
    """Unary calls of one method, one after another.

    `request` makes the message for a record number. A reply with a message and trailers is a success, trailers alone are a
    failure: NOT_FOUND is an answer, any other status is none.
    """

    def __init__(self, method: str, request: Callable[[int], bytes], expect: Expectation) -> None:
        self._request, self._expect = request, expect
        self._first, self._later = _header_blocks(method)
        self._stream = -1
        self._asked = self._ungranted = 0
        self._heard = self._message = self._owed = b""

    def greet(self) -> bytes:
        settings = struct.pack(">HIHI", _HEADER_TABLE_SIZE, 0, _INITIAL_WINDOW_SIZE, _WINDOW)
        grant = (_CONNECTION_WINDOW - _FIRST_WINDOW).to_bytes(4, "big")
        return _PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW_UPDATE, 0, 0, grant)

    def ask(self, number: int) -> bytes:
        self._asked = number
        self._stream = stream = self._stream + 2
        message = self._request(number)
        block = self._later if stream > 1 else self._first
        size = len(message)
        owed, self._owed = self._owed, b""
        return b"".join((
            owed, len(block).to_bytes(3, "big"), b"\x01\x04", stream.to_bytes(4, "big"), block,
            (size + _PREFIX_BYTES).to_bytes(3, "big"), b"\x00\x01", stream.to_bytes(4, "big"),
            b"\x00", size.to_bytes(4, "big"), message,
        ))  # fmt: skip

    def hear(self, data: bytes) -> bool:
        heard = self._heard + data if self._heard else data
        at, size, is_whole = 0, len(heard), False
        while size - at >= _FRAME_BYTES:
            start = at + _FRAME_BYTES
            end = start + int.from_bytes(heard[at : at + 3], "big")
            if end > size:
                break
            kind, flags = heard[at + 3], heard[at + 4]
            if kind == _DATA:
                self._message += heard[start:end]
            elif kind == _HEADERS:
                if flags & _END_STREAM:
                    self._check(heard[start:end])
                    is_whole = True
            else:
                self._manage(kind, flags, heard[start:end])
            at = end
        self._heard = heard[at:]
        return is_whole

    def _check(self, trailers: bytes) -> None:
        """The stream has ended."""
        message, self._message = self._message, b""
        if not message and _status(trailers) != "5":
            raise WrongAnswerError(f"record {self._asked}: status {_status(trailers)}")
        if message and int.from_bytes(message[1:_PREFIX_BYTES], "big") != len(message) - _PREFIX_BYTES:
            raise WrongAnswerError(f"record {self._asked}: a message cut short")
        self._ungranted += len(message)
        if self._ungranted > _GRANT:
            self._owed += _frame(_WINDOW_UPDATE, 0, 0, self._ungranted.to_bytes(4, "big"))
            self._ungranted = 0
        self._expect(self._asked, bool(message), message[_PREFIX_BYTES:])

    def _manage(self, kind: int, flags: int, payload: bytes) -> None:
        if kind in (_RESET, _GOAWAY):
            raise WrongAnswerError(f"record {self._asked}: frame {kind}, {payload!r}")
        if kind in (_SETTINGS, _PING) and not flags & _ACK:
            self._owed += _frame(kind, _ACK, 0, payload if kind == _PING else b"")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _header_blocks(method: str) -> tuple[bytes, bytes]:
    """What a client sends for the first call of a connection, and for all others."""
    encoder = hpack.Encoder()
    headers = [
        (":scheme", "http"), (":method", "POST"), (":authority", "127.0.0.1"), (":path", method), ("te", "trailers"),
        ("content-type", "application/grpc"), ("user-agent", _USER_AGENT),
        ("grpc-accept-encoding", "identity, deflate, gzip"),
    ]  # fmt: skip
    return encoder.encode(headers), encoder.encode(headers)


def _status(trailers: bytes) -> str:
    headers = hpack.Decoder().decode(trailers, raw=True)
    return next((bytes(value).decode() for name, value, *_ in headers if name == b"grpc-status"), "none")
