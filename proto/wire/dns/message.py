"""Queries in, replies out (RFC 1035 4).

Of a query everything is checked and little is used: one question, and an OPT record if there is one. Replies repeat the
question as it came, octet for octet: its name's case is the asker's, and may be his only proof that the reply is to him.
"""

import struct
from typing import Final, NamedTuple

from proto.wire.dns.codes import (
    CHECKING_DISABLED,
    HEADER_BYTES,
    RCODE_MASK,
    RECURSION_DESIRED,
    RESPONSE,
    TRUNCATED,
    RRType,
)
from proto.wire.dns.edns import Edns, parse_opt
from proto.wire.dns.name import ROOT, Labels, malformed, parse_name

# A question of any name, an OPT record with a few options, a signature: more is no question.
MAX_QUERY_BYTES: Final = 4_096
# OPT and TSIG, or SIG(0), are all that a query may add (RFC 6891 6.1.1, RFC 8945 5.1).
MAX_ADDITIONAL: Final = 2

_HEADER: Final = struct.Struct(">HHHHHH")
_COUNTS: Final = struct.Struct(">HHHHH")
_KIND: Final = struct.Struct(">HH")
_FIXED: Final = struct.Struct(">HHIH")
_OPERATION_SHIFT: Final = 11
_OPERATION_MASK: Final = 0x0F
_COPIED: Final = RECURSION_DESIRED | CHECKING_DISABLED


class Query(NamedTuple):
    """A query. `question` are its octets as they came; `labels` those of the name, in lower case (RFC 4343)."""

    ident: int
    flags: int
    question: bytes
    labels: Labels
    kind: int
    rr_class: int
    edns: Edns | None

    @property
    def copied_flags(self) -> int:
        """What a reply repeats of the flags."""
        return self.flags & _COPIED


def is_response(message: bytes) -> bool:
    """Whether something that came in must never be replied to: a response, or less than a header."""
    return len(message) < HEADER_BYTES or bool(message[2] & (RESPONSE >> 8))


def operation_of(message: bytes) -> int:
    """The OPCODE of a message."""
    return message[2] << 8 >> _OPERATION_SHIFT & _OPERATION_MASK


def parse_query(message: bytes) -> Query:
    """A query of operation QUERY. Raises `Refusal(MALFORMED_MESSAGE)`."""
    if len(message) < HEADER_BYTES:
        raise malformed("a message is shorter than its header")
    ident, flags, questions, answers, authorities, additional = _HEADER.unpack_from(message)
    if questions != 1 or answers or authorities > 1 or additional > MAX_ADDITIONAL:
        raise malformed("a query has one question and no answers")
    labels, offset = parse_name(message, HEADER_BYTES)
    end = offset + _KIND.size
    if end > len(message):
        raise malformed("a question is cut short")
    kind, rr_class = _KIND.unpack_from(message, offset)
    if authorities and kind != RRType.IXFR:
        raise malformed("a query has no authority, but for an incremental transfer")
    question, edns = message[HEADER_BYTES:end], None
    for place in range(authorities + additional):
        found, end = _parse_record(message, end)
        if found is not None:
            if edns is not None or place < authorities:
                raise malformed("an OPT record stands once, among the additional ones")
            edns = found
    if end != len(message):
        raise malformed("something follows the message")
    return Query(ident, flags, question, tuple([label.lower() for label in labels]), kind, rr_class, edns)


def _parse_record(message: bytes, offset: int) -> tuple[Edns | None, int]:
    """What the record at `offset` says if it is an OPT record, and the offset after it."""
    is_root = message[offset : offset + 1] == ROOT
    labels, offset = ((), offset + 1) if is_root else parse_name(message, offset)
    start = offset + _FIXED.size
    if start > len(message):
        raise malformed("a record is cut short")
    kind, rr_class, ttl, size = _FIXED.unpack_from(message, offset)
    end = start + size
    if end > len(message):
        raise malformed("a record's data passes the end of the message")
    if kind != RRType.OPT:
        return None, end
    if labels:
        raise malformed("an OPT record belongs to the root")
    return parse_opt(rr_class, ttl, message[start:end]), end


class Reply(NamedTuple):
    """A reply but for what differs between askers of the same: `finish` adds that.

    `head` is everything between the id and the question; `serial_at` the offset of the zone's serial in `sections`, -1 if
    it does not stand there.
    """

    head: bytes
    sections: bytes
    opt: bytes = b""
    serial_at: int = -1

    @property
    def size(self) -> int:
        """Octets beside the question."""
        return HEADER_BYTES + len(self.sections) + len(self.opt)

    def finish(self, query: Query, serial: int, room: int) -> bytes:
        """The reply to `query`; if it has more than `room` octets, the one that says so and no more."""
        if self.size + len(query.question) > room:
            return self.shorten(query)
        sections = self.sections
        if self.serial_at >= 0:
            sections = b"".join((sections[: self.serial_at], serial.to_bytes(4), sections[self.serial_at + 4 :]))
        return b"".join((query.ident.to_bytes(2), self.head, query.question, sections, self.opt))

    def shorten(self, query: Query) -> bytes:
        """The reply that says "ask over TCP": no longer than the query."""
        flags = int.from_bytes(self.head[:2]) & ~RCODE_MASK | TRUNCATED
        head = _COUNTS.pack(flags, 1, 0, 0, bool(self.opt))
        return b"".join((query.ident.to_bytes(2), head, query.question, self.opt))


def compose_head(flags: int, answers: int, authorities: int, additional: int) -> bytes:
    """What stands between the id and the one question of a reply."""
    return _COUNTS.pack(RESPONSE | flags, 1, answers, authorities, additional)


def compose_rejection(message: bytes, rcode: int) -> bytes:
    """The reply to a message of which no more than the header can be believed."""
    ident, flags, *_ = _HEADER.unpack_from(message)
    kept = flags & (_OPERATION_MASK << _OPERATION_SHIFT | _COPIED)
    return _HEADER.pack(ident, RESPONSE | kept | rcode, 0, 0, 0, 0)
