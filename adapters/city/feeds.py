"""All feeds of a node: for each profile there is a stored feed, and while that is running there is a run of it.

Once a second the stored feeds are looked at: a feed that was paused is stopped, one that was resumed or rewound begins a new
run, and the lag is measured by what the registry says its head is, also when a system has been silent for days. How old the
oldest change is that waits goes by that change's own time; while the registry is away, too, it grows with the clock.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from random import random
from typing import Any, Final

from adapters.city.ahead import Ahead
from adapters.city.brain.run import Observer
from adapters.city.core.lag import Lag
from adapters.city.core.profile import Profile
from adapters.city.pages import Pages
from adapters.city.registry_client import RegistryClient, StoredFeed
from adapters.city.run import REGISTRY_RETRY, Run, Stale
from adapters.city.transports.order import make_transport
from adapters.city.transports.transport import Transport
from adapters.registry_api import NotTaken, Unreachable
from proto.metrics import Gauge, Metrics
from proto.model.change import parse_cursor

log = logging.getLogger(__name__)

# How soon a pause, a rewind or a request for letters is noticed, and how old the lag is at most.
LOOK_S: Final = 1.0

# A run that breaks down for a reason nobody thought of is begun again, but not at once.
BROKEN_S: Final = 5.0


class Feed:
    """One feed: its profile, its transport, and its run if there is one; of a feed of indicators who watches for it."""

    def __init__(
        self,
        profile: Profile,
        transport: Transport,
        client: RegistryClient,
        pages: Pages,
        metrics: Metrics,
        now_s: Callable[[], float],
        observer: Observer | None = None,
    ) -> None:
        self.profile = profile
        self.transport = transport
        self.lag: int | None = None
        self.state = "starting"
        self._client = client
        self._pages = pages
        self._metrics = metrics
        self._now_s = now_s
        self._gauge: Gauge = metrics.feed_lag_changes.labels(profile.name)
        self._letters: Gauge = metrics.feed_dead_letters.labels(profile.name)
        self._paused: Gauge = metrics.feed_paused.labels(profile.name)
        self._age = Lag()
        self._oldest: str | None = None
        self._ahead: Ahead | None = None
        self._run: Run | None = None
        self._task: asyncio.Task[None] | None = None
        self._observer = observer
        self._observing: asyncio.Task[None] | None = None

    def look(self, stored: StoredFeed) -> None:
        """Do what the stored feed says. Whether it tells or not, what there is to tell is watched for."""
        if self._observer is not None and self._observing is None:
            self._observing = asyncio.create_task(self._observer.run(), name=f"indicators for {self.profile.name}")
        run, task = self._run, self._task
        if task is not None and task.done():
            run = self._run = self._task = task = None
        is_over = run is not None and not run.is_committing and stored.version > run.version
        if task is not None and (stored.is_paused or is_over):
            task.cancel()
        elif task is None and not stored.is_paused:
            self._begin(stored)
        elif run is not None and stored.requested:
            run.request_letters()
        self.state = "paused" if stored.is_paused else "running"
        self._measure(stored)

    def describe(self) -> str:
        """How it stands, in a word or a sentence."""
        hindrance = self._run.hindrance if self._run is not None and self._task is not None else ""
        if not hindrance and self._observer is not None:
            hindrance = self._observer.hindrance
        lag = "" if self.lag is None else f", {self.lag} changes behind"
        return f"{self.state}{lag}{f': {hindrance}' if hindrance else ''}"

    async def close(self) -> None:
        """End the run at once, and let go of the transport."""
        for task in (self._task, self._observing):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._ahead is not None:
            await self._ahead.close()
        await self.transport.close()

    def _begin(self, stored: StoredFeed) -> None:
        self._run = Run(self.profile, stored, self._client, self._pages, self.transport, self._metrics)
        self._task = asyncio.create_task(self._guard(self._run), name=f"feed {self.profile.name}")

    async def _guard(self, run: Run) -> None:
        """A run to its end, whatever that is: one feed's trouble is not another's."""
        try:
            await run.run()
        except Stale:
            log.info("a feed begins anew", extra={"feed": self.profile.name})
        except NotTaken as not_taken:
            run.hindrance = str(not_taken)
            log.error("a feed cannot go on", extra={"feed": self.profile.name, "why": str(not_taken)})
            await asyncio.sleep(BROKEN_S)
        except Exception:
            run.hindrance = "internal error; its trace is in the log"
            log.exception("a feed broke down", extra={"feed": self.profile.name})
            await asyncio.sleep(BROKEN_S)

    def _measure(self, stored: StoredFeed) -> None:
        cursor = parse_cursor(self._run.cursor if self._run is not None else stored.cursor)
        head = parse_cursor(stored.head)
        # Of a higher epoch everything is new.
        self.lag = max(0, head.sequence - cursor.sequence) if head.epoch == cursor.epoch else head.sequence
        self._gauge.set(self.lag)
        self._letters.set(stored.letters)
        self._paused.set(stored.is_paused)
        oldest = self._run.oldest(stored.head) if self._run is not None else self._look_ahead(stored)
        self._oldest = self._oldest if oldest is None else oldest
        self.age()

    def age(self) -> None:
        """Say how old the oldest change that waits is by now, once that is known: until then there is no figure."""
        if self._oldest is not None:
            age_s = self._age.age_s(self._oldest, self._now_s(), time.monotonic())
            self._metrics.feed_lag_seconds.labels(self.profile.name).set(age_s)

    def _look_ahead(self, stored: StoredFeed) -> str | None:
        if self._ahead is None or self._ahead.begin != stored.cursor:
            self._ahead = Ahead(self.profile, self._pages, stored.cursor)
        return self._ahead.look(stored.head)


class Feeds:
    """The feeds of some profiles. `announce` is told once they run; indicators look at the node's metrics at `metrics_url`.

    `now_s` is the clock that changes are aged by, in seconds since 1970.
    """

    def __init__(
        self,
        profiles: Sequence[Profile],
        client: RegistryClient,
        metrics: Metrics,
        announce: Callable[[bool], None],
        *,
        look_s: float = LOOK_S,
        metrics_url: str = "",
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._look_s = look_s
        self._now_s = now_s
        self._client = client
        self._pages = Pages(client)
        self._announce = announce
        self._feeds = [self._make(profile, metrics, metrics_url) for profile in profiles]

    async def run(self) -> None:
        """Feed until cancelled. Raises `NotTaken` if the registry does not let this account run a feed."""
        is_ready, attempt = False, 0
        while True:
            try:
                if not is_ready:
                    for feed in self._feeds:
                        await self._client.create(feed.profile.name)
                stored = await self._client.feeds()
            except Unreachable as unreachable:
                attempt += 1
                if attempt == 1:
                    log.warning("the registry cannot be reached", extra={"why": str(unreachable)})
                for feed in self._feeds:
                    feed.age()
                await asyncio.sleep(REGISTRY_RETRY.delay_s(attempt, None, random()))  # noqa: S311 # jitter
                continue
            attempt = 0
            for feed in self._feeds:
                if feed.profile.name in stored:
                    feed.look(stored[feed.profile.name])
            if not is_ready:
                is_ready = True
                self._announce(True)
            await asyncio.sleep(self._look_s)

    async def close(self) -> None:
        """End all runs. What was delivered and not yet committed will be delivered again."""
        await asyncio.gather(*(feed.close() for feed in self._feeds))
        await self._pages.close()

    def _make(self, profile: Profile, metrics: Metrics, metrics_url: str) -> Feed:
        transport, observer = make_transport(profile), None
        if profile.indicators is not None:
            observer = Observer(profile, profile.indicators, self._client, metrics_url)
        return Feed(profile, transport, self._client, self._pages, metrics, self._now_s, observer)

    def describe(self) -> Mapping[str, Any]:
        """How each feed stands, by its name."""
        return {feed.profile.name: feed.describe() for feed in self._feeds}
