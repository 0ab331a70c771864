"""Checkpoints: immutable databases in folders called after the change that they end with.

A reader holds a shared flock on the checkpoint's lease file while it reads; the committer deletes only what it can lock
alone. Should a folder be deleted all the same, whoever has it open goes on reading: RocksDB has opened every file of it.
"""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from proto.keys import HEAD_KEY, RECORDS, name_in_key, row_key, space_prefix
from proto.model.change import Position, Table
from proto.places import lease_name, parse_position_name, position_name
from proto.stream import NO_CHAIN
from proto.tables import unpack_head
from resolver.view.database import Database, open_read_only

# A table is read in pages; a page of jobs, the largest images, is under a megabyte.
PAGE_ROWS: Final = 1_000


class Unusable(Exception):
    """A checkpoint cannot be read, or is not what its name says; another one has to serve."""


class Checkpoint:
    """An open checkpoint, read-only, with its lease."""

    def __init__(self, database: Database, lease: int, position: Position, chain: bytes) -> None:
        self._database = database
        self._lease = lease
        self.position = position
        self.chain = chain
        self.get_record = database.getter(RECORDS)
        self.get_many = database.getter_of_many(RECORDS)

    def rows(self, table: Table) -> Iterator[tuple[str, bytes]]:
        """(name, image) of every row of a small table."""
        below = space_prefix(row_key(table, "")[1:2])
        for key, image in self.after(below, b"", PAGE_ROWS):
            yield name_in_key(key), image

    def after(self, prefix: bytes, after: bytes, page: int) -> Iterator[tuple[bytes, bytes]]:
        """Every key with its value that begins with `prefix` and comes after the key `after`, in order, read by the page."""
        rows = self._database.scan(prefix, after, page)
        while rows:
            yield from rows
            rows = self._database.scan(prefix, rows[-1][0], page) if len(rows) == page else []

    def close(self) -> None:
        """Close the files and give the lease back."""
        del self.get_record, self.get_many
        self._database.close()
        os.close(self._lease)


def list_checkpoints(folder: Path) -> list[Position]:
    """The positions of the complete checkpoints in `folder`, newest first."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted((found for name in names if (found := parse_position_name(name)) is not None), reverse=True)


def open_checkpoint(folder: Path, position: Position) -> Checkpoint:
    """Lease and open the checkpoint at `position`. Raises `Unusable`."""
    lease = _lease(folder, position)
    try:
        database = _open(folder / position_name(position))
        try:
            chain = _check_head(database, position)
        except Unusable:
            database.close()
            raise
    except Unusable:
        os.close(lease)
        raise
    return Checkpoint(database, lease, position, chain)


def _lease(folder: Path, position: Position) -> int:
    """The descriptor that holds the lease of a checkpoint."""
    path, checkpoint = folder / lease_name(position), folder / position_name(position)
    if not checkpoint.is_dir():
        raise Unusable(f"checkpoint {checkpoint.name} has gone")
    try:
        lease = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unusable(f"the lease of checkpoint {checkpoint.name} cannot be opened: {error}") from error
    try:
        fcntl.flock(lease, fcntl.LOCK_SH | fcntl.LOCK_NB)
        # Between opening and locking the committer may have deleted both.
        if not checkpoint.is_dir() or os.stat(path).st_ino != os.fstat(lease).st_ino:
            raise FileNotFoundError
    except OSError as error:
        os.close(lease)
        raise Unusable(f"checkpoint {checkpoint.name} is being deleted") from error
    return lease


def _open(path: Path) -> Database:
    try:
        return open_read_only(path)
    except Exception as error:  # rocksdict raises nothing more special
        raise Unusable(f"checkpoint {path.name} cannot be opened: {error}") from error


def _check_head(database: Database, position: Position) -> bytes:
    """The chain hash of the checkpoint's last change, which must be the one at `position`."""
    image = database.get(HEAD_KEY)
    if image is None:
        if position.sequence == 0:
            return NO_CHAIN
        raise Unusable(f"the checkpoint at {position} has no head")
    head = unpack_head(image)
    if head.position != position:
        raise Unusable(f"the checkpoint at {position} holds what was committed up to {head.position}")
    return head.chain
