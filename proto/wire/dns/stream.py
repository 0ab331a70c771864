"""Messages out of a TCP stream, however it is cut: two octets of length before each (RFC 1035 4.2.2, RFC 7766 8).

`feed` what arrived, then take messages with `next_message` until there is none. Behind a length that is refused nothing in the
stream can be found again, and the parser refuses for good.
"""

from typing import Final

from proto.errors import Reason, Refusal
from proto.wire.dns.codes import HEADER_BYTES
from proto.wire.dns.message import MAX_QUERY_BYTES

LENGTH_BYTES: Final = 2
MAX_STREAM_BYTES: Final = 0xFFFF
"""What a length can say."""


class StreamParser:
    """The receiving half of one connection. Holds at most what was fed and not taken."""

    __slots__ = ("_buffer", "_refusal", "_start")

    def __init__(self) -> None:
        self._buffer = b""
        self._start = 0
        self._refusal: Refusal | None = None

    @property
    def buffered(self) -> int:
        """Octets received and not yet taken."""
        return len(self._buffer) - self._start

    @property
    def rest(self) -> bytes:
        """What was received of the next message, its length taken off, and of nothing behind it."""
        begin = self._start + LENGTH_BYTES
        return self._buffer[begin : begin + int.from_bytes(self._buffer[self._start : begin])]

    def feed(self, data: bytes) -> None:
        """Add octets as they arrived."""
        # What is left over is less than a message, so copying it costs no more than that.
        self._buffer = self._buffer[self._start :] + data if self.buffered else data
        self._start = 0

    def next_message(self) -> bytes | None:
        """The next whole message, or None until more arrives.

        Raises `Refusal`, and ever after the same: MALFORMED_MESSAGE for a length shorter than a header, MESSAGE_TOO_LARGE for
        one that no query has, as soon as the header is there.
        """
        if self._refusal:
            raise self._refusal
        buffer, start = self._buffer, self._start
        if len(buffer) - start < LENGTH_BYTES:
            return None
        size = int.from_bytes(buffer[start : start + LENGTH_BYTES])
        if size < HEADER_BYTES:
            self._refuse(Reason.MALFORMED_MESSAGE, "a message is shorter than its header")
        begin, end = start + LENGTH_BYTES, start + LENGTH_BYTES + size
        if size > MAX_QUERY_BYTES and len(buffer) - begin >= HEADER_BYTES:
            self._refuse(Reason.MESSAGE_TOO_LARGE, f"a query has at most {MAX_QUERY_BYTES} octets")
        if len(buffer) < end:
            return None
        self._start = end
        return buffer[begin:end]

    def _refuse(self, reason: Reason, why: str) -> None:
        self._refusal = Refusal(reason, why)
        raise self._refusal


def compose_frame(message: bytes) -> bytes:
    """A message as a stream carries it."""
    return len(message).to_bytes(LENGTH_BYTES) + message
