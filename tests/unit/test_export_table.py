"""Exported rows as a CSV: what it can hold comes back as it was, what it cannot is named."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.client.export_table import TooManyColumns, write_csv
from proto.model.record import Record, State
from proto.model.value import PRIVATE, Reference, Value, derive_permissions
from registry.doors.rest.export import row_document
from registry.service.imports.encoding import Encoding
from registry.service.imports.tables import TableFormat, open_table
from registry.service.plan import Draft

TIME_S = 1_767_225_600


def record(name: str, *values: Value, template: str = "", aliases: tuple[str, ...] = ()) -> Record:
    return Record(f"88.118.1001/{name}", 1, State.ACTIVE, values, "R", 1, 1, template, aliases)


def value(index: int, kind: str, data: bytes, audience: str = "public", **more: Any) -> Value:
    permissions = derive_permissions(more.pop("permissions", 0b1110), audience)
    return Value(index, kind, data, timestamp=TIME_S, audience=audience, permissions=permissions, **more)


def exported(tmp_path: Path, *records: Record) -> tuple[bytes, list[str]]:
    rows, output = tmp_path / "rows.ndjson", tmp_path / "out.csv"
    rows.write_text("".join(json.dumps(row_document(each), ensure_ascii=False) + "\n" for each in records))
    misfits = write_csv(rows, output)
    return output.read_bytes(), misfits


def imported(data: bytes) -> list[Draft]:
    table = open_table(TableFormat.CSV, Encoding.UTF_8, data)
    table.feed(data[table.offset :])
    table.finish()
    drafts = []
    while (row := table.next_row()) is not None:
        assert isinstance(row.item, Draft)
        drafts.append(row.item)
    return drafts


def test_what_a_csv_can_hold_comes_back_as_it_was(tmp_path: Path) -> None:
    records = [
        record("A", value(1, "URL", b"https://example.cn"), value(2, "TITLE", '"变压器",\r\n二\n'.encode())),
        record("B", value(2, "TITLE", "电缆".encode(), ttl=60), template="cable", aliases=("88.118.1001/X", "88.118.1001/Y,Z")),
        record("C", value(900, "NOTE", "内部".encode(), PRIVATE), value(9, "KEY", bytes(range(256)), "buyers")),
        record("D", value(1, "URL", b" x ", permissions=0b1010)),
        record("E"),
    ]
    data, misfits = exported(tmp_path, *records)
    assert misfits == []
    for draft, expected in zip(imported(data), records, strict=True):
        assert draft.identifier == expected.identifier
        assert (draft.template, draft.aliases) == (expected.template, expected.aliases)
        assert sorted(draft.values, key=lambda each: each.index) == [
            replace(each, timestamp=0) for each in sorted(expected.values, key=lambda each: each.index)
        ]


@pytest.mark.parametrize(
    "unfit",
    [
        value(1, "URL", b""),
        value(1, "URL", b"x", ttl=1_900_000_000, ttl_absolute=True),
        value(1, "URL", b"x", references=(Reference("88.118.1001/R", 1),)),
        value(1, "A;B", b"x"),
    ],
)
def test_what_it_cannot_hold_is_named_and_left_out_whole(tmp_path: Path, unfit: Value) -> None:
    data, misfits = exported(tmp_path, record("A", unfit, value(2, "TITLE", b"t")), record("B", value(2, "TITLE", b"t")))
    assert misfits == ["88.118.1001/A"]
    assert [draft.identifier for draft in imported(data)] == ["88.118.1001/B"]


def test_nothing_is_exported_as_a_header_alone(tmp_path: Path) -> None:
    data, misfits = exported(tmp_path)
    assert (data, misfits) == (b"identifier\r\n", [])
    assert imported(data) == []


def test_a_csv_has_no_room_for_thousands_of_kinds(tmp_path: Path) -> None:
    records = [record(str(number), value(number + 1, "T", b"x")) for number in range(2_100)]
    with pytest.raises(TooManyColumns):
        exported(tmp_path, *records)
    assert not (tmp_path / "out.csv").exists()
