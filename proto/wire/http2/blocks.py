"""Header blocks (RFC 7541): theirs are read by hpack and remembered where that is safe; ours never need a table.

What a block means depends on the dynamic table, and most blocks change it. One that does not means the same until another
one does: so it is remembered, as it was understood, until the table changes. Stock clients index their fields with the first
call and send the same few bytes for every later one, which then cost a look into a dictionary. (`:path`, which some never
index, stands in the block as it is and changes nothing.)
"""

from typing import Final, Generic, TypeVar

from hpack import Decoder, HPACKError, OversizedHeaderListError
from hpack.table import HeaderTable, table_entry_size

from proto.wire.http2.codes import ConnectionFault, ErrorCode
from proto.wire.http2.fields import Fields
from proto.wire.http2.limits import MAX_DECODED_LIST_BYTES, MAX_REMEMBERED_BLOCKS, MAX_REMEMBERED_BYTES

T = TypeVar("T")

STATUS_200: Final = b"\x88"
"""The block of `:status: 200`: its place in the static table."""

EMPTY_TABLE: Final = b"\x20"
"""What ends the use of the dynamic table, at the beginning of a block: its size is zero from there on (RFC 7541 6.3)."""

# A block that begins with a byte from the first to below the second changes the table's size (RFC 7541 6.3); it can do so
# nowhere else.
_SIZE_UPDATE: Final = b"\x20"
_INCREMENTAL: Final = b"\x40"

_SEVEN_BITS: Final = 0x7F


class _WatchedTable(HeaderTable):
    """A dynamic table that tells whether it was touched."""

    def __init__(self) -> None:
        super().__init__()
        self.is_changed = False

    def add(self, name: bytes, value: bytes) -> None:
        self.is_changed = True
        super().add(name, value)


class BlockReader(Generic[T]):
    """The blocks of one connection, in the order in which they come; `T` is what its user makes of one."""

    __slots__ = ("_decoder", "_is_stable", "_table", "known")

    def __init__(self) -> None:
        self._decoder = Decoder(MAX_DECODED_LIST_BYTES)
        self._decoder.header_table = self._table = _WatchedTable()
        self._is_stable = False
        self.known: dict[bytes, T] = {}
        """What blocks mean that were remembered and still mean it."""

    def decode(self, block: bytes) -> Fields:
        """The fields of a block. Raises `ConnectionFault`: after a block that cannot be read no other can."""
        table = self._table
        table.is_changed = block[:1] >= _SIZE_UPDATE and block[:1] < _INCREMENTAL
        try:
            fields = tuple((name, value) for name, value in self._decoder.decode(block, raw=True))
        except OversizedHeaderListError:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header list is too large") from None
        except HPACKError as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"a header block cannot be read: {error}") from None
        self._is_stable = not table.is_changed
        if not self._is_stable:
            self.known.clear()
        return fields

    def remember(self, block: bytes, fields: Fields, meaning: T) -> None:
        """Remember what the block means that was decoded last, if it may be met again unchanged."""
        if self._is_stable and sum(table_entry_size(*field) for field in fields) <= MAX_REMEMBERED_BYTES:
            if len(self.known) >= MAX_REMEMBERED_BLOCKS:
                self.known.clear()
            self.known[block] = meaning


def compose_field(name: bytes, value: bytes) -> bytes:
    """A field as a literal that nobody indexes (RFC 7541 6.2.2), so that it may stand in any block of any connection."""
    return b"".join((b"\x00", _compose_length(len(name)), name, _compose_length(len(value)), value))


def begin_field(name: bytes, value_bytes: int) -> bytes:
    """All of such a field but its value, which will have so many bytes."""
    return b"".join((b"\x00", _compose_length(len(name)), name, _compose_length(value_bytes)))


def _compose_length(size: int) -> bytes:
    """RFC 7541 5.1 with seven bits, no Huffman code."""
    if size < _SEVEN_BITS:
        return bytes((size,))
    size -= _SEVEN_BITS
    parts = bytearray((_SEVEN_BITS,))
    while size >= 0x80:
        parts.append(size & 0x7F | 0x80)
        size >>= 7
    parts.append(size)
    return bytes(parts)
