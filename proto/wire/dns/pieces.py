"""A record's values as TXT records: what `_record` below an identifier's name answers.

They are the public values in their Handle wire form (`proto.wire.handle.value`), one behind the other, cut into pieces that
fit a DNS message. A piece is one TXT record: strings that say what it is, an empty string, then the octets in strings of 255.

    id=88.118.1001/SAMPLE-1 | version=7 | digest=sm3:<64 hexadecimal digits> | piece=0/1 | (empty) | octets ...

The digest is SM3 of all the octets of all pieces: pieces of different versions can never be taken for one record. The same
strings but for `piece` and what follows are the TXT record at the identifier's own name.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from proto.errors import Reason, Refusal
from proto.sm3 import sm3
from proto.wire.dns.records import MAX_STRING_BYTES, cut_strings

# With the strings' lengths, head, question and header it stays below the 65,535 octets of a message over TCP.
PIECE_BYTES: Final = 60_000

_PIECE: Final = re.compile(rb"piece=(\d{1,3})/(\d{1,3})")
_VERSION: Final = re.compile(rb"version=(\d{1,20})")


class Summary(NamedTuple):
    """What TXT says of a record. `identifier` is empty if its spelling does not fit one string, as an alias's may not."""

    identifier: str
    version: int
    digest: bytes


class Piece(NamedTuple):
    """One piece, `number` of `pieces` from 0."""

    summary: Summary
    number: int
    pieces: int
    octets: bytes


def summary_of(identifier: str, version: int, values: Sequence[bytes]) -> Summary:
    """The summary of a record with these packed values."""
    return Summary(identifier, version, sm3(*values))


def summary_strings(summary: Summary) -> list[bytes]:
    identifier = b"id=" + summary.identifier.encode()
    told = [identifier] if len(identifier) <= MAX_STRING_BYTES else []
    return [*told, b"version=%d" % summary.version, b"digest=sm3:" + summary.digest.hex().encode()]


def count_pieces(values: Sequence[bytes]) -> int:
    """The pieces that a record with these packed values comes in."""
    return max(1, -(-sum(map(len, values)) // PIECE_BYTES))


def piece_strings(summary: Summary, values: Sequence[bytes], number: int) -> list[bytes]:
    """The strings of one piece of these values."""
    cut = b"".join(values)[number * PIECE_BYTES : (number + 1) * PIECE_BYTES]
    return [*summary_strings(summary), b"piece=%d/%d" % (number, count_pieces(values)), b"", *cut_strings(cut)]


def parse_piece(strings: Sequence[bytes]) -> Piece:
    """A piece from its strings; other heads than the known are skipped. Raises `Refusal(MALFORMED_MESSAGE)`."""
    try:
        end = list(strings).index(b"")
        heads = {string.partition(b"=")[0]: string for string in strings[:end]}
        version, piece = _VERSION.fullmatch(heads[b"version"]), _PIECE.fullmatch(heads[b"piece"])
        digest = bytes.fromhex(heads[b"digest"].removeprefix(b"digest=sm3:").decode("ascii"))
        identifier = heads.get(b"id", b"id=").removeprefix(b"id=").decode()
    except (KeyError, ValueError):
        raise _no_piece() from None
    if version is None or piece is None or int(piece[1]) >= int(piece[2]):
        raise _no_piece()
    summary = Summary(identifier, int(version[1]), digest)
    return Piece(summary, int(piece[1]), int(piece[2]), b"".join(strings[end + 1 :]))


def _no_piece() -> Refusal:
    return Refusal(Reason.MALFORMED_MESSAGE, "a TXT record is no piece of a record's values")
