"""Identifier (标识): the whole string `prefix/suffix`, as asked and as it is keyed.

A Handle-type identifier is split at its first slash. The prefix folds ASCII case; how the suffix compares is a rule of
the prefix (`SuffixRule`), so the key of an identifier is known only together with that rule. The spelling that was
asked is kept: answers echo it. Percent-decoding belongs to the edges that have it (HTTP), never to this module.
RFC 3650 3, RFC 3651 2; ASCII-only folding as stock Handle servers compare.
"""

import re
import unicodedata
from enum import IntEnum
from functools import lru_cache
from typing import Final

from proto.errors import Reason, Refusal
from proto.frozen import frozen
from proto.limits import MAX_IDENTIFIER_BYTES, MAX_PREFIX_BYTES

PREFIX_OF_PREFIXES: Final = "0.na"
_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
# Questions are for a few hundred prefixes again and again; one that is not kept is judged anew.
_PREFIXES_KEPT: Final = 4_096
_ASCII_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class SuffixRule(IntEnum):
    """How suffixes below one prefix compare; immutable after the prefix's first identifier."""

    FOLD_ASCII = 0
    EXACT = 1


# Members of an enumeration are slow to come by, and this one is asked for with every look-up.
_FOLD_ASCII: Final = SuffixRule.FOLD_ASCII


def fold_ascii(text: str) -> str:
    """Lower-case the ASCII letters of `text` and no others (RFC 3651 2: case folding is ASCII's)."""
    return text.lower() if text.isascii() else text.translate(_ASCII_LOWER)


@frozen
class Identifier:
    """A parsed identifier: `text` as it was spelt, `prefix` folded, `suffix` as it was spelt."""

    text: str
    prefix: str
    suffix: str

    def normalised(self, rule: SuffixRule) -> str:
        """The string under which this identifier is stored, given its prefix's rule; names of prefixes always fold."""
        folds = rule is _FOLD_ASCII or self.names_prefix
        return f"{self.prefix}/{fold_ascii(self.suffix) if folds else self.suffix}"

    @property
    def names_prefix(self) -> bool:
        """Whether this is the identifier of a prefix (`0.NA/88.118.1001`), not of a thing below one."""
        return self.prefix == PREFIX_OF_PREFIXES

    @property
    def homing_prefix(self) -> str:
        """The prefix whose home answers: for `0.NA/P` that is P's own home."""
        return fold_ascii(self.suffix) if self.names_prefix else self.prefix


def parse_identifier(text: str) -> Identifier:
    """Parse a Handle-type identifier; a name without a slash `P` is `0.NA/P`.

    Raises `Refusal(INVALID_IDENTIFIER)` for an empty or overlong one, control characters, or text that is not in
    Unicode normalisation form C (two spellings of one name must not become two products).
    """
    if not text:
        raise _invalid("it is empty")
    if not text.isascii():
        _require_plain_unicode(text)
    elif not text.isprintable():
        raise _invalid("it contains a control character")
    if len(text) > MAX_IDENTIFIER_BYTES or (not text.isascii() and len(text.encode()) > MAX_IDENTIFIER_BYTES):
        raise _invalid(f"it is longer than {MAX_IDENTIFIER_BYTES} bytes")
    prefix, slash, suffix = text.partition("/")
    if not slash:
        return Identifier(text, PREFIX_OF_PREFIXES, parse_prefix(text))
    if not suffix:
        raise _invalid("the suffix is empty")
    return Identifier(text, parse_prefix(prefix), suffix)


@lru_cache(_PREFIXES_KEPT)
def parse_prefix(text: str) -> str:
    """The folded form of a prefix: labels of letters, digits, `-` and `_`, joined by dots (leading zeros matter).

    Raises `Refusal(INVALID_IDENTIFIER)` naming what is wrong.
    """
    if len(text) <= MAX_PREFIX_BYTES and _PREFIX.fullmatch(text):
        return text.lower()
    if not text:
        raise _invalid("the prefix is empty")
    if len(text) > MAX_PREFIX_BYTES:
        raise _invalid(f"the prefix is longer than {MAX_PREFIX_BYTES} bytes")
    if not all(text.split(".")):
        raise _invalid("the prefix has an empty label")
    raise _invalid("the prefix has a character other than letters, digits, '-', '_' and '.'")


def ancestors(prefix: str) -> list[str]:
    """The prefix itself and everything it is derived from, longest first: `88.118.1`, `88.118`, `88`."""
    labels = prefix.split(".")
    return [".".join(labels[:count]) for count in range(len(labels), 0, -1)]


def _require_plain_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _invalid("it is not valid Unicode") from None
    if not unicodedata.is_normalized("NFC", text):
        raise _invalid("it is not in Unicode normalisation form C (NFC)")
    if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text):
        raise _invalid("it contains a control character")


def _invalid(why: str) -> Refusal:
    return Refusal(Reason.INVALID_IDENTIFIER, f"not an identifier: {why}", field="identifier")
