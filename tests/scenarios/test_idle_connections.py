"""Ten thousand clients that connect and say nothing: the node goes on answering, and does not grow by what they cost.

The one limit on memory that a test asserts, because without it a stranger could end the node with open sockets alone.
"""

import asyncio
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.node import RunningNode

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CONNECTIONS = 10_000
MAX_GROWTH_KIB = 150 * 1024
# What the test itself has open besides, generously.
OWN_DESCRIPTORS = 500
# Connections being made at once: fewer than any backlog.
AT_ONCE = 100


@pytest.fixture(scope="module", autouse=True)
def descriptors() -> None:
    wanted = CONNECTIONS + OWN_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    running = RunningNode(tmp_path / "data", sample=True, workers=1)
    try:
        running.until_ready()
        yield running
    finally:
        running.destroy()


@pytest.mark.parametrize("listener", ["resolver.http_port", "resolver.handle_port", "resolver.grpc_port", "resolver.dns_port"])
def test_idle_connections_cost_little_and_harm_nobody(node: RunningNode, listener: str) -> None:
    assert node.resolve("88.118.1001/SAMPLE-1").status == 200
    before = private_kib(node)
    asyncio.run(connect_and_ask(node, listener, before))
    assert node.resolve("88.118.1001/SAMPLE-1").status == 200


async def connect_and_ask(node: RunningNode, listener: str, before: int) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def connect() -> asyncio.StreamWriter:
        async with gate:
            _, writer = await asyncio.open_connection("127.0.0.1", node.ports[listener])
            return writer

    writers = await asyncio.gather(*(connect() for _ in range(CONNECTIONS)))
    try:
        reply = await asyncio.to_thread(node.resolve, "88.118.1001/SAMPLE-1")
        assert reply.status == 200
        assert private_kib(node) - before < MAX_GROWTH_KIB
    finally:
        for writer in writers:
            writer.transport.abort()


def private_kib(node: RunningNode) -> int:
    """Memory of the worker that is its own."""
    status = Path(f"/proc/{node.child('worker-1')['pid']}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:"))
