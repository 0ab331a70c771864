"""The data folder as the supervisor sees it: one owner at a time, ports told, metrics files cleared.

The lock is a flock on `DATA/lock`. The children inherit the descriptor, so the folder stays locked until the last process of
the tree is gone, also when the supervisor was killed. The lock file names its supervisor: if that one is dead, its children
are about to end too, and a new supervisor waits for them instead of giving up.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from proto.places import RUN

LOCK: Final = "lock"
PORTS: Final = "ports.json"
TOKEN_FILE: Final = "operator-token"  # noqa: S105  # a file's name
FEEDS_TOKEN_FILE: Final = "feeds-token"  # noqa: S105  # a file's name
FILINGS_TOKEN_FILE: Final = "filings-token"  # noqa: S105  # a file's name
METRICS: Final = "prometheus"
METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder of metrics to prometheus-client, which reads it when it is imported."""

# Children of a dead supervisor end within two seconds; a little more for a machine under load.
ORPHANS_S: Final = 5.0
_POLL_S: Final = 0.02


class FolderInUse(Exception):
    """Another node uses the data folder."""


class DataFolder:
    """`DATA`, made if missing (mode 0700)."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._lock: int | None = None

    @property
    def metrics(self) -> Path:
        """Where every process keeps its metrics (prometheus-client's multi-process mode)."""
        return self.path / RUN / METRICS

    @property
    def operator_token(self) -> Path:
        return self.path / TOKEN_FILE

    @property
    def lock(self) -> int:
        """The descriptor that holds the lock, for children to inherit."""
        if self._lock is None:
            raise RuntimeError("the data folder is not locked")
        return self._lock

    def acquire(self) -> None:
        """Make the folder and lock it. Raises `FolderInUse`, or OSError if it cannot be made."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._lock_out(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._lock = descriptor

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def clear_run(self) -> None:
        """Forget the metrics of earlier processes."""
        shutil.rmtree(self.metrics, ignore_errors=True)
        self.metrics.mkdir(mode=0o700, parents=True)

    def write_ports(self, document: Mapping[str, Any]) -> None:
        """Tell which ports are served; replaced as a whole, so that no reader sees half of it."""
        draft = self.path / f"{PORTS}.draft"
        draft.write_text(json.dumps(document, indent=2) + "\n")
        draft.replace(self.path / PORTS)

    def forget_ports(self) -> None:
        (self.path / PORTS).unlink(missing_ok=True)

    def _lock_out(self, descriptor: int) -> None:
        deadline = time.monotonic() + ORPHANS_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = _owner(descriptor)
                if owner is None or _is_alive(owner) or time.monotonic() > deadline:
                    told = f" (process {owner})" if owner else ""
                    raise FolderInUse(f"the data folder {self.path} is in use by another node{told}") from None
                time.sleep(_POLL_S)
            else:
                return


def read_ports(data: Path) -> dict[str, Any] | None:
    """What a running node wrote into its data folder; None if there is nothing."""
    try:
        document = json.loads((data / PORTS).read_text())
    except FileNotFoundError:
        return None
    return document if isinstance(document, dict) else None


def _owner(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
