"""aiohttp under uvloop, answering any path with a constant body: what a plain application costs.

python -m load_tests.peers.aiohttp_server PORT SIZE
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop
from aiohttp import web

from load_tests.peers.process import HOST, Peer, serving
from node.started import free_port


@contextmanager
def constant(size: int, folder: Path) -> Iterator[Peer]:
    """Serve a body of `size` bytes."""
    port = free_port()
    with serving([sys.executable, "-m", "load_tests.peers.aiohttp_server", str(port), str(size)], port, folder) as peer:
        yield peer


def _serve(port: int, body: bytes) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    web.run_app(application, host=HOST, port=port, access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    _serve(int(sys.argv[1]), b"x" * int(sys.argv[2]))
