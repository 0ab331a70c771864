"""A found record as `biaojie.v1.ResolveResponse`, written straight from packed values; and the plainest of requests.

Nearly every answer of a resolver is one of these, and three values cost more than their look-up if each is unpacked, made an
object of the model, made a message, and written out. Fields are in order of their numbers and defaults left out, so the bytes
are those that protobuf itself makes of `proto.convert.answer_result`; a property test compares them.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from proto.limits import DEFAULT_TTL_S
from proto.model.answer import Found, Source, ValuesNotFound
from proto.v1 import resolver_pb2

# Of a packed value (`proto.wire.handle.value`): its index; its times and permissions; where the last byte of its type's length
# stands, which is at most 255; and where its type begins.
_INDEX: Final = slice(0, 4)
_TIMES: Final = slice(4, 14)
_TYPE_SIZE: Final = 17
_TYPE: Final = 18
_TIMES_FIELDS: Final = struct.Struct(">IBIB")
_LENGTH: Final = struct.Struct(">I")
_LENGTH_BYTES: Final = 4

# Few types are in use, mostly under the same indexes; values of one record share their times, and so do those of one import.
_KEPT: Final = 1_024

_SOURCES: Final = {
    Source.AUTHORITATIVE: resolver_pb2.SOURCE_AUTHORITATIVE,
    Source.CACHED: resolver_pb2.SOURCE_CACHED,
    Source.STALE: resolver_pb2.SOURCE_STALE,
}

# Keys: number of the field, and 0 for an integer or 2 for a length and bytes.
_IDENTIFIER, _STATE_ACTIVE, _VERSION, _VALUES, _ALIASES = b"\x0a", b"\x10\x01", b"\x18", b"\x22", b"\x2a"
_DATA, _REFERENCES = b"\x1a", b"\x42"
_TEMPLATE, _REGISTRANT, _SOURCE, _AGE, _TTL, _ASKED, _EXPLANATION = (
    b"\x32",
    b"\x3a",
    b"\x40",
    b"\x48",
    b"\x50",
    b"\x5a",
    b"\x62",
)


# Messages of so many bytes need two for the length of their only field.
_LONGER_LENGTHS: Final = 2 + 0x80


class _Varints(dict[int, bytes]):
    """Numbers of at most 64 bits, not negative, as protobuf writes them; common lengths and TTLs lie here already."""

    def __missing__(self, number: int) -> bytes:
        parts = bytearray()
        while number >= 0x80:
            parts.append(number & 0x7F | 0x80)
            number >>= 7
        parts.append(number)
        return bytes(parts)


VARINTS: Final = _Varints()
VARINTS.update((number, VARINTS[number]) for number in (*range(2_048), DEFAULT_TTL_S))


def plain_identifier(raw: bytes) -> str | None:
    """The identifier of a `ResolveRequest` that holds nothing else, as most do: one field, its key and length a byte each.

    None if it is anything else, or not UTF-8.
    """
    if raw[:1] == _IDENTIFIER and 1 < len(raw) == raw[1] + 2 < _LONGER_LENGTHS:
        try:
            return raw[2:].decode()
        except UnicodeDecodeError:
            return None
    return None


def compose_resolution(answer: Found | ValuesNotFound, explanation: Sequence[str] = ()) -> bytes:
    """The message of an answer with a record."""
    varints = VARINTS
    identifier = answer.identifier.encode()
    parts = [_IDENTIFIER, varints[len(identifier)], identifier, _STATE_ACTIVE, _VERSION, varints[answer.version]]
    if isinstance(answer, Found):
        for packed in answer.values:
            put_value(packed, parts)
    for alias in answer.aliases:
        parts += _text(_ALIASES, alias)
    if answer.template:
        parts += _text(_TEMPLATE, answer.template)
    if answer.registrant:
        parts += _text(_REGISTRANT, answer.registrant)
    parts.append(_SOURCE_FIELDS[answer.source])
    if answer.age_s:
        parts += (_AGE, varints[answer.age_s])
    if answer.ttl_s:
        parts += (_TTL, varints[answer.ttl_s])
    if answer.asked:
        parts += _text(_ASKED, answer.asked)
    for line in explanation:
        parts += _text(_EXPLANATION, line)
    return b"".join(parts)


def put_value(packed: bytes, parts: list[bytes]) -> None:
    """A packed value of our own store as `biaojie.v1.Value`, its audience told by the public-read bit alone."""
    varints = VARINTS
    at = _TYPE + packed[_TYPE_SIZE]
    begin = begin_value(packed[_INDEX], packed[_TYPE:at])
    times = compose_times(packed[_TIMES])
    data_at = at + _LENGTH_BYTES
    size = int.from_bytes(packed[at:data_at])
    end = data_at + size
    if end + _LENGTH_BYTES != len(packed):
        times += _compose_references(packed, end)
    if size:
        length = varints[size]
        total = len(begin) + 1 + len(length) + size + len(times)
        parts += (_VALUES, varints[total], begin, _DATA, length, packed[data_at:end], times)
    else:
        parts += (_VALUES, varints[len(begin) + len(times)], begin, times)


@lru_cache(_KEPT)
def begin_value(index: bytes, kind: bytes) -> bytes:
    """What stands before a value's data: its index, as packed, and its type."""
    number = int.from_bytes(index)
    return (b"\x08" + VARINTS[number] if number else b"") + (b"\x12" + VARINTS[len(kind)] + kind if kind else b"")


@lru_cache(_KEPT)
def compose_times(fields: bytes) -> bytes:
    """What stands behind a value's data: TTL, timestamp and permissions, the first and the last even if they are zero."""
    timestamp, absolute, ttl, permissions = _TIMES_FIELDS.unpack(fields)
    parts = [b"\x20", VARINTS[ttl]]
    if absolute:
        parts.append(b"\x28\x01")
    if timestamp:
        parts += (b"\x30", VARINTS[timestamp])
    parts += (b"\x38", VARINTS[permissions])
    return b"".join(parts)


def _compose_references(packed: bytes, at: int) -> bytes:
    parts: list[bytes] = []
    (count,) = _LENGTH.unpack_from(packed, at)
    at += _LENGTH_BYTES
    for _ in range(count):
        (size,) = _LENGTH.unpack_from(packed, at)
        at += _LENGTH_BYTES + size
        (index,) = _LENGTH.unpack_from(packed, at)
        reference = (b"\x0a" + VARINTS[size] + packed[at - size : at]) if size else b""
        reference += (b"\x10" + VARINTS[index]) if index else b""
        at += _LENGTH_BYTES
        parts += (_REFERENCES, VARINTS[len(reference)], reference)
    return b"".join(parts)


def _text(key: bytes, text: str) -> tuple[bytes, bytes, bytes]:
    raw = text.encode()
    return key, VARINTS[len(raw)], raw


_SOURCE_FIELDS: Final = {source: _SOURCE + VARINTS[number] for source, number in _SOURCES.items()}
