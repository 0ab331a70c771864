"""A Handle listener on a free port of loopback, over a reader of dictionaries."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Protocol

import pytest
import uvloop
from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.errors import Reason
from proto.handle_json import parse_values
from proto.wire.handle.value import parse_value
from resolver.chain.order import build_chain
from resolver.chain.plain import PlainLookups
from resolver.chain.step import Resolve
from resolver.listeners.handle import HandleLimits, HandleListener, node_site
from tests.interop.handle_replay import registrations
from tests.support.handle import Caller
from tests.support.reader import NOW_MS, DictReader, StoppedClock

HOST = "127.0.0.1"


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Workers run uvloop; asyncio's own loop is the second opinion on how a transport behaves."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": uvloop.new_event_loop}
    if item.path.name == "test_handle_connections.py":
        loops["asyncio"] = asyncio.new_event_loop
    return loops


class Served:
    """A listener that is open, and what a test looks at."""

    def __init__(self, resolve: Resolve | None, limits: HandleLimits | None) -> None:
        self.reader = DictReader()
        self.clock = StoppedClock()
        self._registry = CollectorRegistry()
        metrics = build_metrics(self._registry)
        self.resolve = resolve or build_chain(self.reader, self.clock, metrics)
        # A chain of a test's own is to see every question.
        plain = partial(PlainLookups, self.reader, self.clock, metrics) if resolve is None else lambda _: None
        self.listener = HandleListener(self.resolve, metrics, self.clock, node_site, limits, plain=plain)
        self.host = HOST
        self.port = 0

    async def open(self) -> None:
        self.port = await self.listener.open(self.host, self.port)

    async def caller(self) -> Caller:
        return await Caller.connect(self.host, self.port)

    def refused(self, reason: Reason) -> float:
        return self._registry.get_sample_value("biaojie_refused_total", {"reason": reason}) or 0

    def resolved(self, protocol: str, outcome: str) -> float:
        labels = {"protocol": protocol, "outcome": outcome, "scheme": "handle"}
        return self._registry.get_sample_value("biaojie_resolve_requests_total", labels) or 0

    @property
    def connections(self) -> float:
        return self._registry.get_sample_value("biaojie_connections", {"protocol": "handle"}) or 0


class Serve(Protocol):
    """Opens a listener; it is closed after the test."""

    def __call__(self, resolve: Resolve | None = None, limits: HandleLimits | None = None) -> Awaitable[Served]: ...


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """A function that opens a listener over `resolve` (default: the chain over the recorded records)."""
    opened: list[Served] = []

    async def open_one(resolve: Resolve | None = None, limits: HandleLimits | None = None) -> Served:
        served = Served(resolve, limits)
        put_recorded(served.reader)
        await served.open()
        opened.append(served)
        return served

    yield open_one
    for served in opened:
        await served.listener.close(0)


@pytest.fixture
async def served(serve: Serve) -> Served:
    """A listener over the recorded records."""
    return await serve()


def put_recorded(reader: DictReader) -> None:
    """What the recorded server held, as far as its answers tell."""
    reader.put_prefix("88.118.1")
    for identifier, documents in registrations().items():
        reader.put_record(identifier, *parse_values(documents, "values", NOW_MS // 1000), version=7)


def values_of(packed: tuple[bytes, ...]) -> list[Any]:
    """Index and data of packed values."""
    return [(value.index, value.data) for value, _ in map(parse_value, packed)]
