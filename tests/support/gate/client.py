"""The gate's own interface: a line there, a line back."""

import asyncio
from typing import Final

# A gate is in the same building; one that takes longer is switched off.
TIMEOUT_S: Final = 2.0


class GateAway(Exception):
    """The gate does not answer."""


async def talk(host: str, port: int, line: str) -> str:
    """What it answers to one line. Raises `GateAway`."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"{line}\n".encode())
                answer = await reader.readuntil(b"\n")
            finally:
                writer.close()
    except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
        raise GateAway(f"the gate does not answer: {error or type(error).__name__}") from None
    return answer.decode().strip()
