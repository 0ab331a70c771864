"""How many events a batch has, after what became of the ones before; and when a single event stands in the way of all.

A batch that is refused is halved until the one event is found that is not wanted; it becomes a dead letter, and batches grow
again. A batch that only fails may be too slow, or hold an event that the system breaks at: after some attempts events go one
by one. If the first fails again and again while others are taken in between, it is the event; one that fails just before the
system comes back is not. If no other is taken, it is the system, and nothing is given up.
"""

from typing import Final

# Attempts with a whole batch before events go one by one.
ISOLATE_AFTER: Final = 4


# How often an event has to fail again right after another one was taken.
PROOFS: Final = 3


class Suspicion:
    """Of the event that stands first and fails, while others are taken."""

    def __init__(self) -> None:
        self._event = ""
        self._proofs = 0
        self._other_taken = False

    def fail(self, event_id: str) -> bool:
        """The first event failed; whether it is proven that it is the event and not the system."""
        if event_id != self._event:
            self._event, self._proofs = event_id, 0
        elif self._other_taken:
            self._proofs += 1
        self._other_taken = False
        return self._proofs >= PROOFS

    def take_other(self) -> None:
        """Another event was taken."""
        self._other_taken = True


class Pace:
    """The size of the next batch, up to `most`; `attempts` counts failures since something was taken."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = most
        self.attempts = 0

    @property
    def is_isolating(self) -> bool:
        """Whether a first event that fails is to be told from a system that does."""
        return self.attempts > ISOLATE_AFTER

    def succeed(self) -> None:
        """Something was taken."""
        self.attempts = 0
        self.size = min(self._most, 2 * self.size)

    def refuse(self, batch: int) -> None:
        """A batch of so many was refused as a whole."""
        self.size = max(1, batch // 2)

    def fail(self) -> None:
        """Nothing was taken."""
        self.attempts += 1
        if self.is_isolating:
            self.size = 1
