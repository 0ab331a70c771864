"""Messages of gRPC as clients that compress send them."""

import gzip
import zlib


def compress(message: bytes, encoding: str) -> bytes:
    """A message that is compressed, with its prefix."""
    packed = gzip.compress(message) if encoding == "gzip" else zlib.compress(message)
    return b"\1" + len(packed).to_bytes(4) + packed
