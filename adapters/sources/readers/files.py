"""A folder that another program puts files into.

The hard question is when a file is whole. Three conventions are understood, and the weakest is the one without any:

* what is being written has a name that is not taken (a leading dot, or an ending as `UNFINISHED` lists), and is renamed when it
  is whole;
* with `marker`, a file is taken once a file NAME + marker lies beside it;
* without, it is taken if size, time and inode are the same at two looks `settle_s` apart. A writer that stalls longer loses.

All that asks the file system does so in a thread: a share that hangs is no feed's trouble.

A file that changes while it is read is not taken either, this time. Which files were taken is the bookmark: a digest of name,
size and time for each that still lies there, so that a file that is written again is taken again, and those that were removed
are forgotten. Within a large file the bookmark counts rows.

Links are not followed: whoever may write into the folder could have any file of the machine read and shown by one.

With `listing = "whole"` only the last file by name counts: it has all rows, and older ones are out of date.
"""

import asyncio
import csv
import fnmatch
import hashlib
import json
import os
import stat
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from adapters.sources.core.cells import SourceRow
from adapters.sources.core.places import Encoding, FilesPlace, Format
from adapters.sources.readers.reader import MAX_ROW_BYTES, PORTION_ROWS, Portion, Unreadable

# Their digests are the bookmark, a row in the memory of every process of the node. Whoever has taken a file may remove it.
MAX_FILES: Final = 1_000
_DIGEST_CHARS: Final = 12

# What programs call a file that they are still writing.
UNFINISHED: Final = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".writing")

# Enough for a name of a column in each; beyond, it is no table.
MAX_COLUMNS: Final = 1_000

# A portion of long rows has fewer of them: four rows of the greatest length.
PORTION_CHARS: Final = 4 * MAX_ROW_BYTES

# How the parser says that the text ends inside of quotes.
_CUT_SHORT: Final = "unexpected end of data"

# As deep as objects in rows are laid out flat: `rated.kv`; and no name becomes longer by it than a mapping would say: a long
# one before thousands of members would be held thousands of times.
MAX_DEPTH: Final = 8
MAX_PATH_CHARS: Final = 200

# What parsing JSON with exact numbers raises: the last for an exponent of twenty digits.
NO_JSON: Final = (ValueError, RecursionError, ArithmeticError)

if TYPE_CHECKING:
    from _csv import Reader as CsvReader

Sleep = Callable[[float], Awaitable[None]]
Raw = tuple[int, dict[str, object], str]
"""A row before it has a place: its line, its cells, and why it could not be read."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it was at a look."""

    path: Path
    size: int
    changed_ns: int
    inode: int

    @property
    def digest(self) -> str:
        text = f"{self.path.name}\0{self.size}\0{self.changed_ns}"
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:_DIGEST_CHARS]


class FilesReader:
    """Reads a folder. `sleep` waits between the two looks."""

    def __init__(self, place: FilesPlace, sleep: Sleep = asyncio.sleep) -> None:
        self._place = place
        self._sleep = sleep

    async def read(self, bookmark: str) -> AsyncGenerator[Portion, None]:
        """The rows of files that were not taken yet, in the order of names. Raises `Unreadable`."""
        taken, digest_within, rows_within = _parse_bookmark(bookmark)
        files = await self._whole_files()
        present = {file.digest for file in files}
        taken &= {file.digest for file in await asyncio.to_thread(self._look)} | present
        if self._place.is_whole:
            files = files[-1:]
        for file in files:
            if file.digest in taken:
                continue
            done = rows_within if file.digest == digest_within else 0
            async for portion in self._portions(file, done, taken):
                yield portion
            taken.add(file.digest)
            yield Portion((), _compose_bookmark(taken))

    async def close(self) -> None:
        """Nothing is held between readings."""

    async def _whole_files(self) -> list[_File]:
        """The files that nobody is writing any more, by name."""
        if self._place.marker:
            return [file for file in await asyncio.to_thread(self._look) if _has_marker(file, self._place.marker)]
        before = {file.path: file for file in await asyncio.to_thread(self._look)}
        if before and self._place.settle_s:
            await self._sleep(self._place.settle_s)
        return [file for file in await asyncio.to_thread(self._look) if before.get(file.path) == file]

    def _look(self) -> list[_File]:
        try:
            names = os.listdir(self._place.folder)
        except OSError as error:
            raise Unreadable(f"the folder {self._place.folder}: {error.strerror}") from None
        chosen = sorted(name for name in names if fnmatch.fnmatchcase(name, self._place.pattern) and not _is_unfinished(name))
        if len(chosen) > MAX_FILES:
            raise Unreadable(f"{len(chosen)} files lie in {self._place.folder}, at most {MAX_FILES} may: remove those taken")
        return [file for name in chosen if (file := _look_at(Path(self._place.folder, name))) is not None]

    async def _portions(self, file: _File, done: int, taken: set[str]) -> AsyncGenerator[Portion, None]:
        """The rows of one file behind the first `done`."""
        encoding = "utf-8-sig" if self._place.encoding is Encoding.UTF_8 else self._place.encoding
        try:
            # Bytes of no character stay what they are, so that they are a fault of their row alone.
            opening = partial(open, file.path, encoding=encoding, errors="surrogateescape", newline="", opener=_open_no_link)
            with await asyncio.to_thread(opening) as opened:
                lines = _Lines(opened, file.path.name)
                columns, rows = await asyncio.to_thread(self._table, lines, file.path.name)
                count = 0
                while portion := await asyncio.to_thread(_take, rows, lines):
                    count += len(portion)
                    if count > done:
                        fresh = portion[max(0, done - count + len(portion)) :]
                        named = [SourceRow(f"{file.path.name}, line {line}", cells, fault) for line, cells, fault in fresh]
                        yield Portion(named, _compose_bookmark(taken, file.digest, count), columns)
        except OSError as error:
            raise Unreadable(f"{file.path.name}: {error.strerror}") from None
        if await asyncio.to_thread(_look_at, file.path) != file:
            raise Unreadable(f"{file.path.name} was changed while it was read")

    def _table(self, lines: "_Lines", name: str) -> tuple[Sequence[str] | None, Iterator[Raw]]:
        """The columns, if the file names them, and its rows. Raises `Unreadable`."""
        if self._place.format is Format.NDJSON:
            return None, _json_rows(lines)
        reader = csv.reader(lines, delimiter=self._place.delimiter, strict=True)
        columns = _header(reader, name)
        return columns, _csv_rows(reader, columns, name)


def _header(reader: "CsvReader", name: str) -> list[str]:
    """The names of columns in the first row. Raises `Unreadable`."""
    try:
        header = [column.strip() for column in next(reader, [])]
        "".join(header).encode()
    except (csv.Error, UnicodeEncodeError):
        raise Unreadable(f"{name}: its first row cannot be read: is it of the encoding that the profile says?") from None
    if not any(header) or len(header) > MAX_COLUMNS:
        raise Unreadable(f"{name}: its first row does not name its columns")
    doubled = [column for column, count in Counter(header).items() if column and count > 1]
    if doubled:
        raise Unreadable(f"{name}: there are two columns {doubled[0]}")
    return header


def _csv_rows(reader: "CsvReader", header: Sequence[str], name: str) -> Iterator[Raw]:
    """The rows behind the header; a broken one costs itself alone. Raises `Unreadable` for a file that ends in a row."""
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            if _CUT_SHORT in str(error):
                raise Unreadable(f"{name} ends within a quoted cell that begins in line {line}: it is not whole") from None
            yield line, {}, f"it is broken: {error}"
            continue
        if row is None:
            return
        if row and len(row) != len(header):
            yield line, {}, f"{len(row)} cells under {len(header)} columns"
        elif row:  # an empty line is no row
            yield line, dict(zip(header, row, strict=True)), ""


class _Lines:
    """The lines of a file, as many characters as a row may have from one `begin_row` to the next. Raises `Unreadable`."""

    def __init__(self, opened: TextIO, name: str) -> None:
        self._opened = opened
        self._name = name
        self._row_began = 0
        self.chars = 0
        """How many were read in all."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._opened.readline(MAX_ROW_BYTES)
        self.chars += len(line)
        if not line:
            raise StopIteration
        if self.chars - self._row_began >= MAX_ROW_BYTES:
            raise Unreadable(f"{self._name} has a row of more than {MAX_ROW_BYTES} characters")
        return line

    def begin_row(self) -> None:
        """What is read from now on is another row."""
        self._row_began = self.chars


def _json_rows(lines: Iterator[str]) -> Iterator[Raw]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            document = json.loads(line, parse_float=Decimal)
        except NO_JSON:
            document = None
        if isinstance(document, dict):
            yield number, flatten(document), ""
        else:
            yield number, {}, "it is no JSON object"


def flatten(document: dict[str, object], depth: int = 0, before: str = "") -> dict[str, object]:
    """Members of objects within by their path (`rated.kv`), beside those objects themselves (for the step `json`)."""
    cells: dict[str, object] = {}
    for name, member in document.items():
        cells[before + name] = member
        if isinstance(member, dict) and depth < MAX_DEPTH and len(before) + len(name) < MAX_PATH_CHARS:
            cells |= flatten(member, depth + 1, f"{before}{name}.")
    return cells


def _take(rows: Iterator[Raw], lines: _Lines) -> list[Raw]:
    """The next portion of rows."""
    portion: list[Raw] = []
    end = lines.chars + PORTION_CHARS
    while len(portion) < PORTION_ROWS and lines.chars < end:
        lines.begin_row()
        row = next(rows, None)
        if row is None:
            break
        portion.append(row)
    return portion


def _look_at(path: Path) -> _File | None:
    """A regular file as it is; None if it is gone or something else, as a link is."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return _File(path, found.st_size, found.st_mtime_ns, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _open_no_link(path: str, flags: int) -> int:
    """Open what was looked at; neither a link nor a pipe, which would wait for its other end, may have taken its place."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _has_marker(file: _File, marker: str) -> bool:
    return file.path.with_name(file.path.name + marker).is_file()


def _is_unfinished(name: str) -> bool:
    return name.startswith((".", "~")) or name.lower().endswith(UNFINISHED)


def _parse_bookmark(bookmark: str) -> tuple[set[str], str, int]:
    """The digests of files that were taken; one that was taken in part, and how many of its rows."""
    whole, _, part = bookmark.partition("+")
    digest, _, rows = part.partition(":")
    if part and not rows.isdecimal():
        raise Unreadable("its bookmark is not that of a folder: read it again from the beginning")
    return {whole[at : at + _DIGEST_CHARS] for at in range(0, len(whole), _DIGEST_CHARS)}, digest, int(rows or 0)


def _compose_bookmark(taken: set[str], digest: str = "", rows: int = 0) -> str:
    return "".join(sorted(taken)) + (f"+{digest}:{rows}" if digest else "")
