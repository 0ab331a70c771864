"""Checkpoints: immutable copies of the store that readers answer from, made by the writer thread between two groups.

RocksDB first writes out what it has in memory, in the background, while commits go on; only the little that came meanwhile
is flushed with commits waiting. What is older than the newest checkpoint goes when no reader holds its lease.
"""

import fcntl
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from proto.metrics import Metrics
from proto.model.change import Head, Position
from proto.places import lease_name, parse_position_name, position_name
from proto.ports import Clock
from registry.store.port import Unusable

log = logging.getLogger(__name__)

# What readers keep over the newest checkpoint: at about 750 bytes an entry, 100,000 are 75 MB in each of them.
OVERLAY_ENTRIES: Final = 100_000
OVERLAY_BYTES: Final = 64 * 1024 * 1024

# Where little is written, a reader that starts should still not have to read hours of segments.
OVERLAY_AGE_S: Final = 600.0

# Past this a reader's memory is in danger: commits wait until it has moved on, or is given up (`wake_server`).
MAX_OVERLAY_ENTRIES: Final = 250_000
MAX_OVERLAY_BYTES: Final = 160 * 1024 * 1024

# How often to look whether the newest checkpoint is still there and whether an old one can go.
_LOOK_EVERY_S: Final = 1.0

_GONE: Final = ".gone"


class Source(Protocol):
    """A store that can be copied as a whole."""

    def head(self) -> Head: ...
    def begin_flush(self) -> None: ...
    def is_flushing(self) -> bool: ...
    def checkpoint(self, folder: Path) -> None: ...


class Checkpoints:
    """The checkpoints in `folder`, of which there is always one: opening makes it. One thread calls.

    `on_made` is called, in that thread, with the position of each one made later.
    """

    def __init__(
        self, folder: Path, source: Source, clock: Clock, metrics: Metrics, on_made: Callable[[Position], None]
    ) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._source = source
        self._clock = clock
        self._metrics = metrics
        self._on_made = on_made
        self._entries = 0
        self._bytes = 0
        # What had been committed, in all, when each checkpoint that is still there was made.
        self._made_at: dict[Position, tuple[int, int]] = dict.fromkeys(list_positions(folder), (0, 0))
        self._is_flushing = False
        self._looked_s = self._made_s = clock.monotonic()
        self._clear_up()
        self.newest = source.head().position
        if not self._exists(self.newest):
            self._make()

    def count(self, entries: int, size: int) -> None:
        """So much has been committed: entries of an overlay, and their bytes."""
        self._entries += entries
        self._bytes += size

    def tick(self) -> None:
        """Do what is due. Call after every group, and now and then without one. Raises `StoreFailed`."""
        if self._is_flushing:
            if not self._source.is_flushing():
                self._is_flushing = False
                self._make()
                self._on_made(self.newest)
        elif self._is_due():
            self._is_flushing = True
            self._source.begin_flush()
        if self._clock.monotonic() - self._looked_s >= _LOOK_EVERY_S:
            self._looked_s = self._clock.monotonic()
            self._sweep()

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is being made: `tick` again soon."""
        return self._is_flushing

    def weighs_too_much(self, base: Position) -> bool:
        """Whether what came after the checkpoint `base` is more than a reader should have to keep over it."""
        entries, size = self._made_at.get(base, (0, 0))
        return self._entries - entries > MAX_OVERLAY_ENTRIES or self._bytes - size > MAX_OVERLAY_BYTES

    def close(self) -> None:
        """Make a last one if something has changed, so that the next start has nothing to catch up. Raises `StoreFailed`."""
        if self._source.head().position != self.newest:
            self._make()
        self._sweep()

    def _is_due(self) -> bool:
        entries, size = self._made_at[self.newest]
        if self._entries - entries >= OVERLAY_ENTRIES or self._bytes - size >= OVERLAY_BYTES:
            return True
        if self._clock.monotonic() - self._looked_s >= _LOOK_EVERY_S and not self._exists(self.newest):
            log.error("the newest checkpoint has gone; making another", extra={"position": str(self.newest)})
            return True
        is_old = self._clock.monotonic() - self._made_s >= OVERLAY_AGE_S
        return is_old and self._source.head().position != self.newest

    def _make(self) -> None:
        position = self._source.head().position
        folder = self._folder / position_name(position)
        if not self._exists(position):
            shutil.rmtree(folder, ignore_errors=True)
            (self._folder / lease_name(position)).touch(0o600)
            self._source.checkpoint(folder)
            self._metrics.checkpoints.inc()
        self.newest = position
        self._made_at[position] = (self._entries, self._bytes)
        self._made_s = self._clock.monotonic()

    def _exists(self, position: Position) -> bool:
        return (self._folder / position_name(position) / "CURRENT").exists()

    def _sweep(self) -> None:
        for position in list_positions(self._folder):
            if position != self.newest and _delete(self._folder, position):
                self._made_at.pop(position, None)

    def _clear_up(self) -> None:
        """What a killed process has left half made or half deleted."""
        for path in self._folder.iterdir():
            if path.is_dir() and parse_position_name(path.name) is None:
                shutil.rmtree(path)


def list_positions(folder: Path) -> list[Position]:
    """The positions of the checkpoints in `folder`, in order."""
    found = (parse_position_name(path.name) for path in folder.iterdir())
    return sorted(position for position in found if position is not None)


def check_not_ahead(folder: Path, recovered: Position) -> None:
    """Raise `Unusable` if a checkpoint is of a later state than what the store would recover."""
    newest = max(list_positions(folder), default=recovered) if folder.exists() else recovered
    if newest > recovered:
        raise Unusable(f"the checkpoint at {newest} is ahead of the store, which can be recovered up to {recovered} only")


def _delete(folder: Path, position: Position) -> bool:
    """Delete a checkpoint and its lease, unless somebody reads it; whether it is gone."""
    lease = os.open(folder / lease_name(position), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path = folder / position_name(position)
        gone = path.with_name(path.name + _GONE)
        path.rename(gone)
        shutil.rmtree(gone)
        (folder / lease_name(position)).unlink()
    except BlockingIOError:
        return False
    finally:
        os.close(lease)
    return True
