"""The result of a job: `DATA/jobs/<id>.result.csv`, one line for every row of the table, in order.

    row,identifier,outcome,field,message

What is said of a row is composed where the row is planned; its number is put before it where the rows come in order.

Lines are written and synced before the commit that counts their bytes. What stands behind the counted bytes was never
counted: it belongs to nothing, and the next lines are written over it.
"""

import csv
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from proto.places import JOBS
from registry.service.imports.blobs import sync_folder

HEADER: Final = b"row,identifier,outcome,field,message\n"


class RowResult(NamedTuple):
    """What became of one row."""

    identifier: str
    outcome: str
    field: str
    message: str


def result_path(data: Path, job_id: str) -> Path:
    """Where the result of a job lies in a data folder."""
    return data / JOBS / f"{job_id}.result.csv"


def compose_results(results: Iterable[RowResult]) -> list[str]:
    """The lines as they stand in the file, still without their rows' numbers."""
    lines: list[str] = []
    csv.writer(_Sink(lines.append), lineterminator="\n").writerows(results)
    return lines


def number_lines(first: int, lines: Iterable[str]) -> bytes:
    """Lines of rows that count from `first`: UTF-8; half a surrogate pair, which no text can hold, is shown escaped."""
    return "".join([f"{row},{line}" for row, line in enumerate(lines, first)]).encode(errors="backslashreplace")


class _Sink(NamedTuple):
    """A file as the `csv` module needs one: it writes once for each row."""

    write: Callable[[str], None]


class ResultFile:
    """The result file of one running job. Blocks: belongs into a thread."""

    def __init__(self, path: Path, counted: int) -> None:
        """Open the file whose first `counted` bytes were counted, and cut off the rest.

        Raises `OSError`; `FileNotFoundError` if the file, or a part of what was counted, is gone.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC | (0 if counted else os.O_CREAT), 0o600)
        if os.fstat(self._file).st_size < counted:
            self.close()
            raise FileNotFoundError(f"{path.name} is shorter than what was counted")
        self.write(counted, b"" if counted else HEADER)
        sync_folder(path.parent)

    def write(self, at: int, lines: bytes) -> int:
        """Put lines behind the first `at` bytes, cut off whatever follows, sync; returns the new length."""
        view, end = memoryview(lines), at
        while view:
            written = os.pwrite(self._file, view, end)
            view, end = view[written:], end + written
        os.ftruncate(self._file, end)
        os.fdatasync(self._file)
        return end

    def close(self) -> None:
        os.close(self._file)
