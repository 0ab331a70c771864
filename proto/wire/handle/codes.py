"""Numbers of the Handle protocol, version 2 (RFC 3652 2.2; names as Handle.Net and the Chinese SDKs know them)."""

from enum import IntEnum
from typing import Final


class OpCode(IntEnum):
    """Operations. A number outside this list is carried as it is and refused as unsupported."""

    RESERVED = 0
    RESOLUTION = 1
    GET_SITE_INFO = 2
    CREATE = 100
    DELETE = 101
    ADD_VALUE = 102
    REMOVE_VALUE = 103
    MODIFY_VALUE = 104
    LIST_IDENTIFIERS = 105
    CHALLENGE_RESPONSE = 200
    VERIFY_CHALLENGE = 201
    HOME_PREFIX = 300
    UNHOME_PREFIX = 301
    LIST_HOMED_PREFIXES = 302
    SESSION_SETUP = 400
    SESSION_TERMINATE = 401
    SESSION_EXCHANGE_KEY = 402
    LOGIN = 2000
    LOGIN_ID_SYSTEM = 2001


class ResponseCode(IntEnum):
    """Outcomes; 0 marks a request. Stock clients throw on a number that they do not know, so none is invented."""

    REQUEST = 0
    SUCCESS = 1
    ERROR = 2
    TOO_BUSY = 3
    PROTOCOL_ERROR = 4
    OPERATION_NOT_SUPPORTED = 5
    RECURSION_TOO_HIGH = 6
    SERVER_READ_ONLY = 7
    IDENTIFIER_NOT_FOUND = 100
    IDENTIFIER_EXISTS = 101
    INVALID_IDENTIFIER = 102
    VALUES_NOT_FOUND = 200
    VALUE_EXISTS = 201
    INVALID_VALUE = 202
    OUT_OF_DATE_SITE = 300
    NOT_RESPONSIBLE = 301
    SERVICE_REFERRAL = 302
    PREFIX_REFERRAL = 303
    INVALID_ADMIN = 400
    INSUFFICIENT_PERMISSION = 401
    AUTHENTICATION_NEEDED = 402
    AUTHENTICATION_FAILED = 403
    INVALID_CREDENTIAL = 404
    AUTHENTICATION_TIMEOUT = 405
    AUTHENTICATION_ERROR = 406
    SESSION_TIMEOUT = 500
    SESSION_FAILED = 501
    INVALID_SESSION_KEY = 502


# Operation flags (32 bits). Unknown ones are accepted and echoed.
AUTHORITATIVE: Final = 0x8000_0000
CERTIFIED: Final = 0x4000_0000
ENCRYPTED: Final = 0x2000_0000
RECURSIVE: Final = 0x1000_0000
CACHE_CERTIFY: Final = 0x0800_0000
CONTINUED: Final = 0x0400_0000
KEEP_ALIVE: Final = 0x0200_0000
PUBLIC_ONLY: Final = 0x0100_0000
RETURN_DIGEST: Final = 0x0080_0000
OVERWRITE: Final = 0x0040_0000
MINT_SUFFIX: Final = 0x0020_0000
DO_NOT_REFER: Final = 0x0010_0000
# Additions of the Chinese SDKs.
RECURSIVE_AUTHENTICATED: Final = 0x0000_0004
TRUSTED_QUERY: Final = 0x0000_0002
TRUSTED_RESULT: Final = 0x0000_0001

# Ours, and opt-in: no published software sets this bit. A request that sets it gets the record's life cycle behind the
# reply's body (`proto.wire.handle.trailer`), and a reply that sets it has that trailer; without it every byte is standard.
LIFE_CYCLE: Final = 0x0000_8000

UNKNOWN_SERIAL: Final = 0xFFFF
"""Site serial of one who does not know the site."""
