"""A reader as the committer's end of the wake-up socket sees it: what it says, what it is told."""

import asyncio
from pathlib import Path

from proto.model.change import Position
from proto.wake import MESSAGE_BYTES, SOCKET_NAME, Message, Signal, compose_message, parse_messages


def at(sequence: int) -> Position:
    return Position(1, sequence)


class WakeReader:
    """One connection."""

    def __init__(self, incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    @classmethod
    async def connect(cls, run: Path) -> "WakeReader":
        return cls(*await asyncio.open_unix_connection(run / SOCKET_NAME))

    def say(self, signal: Signal, sequence: int) -> None:
        self._outgoing.write(compose_message(signal, at(sequence)))

    async def hear(self) -> Message:
        async with asyncio.timeout(10):
            messages, _ = parse_messages(await self._incoming.readexactly(MESSAGE_BYTES))
        return messages[0]

    async def hear_switch(self) -> Message:
        """The next demand to move to a checkpoint."""
        while (message := await self.hear()).signal is not Signal.SWITCH:
            pass
        return message

    async def get_ready(self, sequence: int) -> None:
        """Connect as a reader does that shows everything up to `sequence`."""
        await self.hear()
        self.say(Signal.READY, sequence)
        await self.hear()

    async def is_hung_up_on(self) -> bool:
        async with asyncio.timeout(10):
            try:
                while await self._incoming.read(1_000):
                    pass
            except ConnectionResetError:
                pass
        return True

    def close(self) -> None:
        self._outgoing.transport.abort()
