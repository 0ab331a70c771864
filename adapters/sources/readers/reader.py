"""What a reader is: rows in portions, each with the bookmark behind it."""

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from adapters.sources.core.cells import SourceRow

# Rows of a portion: enough that nothing costs more by it, few enough to hold beside those that were taken.
PORTION_ROWS: Final = 1_000

# What a row may hold: a record is 256,000 bytes packed.
MAX_ROW_BYTES: Final = 1024 * 1024


class Unreadable(Exception):
    """The source cannot be read now, or not as its profile says; the message is for people, and names no password."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Some rows. `columns` are those that every row has, if the source says so; reading on behind `bookmark` misses nothing."""

    rows: Sequence[SourceRow]
    bookmark: str
    columns: Collection[str] | None = None


class Reader(Protocol):
    """Reads one source."""

    def read(self, bookmark: str) -> AsyncGenerator[Portion, None]:
        """The rows behind a bookmark of its own (empty: all), to the end or as far as the caller goes. Raises `Unreadable`."""

    async def close(self) -> None:
        """Let go of what it holds."""
