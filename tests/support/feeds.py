"""Feeds of a registry in memory into stand-ins, in one process: the engine as it runs in a node, without the node."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry

from adapters.city.core.profile import Profile, parse_profile
from adapters.city.feeds import Feeds
from adapters.city.registry_client import RegistryClient
from node.metrics import build_metrics
from tests.support.rest import Got, RestNode

DEADLINE_S = 60.0


def profile(url: str, name: str = "platform", **sections: Any) -> Profile:
    """A webhook profile with quick retries."""
    document: dict[str, Any] = {
        "name": name,
        "transport": {"kind": "webhook", "url": url, "timeout_s": 2, **sections.pop("transport", {})},
        "retry": {"first_s": 0.05, "last_s": 0.2},
        **sections,
    }
    return parse_profile(document, lambda said: said)


@dataclass
class RunningFeeds:
    """An asynchronous context: feeds of the `city` account of a node."""

    node: RestNode
    profiles: list[Profile]
    scrape: CollectorRegistry = field(default_factory=CollectorRegistry)
    metrics_url: str = ""
    now_s: Callable[[], float] = time.time

    async def __aenter__(self) -> Self:
        self.client = RegistryClient(f"http://127.0.0.1:{self.node.port}", self.node.tokens["city"])
        await self.client.__aenter__()
        metrics = build_metrics(self.scrape)
        self.feeds = Feeds(self.profiles, self.client, metrics, lambda _: None, **self._options())
        self._task = asyncio.create_task(self.feeds.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.feeds.close()
        await self.client.__aexit__()

    def _options(self) -> dict[str, Any]:
        return {"look_s": 0.05, "metrics_url": self.metrics_url, "now_s": self.now_s}

    def outcome(self, outcome: str, feed: str = "platform") -> float:
        """How many events came to this."""
        labels = {"feed": feed, "outcome": outcome}
        return self.scrape.get_sample_value("biaojie_feed_deliveries_total", labels) or 0.0

    async def stored(self, name: str = "platform") -> dict[str, Any]:
        """The feed as the registry keeps it."""
        got: Got = await self.node("GET", f"/api/v1/feeds/{name}")
        return got.document

    def lag(self, name: str = "platform") -> float | None:
        return self.gauge("lag_changes", name)

    def gauge(self, what: str, name: str = "platform") -> float | None:
        """What the feed's gauge of that name says."""
        return self.scrape.get_sample_value(f"biaojie_feed_{what}", {"feed": name})


async def until_so(holds: Callable[[], Awaitable[bool]]) -> None:
    """The same for what has to be asked for."""
    async with asyncio.timeout(DEADLINE_S):
        while not await holds():  # noqa: ASYNC110 # as below
            await asyncio.sleep(0.02)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what must come to pass."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110 # what is waited for is in other places, and they tell nobody
            await asyncio.sleep(0.01)
