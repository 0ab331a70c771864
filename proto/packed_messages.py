"""Messages of protobuf written straight from packed records: `ResolveResponse` of what everybody may read.

Nearly every answer is one of these. Three values cost four times their look-up if each is unpacked, made an object of the
model, made a message and written out; here they are slices of the stored record between a few bytes that are mostly the same.
Fields stand in the order of their numbers and defaults are left out, so the bytes are those that protobuf itself makes of
`proto.convert.answer_result`: a property test compares them.
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from proto import compiled
from proto.packing import PackedRecord
from proto.v1 import resolver_pb2
from proto.wire.grpc.resolution import VARINTS, begin_value, compose_times, put_value
from proto.wire.handle.fields import EMPTY_LIST
from proto.wire.handle.value import TTL_FIELD, TYPE_OFFSET, relative_ttl_s

_RESULT: Final = b"\x0a"  # the key of a result in the response to a batch
_ANSWER: Final = b"\x0a"  # the key of a response in a result

# Keys of ResolveResponse: the field's number, and 0 for a number or 2 for bytes and their length before them.
_IDENTIFIER: Final = b"\x0a"
_STATE_AND_VERSION: Final = b"\x10\x01\x18"
_VALUE: Final = b"\x22"
_ALIAS: Final = b"\x2a"
_TEMPLATE: Final = b"\x32"
_REGISTRANT: Final = b"\x3a"
_SOURCE: Final = b"\x40" + bytes((resolver_pb2.SOURCE_AUTHORITATIVE,))
_SOURCE_AND_TTL: Final = _SOURCE + b"\x50"
_COPY: Final = b"\x40" + bytes((resolver_pb2.SOURCE_CACHED,))
_AGE: Final = b"\x48"
_TTL: Final = b"\x50"
_ASKED: Final = b"\x5a"
_DATA: Final = b"\x1a"  # of a value

_INDEX: Final = slice(0, 4)  # of a packed value
_TIMES: Final = slice(4, 14)
_LENGTH: Final = struct.Struct(">I")
_NO_TTL: Final = 2**32  # more than any

# What stands around the data of values: few types are in use, and values written together share their times.
_HEADS_KEPT: Final = 4_096


class _Head(NamedTuple):
    """What stands around a value's data, its key included, and how long that is; the TTL, and as packed if it is absolute."""

    before: bytes
    after: bytes
    size: int
    ttl_s: int
    absolute: bytes


@compiled.preferred
def compose_public_result(raw: bytes, asked: str, now_s: int) -> bytes:
    """`biaojie.v1.ResolveResult` that holds the response."""
    response = compose_public_response(raw, asked, now_s)
    return b"%b%b%b" % (_ANSWER, VARINTS[len(response)], response)


@compiled.preferred
def compose_public_results(records: Sequence[bytes | None], asked: Sequence[str], now_s: int, absent: bytes) -> bytes | None:
    """`biaojie.v1.BatchResolveResponse` of records for what was `asked`, in order; `absent` is the result for an empty one.

    None if one of them is None.
    """
    if None in records:
        return None
    return join_results(
        [compose_public_result(raw, name, now_s) if raw else absent for raw, name in zip(records, asked, strict=True)]
    )


@compiled.preferred
def join_results(results: list[bytes]) -> bytes:
    """`biaojie.v1.BatchResolveResponse` of results that are written already, in order."""
    varints = VARINTS
    return b"".join([part for result in results for part in (_RESULT, varints[len(result)], result)])


@compiled.preferred
def compose_public_response(raw: bytes, asked: str, now_s: int) -> bytes:
    """`biaojie.v1.ResolveResponse` with the public values of a packed active record that has some, or of a copy as it is shown;
    `asked` is the spelling."""
    record, varints = PackedRecord(raw), VARINTS
    question = asked.encode()
    spelling = record.spelling or question if record.is_copy else record.spelling
    registrant, template = record.description
    parts = [_IDENTIFIER, varints[len(spelling)], spelling, _STATE_AND_VERSION, varints[record.version]]
    least_ttl_s = _NO_TTL
    for begin, size, end in record.public_places:
        kind_end = begin + TYPE_OFFSET + size
        before, after, fixed, ttl_s, absolute = _HEADS[raw[begin:kind_end]]
        data_size = _LENGTH.unpack_from(raw, kind_end)[0]
        data_end = kind_end + 4 + data_size
        if data_size and data_end + len(EMPTY_LIST) == end:
            length = varints[data_size]
            whole = varints[fixed + len(length) + data_size]
            parts += (_VALUE, whole, before, length, raw[kind_end + 4 : data_end], after)
        else:  # without data, or with references
            put_value(raw[begin:end], parts)
        if absolute:
            ttl_s = relative_ttl_s(absolute, now_s)
        if ttl_s < least_ttl_s:
            least_ttl_s = ttl_s
    for alias in record.aliases:
        name = alias.encode()
        parts += (_ALIAS, varints[len(name)], name)
    if template:
        parts += (_TEMPLATE, varints[len(template)], template)
    if registrant:
        parts += (_REGISTRANT, varints[len(registrant)], registrant)
    if record.is_copy:
        age_s, ttl_s, _ = record.told
        parts.append(_COPY)
        if age_s:
            parts += (_AGE, varints[age_s])
        if ttl_s:
            parts += (_TTL, varints[ttl_s])
        parts += (_ASKED, varints[len(question)], question)
    elif least_ttl_s:
        parts += (_SOURCE_AND_TTL, varints[least_ttl_s], _ASKED, varints[len(question)], question)
    else:
        parts += (_SOURCE, _ASKED, varints[len(question)], question)
    return b"".join(parts)


class _Heads(dict[bytes, _Head]):
    """Of packed values up to the ends of their types; past so many all are forgotten."""

    def __missing__(self, packed: bytes) -> _Head:
        if len(self) >= _HEADS_KEPT:
            self.clear()
        before, after = begin_value(packed[_INDEX], packed[TYPE_OFFSET:]) + _DATA, compose_times(packed[_TIMES])
        field = packed[TTL_FIELD]
        absolute = field if field[0] else b""
        head = self[packed] = _Head(before, after, len(before) + len(after), int.from_bytes(field[1:]), absolute)
        return head


_HEADS: Final = _Heads()
