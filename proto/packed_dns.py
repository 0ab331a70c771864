"""Addresses in DNS written straight from packed records: NAPTR and URI records for the values of type URL.

The generic way to a reply (`resolver.listeners.dns.replies`) takes the records from here; for a plain question the whole
reply is composed here, because nearly every question is one.
"""

from collections.abc import Sequence
from typing import Final

from proto import compiled
from proto.packing import PackedRecord, least_ttl_s
from proto.wire.dns.codes import AUTHORITATIVE, RECURSION_AVAILABLE, RRType
from proto.wire.dns.edns import compose_opt
from proto.wire.dns.message import compose_head
from proto.wire.dns.plain import parse_plain
from proto.wire.dns.records import QUESTION_NAME, compose_rr, naptr_data, uri_data, uri_of
from proto.wire.handle.value import TYPE_OFFSET

# What NAPTR and URI tell of: values of this type, and of any type below it. ASCII letters of types are compared without case.
_URL: Final = b"url"
_URL_FAMILY: Final = b"url."
_LENGTH_BYTES: Final = 4

# Who wants an address tries the first ones; and the records of as many longest URIs fit one message over TCP.
MAX_URIS: Final = 16


@compiled.preferred
def compose_addresses(message: bytes, stored: bytes, now_s: int) -> bytes | None:
    """The whole reply to the plain question in `message`: the addresses of a record as it is `stored`, or of a copy as it is
    shown, as of `now_s` (UTC).

    None if the record has none, or the message is no plain question: then there is more to say.
    """
    question = parse_plain(message)
    if question is None:
        return None
    record = PackedRecord(stored)
    values, _ = record.select()
    records = address_records(values, question.kind, now_s, QUESTION_NAME)
    if not records:
        return None
    opt = b"" if question.edns is None else compose_opt(question.edns)
    whose = RECURSION_AVAILABLE if record.is_copy else AUTHORITATIVE
    head = compose_head(question.copied_flags | whose, len(records), 0, bool(opt))
    return b"".join((question.ident.to_bytes(2), head, question.question, *records, opt))


@compiled.preferred
def compose_turn(
    messages: Sequence[bytes], places: Sequence[int], found: Sequence[bytes | None], now_s: int, room: int
) -> list[bytes | None]:
    """For the messages at these places, by what is `found` of their records, what `compose_addresses` makes of them.

    None where nothing is found, or there is more to say, or the reply has more than `room` octets.
    """
    replies: list[bytes | None] = []
    for place, stored in zip(places, found, strict=True):
        reply = compose_addresses(messages[place], stored, now_s) if stored else None
        replies.append(reply if reply is not None and len(reply) <= room else None)
    return replies


def address_records(values: Sequence[bytes], kind: int, now_s: int, owner: int) -> list[bytes]:
    """NAPTR or URI records for the values of type URL, in the record's order; `owner` is the offset of their name."""
    told: list[tuple[bytes, bytes]] = []
    for value in values:
        data = _address_in(value)
        uri = uri_of(data) if data is not None else None
        told_of = address_data(kind, len(told) + 1, uri) if uri else None
        if told_of:
            told.append((value, told_of))
            if len(told) == MAX_URIS:
                break
    ttl_s = least_ttl_s([value for value, _ in told], now_s, 0)
    return [compose_rr(owner, kind, ttl_s, data) for _, data in told]


def address_data(kind: int, place: int, uri: bytes) -> bytes | None:
    """The data of a NAPTR or URI record for the address in this place; None if it does not fit."""
    return naptr_data(place, uri) if kind == RRType.NAPTR else uri_data(place, uri)


def _address_in(value: bytes) -> bytes | None:
    """The data of a packed value if it is of type URL or below."""
    end = TYPE_OFFSET + int.from_bytes(value[TYPE_OFFSET - _LENGTH_BYTES : TYPE_OFFSET])
    kind = value[TYPE_OFFSET:end].lower()
    if kind != _URL and not kind.startswith(_URL_FAMILY):
        return None
    begin = end + _LENGTH_BYTES
    return value[begin : begin + int.from_bytes(value[end:begin])]
