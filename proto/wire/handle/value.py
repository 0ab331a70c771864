"""One value in its Handle wire form (RFC 3651 3.1; RFC 3652 3.1), which is also how it is stored.

    index 4 | timestamp 4 | TTL type 1 | TTL 4 | permissions 1 | type str | data str | [n] reference {handle str, index 4}

`str` is a 4-byte length and bytes; integers are big-endian. The audience is ours and not on the wire: a reader knows
only the public-read bit.
"""

import struct
from typing import Final

from proto.errors import Reason, Refusal
from proto.limits import MAX_REFERENCES, MAX_TYPE_BYTES
from proto.model.value import PRIVATE, PUBLIC, PUBLIC_READ, Reference, Value

_FIXED: Final = struct.Struct(">IIBIBI")
_LENGTH: Final = struct.Struct(">I")
LENGTH_BYTES: Final = _LENGTH.size
_NO_REFERENCES: Final = b"\x00\x00\x00\x00"

TYPE_OFFSET: Final = _FIXED.size
"""Where the type's bytes begin within a packed value."""

TTL_FIELD: Final = slice(8, 13)
"""The TTL of a packed value, with its type."""

_TTL: Final = struct.Struct(">BI")


def compose_value(value: Value, timestamp_s: int = 0) -> bytes:
    """The packed form of a value that has passed `check_value`; `timestamp_s` is that of a value without one."""
    kind = value.type.encode()
    timestamp = value.timestamp or timestamp_s
    head = _FIXED.pack(value.index, timestamp, value.ttl_absolute, value.ttl, value.permissions, len(kind))
    tail = _compose_references(value.references) if value.references else _NO_REFERENCES
    return b"".join((head, kind, _LENGTH.pack(len(value.data)), value.data, tail))


def parse_value(packed: bytes, offset: int = 0, audience: str | None = None) -> tuple[Value, int]:
    """The value that begins at `offset` and the offset after it.

    Without an `audience` it is read off the public-read bit. Raises `Refusal(MALFORMED_MESSAGE)` if the bytes end too
    soon, a length passes their end, or text is not UTF-8.
    """
    try:
        index, timestamp, absolute, ttl, permissions, size = _FIXED.unpack_from(packed, offset)
        offset += _FIXED.size
        if size > MAX_TYPE_BYTES:
            raise _malformed(f"a type of {size} bytes")
        kind, offset = _take(packed, offset, size)
        (size,) = _LENGTH.unpack_from(packed, offset)
        data, offset = _take(packed, offset + 4, size)
        (count,) = _LENGTH.unpack_from(packed, offset)
        offset += 4
        references: tuple[Reference, ...] = ()
        if count:
            references, offset = _parse_references(packed, offset, count)
        type_name = kind.decode()
    except struct.error:
        raise _malformed("a value is cut short") from None
    except UnicodeDecodeError:
        raise _malformed("a value's text is not UTF-8") from None
    if audience is None:
        audience = PUBLIC if permissions & PUBLIC_READ else PRIVATE
    return Value(index, type_name, data, ttl, bool(absolute), timestamp, permissions, references, audience), offset


def relative_ttl_s(field: bytes, now_s: int) -> int:
    """The seconds from `now_s` that a packed TTL comes to."""
    absolute, ttl = _TTL.unpack(field)
    return max(0, ttl - now_s) if absolute else int(ttl)


def has_absolute_ttl(packed: bytes) -> bool:
    """Whether the TTL of a packed value ends at a certain second."""
    return bool(packed[TTL_FIELD.start])


def lower_ttl(packed: bytes, seconds: int) -> bytes:
    """A packed value with its relative TTL less by so much, at least 0; one that ends at a certain second stays as it is."""
    absolute, ttl = _TTL.unpack_from(packed, TTL_FIELD.start)
    if absolute or not ttl or not seconds:
        return packed
    return packed[: TTL_FIELD.start] + _TTL.pack(0, max(0, ttl - seconds)) + packed[TTL_FIELD.stop :]


def permissions_of(packed: bytes) -> int:
    """The permission bits of a packed value."""
    return packed[TTL_FIELD.stop]


def type_of(packed: bytes) -> str:
    """The type of a packed value."""
    (size,) = _LENGTH.unpack_from(packed, TYPE_OFFSET - _LENGTH.size)
    return packed[TYPE_OFFSET : TYPE_OFFSET + size].decode()


def _compose_references(references: tuple[Reference, ...]) -> bytes:
    parts = [_LENGTH.pack(len(references))]
    for reference in references:
        handle = reference.handle.encode()
        parts += (_LENGTH.pack(len(handle)), handle, _LENGTH.pack(reference.index))
    return b"".join(parts)


def _parse_references(packed: bytes, offset: int, count: int) -> tuple[tuple[Reference, ...], int]:
    if count > MAX_REFERENCES:
        raise _malformed(f"{count} references in one value")
    references = []
    for _ in range(count):
        (size,) = _LENGTH.unpack_from(packed, offset)
        handle, offset = _take(packed, offset + 4, size)
        (index,) = _LENGTH.unpack_from(packed, offset)
        offset += 4
        references.append(Reference(handle.decode(), index))
    return tuple(references), offset


def _take(packed: bytes, offset: int, size: int) -> tuple[bytes, int]:
    end = offset + size
    if end > len(packed):
        raise _malformed("a length passes the end of the message")
    return packed[offset:end], end


def _malformed(why: str) -> Refusal:
    return Refusal(Reason.MALFORMED_MESSAGE, why)
