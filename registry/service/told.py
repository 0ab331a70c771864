"""What feeds have told, summed until it is written into the access log: a line for each feed and registrant, not each event.

A feed says with every commit of its cursor how many things of whom were delivered. In a busy second that is each feed's
registrants; some seconds of it make one line each, that names the prefixes as far as there is room.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from proto.access_line import MAX_SUBJECT_CHARS
from proto.model.access import Access, Reading
from registry.policy.rules import EVERY_REGISTRANT

# Registrants that one commit of a feed names; a page of changes has a thousand, nearly always of a few.
MAX_TOLD: Final = 1_000

# Lines that wait to be written: of a disk that is full for days no more than this is kept. What else is told meanwhile is
# summed in the line of all registrants, which each of them sees.
MAX_SUMS: Final = 10_000

# Of one line: more than its text has room for.
MAX_PREFIXES: Final = 32


@dataclass(frozen=True, slots=True)
class Told:
    """How many things of a registrant a delivery told of, and below which prefixes."""

    registrant: str
    count: int
    prefixes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Sum:
    count: int = 0
    cursor: str = ""
    prefixes: dict[str, None] = field(default_factory=dict)


Sums = Mapping[tuple[str, str, str], _Sum]
"""By account, feed and registrant."""


class ToldSums:
    """What waits to be written down."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str, str], _Sum] = {}

    def __bool__(self) -> bool:
        return bool(self._sums)

    def add(self, account: str, feed: str, cursor: str, told: Sequence[Told]) -> None:
        """A feed of this account has told something, up to a cursor."""
        for each in told:
            self._add((account, feed, each.registrant), each.count, cursor, each.prefixes)

    def take(self) -> Sums:
        """Everything; nothing waits then."""
        sums, self._sums = self._sums, {}
        return sums

    def give_back(self, sums: Sums) -> None:
        """What could not be written down, behind which more may have come."""
        later, self._sums = self._sums, {}
        for part in (sums, later):
            for key, each in part.items():
                self._add(key, each.count, each.cursor, tuple(each.prefixes))

    def _add(self, key: tuple[str, str, str], count: int, cursor: str, prefixes: Sequence[str]) -> None:
        if key not in self._sums and len(self._sums) >= MAX_SUMS:
            key = (key[0], key[1], EVERY_REGISTRANT)
        total = self._sums.setdefault(key, _Sum())
        total.count += count
        total.cursor = cursor
        for prefix in prefixes[: MAX_PREFIXES - len(total.prefixes)]:
            total.prefixes[prefix] = None


def accesses_of(sums: Sums, at_ms: int) -> list[Access]:
    """The lines that they come to."""
    return [
        Access(at_ms, account, Reading.DELIVERY, registrant, _subject_of(each), each.count, "", f"{feed} up to {each.cursor}")
        for (account, feed, registrant), each in sums.items()
    ]


def _subject_of(total: _Sum) -> str:
    return " ".join(total.prefixes)[:MAX_SUBJECT_CHARS]
