"""The fields that every Handle message and typed datum is made of (RFC 3652 2).

Integers are big-endian; `str` is a 4-byte length and bytes; a list is a 4-byte count and its items. Every length is
checked against what is really there before anything is taken, and every count against a limit before a loop begins.
"""

import struct
from typing import Final

from proto.errors import Reason, Refusal

_UINT16: Final = struct.Struct(">H")
_UINT32: Final = struct.Struct(">I")

EMPTY_STRING: Final = b"\x00\x00\x00\x00"
EMPTY_LIST: Final = b"\x00\x00\x00\x00"


def malformed(why: str) -> Refusal:
    """The refusal of bytes that are not what they claim to be."""
    return Refusal(Reason.MALFORMED_MESSAGE, why)


def compose_uint16(number: int) -> bytes:
    return _UINT16.pack(number)


def compose_uint32(number: int) -> bytes:
    return _UINT32.pack(number)


def compose_string(raw: bytes) -> bytes:
    """A `str`."""
    return _UINT32.pack(len(raw)) + raw


class FieldReader:
    """Takes fields off `data` from `offset` on. Every method raises `Refusal(MALFORMED_MESSAGE)` if too little is there."""

    __slots__ = ("data", "offset")

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self.data = data
        self.offset = offset

    @property
    def remaining(self) -> int:
        """Bytes that have not been taken."""
        return len(self.data) - self.offset

    def uint8(self) -> int:
        return self.take(1)[0]

    def uint16(self) -> int:
        return int.from_bytes(self.take(2))

    def uint32(self) -> int:
        return int.from_bytes(self.take(4))

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        start = self.offset
        end = start + size
        if end > len(self.data):
            raise malformed("a field passes the end of the message")
        self.offset = end
        return self.data[start:end]

    def string(self) -> bytes:
        """The bytes of a `str`."""
        return self.take(self.uint32())

    def text(self) -> str:
        """A `str` that must be UTF-8."""
        try:
            return self.string().decode()
        except UnicodeDecodeError:
            raise malformed("a text is not UTF-8") from None

    def count(self, limit: int, what: str) -> int:
        """The count before a list of at most `limit` items."""
        count = self.uint32()
        if count > limit:
            raise malformed(f"{count} {what}; the limit is {limit}")
        return count
