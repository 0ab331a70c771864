"""The questions that all connections bring in one turn of the event loop, looked up together.

Nearly always a connection brings one plain question and nothing stands before it. Those of one turn wait for its end, which is
less than a millisecond, and are then answered one step for all of them after the other (`PlainLookups.look_up_turn` says why).
What cannot be answered so goes back to its connection.
"""

import asyncio
from typing import Final, Protocol

from resolver.listeners.handle.dialogue import Dialogue
from resolver.listeners.handle.limits import MAX_TURN

# Plain questions are a tenth of it. What is longer is worked on by its connection, so that a turn holds little whoever asks.
MAX_GATHERED_BYTES: Final = 2_048


class Asker(Protocol):
    """Whoever brought a packet."""

    def take(self, packet: bytes, reply: bytes | None) -> None:
        """The reply to the packet it brought; None: it has to be answered otherwise."""


class Turn:
    """Of one listener."""

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self._waiting: dict[Asker, bytes] = {}

    def add(self, asker: Asker, packet: bytes) -> None:
        """Answer a packet at the end of this turn; one of an asker at a time."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._answer)
        self._waiting[asker] = packet

    def drop(self, asker: Asker) -> bytes:
        """Do not answer the packet that an asker has added and not got back, but give it back now."""
        return self._waiting.pop(asker)

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, {}
        askers, packets = [*waiting], [*waiting.values()]
        for start in range(0, len(packets), MAX_TURN):
            some = packets[start : start + MAX_TURN]
            for asker, packet, reply in zip(askers[start:], some, self._dialogue.respond_plainly_to(some), strict=False):
                asker.take(packet, reply)
