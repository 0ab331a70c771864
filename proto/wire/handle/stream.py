"""Messages out of a byte stream, however it is cut.

`feed` what arrived, then take messages with `next_message` until there is none. Bytes are kept once and taken from the
front, so that a message of any size costs its own length, in whatever pieces it comes. An envelope is judged as soon as
it is there: after one that is wrong nothing in the stream can be found again, and the parser refuses for good.
"""

from typing import Final

from proto.errors import Refusal
from proto.wire.handle.envelope import ENVELOPE_BYTES, Envelope, check_envelope, parse_envelope
from proto.wire.handle.fields import malformed

_NOTHING: Final = b""


class StreamParser:
    """The receiving half of one connection. Holds at most what was fed and not taken."""

    __slots__ = ("_buffer", "_envelope", "_refusal")

    def __init__(self) -> None:
        self._buffer: bytes | bytearray = _NOTHING
        self._envelope: Envelope | None = None
        self._refusal: Refusal | None = None

    @property
    def buffered(self) -> int:
        """Bytes received and not yet taken."""
        return len(self._buffer)

    @property
    def envelope(self) -> Envelope | None:
        """The envelope of the message that is still incomplete, or that was refused."""
        return self._envelope

    def feed(self, data: bytes) -> None:
        """Add bytes as they arrived."""
        if not self._buffer:
            self._buffer = data
            return
        if not isinstance(self._buffer, bytearray):
            self._buffer = bytearray(self._buffer)
        self._buffer += data

    def next_message(self) -> tuple[Envelope, bytes] | None:
        """The next whole message (envelope, header and body), or None until more arrives.

        Raises `Refusal(MALFORMED_MESSAGE)` at the first bad envelope, and ever after.
        """
        packet = self.next_packet()
        return None if packet is None else (parse_envelope(packet), packet[ENVELOPE_BYTES:])

    def next_packet(self) -> bytes | None:
        """The same in one piece, its envelope judged."""
        if self._refusal:
            raise self._refusal
        envelope = self._envelope or self._next_envelope()
        if envelope is None:
            return None
        end = ENVELOPE_BYTES + envelope.length
        buffer = self._buffer
        if len(buffer) < end:
            return None
        self._envelope = None
        packet = bytes(buffer[:end])
        self._drop(end)
        return packet

    def _next_envelope(self) -> Envelope | None:
        if len(self._buffer) < ENVELOPE_BYTES:
            return None
        self._envelope = envelope = parse_envelope(self._buffer)
        try:
            check_envelope(envelope)
            if envelope.is_truncated:
                # Only a message too long for any peer would come in parts here, and stock streams carry none.
                raise malformed("a part of a message on a stream; messages come whole")
        except Refusal as refusal:
            self._refusal = refusal
            self._buffer = _NOTHING
            raise
        return envelope

    def _drop(self, size: int) -> None:
        buffer = self._buffer
        if len(buffer) == size:
            self._buffer = _NOTHING
        elif isinstance(buffer, bytearray):
            del buffer[:size]
        else:
            # Many messages in one piece: cutting the front off `bytes` again and again would copy the rest each time.
            self._buffer = bytearray(memoryview(buffer)[size:])
