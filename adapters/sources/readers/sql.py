"""A table or query of a database, through SQLAlchemy; imported only where a source is one.

Without `after`, every reading has all rows, in one snapshot of the database. With it, a reading goes on behind the bookmark:
the greatest value of that column, and of the key among rows that share it. What was changed before the last reading but
committed after it would be missed so; therefore each reading begins `overlap` earlier (seconds, or numbers), and rows that were
read before come to nothing. Times that are text, as they all are in SQLite, are taken for times if they are written as in ISO
8601; of other text nothing is earlier. Rows follow one another in the order of that column and the key.

Everything blocks in a thread of its own; the transaction is read-only where the database knows that.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, column, create_engine, select, text
from sqlalchemy.engine import MappingResult, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from adapters.sources.core.cells import SourceRow
from adapters.sources.core.places import SqlPlace
from adapters.sources.readers.reader import PORTION_ROWS, Portion, Unreadable

Done = TypeVar("Done")

# A table may have pictures in it: so many rows are asked for at once, until they hold so many bytes or are a portion.
STEP_ROWS: Final = 20
PORTION_BYTES: Final = 4 * 1024 * 1024

# Of what a database says about a failure: the statement that follows it is ours, and would fill the report.
_SENTENCE_CHARS: Final = 200

_DRIVERS: Final = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite+pysqlite"}

# A day, or a day and a time of it: what follows the seconds (a fraction, a zone) stays as it is.
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:([ T])(\d\d:\d\d(?::\d\d)?)((?:\.\d+)?(?:Z|[+-]\d\d(?::?\d\d)?)?))?")
_DAY_S: Final = 86_400

Bound = tuple[object, object]
"""The greatest value of the column `after`, and of the key among rows that have it."""


class SqlReader:
    """Reads a database."""

    def __init__(self, place: SqlPlace) -> None:
        self._place = place
        self._url = make_url(place.url)
        self._engine = create_engine(
            self._url.set(drivername=_DRIVERS[self._url.drivername]), poolclass=NullPool, connect_args=self._options()
        )

    async def read(self, bookmark: str) -> AsyncGenerator[Portion, None]:
        """All rows, or those behind the bookmark, ordered. Raises `Unreadable`."""
        bound = _parse_bookmark(bookmark) if self._place.after else None
        connection = await self._blocking(self._connect)
        try:
            statement = self._statement(None if bound is None else _earlier(bound, self._place.overlap))
            # What is buffered beyond what is asked for would be as large.
            rows = await self._blocking(lambda: connection.execution_options(max_row_buffer=1).execute(statement))
            columns = list(rows.keys())
            self._check(columns)
            while True:
                portion, is_last = await self._blocking(lambda: _take(rows.mappings()))
                bound = self._greater(bound, portion[-1]) if portion and self._place.after else bound
                named = [self._row(row) for row in portion]
                yield Portion(named, _compose_bookmark(bound) if bound is not None else bookmark, columns)
                if is_last:
                    return
        finally:
            await self._blocking(connection.close)

    async def close(self) -> None:
        """Connections are closed with each reading."""
        self._engine.dispose()

    def _options(self) -> dict[str, Any]:
        timeout_s = self._place.timeout_s
        if self._url.drivername == "sqlite":
            return {"timeout": timeout_s}
        # A server that vanished within an answer says nothing: probes tell, or others would wait for their turn for ever.
        probes = {"keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3}
        statement = f"-c statement_timeout={round(timeout_s * 1000)}"
        return {"connect_timeout": max(1, round(timeout_s)), "options": statement, **probes}

    def _connect(self) -> Connection:
        if self._url.drivername == "sqlite":
            if not Path(self._url.database or "").is_file():
                raise Unreadable(f"there is no file {self._url.database}")  # sqlite would make one
            connection = self._engine.connect()
            connection.exec_driver_sql("PRAGMA query_only=ON")
            return connection
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True, "stream_results": True}
        return self._engine.connect().execution_options(**options)

    def _statement(self, bound: Bound | None) -> Select[Any]:
        place = self._place
        statement: Select[Any] = select(text("*"))
        if place.table:
            schema, _, name = place.table.rpartition(".")
            statement = statement.select_from(sqlalchemy.table(name, schema=schema or None))
        else:
            statement = statement.select_from(text(f"({place.query.rstrip().rstrip(';')}) AS source"))
        key: ColumnElement[Any] = column(place.key)
        if not place.after:
            return statement.order_by(key)
        after: ColumnElement[Any] = column(place.after)
        # NULL is never behind a bookmark: such rows are not read until they have a value.
        statement = statement.where(after.is_not(None)).order_by(after, key)
        if bound is None:
            return statement
        least, key_least = bound
        if key_least is None:
            return statement.where(after >= least)
        return statement.where((after > least) | ((after == least) & (key > key_least)))

    def _check(self, columns: list[str]) -> None:
        for name in filter(None, (self._place.key, self._place.after)):
            if name not in columns:
                raise Unreadable(f"there is no column {name}; there are {', '.join(columns)}")

    def _row(self, row: RowMapping) -> SourceRow:
        return SourceRow(f"{self._place.key} {row[self._place.key]}", dict(row))

    def _greater(self, bound: Bound | None, row: RowMapping) -> Bound:
        """The bound behind a row; never behind where the last reading was, whatever the overlap read again."""
        found = (row[self._place.after], row[self._place.key])
        if bound is None:
            return found
        try:
            return max(bound, found)
        except TypeError:
            return found

    async def _blocking(self, work: Callable[[], Done]) -> Done:
        """Do what blocks, in a thread. Raises `Unreadable`."""
        try:
            return await asyncio.to_thread(work)
        except SQLAlchemyError as error:
            said = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise Unreadable(f"the database: {said[:_SENTENCE_CHARS]}") from None


def _take(rows: MappingResult) -> tuple[list[RowMapping], bool]:
    """The next portion, and whether it is the last."""
    portion: list[RowMapping] = []
    size = 0
    while len(portion) < PORTION_ROWS and size < PORTION_BYTES:
        few = rows.fetchmany(STEP_ROWS)
        portion += few
        size += sum(len(cell) for row in few for cell in row.values() if isinstance(cell, str | bytes))
        if len(few) < STEP_ROWS:
            return portion, True
    return portion, False


def _earlier(bound: Bound, overlap: int) -> Bound:
    """Where a reading begins: so much before the bookmark, whatever the key; at it, if there is nothing before."""
    after, _ = bound
    least: object = None
    if overlap and isinstance(after, datetime):
        least = after - timedelta(seconds=overlap)
    elif overlap and isinstance(after, date):
        least = after - timedelta(days=_whole_days(overlap))
    elif overlap and isinstance(after, int | float | Decimal):
        least = after - overlap
    elif overlap and isinstance(after, str):
        least = _earlier_text(after, overlap)
    return bound if least is None else (least, None)


def _earlier_text(after: str, overlap: int) -> str | None:
    """A time so many seconds before one that is text, written as that is, so that the database compares them as text."""
    found = _TIME.fullmatch(after)
    if found is None:
        return None
    day, between, clock, rest = found.groups(default="")
    try:
        if not clock:
            return (date.fromisoformat(day) - timedelta(days=_whole_days(overlap))).isoformat()
        moment = datetime.fromisoformat(f"{day} {clock}") - timedelta(seconds=overlap)
    except (ValueError, OverflowError):
        return None  # a day that is none, or before the first
    return f"{moment.date().isoformat()}{between}{moment.time().isoformat()[: len(clock)]}{rest}"


def _whole_days(seconds: int) -> int:
    return -(-seconds // _DAY_S)


# How values stand in bookmarks: a letter of their kind before them.
_WRITERS: Final[Mapping[type, tuple[str, Callable[[Any], str]]]] = {
    int: ("i", str),
    str: ("s", str),
    Decimal: ("n", str),
    datetime: ("t", datetime.isoformat),
    date: ("d", date.isoformat),
    float: ("f", repr),
}
_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "i": int,
    "s": str,
    "n": Decimal,
    "t": datetime.fromisoformat,
    "d": date.fromisoformat,
    "f": float,
}


def _compose_bookmark(bound: Bound) -> str:
    return json.dumps([_written(each) for each in bound], ensure_ascii=False)


def _written(value: object) -> str:
    if type(value) not in _WRITERS:
        value = str(value)
    kind, write = _WRITERS[type(value)]
    return kind + write(value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo is not None else value)


def _parse_bookmark(bookmark: str) -> Bound | None:
    if not bookmark:
        return None
    try:
        after, key = (_READERS[each[0]](each[1:]) for each in json.loads(bookmark))
    except (ValueError, KeyError, IndexError, TypeError, ArithmeticError):
        raise Unreadable("its bookmark is not that of a table: read it again from the beginning") from None
    return after, key
