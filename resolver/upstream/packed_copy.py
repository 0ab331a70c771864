"""A copy as bytes, for a cache that several processes and machines share. Pure.

    format 1 (= 1) | kind 1 | stale 1 | born ms 8 | fetched ms 8 | until ms 8 | version 8 | identifier str | alias str
    [n] value str

Whoever can write into a shared cache can write anything: a copy is read with the same mistrust as a server's answer.
"""

import struct
from typing import Final

from proto.limits import MAX_IDENTIFIER_BYTES, MAX_RECORD_BYTES, MAX_VALUES
from proto.packing import PackedRecord
from proto.wire.handle.fields import FieldReader, compose_string, compose_uint32, malformed
from proto.wire.handle.value import parse_value
from resolver.upstream.copies import Copy, Kind, copy_of

_FORMAT: Final = 1
_HEAD: Final = struct.Struct(">BBBQQQQ")

# A whole record, each of its values with a length before it, and two identifiers.
MAX_COPY_BYTES: Final = MAX_RECORD_BYTES + 4 * MAX_VALUES + 2 * MAX_IDENTIFIER_BYTES + 64


def pack_copy(copy: Copy) -> bytes:
    record = PackedRecord(copy.record)
    head = _HEAD.pack(_FORMAT, copy.kind, copy.was_stale, copy.born_ms, copy.fetched_ms, copy.until_ms, record.version)
    names = compose_string(record.spelling) + compose_string(copy.alias.encode())
    return b"".join((head, names, compose_uint32(record.public_count), *map(compose_string, copy.values)))


def unpack_copy(raw: bytes) -> Copy:
    """Raises `Refusal(MALFORMED_MESSAGE)` if it is not one, whole and of this format."""
    if len(raw) > MAX_COPY_BYTES:
        raise malformed(f"{len(raw)} bytes are no copy")
    reader = FieldReader(raw)
    form, kind, stale, born_ms, fetched_ms, until_ms, version = _HEAD.unpack(reader.take(_HEAD.size))
    if form != _FORMAT or kind not in tuple(Kind):
        raise malformed("a copy of an unknown format")
    identifier, alias = reader.text(), reader.text()
    values = tuple(_value(reader.string()) for _ in range(reader.count(MAX_VALUES, "values in one copy")))
    if reader.remaining:
        raise malformed("bytes after the end of a copy")
    if len(identifier.encode()) > MAX_IDENTIFIER_BYTES:
        raise malformed("an identifier that is longer than any")
    return copy_of(Kind(kind), born_ms, fetched_ms, until_ms, identifier, version, values, alias, bool(stale))


def _value(raw: bytes) -> bytes:
    _, end = parse_value(raw)
    if end != len(raw):
        raise malformed("bytes after the end of a value")
    return raw
