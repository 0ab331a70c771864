"""Filing of a registry in memory to a stand-in, in one process: the engine as it runs in a node, without the node."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry

from adapters.upstream.epp.core.retry import RetryPolicy
from adapters.upstream.epp.fake import BusinessSystem
from adapters.upstream.epp.filings import Filings
from adapters.upstream.epp.place import Place
from adapters.upstream.epp.registry_client import RegistryClient
from node.metrics import build_metrics
from tests.support.rest import RestNode

DEADLINE_S = 60.0
QUICK = (RetryPolicy(0.02, 0.1), RetryPolicy(0.02, 0.1))
PASSWORD = "our secret"


@dataclass
class RunningFilings:
    """An asynchronous context: filing by the `upstream` account of a node, to a system."""

    node: RestNode
    system: BusinessSystem
    answer_timeout_s: float = 5.0
    password: str = PASSWORD
    scrape: CollectorRegistry = field(default_factory=CollectorRegistry)

    async def __aenter__(self) -> Self:
        self.client = RegistryClient(f"http://127.0.0.1:{self.node.port}", self.node.tokens["upstream"])
        await self.client.__aenter__()
        place = Place("127.0.0.1", self.system.port, "88.118", self.password, None, 1.0, self.answer_timeout_s)
        metrics = build_metrics(self.scrape)
        self.filings = Filings(
            "88.118", place, self.client, metrics, lambda _: None, look_s=0.02, poll_s=0.02, retries=QUICK
        )  # fmt: skip
        self.task = asyncio.create_task(self.filings.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.filings.close()
        await self.client.__aexit__()

    def counted(self, name: str, **labels: str) -> float:
        return self.scrape.get_sample_value(f"biaojie_{name}", labels) or 0.0

    async def states(self) -> dict[str, str]:
        """The state of every filing of a registrant or a prefix: days wait where nobody takes figures."""
        page: dict[str, Any] = (await self.node("GET", "/api/v1/filings?limit=1000")).document
        return {f"{each['kind']}/{each['name']}": each["state"] for each in page["filings"] if each["kind"] != "statistics"}

    async def until_states(self, *wanted: str) -> dict[str, str]:
        """Wait until there are filings and all of them are in one of these states."""
        async with asyncio.timeout(DEADLINE_S):
            while not (states := await self.states()) or not set(states.values()) <= set(wanted):  # noqa: ASYNC110 # as in `until`
                await asyncio.sleep(0.01)
        return states


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what must come to pass."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110 # what is waited for is in other places, and they tell nobody
            await asyncio.sleep(0.01)


def counted_once(state: dict[str, Any]) -> bool:
    """Whether the system created nothing twice."""
    every = [*state["enterprises"].values(), *state["prefixes"].values(), *state["reports"].values()]
    return all(entry["created"] == 1 for entry in every)
