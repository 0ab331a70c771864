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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.city.core.event import Event
from adapters.city.core.places import FileEncoding, FileFormat, FilesPlace
from proto.model.change import parse_cursor

MANIFEST_SUFFIX: Final = ".manifest.json"
FIXED_COLUMNS: Final = ("id", "type", "subject", "rowversion", "time")
_SUFFIX: Final = {FileFormat.JSON: "ndjson", FileFormat.CSV: "csv"}
_ID_CHARS: Final = 8
_DIGEST_CHARS: Final = 12
_LIST_SEPARATOR: Final = ";"


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


def compose_file(feed: str, place: FilesPlace, events: Sequence[Event], start: str) -> ExchangeFile:
    """The file of a batch whose first event comes after the cursor `start`."""
    position = parse_cursor(start)
    stem = f"{feed}-{position.epoch:08x}-{position.sequence:016x}-{events[0].id[:_ID_CHARS]}"
    content = _compose_csv(place, events) if place.format is FileFormat.CSV else _compose_lines(events)
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
        manifest["columns"] = [*FIXED_COLUMNS, *place.columns]
    return ExchangeFile(stem, name, content, json.dumps(manifest, ensure_ascii=False, indent=2).encode() + b"\n")


def parse_file(manifest: Mapping[str, Any], content: bytes) -> list[dict[str, Any]]:
    """The events, or rows of a CSV, of a file that is as its manifest says. Raises `ValueError` if it is not. For readers."""
    if len(content) != manifest["bytes"] or hashlib.sha256(content).hexdigest() != manifest["sha256"]:
        raise ValueError(f"{manifest['file']} is not what its manifest says")
    text = content.decode(manifest["encoding"])
    if manifest["format"] == FileFormat.CSV:
        rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(text, newline="")))
    else:
        rows = [json.loads(line) for line in text.splitlines()]
    if len(rows) != manifest["events"]:
        raise ValueError(f"{manifest['file']} has {len(rows)} events and not {manifest['events']}")
    return rows


def _compose_lines(events: Sequence[Event]) -> bytes:
    return b"".join(event.body + b"\n" for event in events)


def _compose_csv(place: FilesPlace, events: Sequence[Event]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")  # RFC 4180 2.1
    writer.writerow([*FIXED_COLUMNS, *place.columns])
    for event in events:
        document = json.loads(event.body)
        writer.writerow(
            [*(document[name] for name in FIXED_COLUMNS), *(_cell(document["data"], name) for name in place.columns)]
        )
    return text.getvalue().encode(place.encoding, errors="replace")


def _cell(data: Mapping[str, Any], column: str) -> str:
    """What stands under a column: a member, or the values of a type."""
    _, is_type, kind = column.partition("values.")
    if is_type:
        return _LIST_SEPARATOR.join(_text(value["data"]) for value in data.get("values", ()) if value["type"] == kind)
    found = data.get(column, "")
    return _LIST_SEPARATOR.join(map(str, found)) if isinstance(found, list) else str(found)


def _text(data: Mapping[str, Any]) -> str:
    return str(data["value"]) if isinstance(data["value"], str) else json.dumps(data["value"], ensure_ascii=False)
