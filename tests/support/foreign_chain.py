"""A chain that asks other nodes: a reader in memory, a clock that a test moves, real sockets to nodes of the test."""

import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from proto.model.answer import Answer, Found, Refused
from proto.model.query import Query
from resolver.chain.order import build_chain
from resolver.chain.recursion import Recursion
from resolver.upstream.copies import Terms
from resolver.upstream.limits import UpstreamLimits
from resolver.upstream.sites import Endpoint
from resolver.upstream.upstream import Shared, Upstream
from tests.support.counts import Counts
from tests.support.foreign_node import ForeignNode
from tests.support.reader import DictReader, StoppedClock

LOCAL = "127.0.0.1"

# For a machine under load, on which a process may stand still for more than the second that a connection has in a node's own
# limits: that ends an attempt although the other side has accepted. What a test wants to reach sooner it takes in its place.
PATIENT = UpstreamLimits(total_s=60.0, attempt_s=30.0, connect_s=20.0, stale_wait_s=10.0)


class ForeignChain:
    """What a worker is made of, as far as other nodes are concerned."""

    def __init__(
        self,
        *root: Endpoint,
        limits: UpstreamLimits = PATIENT,
        terms: Terms | None = None,
        share: Callable[["ForeignChain"], Shared] | None = None,
        home: str = "88.118",
        networks: Sequence[str] = ("127.0.0.0/8",),
    ) -> None:
        self.reader = DictReader()
        self.reader.put_prefix(home)
        self.clock = StoppedClock()
        self.counts = Counts()
        self.terms = terms or Terms()
        shared = share(self) if share is not None else None
        self.upstream = Upstream(root, 1_000_000, self.terms, limits, self.clock, self.counts.metrics, shared, networks)
        recursion = Recursion(["127.0.0.0/8", "::1/128"], self.upstream.has_root)
        self.chain = build_chain(self.reader, self.clock, self.counts.metrics, self.upstream, recursion)

    def query(self, identifier: str, **more: Any) -> Query:
        """A question of somebody on this machine."""
        return Query(identifier, "http", **({"peer": LOCAL} | more))

    async def resolve(self, query: Query) -> Answer:
        """The answer, whatever it takes."""
        result = self.chain(query)
        return await result if inspect.isawaitable(result) else result

    async def ask(self, identifier: str, **more: Any) -> Answer:
        """The answer to somebody on this machine, whatever it takes."""
        return await self.resolve(self.query(identifier, **more))

    def ask_now(self, identifier: str, **more: Any) -> Answer:
        """The answer, which has to be there without waiting for anything."""
        result = self.chain(self.query(identifier, **more))
        assert not inspect.isawaitable(result), "it waits"
        return result

    async def find(self, identifier: str, **more: Any) -> Found:
        """The record, which has to be found."""
        answer = await self.ask(identifier, **more)
        assert isinstance(answer, Found), answer
        return answer

    def pass_s(self, seconds: float) -> None:
        """Let time go by."""
        self.clock.now += int(seconds * 1000)

    def requests(self, outcome: str = "answered") -> float:
        return self.counts.of("upstream_requests_total", outcome=outcome)


@asynccontextmanager
async def foreign_chain(*nodes: ForeignNode, others: Sequence[ForeignNode] = (), **more: Any) -> AsyncIterator[ForeignChain]:
    """A chain whose upstream is `nodes`; it and they are closed in the end, and so are `others`."""
    chain = ForeignChain(*(node.endpoint for node in nodes), **more)
    try:
        yield chain
    finally:
        await chain.upstream.close()
        for node in (*nodes, *others):
            await node.end()


def refusal(answer: Answer) -> str:
    """The reason of a refusal."""
    assert isinstance(answer, Refused), answer
    return str(answer.refusal.reason)
