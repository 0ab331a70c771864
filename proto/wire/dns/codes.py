"""Numbers of the DNS protocol, by the names that IANA's registry gives them: those that are told apart here, and no others."""

from enum import IntEnum
from typing import Final

HEADER_BYTES: Final = 12

# Bits of a header's second word (RFC 1035 4.1.1, RFC 4035 3.1.6).
RESPONSE: Final = 0x8000
AUTHORITATIVE: Final = 0x0400
TRUNCATED: Final = 0x0200
RECURSION_DESIRED: Final = 0x0100
RECURSION_AVAILABLE: Final = 0x0080
CHECKING_DISABLED: Final = 0x0010
RCODE_MASK: Final = 0x000F

# Bit of an OPT record's flags: DNSSEC answers are understood (RFC 3225).
DNSSEC_OK: Final = 0x8000

QUERY: Final = 0
"""The only operation that is answered."""

IN: Final = 1
"""The only class that is answered."""

LIFE_CYCLE: Final = 65_118
"""An EDNS option of ours, in the range for local use (RFC 6891 9): empty in a query, a life cycle in its answer.

DNS has no place for a record's state. `biaojie resolve` asks for it, so that it shows the same whatever protocol it speaks;
nobody else sends the option or sees it. It is good for one hop: resolvers in between do not pass it on.
"""


class RRType(IntEnum):
    """Types of resource records and of questions."""

    NS = 2
    CNAME = 5
    SOA = 6
    TXT = 16
    NAPTR = 35
    OPT = 41
    TKEY = 249
    TSIG = 250
    IXFR = 251
    AXFR = 252
    MAILB = 253
    MAILA = 254
    ANY = 255
    URI = 256


class Rcode(IntEnum):
    """Response codes. What is above 15 needs an OPT record to be said."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


class OptionCode(IntEnum):
    """EDNS options."""

    EXTENDED_ERROR = 15


class ExtendedError(IntEnum):
    """Why a response is what it is, for people and programs (RFC 8914 5.2)."""

    OTHER = 0
    STALE_ANSWER = 3
    NOT_READY = 14
    PROHIBITED = 18
    NOT_AUTHORITATIVE = 20
    NOT_SUPPORTED = 21
