"""Tables, for any content: the same rows at every split, from every row boundary, and as the standard library reads them."""

import csv
import io
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from registry.service.imports.cells import CellScanner, Scan
from registry.service.imports.csv_rows import split_quoted
from registry.service.imports.encoding import Encoding
from registry.service.imports.rows import TableRow
from registry.service.imports.tables import Table, TableFormat, open_table
from registry.service.plan import Draft

HEADER = ["identifier", "1:URL", "2:TITLE"]
cells = st.text(st.sampled_from("ab变压器𠮷,\"\n\r '"), max_size=6)
records = st.lists(st.tuples(cells.filter(bool), cells, cells), max_size=6)
encodings = st.sampled_from(Encoding)
garbage = st.lists(
    st.sampled_from([b"a", b",", b'"', b"\n", b"\r", "变".encode(), "变".encode("gb18030"), b"\xff", b"{", b"}"])
)


def rows_of(table: Table, data: bytes, pieces: Iterator[int]) -> list[TableRow]:
    rows, at = [], table.offset
    for size in pieces:
        table.feed(data[at : at + size])
        at += size
        while (row := table.next_row()) is not None:
            rows.append(row)
    table.feed(data[at:])
    table.finish()
    while (row := table.next_row()) is not None:
        rows.append(row)
    return rows


def read(
    form: TableFormat, encoding: Encoding, data: bytes, offset: int = 0, pieces: Iterator[int] = iter(())
) -> list[TableRow]:
    return rows_of(open_table(form, encoding, data, offset), data, pieces)


def written(rows: list[tuple[str, str, str]], encoding: Encoding, line_end: str) -> bytes:
    text = io.StringIO()
    sparing, careful = (
        csv.writer(text, lineterminator=line_end),
        csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL),
    )
    for row in [tuple(HEADER), *rows]:
        # Python's writer leaves a carriage return bare, which at the end of a line would be half of a line end.
        (careful if any("\r" in cell for cell in row) else sparing).writerow(row)
    return text.getvalue().encode(encoding)


@given(records, encodings, st.sampled_from(["\n", "\r\n"]))
def test_what_the_standard_library_writes_is_read_as_it_was(
    rows: list[tuple[str, str, str]], encoding: Encoding, line_end: str
) -> None:
    found = []
    for row in read(TableFormat.CSV, encoding, written(rows, encoding, line_end)):
        assert isinstance(row.item, Draft)
        values = {value.index: value.data.decode() for value in row.item.values}
        found.append((row.item.identifier, values.get(1, ""), values.get(2, "")))
    assert found == rows


@settings(max_examples=60)
@given(records, encodings, garbage, st.lists(st.integers(1, 9), max_size=80), st.sampled_from(TableFormat))
def test_rows_do_not_depend_on_where_the_pieces_end(
    rows: list[tuple[str, str, str]], encoding: Encoding, junk: list[bytes], pieces: list[int], form: TableFormat
) -> None:
    data = written(rows, encoding, "\n") + b"".join(junk)
    assert read(form, encoding, data, pieces=iter(pieces)) == read(form, encoding, data)


@settings(max_examples=60)
@given(records, encodings, garbage, st.sampled_from(TableFormat))
def test_reading_goes_on_at_any_row_boundary(
    rows: list[tuple[str, str, str]], encoding: Encoding, junk: list[bytes], form: TableFormat
) -> None:
    data = written(rows, encoding, "\n") + b"".join(junk)
    whole = read(form, encoding, data)
    for count, row in enumerate(whole, 1):
        assert read(form, encoding, data, row.end) == whole[count:]


@given(records, garbage, st.sampled_from(TableFormat), encodings)
def test_every_byte_belongs_to_a_row_or_is_blank(
    rows: list[tuple[str, str, str]], junk: list[bytes], form: TableFormat, encoding: Encoding
) -> None:
    data = written(rows, encoding, "\n") + b"".join(junk)
    table = open_table(form, encoding, data)
    found = rows_of(table, data, iter(()))
    assert [row.end for row in found] == sorted({row.end for row in found})
    assert not data[table.offset :].strip(b"\r\n ,")


@settings(max_examples=300)
@given(st.lists(st.text(st.sampled_from("a变,\"\r '"), max_size=8), max_size=4))
def test_both_ways_to_read_a_row_with_quotes_agree(texts: list[str]) -> None:
    line = ",".join(texts)
    scanner = CellScanner()
    state = scanner.feed(line.encode())
    cells = split_quoted(line) if '"' in line else None
    if cells is not None:
        assert state is Scan.WHOLE
        assert cells == [cell.decode() for cell in scanner.cells]
