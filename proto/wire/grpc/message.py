"""Messages of a gRPC call within the data of its stream (gRPC over HTTP/2, "Length-Prefixed-Message").

    compressed 1 | length 4 | message

Whether a message is compressed is its own business; how, that of the whole call (`grpc-encoding`).
"""

import struct
import zlib
from typing import Final

from proto.errors import Reason, Refusal

PREFIX_BYTES: Final = 5
_PREFIX: Final = struct.Struct(">BI")

IDENTITY: Final = "identity"
# The window that zlib wants to be told: 16 more stand for the gzip format, "deflate" is zlib's own (RFC 1950).
_WINDOW_BITS: Final = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}

ENCODINGS: Final = (IDENTITY, *_WINDOW_BITS)
"""What messages may be compressed with."""


UNFINISHED: Final = "the call ended without a message"
MISCOUNTED: Final = "the call has more than one message"


def compose_message(message: bytes) -> bytes:
    """A message that is not compressed."""
    return _PREFIX.pack(0, len(message)) + message


def parse_only_message(data: bytes, encoding: str, limit: int) -> bytes:
    """The message of a call that has one, in all of the call's data.

    Raises `Refusal`: MESSAGE_TOO_LARGE; MALFORMED_MESSAGE if there is not exactly one that can be unpacked.
    """
    size = len(data) - PREFIX_BYTES
    if 0 <= size <= limit and data[0] == 0 and int.from_bytes(data[1:PREFIX_BYTES]) == size:
        return data[PREFIX_BYTES:]
    reader = MessageReader(encoding, limit)
    reader.feed(data)
    message = reader.next_message()
    if message is None or reader.buffered:
        raise Refusal(Reason.MALFORMED_MESSAGE, MISCOUNTED if message is not None else UNFINISHED)
    return message


class MessageReader:
    """Takes messages out of the data of one call, however it is cut.

    Holds one message of at most `limit` bytes, before and after it is unpacked; a longer one is refused by its prefix.
    """

    __slots__ = ("_buffer", "_encoding", "_limit")

    def __init__(self, encoding: str, limit: int) -> None:
        self._encoding = encoding
        self._limit = limit
        self._buffer = bytearray()

    @property
    def buffered(self) -> int:
        """Bytes received that are no whole message."""
        return len(self._buffer)

    @property
    def promised(self) -> int:
        """The length of the message that is being received; 0 while it is not known."""
        return _PREFIX.unpack_from(self._buffer)[1] if len(self._buffer) >= PREFIX_BYTES else 0

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next_message(self) -> bytes | None:
        """The next whole message, or None until more is there.

        Raises `Refusal`: MESSAGE_TOO_LARGE; MALFORMED_MESSAGE if it cannot be unpacked.
        """
        if len(self._buffer) < PREFIX_BYTES:
            return None
        flag, size = _PREFIX.unpack_from(self._buffer)
        if flag > 1:
            raise Refusal(Reason.MALFORMED_MESSAGE, "the data of the call is no message")
        if size > self._limit:
            raise Refusal(Reason.MESSAGE_TOO_LARGE, f"the message is {size} bytes; the limit is {self._limit}")
        end = PREFIX_BYTES + size
        if len(self._buffer) < end:
            return None
        message = bytes(self._buffer[PREFIX_BYTES:end])
        del self._buffer[:end]
        return unpack(message, self._encoding, self._limit) if flag else message


def unpack(packed: bytes, encoding: str, limit: int) -> bytes:
    """The message in `packed`. Never makes more than `limit` bytes of it; raises as `MessageReader.next_message`."""
    window = _WINDOW_BITS.get(encoding)
    if window is None:
        raise Refusal(Reason.MALFORMED_MESSAGE, "a message is compressed, but the call does not say with what")
    unpacker = zlib.decompressobj(window)
    try:
        message = unpacker.decompress(packed, limit + 1)
    except zlib.error:
        raise Refusal(Reason.MALFORMED_MESSAGE, f"a message is not compressed with {encoding}") from None
    if len(message) > limit:
        raise Refusal(Reason.MESSAGE_TOO_LARGE, f"the message is longer than {limit} bytes when it is unpacked")
    if not unpacker.eof or unpacker.unused_data:
        raise Refusal(Reason.MALFORMED_MESSAGE, f"a message is cut short, or followed by something, within its {encoding}")
    return message
