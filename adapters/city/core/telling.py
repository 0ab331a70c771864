"""Of whom a feed has told, until that is committed with the cursor: enterprises read it in the node's access log. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from adapters.city.core.backlog import Entry

# Registrants that the registry takes with one commit. What is of others is summed under the name of all.
MAX_REGISTRANTS: Final = 1_000
EVERY_REGISTRANT: Final = "*"

# Prefixes that it takes for each.
MAX_PREFIXES: Final = 32


class Telling:
    """What was delivered and is not committed yet, by registrant."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._prefixes: dict[str, dict[str, None]] = {}

    def add(self, delivered: Iterable[Entry]) -> None:
        """The system has these."""
        for entry in delivered:
            name = entry.registrant
            if name not in self._counts and len(self._counts) >= MAX_REGISTRANTS - 1:
                name = EVERY_REGISTRANT
            self._counts[name] = self._counts.get(name, 0) + 1
            prefixes = self._prefixes.setdefault(name, {})
            if entry.prefix and len(prefixes) < MAX_PREFIXES:
                prefixes[entry.prefix] = None

    def take(self) -> Sequence[Mapping[str, Any]]:
        """As the registry takes it; nothing is left."""
        told = [
            {"registrant": name, "count": count, "prefixes": list(self._prefixes[name])} for name, count in self._counts.items()
        ]
        self._counts, self._prefixes = {}, {}
        return told
