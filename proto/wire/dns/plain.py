"""Plain questions: what nearly every query to a resolver is, read in one piece.

A plain question asks for NAPTR or URI at the readable name of an identifier (`proto.wire.dns.identifier_name`: one label of the
suffix, the separator, labels of the prefix, the zone), in class IN, with no OPT record or with one that has no options.
Whatever is not plain is None here and is read by `proto.wire.dns.message`, which would read a plain one the same: a property
test compares.
"""

import struct
from collections.abc import Container, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from proto import compiled
from proto.wire.dns.codes import CHECKING_DISABLED, HEADER_BYTES, IN, RECURSION_DESIRED, RESPONSE, RRType
from proto.wire.dns.edns import LEAST_PAYLOAD_BYTES, Edns, parse_opt
from proto.wire.dns.identifier_name import PLAIN, SEPARATOR
from proto.wire.dns.message import Reply
from proto.wire.dns.name import MAX_NAME_BYTES

_HEADER: Final = struct.Struct(">HHHHHH")
_KIND: Final = struct.Struct(">HH")
# An OPT record without options: root, type, class, extended code, version, flags, size.
_OPT: Final = struct.Struct(">BHHBBHH")
# Members of an enumeration are slow to come by.
_KINDS: Final = (int(RRType.NAPTR), int(RRType.URI))
_OPT_KIND: Final = int(RRType.OPT)
_IDENT_BYTES: Final = 2
# The lower octet of how many additional records there are: a plain question has one at most.
_ADDITIONAL_AT: Final = HEADER_BYTES - 1
_OPERATION: Final = 0x7800
_COPIED: Final = RECURSION_DESIRED | CHECKING_DISABLED
# As many as of the names of prefixes (`identifier_name`), for one or two zones.
_PREFIXES_KEPT: Final = 1_024


class PlainQuestion(NamedTuple):
    """A plain question: the octets as they came, its name in lower case, and what its OPT record says."""

    ident: int
    copied_flags: int
    question: bytes
    name: bytes
    kind: int
    edns: Edns | None


@compiled.preferred
def read_plain(message: bytes, zone: bytes) -> tuple[bytes, str] | None:
    """What decides the reply to a plain question (`asked_by`), and the identifier; None if `message` is none.

    `zone` is the zone's name in lower case, composed.
    """
    question = parse_plain(message)
    if question is None or not question.name.endswith(zone):
        return None
    name = question.name
    begin = 1 + name[0]
    prefix = _prefix_in(name[begin : len(name) - len(zone)])
    if prefix is None or not PLAIN.fullmatch(name, 1, begin):
        return None
    return asked_by(question.kind, question.copied_flags, question.edns, name), f"{prefix}/{name[1:begin].decode()}"


@compiled.preferred
def read_turn(
    messages: Sequence[bytes], zone: bytes, mark: bytes, kept: Container[bytes]
) -> tuple[list[tuple[int, bytes]], list[int], list[bytes], list[tuple[str, bool, bool]]]:
    """The plain questions among messages, by their places: those whose key (`mark`, and what decides the reply) is `kept`, with
    it; and places, keys, and what is asked (the identifier, that no private values are wanted, and that a copy of another
    node's answer will do) of all others.
    """
    known: list[tuple[int, bytes]] = []
    places: list[int] = []
    keys: list[bytes] = []
    asked: list[tuple[str, bool, bool]] = []
    for place, message in enumerate(messages):
        question = read_plain(message, zone)
        if question is None:
            continue
        key = mark + question[0]
        if key in kept:
            known.append((place, key))
        else:
            places.append(place)
            keys.append(key)
            asked.append((question[1], False, True))
    return known, places, keys, asked


def parse_plain(message: bytes) -> PlainQuestion | None:
    """The question that `message` is, if it is plain but for its name, of which nothing is said but where it ends."""
    end = len(message)
    if end < HEADER_BYTES + _KIND.size + 1:
        return None
    ident, flags, questions, answers, authorities, additional = _HEADER.unpack_from(message)
    if flags & (RESPONSE | _OPERATION) or questions != 1 or answers or authorities or additional > 1:
        return None
    edns = None
    if additional:
        end -= _OPT.size
        if end < HEADER_BYTES + _KIND.size + 1:
            return None
        root, opt, payload_bytes, _, version, more, size = _OPT.unpack_from(message, end)
        if root or opt != _OPT_KIND or version or size:
            return None
        edns = parse_opt(payload_bytes, more, b"")
    kind, rr_class = _KIND.unpack_from(message, end - _KIND.size)
    if kind not in _KINDS or rr_class != IN or end - _KIND.size - HEADER_BYTES > MAX_NAME_BYTES:
        return None
    question = message[HEADER_BYTES:end]
    # What stands before a label is less than 64, and no letter.
    return PlainQuestion(ident, flags & _COPIED, question, question[: -_KIND.size].lower(), kind, edns)


def split_plain(message: bytes, reply: bytes) -> Reply:
    """The reply to the plain question in `message` without what differs between askers of the same."""
    question = parse_plain(message)
    if question is None:
        raise ValueError("this is no plain question")
    begin = HEADER_BYTES + len(question.question)
    end = len(reply) if question.edns is None else len(reply) - _OPT.size
    return Reply(reply[_IDENT_BYTES:HEADER_BYTES], reply[begin:end], reply[end:])


@compiled.preferred
def finish_plain(message: bytes, reply: Reply) -> bytes | None:
    """`reply` as the reply to the plain question in `message`, as `Reply.finish` makes it; None if that has to be asked.

    It does not have to be for a reply that fits whatever the asker can take, and tells nothing of the zone.
    """
    end = len(message) - (_OPT.size if message[_ADDITIONAL_AT] else 0)
    if reply.serial_at >= 0 or reply.size + end - HEADER_BYTES > LEAST_PAYLOAD_BYTES:
        return None
    return b"".join((message[:_IDENT_BYTES], reply.head, message[HEADER_BYTES:end], reply.sections, reply.opt))


def asked_by(kind: int, copied_flags: int, edns: Edns | None, name: bytes) -> bytes:
    """What decides a reply but for its id, its name's case, and whether it fits. The name is composed, in lower case."""
    asks = 0 if edns is None else 1 | edns.dnssec_ok << 1 | edns.wants_life_cycle << 2
    return b"".join((bytes((asks,)), copied_flags.to_bytes(2), kind.to_bytes(2), name))


@lru_cache(_PREFIXES_KEPT)
def _prefix_in(labels: bytes) -> str | None:
    """The prefix that a separator and the labels behind it name, all of them readable; None if they do not."""
    found: list[bytes] = []
    at = 0
    while at < len(labels):
        begin, at = at + 1, at + 1 + labels[at]
        found.append(labels[begin:at])
    if at != len(labels) or len(found) < 2 or found[0] != SEPARATOR or not all(map(PLAIN.fullmatch, found[1:])):
        return None
    return ".".join(label.decode() for label in reversed(found[1:]))
