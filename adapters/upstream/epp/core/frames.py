"""Frames of EPP over TCP (RFC 5734 4): four bytes of length, which count themselves, and a document."""

import struct
from typing import Final

from adapters.upstream.epp.core.malformed import Malformed

HEAD_BYTES: Final = 4

# The largest commands hold two pictures of some hundred kilobytes each, in base64. What claims to be larger is no such thing.
MAX_FRAME_BYTES: Final = 2 * 1024 * 1024

_HEAD: Final = struct.Struct(">I")


def compose_frame(document: bytes) -> bytes:
    """The frame around a document. Raises `Malformed` if it would be beyond the limit."""
    size = HEAD_BYTES + len(document)
    if size > MAX_FRAME_BYTES:
        raise Malformed(f"a frame of {size} bytes; at most {MAX_FRAME_BYTES} are sent")
    return _HEAD.pack(size) + document


def parse_head(head: bytes) -> int:
    """How many bytes of document follow a head of four bytes. Raises `Malformed` for what no document can have."""
    (size,) = _HEAD.unpack(head)
    if not HEAD_BYTES < size <= MAX_FRAME_BYTES:
        raise Malformed(f"a frame that says to be {size} bytes long; it may have 5 to {MAX_FRAME_BYTES}")
    return int(size) - HEAD_BYTES


class FrameReader:
    """Documents out of a stream of bytes, however it is cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def is_between(self) -> bool:
        """Whether no frame has begun: here, and only here, a peer may end."""
        return not self._buffer

    def take(self, data: bytes) -> list[bytes]:
        """The documents that are whole with these bytes. Raises `Malformed`; nothing can be read after that."""
        self._buffer += data
        found = []
        while len(self._buffer) >= HEAD_BYTES:
            end = HEAD_BYTES + parse_head(bytes(self._buffer[:HEAD_BYTES]))
            if len(self._buffer) < end:
                break
            found.append(bytes(self._buffer[HEAD_BYTES:end]))
            del self._buffer[:end]
        return found
