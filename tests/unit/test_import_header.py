"""Columns and what they are called."""

from base64 import b64encode

import pytest

from proto.errors import Reason, Refusal
from proto.model.value import ADMIN_READ, DEFAULT_PERMISSIONS, PRIVATE, PUBLIC_READ, Reference, Value
from registry.service.imports.encoding import Encoding
from registry.service.imports.header import (
    MAX_HEADER_BYTES,
    column_for,
    parse_column,
    parse_header,
    read_header,
)

UTF_8 = Encoding.UTF_8


def test_columns_may_stand_in_any_order() -> None:
    header = parse_header(["1:URL", "aliases", " identifier ", "2:TITLE"])
    assert (header.width, header.identifier, header.aliases, header.template) == (4, 2, 1, None)
    assert [(place, column.index, column.type) for place, column in header.values] == [(0, 1, "URL"), (3, 2, "TITLE")]


@pytest.mark.parametrize(
    ("names", "mistakes"),
    [
        ([""], ["no column 'identifier'", "column 1 ''"]),
        (["identifier", "identifier"], ["column 'identifier' stands twice"]),
        (["identifier", "1:URL", "1:URL"], ["column '1:URL' stands twice"]),
        (["identifier", "名称"], ["column 2 '名称': expected"]),
        (["identifier", "0:URL", "4294967296:URL", "x:URL", "1:"], ["column 2", "column 3", "column 4", "column 5"]),
        (["identifier", "²:URL"], ["column 2"]),
        (["identifier", "1:URL."], ["family of types"]),
        (["identifier", "1:URL;colour=red"], ["'colour=red' is not an attribute"]),
        (["identifier", "1:URL;ttl=-1", "2:URL;ttl=99999999999999"], ["column 2", "column 3"]),
        (["identifier", "1:URL;permissions=12"], ["four digits"]),
        (["identifier", "1:URL;format=xml"], ["string, base64"]),
        (["identifier", "1:URL;audience=a b"], ["audience"]),
        (["identifier", "1:URL;ttl=1;ttl=2"], ["stands twice"]),
    ],
)
def test_every_mistake_is_named_at_once(names: list[str], mistakes: list[str]) -> None:
    with pytest.raises(Refusal) as caught:
        parse_header(names)
    assert caught.value.reason is Reason.INVALID_ARGUMENT
    assert caught.value.field == "header"
    assert [mistake for mistake in mistakes if mistake not in caught.value.detail] == []


def test_a_table_of_another_kind_is_not_answered_with_thousands_of_mistakes() -> None:
    with pytest.raises(Refusal) as caught:
        parse_header(["x" * 1000] * 2000)
    assert len(caught.value.detail) < 2000
    with pytest.raises(Refusal, match="3000 columns"):
        parse_header(["x"] * 3000)


@pytest.mark.parametrize(
    "value",
    [
        Value(1, "URL", b"https://example.cn"),
        Value(900, "NOTE", "内部".encode(), audience=PRIVATE, permissions=DEFAULT_PERMISSIONS & ~PUBLIC_READ),
        Value(3, "META", b"{}", ttl=60, permissions=ADMIN_READ | PUBLIC_READ),
        Value(5, "PRICE", b"1", audience="buyers", permissions=DEFAULT_PERMISSIONS & ~PUBLIC_READ),
    ],
)
def test_a_value_goes_into_its_column_and_comes_back(value: Value) -> None:
    column = column_for(value, binary=False)
    assert column is not None
    assert parse_column(column.heading).value(value.data.decode()) == value
    coded = column_for(value, binary=True)
    assert coded is not None
    assert parse_column(coded.heading).value(b64encode(value.data).decode()) == value


@pytest.mark.parametrize(
    "value",
    [
        Value(1, "URL", b""),
        Value(1, "A;B", b"x"),
        Value(1, "URL", b"x", ttl=1_900_000_000, ttl_absolute=True),
        Value(1, "URL", b"x", references=(Reference("88.118.1001/R", 1),)),
    ],
)
def test_what_no_column_can_hold_is_not_put_into_one(value: Value) -> None:
    assert column_for(value, binary=False) is None


def test_a_cell_that_is_not_base64_is_refused_by_its_column() -> None:
    with pytest.raises(Refusal) as caught:
        parse_column("7:KEY;format=base64").value("%%%")
    assert (caught.value.reason, caught.value.field) == (Reason.INVALID_VALUE, "7:KEY;format=base64")


def test_the_header_ends_where_the_rows_begin() -> None:
    for text in ("identifier,1:URL\r\nrest", '\ufeff"identifier","1:URL"\nrest', '"identifier",1:URL\nrest'):
        data = text.encode()
        header, end = read_header(data, UTF_8)
        assert header.width == 2
        assert data[end:] == b"rest"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"PK\x03\x04....", "workbook"),
        (b"\xff\xfei\x00", "UTF-16"),
        (b'"identifier,1:URL\n1,2\n', "does not end"),
        (b'"identifier"x,1:URL\n', "closing quote"),
        (b"identifier,1:\xff\xff\n", "not text in utf-8"),
        (b"identifier," + b"x" * MAX_HEADER_BYTES + b"\n", "does not end"),
    ],
)
def test_what_is_no_header_is_refused_by_name(data: bytes, why: str) -> None:
    with pytest.raises(Refusal, match=why):
        read_header(data[: MAX_HEADER_BYTES + 1], UTF_8)
