"""Which encoding a table is in: told by all of its bytes, because the first Chinese character may be in the last row.

A byte order mark settles it. Otherwise it is the encoding in which fewer lines are broken, UTF-8 if they tie: a file that
is whole in one of them is in that one, and a file with a few damaged rows is still read in the right one. A GB 18030 text is
almost never valid UTF-8; text in UTF-8 often is valid GB 18030, and wrong: so UTF-8 is asked first.
"""

import codecs
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

from registry.service.imports.lines import MAX_ROW_BYTES


class Encoding(StrEnum):
    """The encodings tables come in. The value is Python's name of the codec."""

    UTF_8 = "utf-8"
    GB_18030 = "gb18030"


_MARKS: Final = ((codecs.BOM_UTF8, Encoding.UTF_8), ("\ufeff".encode(Encoding.GB_18030), Encoding.GB_18030))

# What a table never begins with, and what to say of it.
_OTHER_FILES: Final = (
    (b"PK\x03\x04", "it is a workbook or another zip archive; save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "it is an old Excel workbook; save the sheet as CSV"),
    (codecs.BOM_UTF16_LE, "it is in UTF-16; save it in UTF-8 or GB 18030"),
    (codecs.BOM_UTF16_BE, "it is in UTF-16; save it in UTF-8 or GB 18030"),
)


def other_kind(beginning: bytes) -> str:
    """What is wrong with a file that begins like this and is no table at all; empty if nothing is."""
    return next((why for mark, why in _OTHER_FILES if beginning.startswith(mark)), "")


def mark_bytes(beginning: bytes) -> int:
    """How long the byte order mark is that a file begins with; 0 if it has none."""
    return next((len(mark) for mark, _ in _MARKS if beginning.startswith(mark)), 0)


def detect_encoding(read: Callable[[], Iterable[bytes]]) -> Encoding:
    """The encoding of a file; `read` begins to read it, from the start, in pieces (at most twice)."""
    beginning = next(iter(read()), b"")
    for mark, encoding in _MARKS:
        if beginning.startswith(mark):
            return encoding
    broken_in_utf_8 = broken_lines(read(), Encoding.UTF_8)
    if broken_in_utf_8 and broken_lines(read(), Encoding.GB_18030) < broken_in_utf_8:
        return Encoding.GB_18030
    return Encoding.UTF_8


def broken_lines(pieces: Iterable[bytes], encoding: Encoding) -> int:
    """How many lines cannot be read in an encoding."""
    broken, rest = 0, b""
    for piece in pieces:
        whole, newline, rest = (rest + piece).rpartition(b"\n")
        if newline:
            broken += _broken_in(whole, encoding)
        if len(rest) > MAX_ROW_BYTES:
            # No row is as long: it will be refused, whatever it says.
            rest = b""
    return broken + _broken_in(rest, encoding)


def _broken_in(text: bytes, encoding: Encoding) -> int:
    if _is_readable(text, encoding):
        return 0
    return sum(not _is_readable(line, encoding) for line in text.split(b"\n"))


def _is_readable(text: bytes, encoding: Encoding) -> bool:
    try:
        text.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
