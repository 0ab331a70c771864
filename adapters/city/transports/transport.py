"""The interface of all transports."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from adapters.city.core.event import Event
from adapters.city.core.receipt import Receipt
from adapters.city.core.reconciliation import Bucket, BucketKey, Group, Holding

# Deliveries of one second share a commit: what a system gets twice if the adapters are killed, which it has to bear anyway.
UNCOMMITTED_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Events to be handed over, in order.

    `delivered` is how many the feed has delivered before; the first event's change comes after the cursor `start`, and when
    these are taken everything up to the cursor `end` is.
    """

    events: Sequence[Event]
    delivered: int
    start: str
    end: str


class Unknowable(Exception):
    """What a system holds cannot be found out; the message says why."""


class Transport(Protocol):
    """A way to one system."""

    @property
    def uncommitted_s(self) -> float:
        """How long deliveries that were taken may go without a commit: after a kill they are delivered once more."""

    async def deliver(self, batch: Batch) -> Receipt:
        """Hand over events and say what became of them. Whatever the system does is a receipt, not an exception."""

    async def missing_after(self, delivered: int) -> str | None:
        """Whether a system that keeps what it is told has lost something: the cursor behind what it still has.

        None: nothing is known to be missing. `delivered` is what the feed has delivered.
        """

    async def begin_after(self, delivered: int, cursor: str) -> bool:
        """What was lost is going to be told again after `cursor`; whether that is noted."""

    def content(self, data: Mapping[str, Any]) -> object:
        """As much of an event's data as the system is sent, as JSON could hold it: what is compared."""

    def sums(self, wanted: Mapping[BucketKey, int] | None) -> AsyncIterator[tuple[BucketKey, Bucket]]:
        """What the system holds (every thing that it was told and not told to forget), summed up.

        With `wanted` at least these buckets, parted by so many digits each. A bucket may come in several pieces. Raises
        `Unknowable`.
        """

    def things(self, wanted: frozenset[BucketKey], digits: Mapping[Group, int]) -> AsyncIterator[tuple[BucketKey, Holding]]:
        """What it holds of these buckets or parts one by one, as `digits` parts them. Raises `Unknowable`."""

    async def repair(self, events: Sequence[Event]) -> Receipt:
        """Hand over events that the system lacks, beside what the feed delivers."""

    async def close(self) -> None:
        """Let go of connections and files."""


class Forgetful:
    """A transport to a system that does not say what it has kept."""

    uncommitted_s = UNCOMMITTED_S

    async def missing_after(self, delivered: int) -> str | None:  # noqa: ARG002 # it cannot know
        return None

    async def begin_after(self, delivered: int, cursor: str) -> bool:  # noqa: ARG002 # there is nothing to note
        return True

    def content(self, data: Mapping[str, Any]) -> object:
        return data
