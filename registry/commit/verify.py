"""`biaojie verify`: does everything in a stopped node's data folder agree?

    stream        one chain from the first segment through the store's log to the head, every payload the one its header names
    store         holds, of everything, what the stream wrote last; and was not written more often than the stream tells
    records, aliases, tables, idempotency
                  each can be read, stands under its own key, and what points to another is pointed back at
    checkpoints   open, end where their names say, and hold nothing that the store does not know

Nothing is changed, and nothing is held in memory but a page or a segment at a time. A folder that was left by a killed
process is clean: what the next start completes by itself is not a finding.
"""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from proto.keys import SPACES, space_prefix
from proto.places import CHECKPOINTS, STORE, STREAM, parse_segment_name, position_name
from proto.stream import NO_CHAIN
from registry.commit.checkpoints import list_positions
from registry.commit.finding import Finding
from registry.commit.primary import take_lock
from registry.commit.verify_state import Held, read_head, verify_checkpoint, verify_state
from registry.commit.verify_stream import Told, verify_stream
from registry.store.port import Unusable
from resolver.view.database import Database, Family, open_read_only

# Whoever has this many need not see more.
MAX_FINDINGS: Final = 1_000


def verify(data: Path) -> Iterator[Finding]:
    """Check a stopped node's folder, changing nothing; yields what does not hold (nothing: all is well).

    Raises `registry.store.port.Unusable` if a node is running there or there is no store.
    """
    if not (data / STORE / "CURRENT").exists():
        raise Unusable(f"there is no store in {data}")
    lock = take_lock(data)
    try:
        yield from islice(_verify(data), MAX_FINDINGS)
    finally:
        os.close(lock)


def _verify(data: Path) -> Iterator[Finding]:
    try:
        database = open_read_only(data / STORE, families=tuple(Family))
    except Exception as error:  # noqa: BLE001 - rocksdict raises nothing more special, and whatever it is, it is found
        yield Finding("store", f"it cannot be opened: {error}")
        return
    try:
        yield from _verify_all(data, database)
    finally:
        database.close()


def _verify_all(data: Path, database: Database) -> Iterator[Finding]:
    head = read_head(database)
    folder = data / CHECKPOINTS
    checkpoints = list_positions(folder) if folder.exists() else []
    if head is None:
        # A process that was killed while it made the store leaves one without anything; the next start begins it.
        if checkpoints or _has_segments(data / STREAM) or not _is_empty(database):
            yield Finding("store", "it has no head that can be read")
        return
    told, held = Told(), Held()
    yield from verify_stream(data / STREAM, database, head, set(checkpoints), told)
    yield from verify_state(database, head, held)
    if told.first in (0, 1) and not told.has_deletions and told.rows != held.writes:
        yield Finding("store", f"it was written {held.writes} times by its versions, and {told.rows} times by the stream")
    if not checkpoints and head.position.sequence:
        yield Finding("checkpoints", "there is none")
    for position in checkpoints:
        chain = told.chains.get(position) if position.sequence else NO_CHAIN
        if position > head.position or (chain is None and told.first <= position.sequence):
            yield Finding("checkpoints", f"{position_name(position)} belongs to no change of the stream")
        else:
            yield from verify_checkpoint(folder / position_name(position), position, database, chain)


def _has_segments(folder: Path) -> bool:
    return folder.exists() and any(parse_segment_name(path.name) for path in folder.iterdir())


def _is_empty(database: Database) -> bool:
    return not any(database.scan(space_prefix(space), b"", 1) for space in SPACES)
