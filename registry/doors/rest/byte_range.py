"""The `Range` header (RFC 9110 14.2), as far as one part of something of a known size is wanted. Pure."""

import re
from enum import Enum, auto
from typing import Final, Literal

_ONE_RANGE: Final = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)


class Special(Enum):
    """What a header may come to besides a part."""

    WHOLE = auto()
    """There is no header, or one that need not be understood: several ranges, another unit."""
    NOT_SATISFIABLE = auto()


WHOLE: Final = Special.WHOLE
NOT_SATISFIABLE: Final = Special.NOT_SATISFIABLE


def parse_range(header: str, size: int) -> tuple[int, int] | Literal[Special.WHOLE, Special.NOT_SATISFIABLE]:
    """(start, end after the last byte) of the part that is asked for of `size` bytes."""
    found = _ONE_RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return WHOLE
    if not found[1]:
        suffix = int(found[2])
        return (max(0, size - suffix), size) if suffix and size else NOT_SATISFIABLE
    start = int(found[1])
    end = min(int(found[2]) + 1, size) if found[2] else size
    if found[2] and int(found[2]) < start:
        return WHOLE
    return (start, end) if start < size else NOT_SATISFIABLE
