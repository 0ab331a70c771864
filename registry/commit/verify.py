"""`biaojie verify`: does everything in a stopped node's data folder agree?"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold: which part (`store`, `stream`, `records`, ...), and a sentence about it."""

    part: str
    detail: str


def verify(data: Path) -> Iterator[Finding]:
    """Check a stopped node's folder, changing nothing; yields what does not hold (nothing: all is well).

    Raises `registry.store.port.Unusable` if a node is running there or there is no store.
    """
    raise NotImplementedError
