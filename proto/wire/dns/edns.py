"""The OPT record (RFC 6891): what a message says beside its question."""

import struct
from typing import Final, NamedTuple

from proto.wire.dns.codes import DNSSEC_OK, LIFE_CYCLE, OptionCode, RRType
from proto.wire.dns.name import ROOT, malformed

VERSION: Final = 0

# What passes every link without fragments, which firewalls drop and forgers use (DNS flag day 2020, RFC 9715 3.1).
PAYLOAD_BYTES: Final = 1_232
# What every client takes, and a client that says less is not believed (RFC 6891 6.2.3).
LEAST_PAYLOAD_BYTES: Final = 512

# An extended error's text is for people, and a reply over UDP has not much room for it.
MAX_TEXT_BYTES: Final = 160

_HEAD: Final = struct.Struct(">HHBBHH")
_OPTION: Final = struct.Struct(">HH")
_CODE: Final = struct.Struct(">H")


class Edns(NamedTuple):
    """What a query's OPT record says: the octets of a datagram its sender takes, and what it would like to be told."""

    payload_bytes: int = PAYLOAD_BYTES
    version: int = VERSION
    dnssec_ok: bool = False
    wants_life_cycle: bool = False


def parse_opt(payload_bytes: int, ttl: int, data: bytes) -> Edns:
    """An OPT record by its class, TTL and data. Options that are not known are skipped. Raises `Refusal(MALFORMED_MESSAGE)`."""
    return Edns(
        max(payload_bytes, LEAST_PAYLOAD_BYTES),
        ttl >> 16 & 0xFF,
        bool(ttl & DNSSEC_OK),
        any(code == LIFE_CYCLE for code, _ in parse_options(data)) if data else False,
    )


def parse_options(data: bytes) -> list[tuple[int, bytes]]:
    """The options in an OPT record's data. Raises `Refusal(MALFORMED_MESSAGE)`."""
    options, offset = [], 0
    while offset < len(data):
        if len(data) - offset < _OPTION.size:
            raise malformed("an EDNS option is cut short")
        code, size = _OPTION.unpack_from(data, offset)
        offset += _OPTION.size
        if size > len(data) - offset:
            raise malformed("an EDNS option passes the end of its record")
        options.append((code, data[offset : offset + size]))
        offset += size
    return options


def compose_opt(edns: Edns, options: bytes = b"", high_rcode: int = 0) -> bytes:
    """The OPT record of a reply to a query with this one; `high_rcode` are the bits of the response code above the fourth."""
    if not options and not high_rcode:
        return _SECURED if edns.dnssec_ok else _PLAIN
    return _compose_opt(DNSSEC_OK if edns.dnssec_ok else 0, options, high_rcode)


def _compose_opt(flags: int, options: bytes, high_rcode: int) -> bytes:
    return ROOT + _HEAD.pack(RRType.OPT, PAYLOAD_BYTES, high_rcode, VERSION, flags, len(options)) + options


# What nearly every reply ends with.
_PLAIN: Final = _compose_opt(0, b"", 0)
_SECURED: Final = _compose_opt(DNSSEC_OK, b"", 0)


def compose_option(code: int, data: bytes) -> bytes:
    return _OPTION.pack(code, len(data)) + data


def compose_extended_error(code: int, text: str) -> bytes:
    """An extended error (RFC 8914); text that is too long loses its end."""
    told = text.encode(errors="replace")[:MAX_TEXT_BYTES].decode(errors="ignore").encode()
    return compose_option(OptionCode.EXTENDED_ERROR, _CODE.pack(code) + told)
