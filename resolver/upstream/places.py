"""Where foreign prefixes live, as far as walks have found out. Bounded, and forgotten with the TTL of what said so. Pure."""

from collections import OrderedDict
from typing import NamedTuple

from resolver.upstream.walk import Place, Standing


class _Known(NamedTuple):
    """A place, until when it holds, and how often nowhere had been forgotten when it was found out."""

    place: Place
    until_s: float
    turn: int


class Places:
    """Places by prefix. Seconds are the caller's monotonic ones."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._places: OrderedDict[str, _Known] = OrderedDict()
        self._turn = 0

    def __len__(self) -> int:
        return len(self._places)

    def get(self, prefix: str, now_s: float) -> Place | None:
        """Where a prefix lives, if that is known and still holds."""
        found = self._places.get(prefix)
        if found is None:
            return None
        is_forgotten = found.place.standing is Standing.NOWHERE and found.turn != self._turn
        if is_forgotten or now_s >= found.until_s:
            del self._places[prefix]
            return None
        self._places.move_to_end(prefix)
        return found.place

    def put(self, prefix: str, place: Place, ttl_s: float, now_s: float) -> None:
        """Remember where a prefix lives."""
        self._places[prefix] = _Known(place, now_s + ttl_s, self._turn)
        self._places.move_to_end(prefix)
        if len(self._places) > self._limit:
            self._places.popitem(last=False)

    def forget_nowhere(self) -> None:
        """Of prefixes that lived nowhere nothing is known any more. Costs nothing: an import may create a thousand a second."""
        self._turn += 1
