"""Tables of a real PostgreSQL and of SQLite as sources: whole, by time, by number; what fails, and what it costs."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from adapters.sources.core.places import SqlPlace
from adapters.sources.readers.reader import PORTION_ROWS, Unreadable
from adapters.sources.readers.sql import PORTION_BYTES, STEP_ROWS, SqlReader
from tests.support.postgres_server import PostgresServer, postgres_server
from tests.support.rest import RestNode
from tests.support.sources import RunningSource, profile, values_of


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@dataclass
class Database:
    """One of the two, with an empty table of products."""

    kind: str
    url: str
    file: Path | None = None
    server: PostgresServer | None = field(default=None, repr=False)

    def execute(self, statement: str, *rows: tuple[object, ...]) -> None:
        if self.server is not None:
            self.server.execute(statement, *rows)
            return
        assert self.file is not None
        with closing(sqlite3.connect(self.file)) as database, database:
            if rows:
                database.executemany(statement.replace("%s", "?"), rows)
            else:
                database.execute(statement)


@pytest.fixture(params=["postgresql", "sqlite"])
def database(request: pytest.FixtureRequest, server: PostgresServer, tmp_path: Path) -> Database:
    if request.param == "sqlite":
        file = tmp_path / "erp.db"
        found = Database("sqlite", f"sqlite:///{file}", file)
        found.execute("create table products (id integer primary key, serial, title, note, changed_at)")
        return found
    server.execute("drop table if exists products")
    server.execute("create table products (id int primary key, serial text, title text, note text, changed_at timestamptz)")
    return Database("postgresql", server.url, server=server)


def products(database: Database, **more: Any) -> dict[str, Any]:
    return {"kind": "sql", "url": database.url, "table": "products", "key": "id", **more}


def insert(database: Database, *rows: tuple[int, str | None, str | None]) -> None:
    stamp = "now()" if database.kind == "postgresql" else "datetime('now')"
    database.execute(f"insert into products values (%s, %s, %s, null, {stamp})", *rows)


async def test_a_whole_table_with_what_changes_and_what_is_gone(node: RestNode, database: Database) -> None:
    source = RunningSource(node, profile(products(database), gone={"then": "suspend"}))
    insert(database, (1, "T-1", "a"), (2, "T-2", "b"), (3, None, "c"))
    result = await source.run()
    assert (result.state, result.counts["created"], [fault.row for fault in result.faults]) == ("done", 2, ["id 3"])
    database.execute("update products set title = 'B' where id = 2")
    database.execute("update products set serial = 'T-3' where id = 3")
    database.execute("delete from products where id = 1")
    assert (await source.run()).state == "done"
    assert await source.states() == {"T-1": ("suspended", 2), "T-2": ("active", 2), "T-3": ("active", 1)}
    assert values_of(await source.record("T-2"))[2] == "B"


async def test_a_table_that_shrinks_by_nine_tenths_is_held(node: RestNode, database: Database) -> None:
    source = RunningSource(node, profile(products(database), gone={"then": "retire"}))
    insert(database, *((number, f"T-{number}", "a") for number in range(50)))
    await source.run()
    before = await source.states()
    database.execute("delete from products where id >= 5")
    result = await source.run()
    assert (result.state, "45 of 50" in result.message, await source.states()) == ("stopped", True, before)


async def test_by_number_only_what_is_new_is_read_and_what_was_committed_late_is_not_missed(
    node: RestNode, database: Database
) -> None:
    source = RunningSource(node, profile(products(database, after="id", overlap=10)))
    insert(database, *((number, f"T-{number}", "a") for number in range(100, 140)))
    await source.run()
    insert(database, (140, "T-140", "a"), (135 - 1000, "never", "a"))
    database.execute("update products set title = 'late' where id = 133")
    result = await source.run()
    assert (result.counts["rows"], result.counts["created"], result.counts["replaced"]) == (12, 1, 1)
    assert (await source.run()).counts["rows"] == 11


WRITTEN = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.250Z", "%Y-%m-%d %H:%M:%S+08:00", "%Y-%m-%dT%H:%M", "%s", "%s.5")


@pytest.mark.parametrize("written", WRITTEN)
async def test_by_time_what_was_committed_late_is_not_missed(node: RestNode, database: Database, written: str) -> None:
    source = RunningSource(node, profile(products(database, after="changed_at", overlap=60)))
    if database.kind == "postgresql" and written.startswith("%s"):
        database.execute("alter table products drop column changed_at")
        database.execute("alter table products add column changed_at double precision")

    def put(number: int, seconds: int) -> None:
        at = datetime(2026, 1, 31, 0, 0, tzinfo=UTC) + timedelta(seconds=seconds)
        text = at.strftime(written)
        stamp: object = float(text) if written.startswith("%s") else text
        database.execute("insert into products values (%s, %s, 'a', null, %s)", (number, f"T-{number}", stamp))

    put(1, 0)
    put(2, 240)
    await source.run()
    # A transaction that began before the reading, and ended after it; and one that is out of all patience.
    put(3, 180)
    put(4, 60)
    result = await source.run()
    assert (result.counts["rows"], result.counts["created"], result.counts["unchanged"]) == (2, 1, 1)
    assert sorted(await source.states()) == ["T-1", "T-2", "T-3"]
    database.execute("insert into products values (5, 'T-5', 'a', null, null)")
    result = await source.run()
    assert (result.counts["created"], result.counts["replaced"]) == (0, 0)


async def test_a_transaction_that_ends_after_a_reading_is_read_by_the_next(node: RestNode, database: Database) -> None:
    """What is late is a commit of a real transaction: it has its time from when it began."""
    source = RunningSource(node, profile(products(database, after="changed_at")))
    insert(database, (1, "T-1", "a"))
    with late(database) as finish:
        insert(database, (3, "T-3", "a"))
        result = await source.run()
        assert (result.counts["created"], sorted(await source.states())) == (2, ["T-1", "T-3"])
        finish()
    result = await source.run()
    assert (result.counts["created"], result.counts["replaced"]) == (1, 0)
    assert await source.states() == {"T-1": ("active", 1), "T-2": ("active", 1), "T-3": ("active", 1)}
    # What is read again each time changes nothing.
    assert (await source.run()).counts["unchanged"] == 3
    assert (await source.states())["T-2"] == ("active", 1)


@contextmanager
def late(database: Database) -> Iterator[Callable[[], None]]:
    """A transaction with a row of now, that commits when the function is called.

    SQLite has one writer at a time: there a program has stamped its row, and gets its turn when others have had theirs.
    """
    if database.server is not None:
        with psycopg.connect(database.server.dsn) as writing:
            writing.execute("insert into products values (2, 'T-2', 'a', null, now())")
            yield writing.commit
        return
    stamp = sqlite_now()
    # The time has no parts of a second there: others are to be later.
    while sqlite_now() == stamp:
        time.sleep(0.02)
    yield lambda: database.execute("insert into products values (2, 'T-2', 'a', null, %s)", (stamp,))


def sqlite_now() -> str:
    with closing(sqlite3.connect(":memory:")) as database:
        now: str = database.execute("select datetime('now')").fetchall()[0][0]
        return now


async def test_rows_that_share_their_time_come_once_each_however_many(database: Database) -> None:
    count = 2 * PORTION_ROWS + 5
    insert(database, *((number, f"T-{number}", "a") for number in range(count)))
    database.execute("update products set changed_at = '2026-01-31 08:00:00'")
    place = profile(products(database, after="changed_at", overlap=0)).place
    assert isinstance(place, SqlPlace)
    reader = SqlReader(place)
    portions = [portion async for portion in reader.read("")]
    assert [row.cells["id"] for portion in portions for row in portion.rows] == list(range(count))
    rest = [row.cells["id"] async for portion in reader.read(portions[0].bookmark) for row in portion.rows]
    assert rest == list(range(PORTION_ROWS, count))
    assert [row async for portion in reader.read(portions[-1].bookmark) for row in portion.rows] == []


async def test_large_rows_come_in_portions_that_can_be_held(database: Database) -> None:
    insert(database, *((number, f"T-{number}", None if number < 100 else "x" * 300_000) for number in range(180)))
    place = profile(products(database)).place
    assert isinstance(place, SqlPlace)
    portions = [portion async for portion in SqlReader(place).read("")]
    assert [row.cells["id"] for portion in portions for row in portion.rows] == list(range(180))
    sizes = [sum(len(str(row.cells["title"])) for row in portion.rows) for portion in portions]
    assert max(sizes) <= PORTION_BYTES + STEP_ROWS * 300_000


async def test_a_query_with_types_of_its_own(node: RestNode, server: PostgresServer) -> None:
    query = """select * from (values
        (1, 'T-1', 110.50::numeric, date '2026-01-31', true, '{"taps": [1, 2]}'::jsonb, 'x'::bytea, 100::text),
        (2, 'T-2', 'NaN'::numeric, date '2026-02-01', false, '{}'::jsonb, 'y'::bytea, '5%')
      ) as found (id, serial, kv, made, sold, more, picture, share);"""
    values = [
        {"index": 1, "type": "KV", "text": "{kv}"},
        {"index": 2, "type": "MADE", "text": "{made | format '%Y/%m/%d'} {sold} {share}"},
        {"index": 3, "type": "META", "members": {"kv": "{kv | number}", "sold": "{sold}", "taps": "{more | json}"}},
    ]
    read = {"kind": "sql", "url": server.url, "query": query, "key": "id"}
    source = RunningSource(node, profile(read, record={"values": values}))
    result = await source.run()
    assert values_of(await source.record("T-1")) == {
        1: "110.50", 2: "2026/01/31 true 100", 3: '{"kv":110.5,"sold":true,"taps":"{\\"taps\\":[1,2]}"}',
    }  # fmt: skip
    assert [(fault.row, fault.reason) for fault in result.faults] == [
        ("id 2", "value 1 KV: column kv: NaN is no number to register")
    ]
    picture = profile(read, name="pictures", record={"values": [{"index": 1, "type": "P", "text": "{picture}"}]})
    assert {fault.reason for fault in (await RunningSource(node, picture).run()).faults} == {
        "value 1 P: column picture: it is no text but bytes"
    }


async def test_a_renamed_column_is_said_by_name(node: RestNode, database: Database) -> None:
    source = RunningSource(node, profile(products(database), gone={"then": "retire"}))
    insert(database, (1, "T-1", "a"))
    await source.run()
    database.execute("alter table products rename column serial to serial_no")
    result = await source.run()
    assert (result.state, result.message.startswith("there is no column serial; there are id, serial_no")) == ("failed", True)
    assert await source.states() == {"T-1": ("active", 1)}
    database.execute("alter table products rename column id to number")
    assert (await source.run()).state == "failed"


async def test_a_database_that_is_away_fails_the_run_until_it_is_back(node: RestNode, server: PostgresServer) -> None:
    server.execute("drop table if exists products")
    database = Database("postgresql", server.url.replace("tester@", "tester:secret-of-erp@"), server=server)
    source = RunningSource(node, profile(products(database, timeout_s=5)))
    missing = await source.run()
    assert (missing.state, 'relation "products" does not exist' in missing.message) == ("failed", True)
    server.execute("create table products (id int primary key, serial text, title text, note text, changed_at timestamptz)")
    insert(database, (1, "T-1", "a"))
    server.stop()
    try:
        away = await source.run()
    finally:
        server.start()
    assert (away.state, "the database: " in away.message, "secret-of-erp" in away.message) == ("failed", True, False)
    assert (await source.run()).counts["created"] == 1


async def test_nothing_is_written_into_a_source(server: PostgresServer, tmp_path: Path) -> None:
    place = profile({"kind": "sql", "url": f"sqlite:///{tmp_path / 'none.db'}", "table": "products", "key": "id"}).place
    assert isinstance(place, SqlPlace)
    with pytest.raises(Unreadable, match="there is no file"):
        [portion async for portion in SqlReader(place).read("")]
    assert not (tmp_path / "none.db").exists()
    writing = profile(
        {"kind": "sql", "url": server.url, "query": "select 1 as id, pg_create_restore_point('x')", "key": "id"}
    ).place
    assert isinstance(writing, SqlPlace)
    query = "select nextval('numbers') as id"
    server.execute("create sequence if not exists numbers")
    place = profile({"kind": "sql", "url": server.url, "query": query, "key": "id"}).place
    assert isinstance(place, SqlPlace)
    with pytest.raises(Unreadable, match="read-only transaction"):
        [portion async for portion in SqlReader(place).read("")]


async def test_the_bookmark_of_another_kind_of_source_is_refused(database: Database) -> None:
    place = profile(products(database, after="id")).place
    assert isinstance(place, SqlPlace)
    for bookmark in ("0123456789ab", '["x7", "i1"]', "[]", '["ia", "ib"]'):
        with pytest.raises(Unreadable, match="read it again"):
            [portion async for portion in SqlReader(place).read(bookmark)]
