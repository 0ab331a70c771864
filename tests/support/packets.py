"""A client on a UDP socket, whatever its packets say."""

import asyncio
from typing import Final, Self

# Far beyond what an answer takes on a machine under load.
WAIT_S: Final = 20.0


class UdpClient(asyncio.DatagramProtocol):
    """A client on one UDP socket; packets that come are in `packets`."""

    def __init__(self) -> None:
        self.packets: asyncio.Queue[bytes] = asyncio.Queue()
        self.transport: asyncio.DatagramTransport

    @classmethod
    async def connect(cls, host: str, port: int) -> Self:
        loop = asyncio.get_running_loop()
        transport, caller = await loop.create_datagram_endpoint(cls, remote_addr=(host, port))
        caller.transport = transport
        return caller

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.packets.put_nowait(data)

    async def exchange(self, *packets: bytes) -> bytes:
        """Send packets; the next packet that comes."""
        for packet in packets:
            self.transport.sendto(packet)
        return await self.packet()

    async def packet(self) -> bytes:
        """The next packet that comes."""
        async with asyncio.timeout(WAIT_S):
            return await self.packets.get()
