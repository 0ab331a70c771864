"""grpc.aio under uvloop, answering every call of the resolver's contract with one message; bytes in, bytes out.

    python -m load_tests.peers.grpc_aio PORT MESSAGE_FILE

Without protobuf in its way: the least that a service on grpc.aio costs.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import uvloop
from grpc import aio

from load_tests.peers.process import HOST, Peer, serving
from node.started import free_port


@contextmanager
def constant(message: bytes, folder: Path) -> Iterator[Peer]:
    """Serve a message."""
    port = free_port()
    file = folder / "message"
    file.write_bytes(message)
    with serving([sys.executable, "-m", "load_tests.peers.grpc_aio", str(port), str(file)], port, folder) as peer:
        yield peer


async def _serve(port: int, message: bytes) -> None:
    async def answer(_request: bytes, _context: "aio.ServicerContext[bytes, bytes]") -> bytes:
        return message

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
    server = aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("biaojie.v1.Resolver", {"Resolve": handler, "BatchResolve": handler}),)
    )
    server.add_insecure_port(f"{HOST}:{port}")
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
