"""Aligned columns for people: Chinese characters take two columns of a terminal."""

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_WIDE: Final = frozenset("WF")
_GAP: Final = "  "


def columns(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Lines of a table: the heads, then the rows; the last column is as wide as it likes."""
    texts = [tuple(printable(cell) for cell in row) for row in (heads, *rows)]
    widths = [max(map(_width, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        padded = [cell + " " * (width - _width(cell)) for cell, width in zip(row[:-1], widths[:-1], strict=True)]
        yield _GAP.join((*padded, row[-1])).rstrip()


def as_json(document: Any) -> str:
    """A document for programs: unescaped UTF-8, readable."""
    return json.dumps(document, ensure_ascii=False, indent=2)


def facts(document: Mapping[str, Any]) -> Iterator[str]:
    """Lines of one document: a name and what stands under it."""
    lines = columns(("", ""), [(name, shown(value)) for name, value in document.items()])
    next(lines)  # a table without heads
    return lines


def shown(value: object) -> str:
    """A member of a document as people read it."""
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return ""
        case list():
            return ", ".join(shown(item) for item in value)
        case dict():
            return "/".join(shown(item) for item in value.values())
    return str(value)


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in _WIDE else 1 for char in text)


def is_text(word: str) -> bool:
    """Whether what somebody typed was text in this machine's encoding; what was not is half a surrogate pair in Python's."""
    return not any("\ud800" <= char <= "\udfff" for char in word)


def printable(cell: object) -> str:
    """A cell, or a sentence, as one line: what others registered must not steer the terminal."""
    text = "" if cell is None else str(cell)
    return text if text.isprintable() else "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
