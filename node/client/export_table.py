"""Rows of documents, as the registry exports them, turned into a CSV that can be imported again.

A CSV says what its columns are before its first row: so the rows are read twice, first for their columns.
"""

import csv
import json
from base64 import b64encode
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from proto.handle_json import parse_value
from proto.model.value import DEFAULT_PERMISSIONS, Value, derive_permissions
from registry.service.imports.header import MAX_COLUMNS, ValueColumn, column_for


class TooManyColumns(Exception):
    """The values are of more kinds than a CSV can have columns."""


def write_csv(rows: Path, output: Path) -> list[str]:
    """Turn rows of documents into a CSV; returns the identifiers that do not fit. Raises `TooManyColumns`, `OSError`."""
    columns: dict[str, ValueColumn] = {}
    misfits: list[str] = []
    extras = set()
    for document in _documents(rows):
        cells = _cells(document)
        if cells is None:
            misfits.append(document["identifier"])
            continue
        columns |= {column.heading: column for column, _ in cells}
        extras |= {name for name in ("template", "aliases") if document.get(name)}
    names = [*sorted(extras, reverse=True), *sorted(columns, key=lambda name: (columns[name].index, name))]
    if len(names) >= MAX_COLUMNS:
        raise TooManyColumns(
            f"the values are of {len(names)} kinds; a CSV has at most {MAX_COLUMNS} columns: export as .ndjson"
        )
    part = output.with_name(f"{output.name}.csv.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as table:
            writer = csv.DictWriter(table, ["identifier", *names])
            writer.writeheader()
            writer.writerows(_csv_row(document) for document in _documents(rows) if _cells(document) is not None)
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    return misfits


def _csv_row(document: dict[str, Any]) -> dict[str, str]:
    row = {column.heading: cell for column, cell in _cells(document) or ()}
    row["identifier"] = document["identifier"]
    if document.get("template"):
        row["template"] = document["template"]
    if document.get("aliases"):
        row["aliases"] = "\n".join(document["aliases"])
    return row


def _cells(document: dict[str, Any]) -> list[tuple[ValueColumn, str]] | None:
    """The record's values with the columns that they go into; None if one goes into none."""
    cells = []
    for value in document["values"]:
        text, is_binary = _text(value)
        column = None
        if text and "references" not in value and isinstance(value["ttl"], int):
            named = value["index"], value["type"], value["ttl"], value.get("permissions", ""), value["audience"]
            column = _column(*named, is_binary=is_binary)
        if column is None:
            return None
        cells.append((column, text))
    return cells


def _text(value: dict[str, Any]) -> tuple[str, bool]:
    """The data as it stands in a cell, and whether that is base64."""
    data = value["data"]
    if data["format"] == "string":
        return data["value"], False
    return b64encode(parse_value(value, "value", 0).data).decode(), True


@lru_cache(2 * MAX_COLUMNS)
def _column(index: int, kind: str, ttl: int, permissions: str, audience: str, *, is_binary: bool) -> ValueColumn | None:
    """The column of values like this; nearly all records of a prefix have the same."""
    bits = derive_permissions(int(permissions, 2) if permissions else DEFAULT_PERMISSIONS, audience)
    return column_for(Value(index, kind, b"any", ttl, permissions=bits, audience=audience), is_binary)


def _documents(rows: Path) -> Iterator[dict[str, Any]]:
    with rows.open("rb") as lines:
        for line in lines:
            yield json.loads(line)
