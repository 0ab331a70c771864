"""Resource records of replies: SOA, NS and CNAME (RFC 1035 3.3), TXT (3.3.14), NAPTR (RFC 3403), URI (RFC 7553).

The owner of a record is where its name was written before, by offset: for nearly every record that is the question. Names
within the data of NAPTR and URI are never compressed (RFC 3597 4); those of the older types are.
"""

import re
import struct
from collections.abc import Iterable
from typing import Final

from proto.wire.dns.codes import HEADER_BYTES, IN
from proto.wire.dns.name import ROOT, pointer_to

QUESTION_NAME: Final = HEADER_BYTES
"""Offset of the question's name in any message that has one."""

RECORD_HEAD_BYTES: Final = 12
"""Octets of a record before its data, its owner being a pointer."""

MAX_STRING_BYTES: Final = 255
"""Of one character-string (RFC 1035 3.3)."""

# A URI that is longer is no address that a client would follow, and a few of them have to fit one message over TCP.
MAX_URI_BYTES: Final = 2_048

NAPTR_ORDER: Final = 100
NAPTR_FLAGS: Final = b"u"
"""The result is a URI, and the end (RFC 4848 4.3)."""

NAPTR_SERVICE: Final = b"x-identifier"
"""Of experimental use, as RFC 4848 4.2 has it; behind a colon follows the URI's scheme, as the protocol."""

URI_WEIGHT: Final = 1

_HEAD: Final = struct.Struct(">HHIH")
_SOA: Final = struct.Struct(">IIIII")
_NAPTR: Final = struct.Struct(">HH")
_URI: Final = struct.Struct(">HH")

_SCHEME: Final = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]{0,31}):[^\s]")
# Whatever RFC 3986 2 knows stays, the sign of encoded octets too; any other octet is encoded (RFC 3987 3.1).
_FOREIGN: Final = re.compile(rb"[^A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]")


def compose_rr(owner: int, kind: int, ttl: int, data: bytes) -> bytes:
    """A record of class IN whose owner's name stands at the offset `owner`; `ttl` in seconds."""
    return pointer_to(owner) + _HEAD.pack(kind, IN, ttl, len(data)) + data


def soa_data(primary: bytes, mailbox: bytes, serial: int, timers: tuple[int, int, int, int]) -> bytes:
    """SOA: two names, composed, and the times after the serial in seconds: refresh, retry, expire, negative TTL."""
    return primary + mailbox + _SOA.pack(serial, *timers)


def serial_offset(soa: bytes) -> int:
    """Where the serial stands in SOA data."""
    return len(soa) - _SOA.size


def txt_data(strings: Iterable[bytes]) -> bytes:
    """TXT: each string of at most 255 octets."""
    return b"".join([bytes((len(string),)) + string for string in strings])


def cut_strings(data: bytes) -> list[bytes]:
    """Strings that are `data` when they are joined."""
    return [data[start : start + MAX_STRING_BYTES] for start in range(0, len(data), MAX_STRING_BYTES)]


def uri_of(data: bytes) -> bytes | None:
    """The URI in the data of a value, in ASCII as both records want it; None if it is none, or longer than `MAX_URI_BYTES`."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return None
    if len(data) > MAX_URI_BYTES or not _SCHEME.match(data):
        return None
    uri = _FOREIGN.sub(lambda octet: b"%%%02X" % octet[0][0], data)
    return uri if len(uri) <= MAX_URI_BYTES else None


def uri_data(priority: int, uri: bytes) -> bytes:
    """URI: the target is all that follows, without a length (RFC 7553 4.4)."""
    return _URI.pack(priority, URI_WEIGHT) + uri


def naptr_data(preference: int, uri: bytes) -> bytes | None:
    """NAPTR that rewrites any name to `uri` (RFC 4848 4.4); None if that does not fit its one string."""
    scheme = uri[: uri.index(b":")].lower()
    sign = b"!" if b"!" not in uri else b"|"  # which no URI has
    regexp = b"".join((sign, b".*", sign, uri, sign))
    if len(regexp) > MAX_STRING_BYTES:
        return None
    strings = txt_data((NAPTR_FLAGS, b"%b:%b" % (NAPTR_SERVICE, scheme), regexp))
    return _NAPTR.pack(NAPTR_ORDER, preference) + strings + ROOT
