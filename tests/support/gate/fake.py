"""A gate to try the adapter with."""

import asyncio


class Gate:
    """A stand-in on a port of its own; `prefixes` are those that it opens for."""

    def __init__(self) -> None:
        self.prefixes: set[str] = set()
        self.port = 0

    async def serve(self) -> None:
        """Until cancelled."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb, _, prefix = (await reader.readline()).decode().strip().partition(" ")
        if verb == "ALLOW":
            self.prefixes.add(prefix)
        elif verb == "FORGET":
            self.prefixes.discard(prefix)
        said = " ".join(sorted(self.prefixes)) if verb == "LIST" else "OK"
        writer.write(f"{said}\n".encode())
        await writer.drain()
        writer.close()
