"""How many connections a listener has open: each is counted once, whoever serves it."""

from proto.metrics import Gauge


class Occupancy:
    """Admits at most `limit` connections at a time."""

    def __init__(self, limit: int, gauge: Gauge) -> None:
        self._limit = limit
        self._gauge = gauge
        self._count = 0

    @property
    def count(self) -> int:
        """How many are open."""
        return self._count

    def admit(self) -> bool:
        """Take one more in; False: there are too many."""
        if self._count >= self._limit:
            return False
        self._count += 1
        self._gauge.inc()
        return True

    def leave(self) -> None:
        """One that was admitted has ended."""
        self._count -= 1
        self._gauge.dec()
