"""The floor of free space: writes are refused by name before the disk is full, so that nothing fails half-way.

A ballast file keeps some room back. When space runs out it goes, so that RocksDB can finish what it has begun, be closed and
opened again, and the node can be looked after; it comes back, and writes with it, when others have made room.
"""

import logging
import os
from pathlib import Path
from typing import Final

from proto.metrics import Metrics

log = logging.getLogger(__name__)

# The floor is a twentieth of the file system within these bounds: on a small one it must leave something to use, on a
# large one it need not exceed what RocksDB may still have to write of what it holds in memory.
_SHARE: Final = 20
_MIN_FLOOR_BYTES: Final = 8 * 1024 * 1024
_MAX_FLOOR_BYTES: Final = 256 * 1024 * 1024

# A group goes to RocksDB's log as rows and as log entries, to a segment, and to a table file.
_COPIES: Final = 4

BALLAST: Final = "ballast"


class SpaceGuard:
    """Watches the file system of `data`. One thread calls."""

    def __init__(self, data: Path, metrics: Metrics) -> None:
        self._data = data
        self._ballast = data / BALLAST
        self._metrics = metrics
        usage = os.statvfs(data)
        total = usage.f_blocks * usage.f_frsize
        self.floor_bytes = min(max(total // _SHARE, _MIN_FLOOR_BYTES), _MAX_FLOOR_BYTES)
        self.ballast_bytes = self.floor_bytes // 2
        self._is_full = not self._ballast.exists()
        self.admits(0)

    def admits(self, size: int) -> bool:
        """Whether there is room to commit a group of `size` bytes."""
        free = self._free_bytes()
        needed = self.floor_bytes + _COPIES * size
        if self._is_full:
            self._is_full = free < needed + self.ballast_bytes or not self._set_aside()
        elif free < needed:
            self.make_room()
        return not self._is_full

    def make_room(self) -> None:
        """Let the ballast go: there is no room, or a write has just said so."""
        if not self._is_full:
            log.error("the disk is full: writes are refused", extra={"free_bytes": self._free_bytes()})
        self._is_full = True
        self._ballast.unlink(missing_ok=True)

    def _free_bytes(self) -> int:
        usage = os.statvfs(self._data)
        free = usage.f_bavail * usage.f_frsize
        self._metrics.store_free_bytes.set(free)
        return free

    def _set_aside(self) -> bool:
        """Make the ballast; whether that succeeded."""
        try:
            fd = os.open(self._ballast, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, self.ballast_bytes)
            finally:
                os.close(fd)
        except OSError as error:
            log.warning("the ballast cannot be set aside", extra={"error": str(error)})
            self._ballast.unlink(missing_ok=True)
            return False
        return True
