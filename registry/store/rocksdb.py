"""The embedded store: RocksDB, one writer, one sync for a whole group.

`write()` holds the GIL and must not sync; `flush_wal(True)` syncs without it. After any error of a write RocksDB goes on
failing although the cause is gone, so the store refuses everything until it has been closed and opened again.

Recovery: RocksDB stops quietly at the first damage in its write-ahead log, wherever that is, and drops what comes after.
At the very end that is a torn write that nobody was told of; anywhere else it is lost data, and RocksDB cannot tell the
two apart. So whoever opens a store first looks at it without touching it (`peek_head`) and compares what would be
recovered with what was acknowledged (`registry.commit.recovery`).
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final, TypeVar, cast

from rocksdict import Cache, Checkpoint, ColumnFamily, DBRecoveryMode, Rdict, WriteBatch

from proto import keys
from proto.keys import HEAD_KEY, log_key, space_prefix
from proto.model.change import Head, Position
from proto.packing import version_of
from proto.tables import pack_head, unpack_head
from registry.store.plan import Plan, keys_to_read, plan_group
from registry.store.port import Applied, Mismatch, Snapshot, StoreFailed, Transaction, Unusable
from resolver.view.database import (
    FAMILY_OF_SPACE,
    Database,
    Family,
    database_options,
    family_options,
    open_read_only,
)

log = logging.getLogger(__name__)

T = TypeVar("T")
Rows = Iterator[tuple[bytes, bytes]]

# Expectations of updates are read at random; the page cache holds the rest.
_CACHE_BYTES: Final = 32 * 1024 * 1024

# What a start must read again at most after a kill: about a quarter of a second.
_MAX_WAL_BYTES: Final = 96 * 1024 * 1024

# A flush and a compaction at once; more would take the cores from answering.
_BACKGROUND_JOBS: Final = 2

# Written-out files reach the disk in portions, not in one burst that delays the next commit's sync.
_BYTES_PER_SYNC: Final = 1024 * 1024

# Another thread may be in the middle of a read when the store is closed, and its handle keeps the lock that long.
_REOPEN_WAIT_S: Final = 5.0
_REOPEN_STEP_S: Final = 0.01

_STATE: Final = (Family.TABLES, Family.IDEMPOTENCY, Family.RECORDS)


def peek_head(folder: Path) -> Head | None:
    """The head that opening the store in `folder` would recover, found without changing anything; None: no store there.

    Raises `Unusable` if RocksDB would not open it at all.
    """
    if not (folder / "CURRENT").exists():
        return None
    try:
        database = open_read_only(folder, families=(Family.META,))
    except Exception as error:
        raise Unusable(f"the store cannot be read: {error}") from error
    try:
        value = database.get(HEAD_KEY)
        return unpack_head(value) if value else None
    except Exception as error:
        raise Unusable(f"the store's head cannot be read: {error}") from error
    finally:
        database.close()


@dataclass(slots=True)
class _Open:
    """An open database and all that keeps it open: RocksDB gives its lock back when the last of these is gone."""

    rdict: Rdict
    database: Database
    families: dict[Family, Rdict]
    handles: dict[int, ColumnFamily]

    def close(self) -> None:
        self.handles.clear()
        self.families.clear()
        try:
            self.database.close()
        except Exception as error:  # noqa: BLE001 - after a failed write closing fails too, and closes all the same
            log.warning("the store closed with an error", extra={"error": str(error)})


def _open(folder: Path, cache: Cache) -> _Open:
    options = database_options(is_reader=False)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_wal_recovery_mode(DBRecoveryMode.point_in_time())
    options.set_max_total_wal_size(_MAX_WAL_BYTES)
    options.set_max_background_jobs(_BACKGROUND_JOBS)
    options.set_bytes_per_sync(_BYTES_PER_SYNC)
    columns = {family.value: family_options(family, cache, is_reader=False) for family in Family}
    rdict = Rdict(str(folder), options, columns)
    families = {family: rdict.get_column_family(family.value) for family in Family}
    handles = {family: rdict.get_column_family_handle(family.value) for family in Family}
    by_space = {space: handles[family] for space, family in FAMILY_OF_SPACE.items()}
    return _Open(rdict, Database(rdict, tuple(Family)), families, by_space)


class RocksdbStore:
    """Opens the store in `folder`, or makes one that begins at `first`. Raises `Unusable`."""

    def __init__(self, folder: Path, first: Head) -> None:
        self._folder = folder
        self._cache = Cache(_CACHE_BYTES)
        # Held while something is written or a snapshot is taken, so that a snapshot lies between two groups.
        self._writing = threading.Lock()
        self._failure = ""
        self._head = first
        try:
            self._open: _Open | None = _open(folder, self._cache)
        except Exception as error:
            raise Unusable(f"the store cannot be opened: {error}") from error
        head = self._open.database.get(HEAD_KEY)
        if head is None:
            self._write(self._open, {HEAD_KEY: pack_head(first)})
        else:
            self._head = unpack_head(head)

    def head(self) -> Head:
        return self._head

    def get(self, keys: Sequence[bytes]) -> list[tuple[int, bytes] | None]:
        values = self._guarded(lambda opened: opened.database.get_many(keys))
        return [(version_of(value), value) if value is not None else None for value in values]

    def scan(self, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        return self._guarded(lambda opened: opened.database.scan(prefix, after, limit))

    def log(self, after: Position, limit: int) -> list[tuple[Position, bytes]]:
        rows = self._guarded(lambda opened: opened.database.scan(space_prefix(keys.LOG), log_key(*after), limit))
        return [(keys.position_in_log_key(key), frame) for key, frame in rows]

    def snapshot(self) -> Snapshot:
        with self._writing:
            return Snapshot(self._head.position, self._guarded(_frozen_rows))

    def apply(self, group: Sequence[Transaction], now_ms: int) -> list[Applied | Mismatch]:
        wanted = keys_to_read(group)
        found = self._guarded(lambda opened: opened.database.get_many(wanted))
        plan = plan_group(self._head, group, dict(zip(wanted, found, strict=True)), now_ms)
        writes = plan.writes
        for position, frame in plan.frames:
            writes[log_key(*position)] = frame
        if plan.frames:
            writes[HEAD_KEY] = pack_head(plan.head)
        if writes:
            with self._writing:
                self._guarded(lambda opened: self._write(opened, writes), plan)
                self._head = plan.head
        return plan.results

    def trim_log(self, through: Position) -> None:
        self.drop(space_prefix(keys.LOG), log_key(through.epoch, through.sequence + 1))

    def drop(self, begin: bytes, end: bytes) -> None:
        # Not synced: whoever drops does so again after a crash that undid it.
        batch = WriteBatch(raw_mode=True)

        def write(opened: _Open) -> None:
            batch.delete_range(begin, end, opened.handles[begin[1]])
            opened.rdict.write(batch)

        with self._writing:
            self._guarded(write)

    def reopen(self) -> None:
        with self._writing:
            self._failure = self._failure or "the store is being opened again"
            self._let_go()
            try:
                self._open = self._open_again()
                self._head = unpack_head(self._open.database.get(HEAD_KEY) or b"")
            except Exception as error:
                self._let_go()
                raise StoreFailed([], self._head, str(error)) from error
            self._failure = ""

    def close(self) -> None:
        self._failure = self._failure or "the store is closed"
        self._let_go()

    def begin_flush(self) -> None:
        """Have RocksDB write out in the background what is in memory. Raises `StoreFailed`."""
        self._guarded(lambda opened: _flush(opened, wait=False))

    def is_flushing(self) -> bool:
        """Whether something of that is still being written. Raises `StoreFailed`."""
        return self._guarded(lambda opened: any(map(_unflushed, opened.families.values())))

    def checkpoint(self, folder: Path) -> None:
        """Make an immutable copy (hard links) of the store as it is, in `folder`, which must not exist. Raises `StoreFailed`.

        Flushes first: a checkpoint would flush by itself, but hold the GIL all the while.
        """

        def make(opened: _Open) -> None:
            _flush(opened, wait=True)
            Checkpoint(opened.rdict).create_checkpoint(str(folder))

        self._guarded(make)

    def _write(self, opened: _Open, writes: dict[bytes, bytes]) -> None:
        batch = WriteBatch(raw_mode=True)
        handles = opened.handles
        for key, value in writes.items():
            if value:
                batch.put(key, value, handles[key[1]])
            else:
                batch.delete(key, handles[key[1]])
        opened.rdict.write(batch)
        opened.rdict.flush_wal(True)

    def _guarded(self, action: Callable[[_Open], T], plan: Plan | None = None) -> T:
        """Do something with the open database; a failure is for good until `reopen`."""
        if self._failure or self._open is None:
            raise StoreFailed([], self._head, self._failure)
        try:
            return action(self._open)
        except Exception as error:
            self._failure = str(error)
            raise StoreFailed(plan.results if plan else [], plan.head if plan else self._head, self._failure) from error

    def _let_go(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _open_again(self) -> _Open:
        deadline = time.monotonic() + _REOPEN_WAIT_S
        while True:
            try:
                return _open(self._folder, self._cache)
            except Exception as error:
                if "lock hold by current process" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(_REOPEN_STEP_S)


def _flush(opened: _Open, *, wait: bool) -> None:
    for rdict in opened.families.values():
        rdict.flush(wait)


def _unflushed(rdict: Rdict) -> bool:
    return bool(rdict.property_int_value("rocksdb.num-immutable-mem-table"))


def _frozen_rows(opened: _Open) -> Rows:
    # An iterator shows the database as it was when it was made. (Those of rocksdict's own snapshots show the present.)
    frozen = [cast(Rows, opened.families[family].items()) for family in _STATE]
    return chain.from_iterable(frozen)
