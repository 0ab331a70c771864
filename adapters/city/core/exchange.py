"""Exchange files: a batch of events as a file, and the manifest that says what is in it and that it is whole.

    platform-00000001-0000000000000012-1b2c3d4e.5f60718293a4.ndjson     the data: a CloudEvent a line, or CSV
    platform-00000001-0000000000000012-1b2c3d4e.manifest.json           which file, its SHA-256, its length, its events

Whoever reads them goes by the manifests, in the order of their names, which is that of the changes. A manifest appears when its
file is there whole. A batch that is written again (its cursor was not committed) replaces its manifest, and may hold more
events; their ids are as before.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.city.core.event import REPLACES, Event, is_replacing
from adapters.city.core.places import FileEncoding, FileFormat, FilesPlace
from proto.limits import MAX_RECORD_BYTES
from proto.model.change import parse_cursor

MANIFEST_SUFFIX: Final = ".manifest.json"
FIXED_COLUMNS: Final = ("id", "type", "subject", "rowversion", "time")
_SUFFIX: Final = {FileFormat.JSON: "ndjson", FileFormat.CSV: "csv"}
_ID_CHARS: Final = 8
_DIGEST_CHARS: Final = 12
_LIST_SEPARATOR: Final = ";"

# The values of one type of the largest record (256 kB), in base64 or escaped; Python's own limit is half a record.
MAX_CELL_CHARS: Final = 4 * MAX_RECORD_BYTES


@dataclass(frozen=True, slots=True)
class ExchangeFile:
    """A data file and its manifest, by their names; `stem` is what both begin with."""

    stem: str
    name: str
    content: bytes
    manifest: bytes

    @property
    def manifest_name(self) -> str:
        return self.stem + MANIFEST_SUFFIX


def compose_file(feed: str, head: bytes, place: FilesPlace, events: Sequence[Event], start: str) -> ExchangeFile:
    """The file of a batch whose first event comes after the cursor `start`; `head` begins each event."""
    position = parse_cursor(start)
    stem = f"{feed}-{position.epoch:08x}-{position.sequence:016x}-{events[0].id[:_ID_CHARS]}"
    content = _compose_csv(head, place, events) if place.format is FileFormat.CSV else _compose_lines(head, events)
    digest = hashlib.sha256(content).hexdigest()
    name = f"{stem}.{digest[:_DIGEST_CHARS]}.{_SUFFIX[place.format]}"
    manifest: dict[str, Any] = {
        "feed": feed,
        "file": name,
        "format": place.format,
        "encoding": place.encoding if place.format is FileFormat.CSV else FileEncoding.UTF_8,
        "bytes": len(content),
        "sha256": digest,
        "events": len(events),
    }
    if place.format is FileFormat.CSV:
        manifest["columns"] = _columns(place, events)
    return ExchangeFile(stem, name, content, json.dumps(manifest, ensure_ascii=False, indent=2).encode() + b"\n")


def parse_manifest(raw: bytes) -> dict[str, Any]:
    """A manifest, whose file lies beside it. Raises `ValueError`: who may write into the folder may write anything."""
    try:
        manifest: dict[str, Any] = json.loads(raw)
        for name, kind in (("file", str), ("sha256", str), ("bytes", int), ("events", int)):
            if not isinstance(manifest[name], kind):
                raise ValueError(f"its {name} is not of its kind")
        FileFormat(manifest["format"])
        FileEncoding(manifest["encoding"])
    except (KeyError, TypeError, RecursionError):
        raise ValueError("it is no manifest") from None
    if "/" in manifest["file"] or "\0" in manifest["file"] or manifest["file"].startswith("."):
        raise ValueError("its file does not lie beside it")
    return manifest


def parse_file(manifest: Mapping[str, Any], content: bytes) -> list[dict[str, Any]]:
    """The events, or rows of a CSV, of a file that is as its manifest says. Raises `ValueError` if it is not. For readers."""
    if len(content) != manifest["bytes"] or hashlib.sha256(content).hexdigest() != manifest["sha256"]:
        raise ValueError(f"{manifest['file']} is not what its manifest says")
    text = content.decode(manifest["encoding"])
    rows = _parse_csv(text) if manifest["format"] == FileFormat.CSV else _parse_lines(text)
    if len(rows) != manifest["events"]:
        raise ValueError(f"{manifest['file']} has {len(rows)} events and not {manifest['events']}")
    return rows


def parse_told(manifest: Mapping[str, Any], content: bytes) -> Iterator[dict[str, Any]]:
    """Of each event of a file as much as every format has: what reconciliation goes by. Raises `ValueError` as `parse_file`."""
    for row in parse_file(manifest, content):
        if manifest["format"] == FileFormat.CSV:
            # The kind stands in the type: biaojie.record.changed
            _, kind, _ = row["type"].split(".")
            fixed = {name: row[name] for name in FIXED_COLUMNS}
            replaces = {REPLACES: int(row[REPLACES])} if row.get(REPLACES) else {}
            cells = [row[name] for name in manifest["columns"] if name not in (*FIXED_COLUMNS, REPLACES)]
            yield {**fixed, "rowversion": int(row["rowversion"]), **replaces, "data": {"kind": kind}, "cells": cells}
        else:
            yield row


def _parse_lines(text: str) -> list[dict[str, Any]]:
    """By line feeds alone: what else ends a line for Python (U+2028, U+0085) may stand within a text in JSON."""
    return [json.loads(line) for line in text.split("\n") if line]


def _parse_csv(text: str) -> list[dict[str, Any]]:
    csv.field_size_limit(MAX_CELL_CHARS)
    try:
        return list(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise ValueError(f"it is no CSV: {error}") from None


def _compose_lines(head: bytes, events: Sequence[Event]) -> bytes:
    return b"".join(b"%b%b\n" % (head, event.rest) for event in events)


def _compose_csv(head: bytes, place: FilesPlace, events: Sequence[Event]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")  # RFC 4180 2.1
    columns = _columns(place, events)
    fixed = columns[: len(columns) - len(place.columns)]
    writer.writerow(columns)
    for event in events:
        document = json.loads(head + event.rest)
        writer.writerow(
            [*(document.get(name, "") for name in fixed), *(_cell(document["data"], name) for name in place.columns)]
        )
    return text.getvalue().encode(place.encoding, errors="replace")


def _columns(place: FilesPlace, events: Sequence[Event]) -> list[str]:
    return [*FIXED_COLUMNS, *((REPLACES,) if any(map(is_replacing, events)) else ()), *place.columns]


def cells_of(place: FilesPlace, data: Mapping[str, Any]) -> list[str]:
    """What stands in a CSV of an event's data, as who reads the file has it."""
    cells = [_cell(data, name) for name in place.columns]
    return [cell.encode(place.encoding, errors="replace").decode(place.encoding) for cell in cells]


def _cell(data: Mapping[str, Any], column: str) -> str:
    """What stands under a column: a member, or the values of a type."""
    _, is_type, kind = column.partition("values.")
    if is_type:
        return _LIST_SEPARATOR.join(_text(value["data"]) for value in data.get("values", ()) if value["type"] == kind)
    found = data.get(column, "")
    return _LIST_SEPARATOR.join(map(str, found)) if isinstance(found, list) else str(found)


def _text(data: Mapping[str, Any]) -> str:
    return str(data["value"]) if isinstance(data["value"], str) else json.dumps(data["value"], ensure_ascii=False)
