"""Which processor runs what: the server that is measured has one for itself, the generator another, if there are two."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_AVAILABLE: Final = sorted(os.sched_getaffinity(0))
SERVER: Final = _AVAILABLE[0]
GENERATOR: Final = _AVAILABLE[-1]
EVERY: Final = tuple(_AVAILABLE)
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def pinned(command: list[str], *cores: int) -> list[str]:
    """The command, on these processors only."""
    return ["taskset", "-c", ",".join(map(str, cores)), *command]


@contextmanager
def here(*cores: int) -> Iterator[None]:
    """Keep this process on these processors for a while."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def processor_s(pid: int) -> float:
    """Processor time of a process so far, of itself and the kernel for it, to a hundredth of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def family_of(pid: int) -> list[int]:
    """A process and those that it and they have started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family_of(int(child)))]


def private_bytes(pid: int) -> int:
    """Memory that a process shares with nobody (`RssAnon`; mapped pages of a store belong to the page cache)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
