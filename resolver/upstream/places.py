"""Where foreign prefixes live, as far as walks have found out. Bounded, and forgotten with the TTL of what said so. Pure."""

from collections import OrderedDict

from resolver.upstream.walk import Place, Standing


class Places:
    """Places by prefix. Seconds are the caller's monotonic ones."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._places: OrderedDict[str, tuple[Place, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def get(self, prefix: str, now_s: float) -> Place | None:
        """Where a prefix lives, if that is known and still holds."""
        found = self._places.get(prefix)
        if found is None:
            return None
        place, until_s = found
        if now_s >= until_s:
            del self._places[prefix]
            return None
        self._places.move_to_end(prefix)
        return place

    def put(self, prefix: str, place: Place, ttl_s: float, now_s: float) -> None:
        """Remember where a prefix lives."""
        self._places[prefix] = (place, now_s + ttl_s)
        self._places.move_to_end(prefix)
        if len(self._places) > self._limit:
            self._places.popitem(last=False)

    def forget_nowhere(self) -> None:
        """Of prefixes that lived nowhere nothing is known any more."""
        for prefix in [name for name, (place, _) in self._places.items() if place.standing is Standing.NOWHERE]:
            del self._places[prefix]
