"""Rows of a stored table: read in a thread, parsed in slices between which the event loop serves others."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from registry.service.imports.encoding import Encoding, detect_encoding
from registry.service.imports.rows import TableRow
from registry.service.imports.tables import BEGINNING_BYTES, Table, TableFormat, open_table
from registry.service.imports.threads import in_thread

# Read ahead: some hundred rows; more would be held for nothing, less would cost more hops to the thread.
_BLOCK_BYTES: Final = 256 * 1024

# Decoding holds the interpreter: a piece takes well under a millisecond.
_DETECTION_BYTES: Final = 64 * 1024

# Rows parsed before others get their turn: about a millisecond.
_SLICE_ROWS: Final = 100


class RowSource:
    """The rows of a file from `offset` on (0: from the first)."""

    def __init__(self, file: int, table: Table) -> None:
        self.table = table
        self._file = file
        self._read_to = table.offset
        self._is_finished = False

    async def take(self, count: int) -> list[TableRow]:
        """Up to `count` rows; fewer only at the end."""
        rows: list[TableRow] = []
        while len(rows) < count:
            row = self.table.next_row()
            if row is not None:
                rows.append(row)
                if len(rows) % _SLICE_ROWS == 0:
                    await asyncio.sleep(0)
            elif self._is_finished:
                break
            else:
                await self._feed()
        return rows

    def close(self) -> None:
        os.close(self._file)

    async def _feed(self) -> None:
        block = await in_thread(os.pread, self._file, _BLOCK_BYTES, self._read_to)
        self._read_to += len(block)
        if block:
            self.table.feed(block)
        else:
            self.table.finish()
            self._is_finished = True


async def find_encoding(path: Path) -> Encoding:
    """The encoding of a file. Raises `OSError`."""
    return await in_thread(detect_encoding, lambda: _pieces(path))


async def open_source(path: Path, form: TableFormat, encoding: Encoding, offset: int, template: str) -> RowSource:
    """The rows of a file from a row boundary on. Raises `OSError`, and `Refusal` as `open_table` does."""
    file = await in_thread(os.open, path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        beginning = await in_thread(os.pread, file, BEGINNING_BYTES, 0)
        return RowSource(file, open_table(form, encoding, beginning, offset, template))
    except BaseException:
        os.close(file)
        raise


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_DETECTION_BYTES):
            yield piece
