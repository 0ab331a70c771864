"""The catalogue's models: names, rated values, and what a nameplate calls them."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent
_NOT_CODE: Final = re.compile(r"[^0-9A-Z]+")


@dataclass(frozen=True, slots=True)
class Model:
    """A type of equipment. `category` is its class of GB/T 4754 (3821 transformers, 3831 wires and cables).

    `code` stands in identifiers; `ratings` are the rated values by name, numbers where they are numbers.
    """

    name: str
    kind: str
    category: str
    code: str
    ratings: dict[str, str | float]


def transformers() -> list[Model]:
    """Power transformers of two and three windings."""
    two = [_model(row, "电力变压器", "3821") for row in _rows("transformers.csv")]
    three = [_model(row, "三绕组电力变压器", "3821") for row in _rows("transformers_3w.csv")]
    return two + three


def cables() -> list[Model]:
    """Power cables and conductors of overhead lines."""
    kinds = {"cs": "电力电缆", "ol": "架空导线"}
    return [_model(row, kinds[row.pop("type")], "3831") for row in _rows("cables_and_lines.csv")]


def _model(row: dict[str, str], kind: str, category: str) -> Model:
    name = row.pop("model")
    return Model(name, kind, category, _NOT_CODE.sub("-", name.upper()).strip("-"), {key: _rating(row[key]) for key in row})


def _rating(text: str) -> str | float:
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


def _rows(file: str) -> Iterator[dict[str, str]]:
    with (_FOLDER / file).open(encoding="utf-8", newline="") as table:
        yield from csv.DictReader(table)
