"""A stored table: its frame, and its pieces one after the other. Files are read in a thread."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from registry.service.imports.encoding import Encoding, detect_encoding
from registry.service.imports.pieces import Cutter, Piece
from registry.service.imports.tables import BEGINNING_BYTES, TableFormat, TableFrame, read_frame
from registry.service.imports.threads import in_thread

# Decoding holds the interpreter: a piece takes well under a millisecond.
_DETECTION_BYTES: Final = 64 * 1024


class TableSource:
    """An open table. `start` is where reading it begins."""

    def __init__(self, file: int, frame: TableFrame, offset: int) -> None:
        self.frame = frame
        self.start = offset or frame.first
        self._file = file
        self._cutter = Cutter(file, counts_quotes=frame.form is TableFormat.CSV)

    async def cut(self, offset: int, rows: int, least: int = 0) -> Piece | None:
        """See `Cutter.cut`. Raises `OSError`."""
        return await in_thread(self._cutter.cut, offset, rows, least)

    def close(self) -> None:
        os.close(self._file)


async def find_encoding(path: Path) -> Encoding:
    """The encoding of a file. Raises `OSError`."""
    return await in_thread(detect_encoding, lambda: _pieces(path))


async def open_source(path: Path, form: TableFormat, encoding: Encoding, offset: int, template: str) -> TableSource:
    """The table in a file, from a row boundary on (0: its first row). Raises `OSError`, and `Refusal` as `read_frame` does."""
    file = await in_thread(os.open, path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        beginning = await in_thread(os.pread, file, BEGINNING_BYTES, 0)
        return TableSource(file, read_frame(form, encoding, beginning, template), offset)
    except BaseException:
        os.close(file)
        raise


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_DETECTION_BYTES):
            yield piece
