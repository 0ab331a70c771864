"""Workers of one port give each other connections: nobody notices but that all workers have as many. Real sockets."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import pytest
import uvloop

from resolver.listeners import neighbours as neighbours_module
from resolver.listeners.neighbours import Neighbours
from tests.support.imports import until
from tests.support.reader import StoppedClock

HOST = "127.0.0.1"
WAIT_S = 30.0
DATA = bytes(range(256)) * 400


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Workers run uvloop; asyncio's own loop is the second opinion on how a transport behaves."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


class Echo(asyncio.Protocol):
    """Says which worker it is, then whatever it is told."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._worker.connections.add(self)
        self._transport.write(bytes([self._worker.number]))

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._worker.connections.discard(self)

    def abort(self) -> None:
        self._transport.abort()


class Worker:
    """One of the workers, as far as it is about connections."""

    def __init__(self, folder: Path, number: int, count: int, clock: StoppedClock) -> None:
        self.number = number
        self.connections: set[Echo] = set()
        self.neighbours = Neighbours(folder, "http", number, count, clock)

    async def open(self, port: int) -> int:
        make = self.neighbours.open(lambda: Echo(self), lambda: len(self.connections))
        self._server = await asyncio.get_running_loop().create_server(make, HOST, port, reuse_port=True, backlog=512)
        opened: int = self._server.sockets[0].getsockname()[1]
        return opened

    async def close(self) -> None:
        self._server.close()
        await self.neighbours.close()
        for connection in tuple(self.connections):
            connection.abort()


class Node:
    """Workers of one port, in one event loop."""

    def __init__(self, folder: Path, count: int) -> None:
        self.clock = StoppedClock()
        self.workers = [Worker(folder, number, count, self.clock) for number in range(count)]
        self.clients: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def open(self) -> "Node":
        self.port = 0
        for worker in self.workers:
            self.port = await worker.open(self.port)
        return self

    async def connect(self) -> int:
        """Connect, and talk; returns who is there."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        self.clients.append((reader, writer))
        # Bytes that are there before anybody has taken the connection are not lost either.
        writer.write(DATA)
        async with asyncio.timeout(WAIT_S):
            number = (await reader.readexactly(1))[0]
            assert await reader.readexactly(len(DATA)) == DATA
        return number

    def held(self) -> list[int]:
        return [len(worker.connections) for worker in self.workers]

    def said(self) -> list[int]:
        """What the workers say that they have."""
        return [worker.neighbours._seats.own() if worker.neighbours._seats else 0 for worker in self.workers]

    async def close(self) -> None:
        for _, writer in self.clients:
            writer.close()
        for worker in self.workers:
            await worker.close()


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Node]:
    async with AsyncExitStack() as closing:
        node = await Node(tmp_path, 2).open()
        closing.push_async_callback(node.close)
        yield node


async def test_few_connections_come_out_even(two: Node) -> None:
    for count in range(1, 17):
        await two.connect()
        assert sum(two.held()) == count
        assert max(two.held()) - min(two.held()) <= 1


async def test_connections_that_come_at_once_come_out_even(two: Node) -> None:
    there = await asyncio.gather(*(two.connect() for _ in range(16)))
    assert Counter(there) == dict(enumerate(two.held()))
    assert max(two.held()) - min(two.held()) <= 1


async def test_all_of_many_are_served(two: Node) -> None:
    there = await asyncio.gather(*(two.connect() for _ in range(100)))
    assert sorted(Counter(there)) == [0, 1]
    assert sum(two.held()) == 100


async def test_a_worker_that_has_left_is_given_nothing(two: Node) -> None:
    await two.workers[1].close()
    assert [await two.connect() for _ in range(8)] == [0] * 8


async def test_a_worker_that_died_without_a_word_costs_nothing(two: Node, tmp_path: Path) -> None:
    # Its row goes on to say that it has none, and its socket lies there; but nobody is at it.
    two.workers[1]._server.close()
    left = tmp_path / "http-1.sock"
    left.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nobody:
        nobody.bind(str(left))
    assert [await two.connect() for _ in range(8)] == [0] * 8
    left.unlink()
    assert [await two.connect() for _ in range(8)] == [0] * 8


async def test_a_worker_that_is_silent_is_given_nothing(two: Node) -> None:
    two.workers[1]._server.close()
    assert two.workers[1].neighbours._timer is not None
    two.workers[1].neighbours._timer.cancel()
    two.clock.now += 60_000
    assert [await two.connect() for _ in range(8)] == [0] * 8


async def test_a_worker_that_comes_back_gets_its_share(two: Node) -> None:
    await two.workers[1].close()
    for _ in range(4):
        await two.connect()
    await two.workers[1].open(two.port)
    for _ in range(4):
        await two.connect()
    assert two.held() == [4, 4]


async def test_a_flood_is_left_to_chance(two: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours_module, "CONSIDERED_PER_S", 0)
    for worker in two.workers:
        worker.neighbours._may_consider = 0.0
    given: list[int] = []
    for worker in two.workers:
        monkeypatch.setattr(worker.neighbours._seats, "give", given.append)
    there = [await two.connect() for _ in range(32)]
    assert Counter(there) == {number: held for number, held in enumerate(two.held()) if held}
    assert given == []


async def test_clients_that_give_up_on_the_way_leave_nothing(two: Node) -> None:
    for _ in range(20):
        _, writer = await asyncio.open_connection(HOST, two.port)
        writer.transport.abort()
    await two.connect()
    async with asyncio.timeout(WAIT_S):
        await until(lambda: sum(two.held()) == 1 and two.said() == two.held())
    await two.connect()
    assert two.held() == [1, 1]
