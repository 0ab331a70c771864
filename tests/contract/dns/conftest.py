"""A DNS listener on a free port of loopback, over a reader of dictionaries."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Protocol

import dns.message
import pytest
import uvloop
from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.errors import Reason
from proto.wire.dns.name import Labels
from resolver.answer_cache import AnswerCache
from resolver.chain.order import build_chain
from resolver.chain.plain import PlainLookups
from resolver.chain.step import Resolve
from resolver.listeners.dns import DnsLimits, DnsListener, Zone
from tests.support.dns import ZONE, Caller, PacketCaller, furnish
from tests.support.reader import DictReader, StoppedClock

HOST = "127.0.0.1"


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Workers run uvloop; asyncio's own loop is the second opinion on how a transport behaves."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": uvloop.new_event_loop}
    if item.path.name == "test_dns_connections.py":
        loops["asyncio"] = asyncio.new_event_loop
    return loops


class Served:
    """A listener that is open, and what a test looks at."""

    def __init__(self, resolve: Resolve | None, limits: DnsLimits | None, servers: tuple[Labels, ...] = ()) -> None:
        self.reader = furnish(DictReader())
        self.clock = StoppedClock()
        self._registry = CollectorRegistry()
        metrics = build_metrics(self._registry)
        # The dictionaries tell nobody what changes in them, so nothing is kept.
        answers = AnswerCache(0)
        # Whoever brings a resolver of his own wants it asked.
        plain = partial(PlainLookups, self.reader, self.clock, metrics) if resolve is None else lambda _protocol: None
        resolve = resolve or build_chain(self.reader, self.clock, metrics)
        self.listener = DnsListener(resolve, self.reader, metrics, self.clock, answers, Zone(ZONE, servers), limits, plain)
        self.host = HOST
        self.port = 0

    async def open(self) -> None:
        self.port = await self.listener.open(self.host, self.port)

    async def caller(self) -> Caller:
        return await Caller.connect(self.host, self.port)

    async def packet_caller(self) -> PacketCaller:
        return await PacketCaller.connect(self.host, self.port)

    def refused(self, reason: Reason) -> float:
        return self._registry.get_sample_value("biaojie_refused_total", {"reason": reason}) or 0

    def resolved(self, protocol: str, outcome: str) -> float:
        labels = {"protocol": protocol, "outcome": outcome, "scheme": "handle"}
        return self._registry.get_sample_value("biaojie_resolve_requests_total", labels) or 0

    @property
    def connections(self) -> float:
        return self._registry.get_sample_value("biaojie_connections", {"protocol": "dns-tcp"}) or 0


class Serve(Protocol):
    """Opens a listener; it is closed after the test."""

    def __call__(
        self, resolve: Resolve | None = None, limits: DnsLimits | None = None, servers: tuple[Labels, ...] = ()
    ) -> Awaitable[Served]: ...


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """A function that opens a listener over `resolve` (default: the chain over the records of `furnish`)."""
    opened: list[Served] = []

    async def open_one(
        resolve: Resolve | None = None, limits: DnsLimits | None = None, servers: tuple[Labels, ...] = ()
    ) -> Served:
        served = Served(resolve, limits, servers)
        await served.open()
        opened.append(served)
        return served

    yield open_one
    for served in opened:
        await served.listener.close(0)


@pytest.fixture
async def served(serve: Serve) -> Served:
    """A listener over the records of `furnish`."""
    return await serve()


async def both(served: Served, query: dns.message.Message) -> list[dns.message.Message]:
    """The answers over UDP and TCP."""
    packets, stream = await served.packet_caller(), await served.caller()
    return [await packets.ask(query), await stream.ask(query)]
