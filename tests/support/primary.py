"""A committer for tests of readers: a real store and real checkpoints, and segments that can be late, torn and written again.

Its `history` remembers every value that was ever under a key, so that a reader's answer can be compared with what was true
at the very position that the reader is at.
"""

import fcntl
import os
import shutil
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from proto import places
from proto.keys import log_key
from proto.model.change import START, Head, Position, Row
from proto.ports import Claim, Command
from proto.stream import NO_CHAIN
from registry.commit.transaction import prepare
from registry.store.port import Applied
from registry.store.rocksdb import RocksdbStore
from tests.support.history import History

FIRST = Head("node-1", Position(1, 0), 0, NO_CHAIN)
TIME_MS = 1_795_351_250_000


class SmallPrimary:
    """Commits at once, and publishes what is committed when `publish` is called."""

    def __init__(self, data: Path, segment_bytes: int = 64 * 1024) -> None:
        self.data = data
        self.history = History()
        self._segment_bytes = segment_bytes
        self._stream = data / places.STREAM
        self._checkpoints = data / places.CHECKPOINTS
        for folder in (self._stream, self._checkpoints, data / places.RUN):
            folder.mkdir(parents=True, exist_ok=True)
        self.store = RocksdbStore(data / places.STORE, FIRST)
        self.unpublished: deque[tuple[Position, bytes]] = deque()
        self.published = self.store.head().position
        self._segment: Path | None = None

    def close(self) -> None:
        self.store.close()

    @property
    def position(self) -> Position:
        """The last committed change."""
        return self.store.head().position

    def commit(self, rows: Sequence[Row], claims: Sequence[Claim] = (), releases: Sequence[Claim] = ()) -> Position:
        """Commit one change, which must not conflict."""
        return self.carry_out(Command("acme", "r-1", rows, claims, releases))

    def carry_out(self, command: Command) -> Position:
        """The same, for a command."""
        prepared = prepare(command, 0)
        (result,) = self.store.apply([prepared.transaction], TIME_MS)
        assert isinstance(result, Applied), result
        self.history.record(result.position.sequence, prepared.transaction.writes)
        self.unpublished.append((result.position, result.frame))
        return result.position

    def publish(self, count: int | None = None) -> None:
        """Append committed changes (all, or only the next `count`) to the segments."""
        for _ in range(len(self.unpublished) if count is None else count):
            position, frame = self.unpublished.popleft()
            if self._segment is None or self._segment.stat().st_size >= self._segment_bytes:
                self._segment = self._stream / places.segment_name(position)
            _append(self._segment, frame)
            self.published = position

    def publish_half(self, share: float) -> None:
        """Append the beginning of the next change, as a killed committer does."""
        if self.unpublished and self._segment is not None:
            frame = self.unpublished[0][1]
            _append(self._segment, frame[: int(len(frame) * share)])

    def tear(self, size: int, garbage: bytes = b"") -> None:
        """Lose the last `size` bytes of the newest segment, and leave `garbage` there, as a power cut does."""
        if self._segment is not None and self._segment.exists():
            os.truncate(self._segment, max(0, self._segment.stat().st_size - size))
            _append(self._segment, garbage)

    def repair(self) -> None:
        """What a starting committer does: write the segments again from the log, the same bytes in the same places."""
        entries = self.store.log(START, 10_000_000)
        expected: dict[Path, bytearray] = {}
        path, epoch = None, 0
        for position, frame in entries:
            if path is None or len(expected[path]) >= self._segment_bytes or position.epoch != epoch:
                path = self._stream / places.segment_name(position)
                expected[path] = bytearray()
            expected[path] += frame
            epoch = position.epoch
        for path, data in expected.items():
            there = path.read_bytes() if path.exists() else b""
            differing = (place for place, (old, new) in enumerate(zip(there, data, strict=False)) if old != new)
            whole = next(differing, min(len(there), len(data)))
            if whole < len(there):
                os.truncate(path, whole)
            _append(path, bytes(data[whole:]))
            self._segment = path
        self.unpublished.clear()
        self.published = self.position

    def checkpoint(self) -> Position:
        """Make a checkpoint at the last committed change."""
        position = self.position
        folder = self._checkpoints / places.position_name(position)
        if not folder.exists():
            (self._checkpoints / places.lease_name(position)).touch()
            self.store.checkpoint(folder)
        return position

    def delete_checkpoint(self, position: Position, *, by_force: bool = False) -> bool:
        """Delete a checkpoint as a committer does, or with no regard for leases; whether it is gone."""
        lease = self._checkpoints / places.lease_name(position)
        with lease.open("ab") as file:
            try:
                if not by_force:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            shutil.rmtree(self._checkpoints / places.position_name(position))
            lease.unlink()
        return True

    def promote(self, checkpoint: Position) -> None:
        """Begin a higher epoch from a checkpoint, as a restore of a backup does: what came after it never was."""
        head = self.store.head()
        self.store.close()
        folder = self.data / places.STORE
        shutil.rmtree(folder)
        shutil.copytree(self._checkpoints / places.position_name(checkpoint), folder)
        self.store = RocksdbStore(folder, FIRST)
        restored = self.store.head()
        epoch = Position(head.position.epoch + 1, restored.position.sequence)
        # No driver has a way to say so yet: the store's own head is all there is to change.
        self.store._head = replace(restored, position=epoch)
        self.unpublished.clear()
        self.history.forget_after(epoch.sequence)
        self.published, self._segment = epoch, None

    def forget_log(self, through: Position) -> None:
        """Drop log entries whose segments are sealed."""
        self.store.drop(log_key(0, 0), log_key(through.epoch, through.sequence + 1))


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
