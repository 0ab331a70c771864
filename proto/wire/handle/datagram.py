"""Messages in datagrams: 20 bytes of envelope and at most 492 of the message in each (RFC 3652 2.1.4).

Every packet carries the envelope with the length of the whole message and its own number, from 0; the place of its part
follows from the number. Stock software of version 2 marks no packet as truncated, DO-IRP 3 marks all but the last; both
are read. Whoever gathers parts from strangers bounds everything: see `Reassembly`.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from proto import compiled
from proto.errors import Reason, Refusal
from proto.wire.handle.envelope import ENVELOPE_BYTES, TRUNCATED, Envelope, check_envelope, parse_envelope
from proto.wire.handle.fields import malformed

PACKET_BYTES: Final = 512
PART_BYTES: Final = PACKET_BYTES - ENVELOPE_BYTES

# In the envelope.
_FLAGS: Final = 2
_SEQUENCE: Final = slice(12, 16)

# A question is one packet but for hundreds of filters; 64 packets hold 31,488 bytes, more than any client asks.
MAX_REQUEST_PARTS: Final = 64
# Unfinished questions of all clients together: 1,024 times 31 KB is the most that strangers can make a worker hold.
MAX_PARTIAL_MESSAGES: Final = 1_024
# Of one source: it has a handful of questions under way, and must not push out those of others.
MAX_PARTIAL_PER_SOURCE: Final = 16
# Parts of one message are sent back to back; a client sends all of them again after half a second at the earliest.
PARTIAL_LIFETIME_S: Final = 5.0


@compiled.preferred
def split_message(message: bytes, mark_truncated: bool = False) -> list[bytes]:
    """The packets of a whole message (its envelope included), ready to be sent."""
    if len(message) <= PACKET_BYTES:
        return [message]
    # The envelope of every packet is that of the message, but for its number and for whether more follow.
    before, after = message[: _SEQUENCE.start], message[_SEQUENCE.stop : ENVELOPE_BYTES]
    last, packets = len(message) - PART_BYTES, []
    begin = before
    if mark_truncated:
        begin = before[:_FLAGS] + bytes((before[_FLAGS] | TRUNCATED,)) + before[_FLAGS + 1 :]
    for number, start in enumerate(range(ENVELOPE_BYTES, len(message), PART_BYTES)):
        opening = begin if start < last else before
        packets.append(b"%b%b%b%b" % (opening, number.to_bytes(4), after, message[start : start + PART_BYTES]))
    return packets


class Reassembly:
    """Whole messages out of packets that come in any order, twice, or never.

    Keeps at most `max_messages` unfinished messages (`max_per_source` of one source) of at most `max_parts` packets each
    for `lifetime_s`; past the first number the oldest gives way. Times are seconds of a monotonic clock, passed in.
    """

    __slots__ = ("_counts", "_given_up", "_lifetime_s", "_max_messages", "_max_parts", "_max_per_source", "_partial")

    def __init__(
        self,
        max_parts: int = MAX_REQUEST_PARTS,
        max_messages: int = MAX_PARTIAL_MESSAGES,
        max_per_source: int = MAX_PARTIAL_PER_SOURCE,
        lifetime_s: float = PARTIAL_LIFETIME_S,
    ) -> None:
        self._max_parts = max_parts
        self._max_messages = max_messages
        self._max_per_source = max_per_source
        self._lifetime_s = lifetime_s
        self._partial: OrderedDict[tuple[Hashable, int], _Partial] = OrderedDict()
        self._counts: dict[Hashable, int] = {}
        self._given_up = 0

    def __len__(self) -> int:
        """Unfinished messages held."""
        return len(self._partial)

    def accept(self, packet: bytes, source: Hashable, now_s: float) -> tuple[Envelope, bytes] | None:
        """The message (envelope of this packet, header and body) that `packet` completes; None while parts are missing.

        Raises `Refusal`: MALFORMED_MESSAGE for a packet that is no part of any message, OVERLOADED if its source has too
        many unfinished ones.
        """
        if len(packet) < ENVELOPE_BYTES:
            raise malformed(f"a packet of {len(packet)} bytes has no envelope")
        envelope = parse_envelope(packet)
        check_envelope(envelope)
        present = len(packet) - ENVELOPE_BYTES
        if envelope.length <= present and envelope.sequence == 0:
            return envelope, packet[ENVELOPE_BYTES : ENVELOPE_BYTES + envelope.length]
        return self._gather(packet, envelope, source, now_s)

    def expire(self, now_s: float) -> int:
        """Forget messages that were begun too long ago; returns how many were given up since this was last asked."""
        self._expire(now_s)
        given_up, self._given_up = self._given_up, 0
        return given_up

    def _expire(self, now_s: float) -> None:
        while self._partial:
            key, partial = next(iter(self._partial.items()))
            if partial.begun_s + self._lifetime_s > now_s:
                return
            self._give_up(key)

    def _gather(self, packet: bytes, envelope: Envelope, source: Hashable, now_s: float) -> tuple[Envelope, bytes] | None:
        count = -(-envelope.length // PART_BYTES)
        if count > self._max_parts:
            raise malformed(f"a message in {count} packets; the limit is {self._max_parts}")
        if envelope.sequence >= count:
            raise malformed(f"packet {envelope.sequence} of {count}")
        start = envelope.sequence * PART_BYTES
        part = packet[ENVELOPE_BYTES:]
        if len(part) != min(PART_BYTES, envelope.length - start):
            raise malformed(f"packet {envelope.sequence} holds {len(part)} bytes")
        self._expire(now_s)
        key = (source, envelope.request)
        partial = self._partial.get(key)
        if partial is None or partial.length != envelope.length:
            partial = self._begin(key, envelope.length, now_s)
        partial.parts[envelope.sequence] = part
        if len(partial.parts) < count:
            return None
        self._forget(key)
        return envelope._replace(sequence=0), b"".join(partial.parts[number] for number in range(count))

    def _begin(self, key: tuple[Hashable, int], length: int, now_s: float) -> "_Partial":
        source = key[0]
        if key in self._partial:
            self._give_up(key)
        if self._counts.get(source, 0) >= self._max_per_source:
            raise Refusal(Reason.OVERLOADED, f"{self._max_per_source} unfinished messages of one source")
        if len(self._partial) >= self._max_messages:
            self._give_up(next(iter(self._partial)))
        partial = self._partial[key] = _Partial(length, now_s)
        self._counts[source] = self._counts.get(source, 0) + 1
        return partial

    def _give_up(self, key: tuple[Hashable, int]) -> None:
        self._forget(key)
        self._given_up += 1

    def _forget(self, key: tuple[Hashable, int]) -> None:
        del self._partial[key]
        left = self._counts[key[0]] - 1
        if left:
            self._counts[key[0]] = left
        else:
            del self._counts[key[0]]


class _Partial:
    """One unfinished message: its parts by number."""

    __slots__ = ("begun_s", "length", "parts")

    def __init__(self, length: int, begun_s: float) -> None:
        self.length = length
        self.begun_s = begun_s
        self.parts: dict[int, bytes] = {}
