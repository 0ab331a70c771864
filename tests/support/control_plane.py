"""A whole registry in a temporary folder: RocksDB, committer, segments, its own view, use cases, and three accounts."""

from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry

from node.clock import SystemClock
from node.metrics import build_metrics
from proto import places
from proto.errors import Reason
from proto.model.account import Role
from registry.commit.primary import Primary
from registry.service.bootstrap import OPERATOR_ACCOUNT, bootstrap
from registry.service.context import Context
from registry.service.registry import Registry
from registry.service.sealing import Seals
from resolver.view.archive import Archive
from resolver.view.layers import Watcher
from resolver.view.view import View
from tests.support.papers import KEY

HOME = "88.118"
ACME = "88.118.1001"
"""A prefix of the registrant ACME_CODE."""

ACME_CODE = "91411000MA40XCDL1K"


class ControlPlane:
    """An asynchronous context: `registry`, `metrics`, and the keys of an operator, a registrant's account and a city."""

    def __init__(self, data: Path, watcher: Watcher | None = None) -> None:
        self.data = data
        self._watcher = watcher
        self.scrape = CollectorRegistry()
        self.metrics = build_metrics(self.scrape)
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> Self:
        clock = SystemClock()
        primary = Primary.open(self.data, clock, self.metrics)
        self._closing.push_async_callback(primary.close)
        await primary.start()
        self.view = View(self.data, clock, self.metrics, watcher=self._watcher)
        self._closing.push_async_callback(self.view.close)
        await self.view.open()
        archive = Archive(self.data / places.STREAM)
        self._closing.callback(archive.close)
        self.committer = primary.committer
        self.registry = Registry(self.view, self.committer, archive, clock, data=self.data, seals=Seals(KEY))
        primary.committer.witness = self.registry.figures.records.see
        self._closing.push_async_callback(self.registry.access.close)
        await bootstrap(self.registry.executor, [HOME], {OPERATOR_ACCOUNT: self.data / "operator-token"})
        self.operator = (self.data / "operator-token").read_text().strip()
        context = Context(self.registry.authenticate(self.operator), "set-up")
        await self.registry.create_registrant(context, ACME_CODE, "许昌变压器")
        await self.registry.create_prefix(context, ACME, ACME_CODE)
        if self.view.account("acme") is None:  # where it was opened before, keys are not shown again
            self.acme = (await self.registry.create_account(context, "acme", Role.REGISTRANT, ACME_CODE)).token
            self.city = (await self.registry.create_account(context, "city", Role.CITY)).token
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._closing.aclose()

    def refused(self, reason: Reason) -> float:
        """How often this reason was counted."""
        return self.scrape.get_sample_value("biaojie_refused_total", {"reason": reason}) or 0.0
