"""Rows of CSV and NDJSON tables: what they ask for, and what a broken one costs."""

import json

import pytest

from proto.errors import Reason, Refusal
from proto.model.value import PRIVATE
from registry.service.imports.encoding import Encoding
from registry.service.imports.lines import MAX_ROW_BYTES
from registry.service.imports.rows import TableRow
from registry.service.imports.tables import Table, TableFormat, format_of, open_table
from registry.service.plan import Draft, Outcome, RowOutcome

UTF_8, GB = Encoding.UTF_8, Encoding.GB_18030
HEADER = "identifier,1:URL,2:TITLE\n"


def read(data: bytes, form: TableFormat = TableFormat.CSV, encoding: Encoding = UTF_8, template: str = "") -> list[TableRow]:
    table = open_table(form, encoding, data, template=template)
    return read_rest(table, data)


def read_rest(table: Table, data: bytes) -> list[TableRow]:
    table.feed(data[table.offset :])
    table.finish()
    rows = []
    while (row := table.next_row()) is not None:
        rows.append(row)
    return rows


def texts(row: TableRow) -> list[str]:
    assert isinstance(row.item, Draft)
    return [row.item.identifier, *(value.data.decode() for value in row.item.values)]


def refusal(row: TableRow) -> RowOutcome:
    assert isinstance(row.item, RowOutcome)
    assert row.item.outcome is Outcome.REFUSED
    return row.item


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", []),
        ("P/1,u,t", [["P/1", "u", "t"]]),
        ("P/1,u,t\n", [["P/1", "u", "t"]]),
        ("P/1,u,t\r\nP/2,u,t\r\n", [["P/1", "u", "t"], ["P/2", "u", "t"]]),
        ("\n\r\nP/1,u,t\n\n", [["P/1", "u", "t"]]),
        (",,\r\nP/1,,t\n,,\n", [["P/1", "t"]]),
        ('"P/1","u","t"\n', [["P/1", "u", "t"]]),
        ('"P,/1",u,"say ""变压器"""\r\n', [["P,/1", "u", 'say "变压器"']]),
        ('P/1,"two\nlines","and\r\nthree\n\n"\nP/2,u,t', [["P/1", "two\nlines", "and\r\nthree\n\n"], ["P/2", "u", "t"]]),
        ('P/1,5" pipe,t\n', [["P/1", '5" pipe', "t"]]),
        ('P/1,"",""\nP/2,u,"t"\r\n', [["P/1"], ["P/2", "u", "t"]]),
        (" P/1 , u ,t\n", [[" P/1 ", " u ", "t"]]),
    ],
)
def test_a_csv_is_read_as_rfc_4180_says(text: str, rows: list[list[str]]) -> None:
    assert [texts(row) for row in read((HEADER + text).encode())] == rows


def test_values_have_what_their_columns_say() -> None:
    rows = read(
        'identifier,template,900:NOTE;audience=private,aliases\nP/1,,内部,"Q/1\nQ/2"\nP/2,T2,x,\n'.encode(), template="T"
    )
    first, second = (row.item for row in rows)
    assert isinstance(first, Draft)
    assert isinstance(second, Draft)
    assert (first.template, first.aliases, second.template, second.aliases) == ("T", ("Q/1", "Q/2"), "T2", ())
    (note,) = first.values
    assert (note.index, note.type, note.data, note.audience, note.timestamp) == (900, "NOTE", "内部".encode(), PRIVATE, 0)


@pytest.mark.parametrize(
    ("line", "reason", "field", "identifier"),
    [
        (b"P/1,u\n", Reason.INVALID_ARGUMENT, "row", "P/1"),
        (b"P/1,u,t,x\n", Reason.INVALID_ARGUMENT, "row", "P/1"),
        (b"P/1,\xff\xff,t\n", Reason.INVALID_ENCODING, "row", "P/1"),
        (b'"P/1","\xff\xff",t\n', Reason.INVALID_ENCODING, "row", "P/1"),
        (b'P/1,"u"x,t\n', Reason.INVALID_ARGUMENT, "row", "P/1"),
        (b'P/1,"never closed,t\n', Reason.INVALID_ARGUMENT, "row", "P/1"),
        (b"P/1," + b"u" * MAX_ROW_BYTES + b",t\n", Reason.BATCH_TOO_LARGE, "", ""),
        (b'P/1,"' + b"u\n" * 5 + b"u" * MAX_ROW_BYTES + b'",t\n', Reason.INVALID_ARGUMENT, "row", "P/1"),
    ],
)
def test_a_broken_row_costs_itself_alone(line: bytes, reason: Reason, field: str, identifier: str) -> None:
    data = HEADER.encode() + b"P/0,u,t\n" + line + b"P/2,u,t\nP/3,u,t"
    rows = read(data)
    assert texts(rows[0])[0] == "P/0"
    found = refusal(rows[1])
    assert (found.reason, found.field, found.identifier) == (reason, field, identifier)
    assert [texts(row)[0] for row in rows[-2:]] == ["P/2", "P/3"]
    assert rows[-1].end == len(data)


def test_a_row_broken_in_gb_18030_leaves_the_next_one_whole() -> None:
    data = (HEADER + "P/1,u,变压器\n").encode("gb18030") + b"P/2,u,\x81\n" + "P/3,u,电缆".encode("gb18030")
    first, broken, last = read(data, encoding=GB)
    assert texts(first)[2] == "变压器"
    assert refusal(broken).reason is Reason.INVALID_ENCODING
    assert texts(last)[2] == "电缆"


def test_a_quote_that_is_never_closed_does_not_swallow_the_file() -> None:
    rows = read((HEADER + 'P/1,"open,t\n' + "P/2,u,t\n" * 1000).encode())
    assert refusal(rows[0]).detail == "a quoted cell is not closed"
    assert len(rows) == 1001


def test_the_table_names_the_column_that_a_refusal_means() -> None:
    data = (HEADER + "P/1,,t\n").encode()
    table = open_table(TableFormat.CSV, UTF_8, data)
    (row,) = read_rest(table, data)
    assert isinstance(row.item, Draft)
    assert table.field_name(row.item, "values[0].data") == "2:TITLE"
    assert table.field_name(row.item, "values[7]") == "values[7]"
    assert table.field_name(row.item, "identifier") == "identifier"


def ndjson(*documents: object) -> bytes:
    return "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in documents).encode()


TITLE = {"index": 2, "type": "TITLE", "data": {"format": "string", "value": "变压器"}}


def test_a_line_of_ndjson_is_the_body_of_a_registration() -> None:
    data = b"\xef\xbb\xbf\n" + ndjson({"identifier": "P/1", "values": [TITLE], "aliases": ["Q/1"], "template": "T2"})
    data += b"  \r\n" + ndjson({"identifier": "P/2", "values": []}).rstrip()
    first, second = read(data, TableFormat.NDJSON, template="T")
    assert isinstance(first.item, Draft)
    assert isinstance(second.item, Draft)
    assert (first.item.template, first.item.aliases, second.item.template) == ("T2", ("Q/1",), "T")
    assert first.item.values[0].data == "变压器".encode()
    assert first.item.values[0].timestamp == 0
    assert second.end == len(data)


@pytest.mark.parametrize(
    ("line", "reason", "field", "identifier"),
    [
        (b"{", Reason.INVALID_ARGUMENT, "row", ""),
        (b"[" * 100_000, Reason.INVALID_ARGUMENT, "row", ""),
        (b"[1]", Reason.INVALID_ARGUMENT, "", ""),
        (b'{"identifier": 5, "values": []}', Reason.INVALID_ARGUMENT, "identifier", ""),
        (b'{"identifier": "P/1\\ud800", "values": []}', Reason.INVALID_ARGUMENT, "identifier", "P/1?"),
        (b'{"identifier": "P/1"}', Reason.INVALID_VALUE, "values", "P/1"),
        (b'{"identifier": "P/1", "values": [], "colour": 1}', Reason.INVALID_ARGUMENT, "colour", "P/1"),
        (b'{"identifier": "P/1", "values": [], "state": "retired"}', Reason.INVALID_ARGUMENT, "state", "P/1"),
        (b'{"identifier": "P/1", "values": [], "aliases": [3]}', Reason.INVALID_ARGUMENT, "aliases[0]", "P/1"),
        (b'{"identifier": "P/1", "values": [{"index": 1}]}', Reason.INVALID_VALUE, "values[0].type", "P/1"),
        (b'{"identifier": "P/1\xff"}', Reason.INVALID_ENCODING, "row", ""),
        (b'"' + b"x" * MAX_ROW_BYTES + b'"', Reason.BATCH_TOO_LARGE, "", ""),
    ],
)
def test_a_broken_document_costs_itself_alone(line: bytes, reason: Reason, field: str, identifier: str) -> None:
    broken, whole = read(line + b"\n" + ndjson({"identifier": "P/2", "values": []}), TableFormat.NDJSON)
    found = refusal(broken)
    assert (found.reason, found.field, found.identifier) == (reason, field, identifier)
    assert isinstance(whole.item, Draft)


@pytest.mark.parametrize(
    ("name", "form"), [("a.csv", "csv"), ("A.B.CSV", "csv"), ("a.ndjson", "ndjson"), ("a.jsonl", "ndjson")]
)
def test_the_extension_says_the_format(name: str, form: str) -> None:
    assert format_of(name) == form


@pytest.mark.parametrize(
    ("name", "why"), [("a.xlsx", "save the sheet as CSV"), ("a", r"\.csv"), ("csv", r"\.csv"), ("", r"\.csv")]
)
def test_other_files_are_refused_by_name(name: str, why: str) -> None:
    with pytest.raises(Refusal, match=why):
        format_of(name)
    with pytest.raises(Refusal, match="workbook"):
        open_table(TableFormat.NDJSON, UTF_8, b"PK\x03\x04")
