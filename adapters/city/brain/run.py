"""The indicators of one profile: look, tell, wait.

Nothing is kept that would be missed: what a system did not take is worked out anew at the next look, and whoever begins tells
how everything stands.
"""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from random import random
from typing import Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from adapters.answer_body import read_up_to
from adapters.city.brain.mapping import Watch
from adapters.city.core.indicators import Indicators
from adapters.city.core.profile import Profile
from adapters.city.core.receipt import Verdict
from adapters.city.registry_client import RegistryClient, StoredFeed
from adapters.city.transports.transport import Batch, Transport
from adapters.registry_api import NotTaken, Unreachable
from proto.metrics import CATALOGUE, Metrics

log = logging.getLogger(__name__)

# The node's own metrics; a delegated prefix is a line.
MAX_METRICS_BYTES: Final = 16 * 1024 * 1024
METRICS_TIMEOUT_S: Final = 10.0

# A run that breaks down for a reason nobody thought of is begun again, but not at once.
BROKEN_S: Final = 5.0

_DOWN: Final = CATALOGUE["delegate_down"].name


class IndicatorRun:
    """Tells the system of `profile`. `metrics_url` is where the node's metrics are; empty: other nodes are not watched."""

    def __init__(
        self,
        profile: Profile,
        indicators: Indicators,
        client: RegistryClient,
        transport: Transport,
        metrics: Metrics,
        metrics_url: str,
    ) -> None:
        self._profile = profile
        self._indicators = indicators
        self._client = client
        self._transport = transport
        self._metrics_url = metrics_url
        self._deliveries = {verdict: metrics.feed_deliveries.labels(profile.name, verdict) for verdict in Verdict}
        self._watch = Watch(indicators)
        self._failures = 0
        self.hindrance = ""
        """Why nothing is told at the moment, for people; empty if all is well."""

    async def run(self) -> None:
        """Look and tell until cancelled. Raises `NotTaken` if the registry does not give figures."""
        while True:
            asked_s, why = await self._look_and_tell()
            if why:
                self._failures += 1
                if self._failures == 1:
                    log.warning("indicators are not told", extra={"feed": self._profile.name, "why": why})
                delay_s = self._profile.retry.delay_s(self._failures, asked_s, random())  # noqa: S311 # jitter
                self.hindrance = f"{why}; attempt {self._failures + 1} after {delay_s:.1f} s"
                await asyncio.sleep(delay_s)
            else:
                self._failures, self.hindrance = 0, ""
                await asyncio.sleep(self._indicators.every_s)

    async def _look_and_tell(self) -> tuple[float | None, str]:
        """When to try again at the earliest, if somebody says so, and why it failed; empty if it did not."""
        try:
            statistics = await self._client.statistics(self._indicators.days)
            down = await self._nodes_down()
        except Unreachable as unreachable:
            return None, str(unreachable)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return None, f"the node's metrics cannot be read: {error or type(error).__name__}"
        events = self._watch.look(statistics, down, asyncio.get_running_loop().time())
        receipt = await self._transport.deliver(Batch(events, 0, "", ""))
        failed = ""
        for event in events:
            verdict = receipt.on(event.id)
            self._deliveries[verdict].inc()
            if verdict is not Verdict.DELIVERED:
                failed = receipt.detail or verdict
        if not failed:
            self._watch.settle()
        return receipt.retry_after_s, failed

    async def _nodes_down(self) -> Mapping[str, bool]:
        """By delegated prefix, whether its node does not answer."""
        if not self._metrics_url:
            return {}
        timeout = aiohttp.ClientTimeout(total=METRICS_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(trust_env=False, timeout=timeout) as session,
            session.get(self._metrics_url) as answer,
        ):
            raw = await read_up_to(answer, MAX_METRICS_BYTES)
        if raw is None:
            raise ValueError(f"they are more than {MAX_METRICS_BYTES} bytes")
        lines = "\n".join(line for line in raw.decode().splitlines() if line.startswith(_DOWN))
        samples = [sample for family in text_string_to_metric_families(f"{lines}\n") for sample in family.samples]
        return {sample.labels["prefix"]: sample.value > 0 for sample in samples if sample.labels.get("prefix")}


class IndicatorFeed:
    """A feed of indicators: it runs while its stored feed is running."""

    def __init__(
        self,
        profile: Profile,
        indicators: Indicators,
        transport: Transport,
        client: RegistryClient,
        metrics: Metrics,
        metrics_url: str,
    ) -> None:
        self.profile = profile
        self._make_run = partial(IndicatorRun, profile, indicators, client, transport, metrics, metrics_url)
        self._transport = transport
        self._state = "starting"
        self._run: IndicatorRun | None = None
        self._task: asyncio.Task[None] | None = None

    def look(self, stored: StoredFeed) -> None:
        """Do what the stored feed says."""
        if self._task is not None and self._task.done():
            self._run = self._task = None
        if self._task is not None and stored.is_paused:
            self._task.cancel()
        elif self._task is None and not stored.is_paused:
            self._run = self._make_run()
            self._task = asyncio.create_task(_guard(self._run), name=f"feed {self.profile.name}")
        self._state = "paused" if stored.is_paused else "running"

    def age(self) -> None:
        """Nothing of it waits."""

    def describe(self) -> str:
        """How it stands, in a word or a sentence."""
        hindrance = self._run.hindrance if self._run is not None else ""
        return f"{self._state}{f': {hindrance}' if hindrance else ''}"

    async def close(self) -> None:
        """End the run at once, and let go of the transport."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._transport.close()


async def _guard(run: IndicatorRun) -> None:
    """A run to its end, whatever that is: one system's trouble is not another's."""
    try:
        await run.run()
    except NotTaken as not_taken:
        run.hindrance = str(not_taken)
        log.error("indicators cannot be told", extra={"why": str(not_taken)})
        await asyncio.sleep(BROKEN_S)
    except Exception:
        run.hindrance = "internal error; its trace is in the log"
        log.exception("indicators broke down")
        await asyncio.sleep(BROKEN_S)
