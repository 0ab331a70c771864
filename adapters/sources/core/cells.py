"""Cells: what stands in a column of a row, as files, databases and JSON give it, and the text that it is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Final
from uuid import UUID

Cells = Mapping[str, object]
"""A row: cells by column. A column that is not there is an empty cell."""

# Exponents that a text of digits may be written out to: beyond, a number is a slip of whoever made it.
MAX_DIGITS: Final = 400


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row as it was read. `place` names it to people (`products.csv, line 3`); one with a `fault` could not even be read."""

    place: str
    cells: Cells
    fault: str = ""


def text_of(cell: object) -> str | None:
    """The text that a cell is; None for an empty one. Raises `ValueError` for what is no text (bytes, lists, NaN)."""
    match cell:
        case None | "":
            return None
        case str():
            if not cell.isprintable() and any("\ud800" <= char <= "\udfff" for char in cell):
                raise ValueError("it is not valid Unicode (half of a surrogate pair)")
            return cell
        case bool():
            return "true" if cell else "false"
        case int():
            return _digits(Decimal(cell))
        case float():
            if not math.isfinite(cell):
                raise ValueError(f"{cell} is no number to register")
            return _digits(Decimal(repr(cell)))
        case Decimal():
            if not cell.is_finite():
                raise ValueError(f"{cell} is no number to register")
            return _digits(cell)
        case datetime() | date() | time():
            return cell.isoformat()
        case UUID():
            return str(cell)
    raise ValueError(f"it is no text but {_called(cell)}")


def _digits(number: Decimal) -> str:
    """A number without an exponent."""
    if abs(number.adjusted()) > MAX_DIGITS:
        raise ValueError(f"it is a number of more than {MAX_DIGITS} digits")
    return format(number, "f")


def _called(cell: object) -> str:
    names = {"dict": "an object", "list": "a list", "bytes": "bytes", "memoryview": "bytes"}
    return names.get(type(cell).__name__, f"a {type(cell).__name__}")
