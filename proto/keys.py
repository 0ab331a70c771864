"""Layout of store keys, and the fixed head of every stored value.

    key    = layout version (1 byte) | space (1 byte) | name
    value  = format (1 byte) | version (8 bytes, big-endian) | the rest, by format

A record's name is scheme byte + normalised identifier in UTF-8, so that a scan below `88.118.1001/` is one range.
Every key space is one letter; a driver may keep spaces apart (column families), but nothing else may depend on it.
"""

import struct
from typing import Final

from proto.model.change import Position, Table

LAYOUT: Final = b"\x01"

RECORDS: Final = b"r"
PREFIXES: Final = b"p"
REGISTRANTS: Final = b"e"
ACCOUNTS: Final = b"a"
JOBS: Final = b"j"
FEEDS: Final = b"f"
LETTERS: Final = b"d"
FILINGS: Final = b"u"
SOURCES: Final = b"s"
RESOLUTIONS: Final = b"n"
NOTICES: Final = b"o"
IDEMPOTENCY: Final = b"i"
LOG: Final = b"l"
META: Final = b"m"
SPACES: Final = (
    RECORDS, PREFIXES, REGISTRANTS, ACCOUNTS, JOBS, FEEDS, LETTERS, FILINGS, SOURCES, RESOLUTIONS, NOTICES, IDEMPOTENCY, LOG,
    META,
)  # fmt: skip

HANDLE_SCHEME: Final = b"h"

_TABLE_SPACE: Final = {
    Table.RECORD: RECORDS,
    Table.PREFIX: PREFIXES,
    Table.REGISTRANT: REGISTRANTS,
    Table.ACCOUNT: ACCOUNTS,
    Table.JOB: JOBS,
    Table.FEED: FEEDS,
    Table.LETTER: LETTERS,
    Table.FILING: FILINGS,
    Table.SOURCE: SOURCES,
    Table.RESOLUTIONS: RESOLUTIONS,
    Table.NOTICE: NOTICES,
}
_RECORD_HEAD: Final = LAYOUT + RECORDS + HANDLE_SCHEME
_SEQUENCE: Final = struct.Struct(">IQ")
_DAY: Final = struct.Struct(">I")


def record_key(normalised: str) -> bytes:
    """The key of a record (or of the alias pointer under that identifier)."""
    return _RECORD_HEAD + normalised.encode()


def row_key(table: Table, name: str) -> bytes:
    """The key under which an after-image is stored."""
    if table is Table.RECORD:
        return _RECORD_HEAD + name.encode()
    return LAYOUT + _TABLE_SPACE[table] + name.encode()


def space_prefix(space: bytes) -> bytes:
    """The common beginning of all keys of one space."""
    return LAYOUT + space


def name_in_key(key: bytes) -> str:
    """The normalised name in a record's or table's key."""
    return key[3:].decode() if key[1:2] == RECORDS else key[2:].decode()


def log_key(epoch: int, sequence: int) -> bytes:
    """The key of a log entry; keys sort as positions do."""
    return LAYOUT + LOG + _SEQUENCE.pack(epoch, sequence)


def position_in_log_key(key: bytes) -> Position:
    """The position of the log entry under a key."""
    return Position(*_SEQUENCE.unpack_from(key, len(LAYOUT) + len(LOG)))


def idempotency_key(day: int, account: str, key: str) -> bytes:
    """The key of an idempotency entry in the bucket of one day (days since 1970 UTC); a NUL parts account and key."""
    return LAYOUT + IDEMPOTENCY + _DAY.pack(day) + account.encode() + b"\0" + key.encode()


def idempotency_bucket(day: int) -> bytes:
    """The beginning of all idempotency entries of one day: old buckets are dropped as a range."""
    return LAYOUT + IDEMPOTENCY + _DAY.pack(day)


HEAD_KEY: Final = LAYOUT + META + b"head"


def prefix_end(prefix: bytes) -> bytes:
    """The least key after every key that begins with `prefix` (which must not be all 0xff)."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1])
