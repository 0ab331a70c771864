"""Resolutions: how often identifiers below each prefix were asked for, as the store keeps it: a row for each day.

Beside the days there are two rows. BEFORE is the sum of the days that are no longer kept; TAKEN says how much of which file
(`proto.tally`) all the others have counted, and is written with them: so nothing is counted twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

BEFORE: Final = "before"
TAKEN: Final = "taken"


class Count(NamedTuple):
    """Questions about one prefix: answered with a record, and answered otherwise."""

    found: int
    missed: int

    def plus(self, other: "Count") -> "Count":
        """Both together."""
        return Count(self.found + other.found, self.missed + other.missed)


NO_COUNT: Final = Count(0, 0)


@dataclass(frozen=True, slots=True)
class Resolutions:
    """One row: `prefixes` of a day or of BEFORE, `taken` (bytes by file) of TAKEN."""

    name: str
    version: int
    prefixes: Mapping[str, Count] = field(default_factory=dict)
    taken: Mapping[str, int] = field(default_factory=dict)
