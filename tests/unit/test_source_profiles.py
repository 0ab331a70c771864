"""Profiles of sources: what one says, and that all that is wrong with one is named at once."""

import subprocess
import sys
from typing import Any

import pytest

from adapters.section import ProfileMistakes
from adapters.sources.core.places import FilesPlace, Paging, RestPlace, SqlPlace
from adapters.sources.core.profile import Brake, Gone, Then, parse_profile
from tests.support.sources import VALUES, document, profile

FILES = {"kind": "files", "folder": "/srv/out"}
SQL = {"kind": "sql", "url": "postgresql://erp@db/erp", "table": "products", "key": "id"}
REST = {"kind": "rest", "url": "https://mes.example/products"}


def mistakes(read: Any = FILES, **sections: Any) -> list[str]:
    with pytest.raises(ProfileMistakes) as found:
        parse_profile(document(read, **sections), lambda said: said)
    return list(found.value.mistakes)


def test_what_a_profile_need_not_say() -> None:
    found = profile(FILES)
    assert (found.system, found.every_s, found.gone, found.brake) == ("erp", 300.0, Gone(), Brake(0.2, 0.5, 10))
    assert isinstance(found.place, FilesPlace)
    assert (found.place.pattern, found.place.is_whole, found.place.settle_s) == ("*.csv", False, 10.0)
    assert found.mapping.indexes == {1, 2, 3}
    assert found.mapping.columns == {"serial", "title", "note"}


def test_places() -> None:
    table, listing = profile(SQL | {"after": "changed_at"}).place, profile(REST).place
    assert isinstance(table, SqlPlace)
    assert isinstance(listing, RestPlace)
    assert (table.is_whole, table.overlap, listing.is_whole, listing.paging) == (False, 60, True, Paging.NONE)
    assert profile(SQL, gone={"then": "retire"}).gone.then is Then.RETIRE


def test_secrets_are_not_told() -> None:
    found = profile(SQL | {"url": "postgresql://erp:pass-of-erp@db/erp"})
    assert "pass-of-erp" not in repr(found)
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("read", "sections", "said"),
    [
        ({"kind": "fax"}, {}, "read.kind: one of files, sql, rest is wanted"),
        ({"kind": "files"}, {}, "read.folder: it is missing"),
        (FILES | {"format": "xlsx"}, {}, "read.format: one of csv, ndjson"),
        (FILES | {"encoding": "big5"}, {}, "read.encoding: one of utf-8, gb18030"),
        (FILES | {"listing": "half"}, {}, "read.listing: one of changes, whole"),
        (FILES | {"pattern": "a/*.csv"}, {}, "read.pattern: "),
        (FILES | {"delimiter": ",,"}, {}, "read.delimiter: one ASCII character"),
        (FILES | {"marker": "done"}, {}, "read.marker: "),
        (FILES | {"settle_s": -1}, {}, "read.settle_s: a number from 0"),
        (FILES | {"folders": "x"}, {}, "read.folders: unknown key"),
        (SQL | {"query": "select 1"}, {}, "read.table: either a table is wanted, or a query"),
        (SQL | {"url": "oracle://db/erp"}, {}, "read.url: postgresql://"),
        (SQL | {"url": "sqlite://"}, {}, "read.url: postgresql://"),
        (SQL | {"url": "postgresql:erp:secret@db/erp"}, {}, "read.url: postgresql://"),
        (SQL | {"url": "postgresql://erp:secret@db:99999999/erp"}, {}, "read.url: it is no URL"),
        (SQL | {"url": "postgresql://erp:secret@[::1/erp"}, {}, "read.url: it is no URL"),
        (REST | {"url": "http://mes:port/"}, {}, "read.url: it is no URL"),
        (SQL | {"overlap": 5}, {}, "read.overlap: it is of use only with after"),
        (SQL | {"after": "id"}, {"gone": {"then": "retire"}}, "gone.then: only a source that is read whole"),
        (FILES, {"gone": {"then": "suspend"}}, "gone.then: only a source that is read whole"),
        (REST | {"url": "ftp://x/"}, {}, "read.url: "),
        (REST | {"url": "https://me:secret@x/"}, {}, "read.url: "),
        (REST | {"paging": "scroll"}, {}, "read.paging: one of none, page, cursor, link"),
        (REST | {"paging": "page"}, {}, "read.parameter: paging by page needs"),
        (REST | {"paging": "cursor", "parameter": "c"}, {}, "read.next: where is the next cursor"),
        (REST | {"since": "s"}, {}, "read.after: since and after"),
        (FILES, {"record": {"values": []}}, "record.values: 1 to 2048 are wanted"),
        (FILES, {"record": {"values": [VALUES[0], VALUES[0]]}}, "record.values: two of them have the same index"),
        (FILES, {"record": {"values": [{"index": 1, "type": "URL"}]}}, "record.values[0].text: either a text"),
        (FILES, {"record": {"values": [{"type": "URL", "text": "x"}]}}, "record.values[0].index: it is missing"),
        (FILES, {"record": {"values": [VALUES[0] | {"type": "HS_ADMIN"}]}}, "record.values[0].type: "),
        (FILES, {"record": {"values": [VALUES[0] | {"audience": "Every one"}]}}, "record.values[0].audience: "),
        (FILES, {"record": {"values": [VALUES[0] | {"text": "{a | map m}"}]}}, "record.values[0].text: there is no map m"),
        (FILES, {"record": {"aliases": ["{a"]}}, "record.aliases: a { without its }"),
        (FILES, {"maps": {"m": {"a": 1}}}, "maps.m: texts for texts are wanted"),
        (FILES, {"prefix": "88/1"}, "prefix: "),
        (FILES, {"prefix": "88.ABC"}, 'prefix: "88.ABC": a prefix is written as it is stored: 88.abc'),
        (FILES, {"token": ""}, "token: a string is wanted"),
        (FILES, {"every_s": 0}, "every_s: a number from 1 to 86400"),
        (FILES, {"brake": {"share": 2}}, "brake.share: a number from 0 to 1"),
        (FILES, {"brake": {"least": 1e9}}, "brake.least: "),
        (FILES, {"breaks": {}}, "breaks: unknown key"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(read: dict[str, Any], sections: dict[str, Any], said: str) -> None:
    assert any(each.startswith(said) for each in mistakes(read, **sections)), mistakes(read, **sections)
    assert "secret" not in "".join(mistakes(read, **sections))


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(ProfileMistakes) as found:
        parse_profile({"name": "Bad", "read": {}, "record": {"identifier": "{"}, "maps": 7}, lambda said: said)
    keys = {each.partition(":")[0] for each in found.value.mistakes}
    assert keys == {"name", "token", "read.kind", "prefix", "record.identifier", "record.values", "maps"}


def test_a_secret_that_cannot_be_read_is_a_mistake_and_is_not_repeated() -> None:
    def reveal(said: str) -> str:
        raise ValueError("the environment has no KEY")

    with pytest.raises(ProfileMistakes) as found:
        parse_profile(document(SQL), reveal)
    assert found.value.mistakes == ("token: the environment has no KEY", "read.url: the environment has no KEY")


def test_what_a_database_needs_is_loaded_only_where_a_source_is_one() -> None:
    code = "import sys, node.adapters; print(sorted({'sqlalchemy', 'psycopg'} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
