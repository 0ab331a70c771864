"""The files of the access log: a line for each reading, a file for each day, a chain over all of them.

    <folder>/2026-11-25.log

    biaojie-access 1 <chain>                the chain's hash before the first line
    <chain> <JSON>                          SM3 of the hash before and the JSON: nothing in between can be changed or left out
    ...

Lines are only appended. A torn last line was never acknowledged, and is cut when the file is opened to be written. A line that
was taken from a worker says where it ended in which of the worker's files: how far those were taken is told by the log alone.
Everything here blocks: it belongs into a thread.
"""

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from proto.access_line import Taken, TornLine, compose_line, compose_taken, origin_of, parse_line
from proto.model.access import Access
from proto.model.day import day_of, days_before
from proto.sm3 import SM3_BYTES, sm3
from registry.service.imports.blobs import check_room, sync_folder

# What the law asks of logs is six months (Cybersecurity Law, article 21); 等保 asks that they cannot be overwritten before.
# Days on which nothing was read do not count.
KEPT_DAYS: Final = 184

# A million readings or so. What is not written down is not shown, so who reads more is refused until tomorrow; alone, because
# an account gets half of what the others have left of a day, and no number of accounts leaves the next one nothing.
MAX_DAY_BYTES: Final = 256 * 1024 * 1024
SHARE: Final = 2

# Lines are looked for from the end, this much at a time.
BLOCK_BYTES: Final = 256 * 1024

# Looked at for one page, however few lines of it are wanted: a tenth of a second.
MAX_LOOKED_AT_BYTES: Final = 16 * 1024 * 1024

_SUFFIX: Final = ".log"
_MARK: Final = b"biaojie-access 1 "
_NO_CHAIN: Final = bytes(SM3_BYTES).hex().encode()
_ORIGIN: Final = b',"from":"'
# Before each body: the chain's hash in hexadecimal and a blank; behind it the end of the line.
_CHAIN_BYTES: Final = 2 * SM3_BYTES + 2


class Place(NamedTuple):
    """Before which byte of which day's file to go on; that of the end is `LAST`."""

    day: str
    offset: int


LAST: Final = Place("9999-12-31", 0)


class Found(NamedTuple):
    """Readings, newest first, and where to go on; None: there are no more."""

    accesses: list[Access]
    next: Place | None


class AccessFiles:
    """Writes and reads the files in `folder`. One process writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None
        self._day = ""
        self._size = 0
        self._taken: Counter[str] = Counter()
        """Bytes of the day's file by account."""
        self._chain = b""

    def append(self, accesses: Sequence[Access], now_ms: int) -> frozenset[str]:
        """Write readings down, durably. Returns the accounts that have had their part of the day: nothing of theirs is written.

        Raises `OSError`; then nothing at all is written.
        """
        self._open_day(now_ms)
        bodies, sizes = [compose_line(access) for access in accesses], Counter[str]()
        for access, body in zip(accesses, bodies, strict=True):
            sizes[access.account] += len(body) + _CHAIN_BYTES
        refused = self._beyond_their_part(sizes)
        self._chain_up([(a.account, body) for a, body in zip(accesses, bodies, strict=True) if a.account not in refused])
        return refused

    def append_shown(self, told: Sequence[Access | Taken], now_ms: int) -> None:
        """Write down, durably, what has been shown already, whoever has had their part of the day.

        Raises `OSError`; then nothing at all is written.
        """
        self._open_day(now_ms)
        self._chain_up([
            (each.access.account, compose_taken(each)) if isinstance(each, Taken) else (each.account, compose_line(each))
            for each in told
        ])  # fmt: skip

    def full(self) -> tuple[str, frozenset[str]] | None:
        """The day that is being written, and the accounts that have had their part of it; None if nothing was written yet."""
        if self._descriptor is None:
            return None
        return self._day, self._beyond_their_part(dict.fromkeys(self._taken, 1))

    def ends_of(self, files: Mapping[str, str]) -> dict[str, int]:
        """How far workers' files were taken, each given with the day it was begun on. Raises `OSError`."""
        ends: dict[str, int] = {}
        days = self._days()
        # Two at least: the clocks of a worker and of this process may lie on both sides of midnight.
        oldest = min([*files.values(), *days[-2:]], default="")
        for day in [each for each in days if each >= oldest]:
            with (self._folder / f"{day}{_SUFFIX}").open("rb") as file:
                for line in file:
                    if _ORIGIN in line and line.endswith(b"\n"):
                        with contextlib.suppress(TornLine):
                            name, end = origin_of(line.partition(b" ")[2]) or ("", 0)
                            if name in files:
                                ends[name] = end
        return ends

    def read(self, registrants: frozenset[str] | None, before: Place, limit: int) -> Found:
        """Up to `limit` readings of these registrants (None: all) before a place, newest first.

        It looks at so much only: there may be none, and a place to go on. Raises `OSError`.
        """
        found: list[Access] = []
        left = MAX_LOOKED_AT_BYTES
        for day in reversed(self._days()):
            if day > before.day:
                continue
            path = self._folder / f"{day}{_SUFFIX}"
            size = path.stat().st_size
            end = min(before.offset, size) if day == before.day else size
            for offset, line in _lines_backwards(path, end):
                left -= len(line)
                access = _wanted(line, registrants)
                if access is not None:
                    found.append(access)
                if len(found) == limit or left <= 0:
                    return Found(found, Place(day, offset))
        return Found(found, None)

    def close(self) -> None:
        """Let the file go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _beyond_their_part(self, sizes: Mapping[str, int]) -> frozenset[str]:
        """Those of some accounts that want to write more than the others leave them."""
        refused, size = set(), self._size
        for account, more in sizes.items():
            taken = self._taken[account]
            if taken + more > (MAX_DAY_BYTES - (size - taken)) // SHARE:
                refused.add(account)
            else:
                size += more
        return frozenset(refused)

    def _open_day(self, now_ms: int) -> None:
        # A clock that is set back must not write into a day that is over.
        day = max(day_of(now_ms), self._day)
        if self._descriptor is None or day != self._day:
            self._open(day)

    def _chain_up(self, bodies: Sequence[tuple[str, bytes]]) -> None:
        """Write the lines of accounts."""
        chain, lines, sizes = self._chain, [], Counter[str]()
        for account, body in bodies:
            chain = sm3(chain, body).hex().encode()
            lines.append(chain + b" " + body + b"\n")
            sizes[account] += len(body) + _CHAIN_BYTES
        if lines:
            self._write(b"".join(lines))
            self._chain = chain
            self._taken.update(sizes)

    def _days(self) -> list[str]:
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        return sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))

    def _open(self, day: str) -> None:
        """Open the file of a day, or of the latest there is if the clock is behind it, and make what is too old go."""
        self.close()
        self._folder.mkdir(mode=0o700, exist_ok=True)
        days, chain = self._days(), _NO_CHAIN
        # Only the newest can be torn: another was whole when the next was begun. One that holds nothing was only begun.
        while days and not (chain := _mend(self._folder / f"{days[-1]}{_SUFFIX}")):
            (self._folder / f"{days.pop()}{_SUFFIX}").unlink()
        self._chain, day = chain or _NO_CHAIN, max([day, *days])
        path = self._folder / f"{day}{_SUFFIX}"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._day, self._size = day, os.fstat(self._descriptor).st_size
        self._taken = _taken_in(path)
        if not self._size:
            self._write(_MARK + self._chain + b"\n")
            sync_folder(self._folder)
        # By their number, too: a clock that is years ahead for a moment must not make all of them go.
        oldest = days_before(day, KEPT_DAYS)
        for past in [each for each in days[:-KEPT_DAYS] if each < oldest]:
            (self._folder / f"{past}{_SUFFIX}").unlink()

    def _write(self, data: bytes) -> None:
        descriptor = self._descriptor
        if descriptor is None:
            raise OSError("the access log is closed")
        try:
            check_room(descriptor, len(data))
            if os.write(descriptor, data) != len(data):
                raise OSError("not all of it could be written")
            os.fdatasync(descriptor)
        except OSError:
            # Whatever of it is there must not be followed by anything.
            self.close()
            os.truncate(self._folder / f"{self._day}{_SUFFIX}", self._size)
            raise
        self._size += len(data)


def _taken_in(path: Path) -> Counter[str]:
    """The bytes of a day's file by account. A line that is damaged is nobody's: that is what `biaojie verify` is for."""
    taken: Counter[bytes] = Counter()
    with path.open("rb") as file:
        for line in file:
            # In front of all that others may have said.
            account = line.partition(b'"account":')[2].partition(b',"reading":')[0]
            taken[account] += len(line)
    by_name: Counter[str] = Counter()
    for account, size in taken.items():
        with contextlib.suppress(ValueError):
            by_name[str(json.loads(account))] += size
    return by_name


def verify_access(folder: Path) -> Iterator[str]:
    """What does not hold of the chain over the files in `folder`, in sentences. A torn last line is none of it."""
    chain = b""
    files = sorted(folder.glob(f"*{_SUFFIX}")) if folder.exists() else []
    for number, path in enumerate(files):
        with path.open("rb") as file:
            mark = file.readline()
            if not mark.startswith(_MARK) or not mark.endswith(b"\n"):
                if number != len(files) - 1 or mark.endswith(b"\n"):
                    yield f"{path.name} does not begin as a file of the access log"
                return
            begins = mark[len(_MARK) : -1]
            if chain and begins != chain:
                yield f"{path.name} does not follow the file before it"
            chain = begins
            for place, line in enumerate(file, 2):
                if not line.endswith(b"\n"):
                    if number != len(files) - 1:
                        yield f"{path.name} ends in the middle of a line"
                    break
                said, _, body = line[:-1].partition(b" ")
                if said != sm3(chain, body).hex().encode():
                    yield f"line {place} of {path.name} is not what was written, or one before it is missing"
                chain = said


def _wanted(line: bytes, registrants: frozenset[str] | None) -> Access | None:
    if line.startswith(_MARK):
        return None
    if registrants is not None and not any(f'"registrant":"{each}"'.encode() in line for each in registrants):
        return None
    try:
        access = parse_line(line.partition(b" ")[2])
    except TornLine:
        return None  # damage is what `biaojie verify` is for
    # The text may have stood elsewhere in the line.
    return access if registrants is None or access.registrant in registrants else None


def _lines_backwards(path: Path, end: int) -> Iterator[tuple[int, bytes]]:
    """Where each whole line begins, and the line, from the one that ends at `end` to the first."""
    with path.open("rb") as file:
        rest, at = b"", end
        is_last = True
        while at:
            size = min(BLOCK_BYTES, at)
            at -= size
            file.seek(at)
            rest = file.read(size) + rest
            lines = rest.splitlines(keepends=True)
            # The first may have begun before this block.
            first = lines.pop(0) if at else b""
            offset = at + len(rest)
            for line in reversed(lines):
                offset -= len(line)
                if line.endswith(b"\n") or not is_last:
                    yield offset, line
                is_last = False
            rest = first


def _mend(path: Path) -> bytes:
    """Cut a torn last line; the chain's hash after the last whole one, nothing if there is none."""
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        offset, line = next(_lines_backwards(path, size), (0, b""))
        if offset + len(line) != size:
            file.truncate(offset + len(line))
            os.fsync(file.fileno())
    if line.startswith(_MARK):
        return line[len(_MARK) : -1]
    return line.partition(b" ")[0]
