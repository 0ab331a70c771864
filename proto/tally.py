"""Tallies: how often identifiers below each prefix were asked for, as a worker hands them on, frame by frame in a file.

    length of body 4 | CRC-32 of body 4 | body

The body is JSON: the day of Asia/Shanghai, and by prefix how many questions were answered with a record (`found`) and how
many with anything else (`missed`). A file only grows, and each frame is counted once: whoever takes it notes, together with
what it comes to, how many bytes of the file are taken.
"""

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from proto.model.resolutions import Count

_FRAME: Final = struct.Struct(">II")

# A frame names a prefix at most once; a hundred thousand prefixes of common length are less.
MAX_TALLY_BYTES: Final = 8 * 1024 * 1024


class Tally(NamedTuple):
    """What was counted on one day, or a part of it."""

    day: str
    prefixes: Mapping[str, Count]


class TornTally(Exception):
    """What stands here is no whole tally, and never will be."""


def compose_tally(tally: Tally) -> bytes:
    """The frame of a tally."""
    body = json.dumps({"day": tally.day, "prefixes": tally.prefixes}, separators=(",", ":")).encode()
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


def parse_tally(data: bytes, offset: int = 0) -> tuple[Tally, int] | None:
    """The tally at `offset` and where it ends; None if it is not all there yet. Raises `TornTally`."""
    start = offset + _FRAME.size
    if len(data) < start:
        return None
    size, checksum = _FRAME.unpack_from(data, offset)
    if size > MAX_TALLY_BYTES:
        raise TornTally(f"an impossible length at byte {offset}")
    body = data[start : start + size]
    if len(body) < size:
        return None
    if zlib.crc32(body) != checksum:
        raise TornTally(f"a checksum does not hold at byte {offset}")
    document: dict[str, Any] = json.loads(body)
    return Tally(document["day"], {name: Count(*counts) for name, counts in document["prefixes"].items()}), start + size
