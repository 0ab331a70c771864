"""Whether the nodes that prefixes are delegated to are alive: each is asked for its prefix now and then, whoever else asks.

Any answer is a sign of life. The questions go through the servers' breakers like all others, so that a node is known to be away
before a caller meets it, and its return is noticed by a probe.
"""

import asyncio
import logging
from typing import Final

from proto.errors import Refusal
from proto.metrics import Metrics
from proto.model.change import Table
from proto.model.prefix import Prefix
from proto.ports import RecordReader
from proto.tables import unpack_prefix
from proto.wire.handle.exchange import Question
from proto.wire.handle.typed import parse_site
from resolver.upstream.failure import Failed
from resolver.upstream.servers import Servers
from resolver.upstream.sites import HS_SITE, endpoints_of
from resolver.upstream.walk import Ask

log = logging.getLogger(__name__)

# An enterprise that is away is to be known within the minute in which its customers notice.
INTERVAL_S: Final = 15.0

# Nodes that are asked at the same time: with a time-out of two seconds a thousand dead ones take half a minute.
MAX_ASKED: Final = 64


class DelegateWatch:
    """One for a whole node is enough: it runs in one of the workers."""

    def __init__(self, reader: RecordReader, servers: Servers, metrics: Metrics, interval_s: float = INTERVAL_S) -> None:
        self._reader = reader
        self._servers = servers
        self._down = metrics.delegate_down
        self._interval_s = interval_s
        self._is_down: dict[str, bool] = {}
        self._slots = asyncio.Semaphore(MAX_ASKED)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._interval_s)

    async def look(self) -> None:
        """Ask every node once."""
        try:
            images = self._reader.images(Table.PREFIX)
        except Refusal:
            return  # nothing is shown yet
        delegated = [prefix for prefix in map(unpack_prefix, images.values()) if prefix.is_delegated]
        for name in self._is_down.keys() - {prefix.name for prefix in delegated}:
            del self._is_down[name]
            self._down.labels(name).set(0)
        await asyncio.gather(*map(self._look_at, delegated))

    async def _look_at(self, prefix: Prefix) -> None:
        name = f"0.NA/{prefix.name}"
        sites = [parse_site(site) for site in prefix.delegation.sites] if prefix.delegation is not None else []
        try:
            async with self._slots:
                await self._servers.ask(Ask(endpoints_of(sites, name), Question(name, types=(HS_SITE,))))
        except Failed as failed:
            self._note(prefix.name, True, failed.detail)
        else:
            self._note(prefix.name, False, "")

    def _note(self, name: str, is_down: bool, why: str) -> None:
        if self._is_down.get(name, False) != is_down:
            log.warning("the node of a delegated prefix is %s", f"down: {why}" if is_down else "back", extra={"prefix": name})
        self._is_down[name] = is_down
        self._down.labels(name).set(int(is_down))
