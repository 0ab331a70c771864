"""The segment writer: what is durable in the store goes, frame by frame, into files that everybody else reads.

    append      after the store's sync, into the page cache: a killed process loses none of it
    roll        a change that would begin past `segment_bytes` begins a new file; so the same changes always make the
                same files, however they were grouped
    seal        the file before is synced, with its folder; only then may its changes leave the store's log

Whatever is not sealed is still in the store's log, so a torn or lost tail is written again from there, byte for byte, at
the same place: a reader that has read half a frame goes on reading as if nothing had happened.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from proto.model.change import START, Position
from proto.places import segment_name
from proto.stream import Link, parse_link, split_header
from registry.commit.segment_files import Extent, Segment, list_segments, measure_segment
from registry.store.port import Store, Unusable

log = logging.getLogger(__name__)

# A power cut takes at most this much of the segments with it. The store has it; but the shorter the time, the surer is
# the test at the next start that the store's own log is whole.
_SYNC_EVERY_S: Final = 1.0

# Changes are copied from the store's log in portions; each may have four megabytes.
_COPY_CHANGES: Final = 32


class SegmentWriter:
    """Writes the segments in `folder`. One thread calls; syncing is done by one of its own, out of the commits' way."""

    def __init__(self, folder: Path, store: Store, segment_bytes: int) -> None:
        """Open the segments and make them agree with the store's log.

        Raises `Unusable` if the store lacks changes that the segments have, or segments are missing or damaged.
        """
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._fd = -1
        self._end = 0
        self._last = START
        self._syncer = _Syncer(folder)
        try:
            self._resume(store)
            self.catch_up(store)
        except BaseException:
            self.close()
            raise

    @property
    def last(self) -> Position:
        """The last change in the segments."""
        return self._last

    @property
    def sealed(self) -> Position:
        """The last change in a sealed segment: up to here the store's log is no longer needed."""
        return self._syncer.sealed

    def append(self, frames: Iterable[tuple[Position, bytes]]) -> None:
        """Append changes that are durable in the store.

        Raises `OSError`. If nothing could be written, `catch_up` does it later; if a sync has failed, every call fails:
        nobody knows then what of the file would outlast a power cut.
        """
        if self._syncer.failure is not None:
            raise OSError(f"a segment could not be synced: {self._syncer.failure}")
        waiting: list[bytes] = []
        size, last = self._end, self._last
        for position, frame in frames:
            if self._fd < 0 or size >= self._segment_bytes or position.epoch != last.epoch:
                self._write(waiting, last)
                self._roll(position)
                waiting, size = [], 0
            waiting.append(frame)
            size, last = size + len(frame), position
        self._write(waiting, last)

    def catch_up(self, store: Store) -> None:
        """Append what the store's log has beyond the segments. Raises `OSError`, `StoreFailed`, `Unusable`."""
        while entries := store.log(self._last, _COPY_CHANGES):
            if entries[0][0].sequence != self._last.sequence + 1:
                raise Unusable(f"the segments end at {self._last} and the store's log begins at {entries[0][0]}")
            self.append(entries)
        if self._last.sequence != store.head().position.sequence:
            raise Unusable(f"the segments and the log end at {self._last}, the store is at {store.head().position}")

    def close(self) -> None:
        """Sync and close."""
        self._syncer.stop()

    def _resume(self, store: Store) -> None:
        """Find the first place that is not surely whole, and stand there: all before it is, all after it is in the log."""
        log = store.log(START, 1)
        floor = log[0][0].sequence if log else store.head().position.sequence + 1
        segments = list_segments(self._folder)
        sealed = [segment for segment in segments if segment.first.sequence < floor]
        if not sealed and floor > 1:
            raise Unusable(f"the segments before change {floor} are missing from {self._folder.name}/")
        doubtful = sealed[-1:] + segments[len(sealed) :]
        while doubtful:
            segment, extent = doubtful[0], measure_segment(doubtful[0])
            if len(doubtful) == 1 or not self._is_complete(extent, doubtful[1]):
                break
            _sync_file(doubtful.pop(0).path)
        else:
            return
        for later in doubtful[1:]:
            later.path.unlink()
        _sync_file(self._folder)
        self._stand(segment, extent, store)
        if self._last.sequence + 1 < floor:
            raise Unusable(f"{segment.path.name} is damaged at byte {extent.end}, and the store no longer has what was there")

    def _is_complete(self, extent: Extent, following: Segment) -> bool:
        return (
            extent.last is not None
            and extent.end == extent.size
            and (extent.end >= self._segment_bytes or following.first.epoch > extent.last.position.epoch)
            and following.first.sequence == extent.last.position.sequence + 1
        )

    def _stand(self, segment: Segment, extent: Extent, store: Store) -> None:
        before = Position(segment.first.epoch, segment.first.sequence - 1)
        self._last = extent.last.position if extent.last else before
        check_history(extent.last, store)
        self._fd = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)
        self._end = extent.end
        os.ftruncate(self._fd, extent.end)
        self._syncer.follow(self._fd)
        self._syncer.sealed = before

    def _roll(self, first: Position) -> None:
        sealed, self._fd, self._end = self._fd, -1, 0
        if sealed >= 0:
            self._syncer.seal(sealed, self._last)
        self._fd = os.open(self._folder / segment_name(first), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._syncer.follow(self._fd)

    def _write(self, frames: list[bytes], last: Position) -> None:
        data, at = memoryview(b"".join(frames)), self._end
        while data:
            written = os.pwrite(self._fd, data, at)
            data, at = data[written:], at + written
        self._end, self._last = at, last
        self._syncer.is_dirty = True


def check_history(last: Link | None, store: Store) -> None:
    """Raise `Unusable` unless the change `last`, the last of the segments, is one that the store has as well."""
    head = store.head()
    if last is None or (last.position, last.chain) == (head.position, head.chain):
        return
    if last.position.sequence > head.position.sequence:
        raise Unusable(lost_changes(head.position, last.position))
    before = last.position._replace(sequence=last.position.sequence - 1)
    for position, frame in store.log(before, 1):
        split = split_header(frame)
        link = parse_link(split[0]) if split else None
        is_other = position == last.position and link != last
        # The log may have been trimmed up to here; then the next entry says what came before it.
        does_not_follow = position.sequence == last.position.sequence + 1 and (link is None or link.previous != last.chain)
        if is_other or does_not_follow:
            raise Unusable(f"the segments tell another history than the store: they part at or before {last.position}")


def lost_changes(recovered: Position, acknowledged: Position) -> str:
    """What to tell people when the store knows less than the segments."""
    return (
        f"the store's write-ahead log has lost changes: it can be recovered up to change {recovered.sequence}, but changes "
        f"up to {acknowledged.sequence} were acknowledged and are in the segments. Nothing was changed. Restore a backup, "
        "or mend the disk and bring back the files in store/"
    )


class _Syncer:
    """Syncs segments in a thread: the growing one now and then, a full one for good."""

    def __init__(self, folder: Path) -> None:
        self.sealed = START
        self.failure: OSError | None = None
        self.is_dirty = False
        self._folder = folder
        self._growing = -1
        self._full: deque[tuple[int, Position]] = deque()
        self._is_stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="segment-sync", daemon=True)
        self._thread.start()

    def follow(self, fd: int) -> None:
        """Sync this file from now on; it is closed when it is sealed, or at the end."""
        with self._changed:
            self._growing = fd

    def seal(self, fd: int, last: Position) -> None:
        """Sync this file for good, soon; `last` is the last change in it."""
        with self._changed:
            self._growing = -1
            self._full.append((fd, last))
            self._changed.notify()

    def stop(self) -> None:
        """Sync everything, close the files and end."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        self._thread.join()
        if self._growing >= 0:
            os.close(self._growing)

    def _run(self) -> None:
        try:
            while self._step():
                pass
        except OSError as error:
            log.critical("a segment cannot be synced", extra={"error": str(error)})
            self.failure = error

    def _step(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._full or self._is_stopping, _SYNC_EVERY_S)
            is_last, full, growing = self._is_stopping, list(self._full), self._growing
            self._full.clear()
        for fd, last in full:
            os.fsync(fd)
            os.close(fd)
            _sync_file(self._folder)
            self.sealed = last
        if self.is_dirty and growing >= 0:
            self.is_dirty = False
            os.fdatasync(growing)
        return not is_last


def _sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
