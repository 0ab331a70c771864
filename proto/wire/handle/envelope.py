"""The 20-byte envelope before every message and every packet (RFC 3652 2.1), and which version two peers speak.

    major 1 | minor 1 | flags and suggested major 1 | suggested minor 1 | session 4 | request 4 | sequence 4 | length 4

`length` is that of the whole message without envelopes, on every packet of it. A client opens with the version it
expects of anybody and suggests its newest; the server answers in the lesser of that suggestion and its own.
"""

import struct
from typing import Final, NamedTuple

from proto.limits import MAX_MESSAGE_BYTES
from proto.wire.handle.fields import malformed

_ENVELOPE: Final = struct.Struct(">BBBBIIII")
ENVELOPE_BYTES: Final = _ENVELOPE.size
HEADER_BYTES: Final = 24

COMPRESSED: Final = 0x80
ENCRYPTED: Final = 0x40
TRUNCATED: Final = 0x20
_SUGGESTED_MAJOR: Final = 0x03

# What the recorded conversations of every stock client were held in. A site published as 2.0 keeps those clients from
# setting up sessions, whatever the envelope says.
OWN_VERSION: Final = (2, 10)
_OLDEST_VERSION: Final = (2, 0)
# 2 is the Handle protocol, 3 DO-IRP, which shares the framing; anything else is no peer of ours (`GET`, a TLS hello).
_KNOWN_MAJORS: Final = (2, 3)
DO_IRP_MAJOR: Final = 3


class Envelope(NamedTuple):
    """The fields as they are on the wire."""

    major: int
    minor: int
    flags: int
    suggested_minor: int
    session: int
    request: int
    sequence: int
    length: int

    @property
    def version(self) -> tuple[int, int]:
        return (self.major, self.minor)

    @property
    def suggested_version(self) -> tuple[int, int]:
        """The newest version that the sender speaks; its version itself if it suggests none."""
        major = self.flags & _SUGGESTED_MAJOR
        return (major, self.suggested_minor) if major else (self.major, self.minor)

    @property
    def is_truncated(self) -> bool:
        """Whether more packets of this message follow."""
        return bool(self.flags & TRUNCATED)


def negotiate_version(envelope: Envelope) -> tuple[int, int]:
    """The version to answer in: the lesser of what the client suggests and ours."""
    return max(_OLDEST_VERSION, min(envelope.suggested_version, OWN_VERSION))


def compose_envelope(envelope: Envelope) -> bytes:
    return _ENVELOPE.pack(*envelope)


def parse_envelope(data: bytes | bytearray, offset: int = 0) -> Envelope:
    """The envelope at `offset`, where at least `ENVELOPE_BYTES` must be. Nothing is checked: see `check_envelope`."""
    return Envelope._make(_ENVELOPE.unpack_from(data, offset))


def check_envelope(envelope: Envelope) -> None:
    """Raise `Refusal(MALFORMED_MESSAGE)` for an envelope after which nothing can be read.

    Compression was never used by anybody; encryption needs a session, and this codec holds none.
    """
    if envelope.major not in _KNOWN_MAJORS:
        raise malformed(f"protocol version {envelope.major}.{envelope.minor} is not spoken here")
    if envelope.flags & (COMPRESSED | ENCRYPTED):
        raise malformed("a compressed or encrypted message without a session")
    if not HEADER_BYTES <= envelope.length <= MAX_MESSAGE_BYTES:
        raise malformed(f"a message of {envelope.length} bytes; it is between {HEADER_BYTES} and {MAX_MESSAGE_BYTES}")


def envelope_for(
    version: tuple[int, int], request: int, length: int, session: int = 0, suggested: tuple[int, int] | None = None
) -> Envelope:
    """An envelope of one whole message in `version`, which also suggests it unless told otherwise."""
    suggested = suggested or version
    return Envelope(*version, suggested[0] & _SUGGESTED_MAJOR, suggested[1], session, request, 0, length)
