"""The interface of all transports."""

from collections.abc import Sequence
from typing import Protocol

from adapters.city.core.event import Event
from adapters.city.core.receipt import Receipt


class Transport(Protocol):
    """A way to one system."""

    async def deliver(self, events: Sequence[Event]) -> Receipt:
        """Hand over events, in order, and say what became of them. Whatever the system does is a receipt, not an exception."""

    async def close(self) -> None:
        """Let go of connections and files."""
