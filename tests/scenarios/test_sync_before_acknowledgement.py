"""Under strace: no acknowledgement leaves the process before a sync that began after the write it acknowledges.

A killed process proves nothing about this, since the kernel keeps what was written; a power cut would tell.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.busy_writer import IN_FLIGHT
from tests.support.machine import need_program

pytestmark = [pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
CHANGES = 500
CALLS = "write,pwrite64,writev,pwritev,fsync,fdatasync,sync_file_range,sendto,sendmsg"
# Longer than any group of commands: what is written must be seen whole.
SHOWN_BYTES = 4_000_000

LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>(.*)|(\w+)\((.*))", re.DOTALL)
LOG = re.compile(r"^\d+<[^>]*/store/\d+\.log>")
REQUEST = re.compile(r"request-(\d{8})")
ACKNOWLEDGED = re.compile(r"\"ack (\d+) ")


@dataclass(frozen=True, slots=True)
class Call:
    """A system call: its name, its arguments, and where in the trace it begins and ends."""

    name: str
    arguments: str
    begin: int
    end: int


@dataclass(slots=True)
class Trace:
    """The calls that matter, in order: writes to RocksDB's log, syncs of it, and acknowledgements."""

    written: dict[int, Call] = field(default_factory=dict)
    syncs: list[Call] = field(default_factory=list)
    acknowledged: dict[int, Call] = field(default_factory=dict)


def test_no_acknowledgement_leaves_before_its_sync(tmp_path: Path) -> None:
    strace = need_program("strace", "strace")
    listing = tmp_path / "trace"
    command = [strace, "-f", "-y", "-s", str(SHOWN_BYTES), "-e", f"trace={CALLS}", "-o", str(listing)]
    command += [sys.executable, "-m", "tests.support.busy_writer", str(tmp_path / "data"), "1", str(CHANGES), "calm"]
    traced = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert traced.returncode == 0, traced.stderr
    trace = read(listing)
    assert set(trace.acknowledged) == set(range(1, CHANGES + 1))
    assert len(trace.syncs) >= CHANGES / IN_FLIGHT
    for number, acknowledgement in trace.acknowledged.items():
        write = trace.written[number]
        synced = [sync for sync in trace.syncs if write.end < sync.begin and sync.end < acknowledgement.begin]
        assert synced, f"change {number} was acknowledged before it was durable"


def read(listing: Path) -> Trace:
    trace = Trace()
    for call in calls(listing):
        if call.name in {"fsync", "fdatasync"} and LOG.match(call.arguments):
            trace.syncs.append(call)
        elif LOG.match(call.arguments):
            for number in map(int, REQUEST.findall(call.arguments)):
                trace.written[number] = call
        elif (found := ACKNOWLEDGED.search(call.arguments)) and call.arguments.startswith("1<"):
            trace.acknowledged[int(found[1])] = call
    return trace


def calls(listing: Path) -> Iterator[Call]:
    """The calls of a trace; one that another thread's call interrupts stands in two lines."""
    begun: dict[str, tuple[int, str, str]] = {}
    with listing.open(errors="replace") as lines:
        for place, line in enumerate(lines):
            found = LINE.match(line)
            if found is None:
                continue
            thread, resumed, _, name, arguments = found.groups()
            if resumed and thread in begun:
                begin, name, arguments = begun.pop(thread)
                yield Call(name, arguments, begin, place)
            elif name and arguments.rstrip().endswith("<unfinished ...>"):
                begun[thread] = (place, name, arguments)
            elif name:
                yield Call(name, arguments, place, place)
