"""The adapters: what others' systems are told, wired. One process, started only if feeds are configured.

It reaches the node by its registry's REST as any other would, with the key of an account of its own, and keeps nothing: cursors
and dead letters are in the store. So it may die at any moment, and costs the node nothing if it does.
"""

import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from adapters.city.core.profile import ProfileMistakes
from adapters.city.feeds import Feeds
from adapters.city.registry_client import NotTaken, RegistryClient
from node.cli.place import in_url, reachable
from node.control import Assignment
from node.feeds import load_profiles
from node.folder import FEEDS_TOKEN_FILE
from node.metrics import build_metrics
from node.part import Announce, RefusesToStart, run_part


class Adapters:
    """The adapters' process (a `node.part.Part`)."""

    def __init__(self, assignment: Assignment, announce: Announce) -> None:
        self._assignment = assignment
        self._announce = announce
        self._metrics = build_metrics()
        self._feeds: Feeds | None = None
        self._stops = AsyncExitStack()

    async def run(self) -> None:
        config = self._assignment.config
        try:
            profiles = load_profiles(config, os.environ)
            token = (config.node.data / FEEDS_TOKEN_FILE).read_text(encoding="ascii").strip()
        except ProfileMistakes as mistakes:
            raise RefusesToStart(str(mistakes)) from None
        except OSError as error:
            raise RefusesToStart(f"the key of the feeds' account cannot be read: {error}") from None
        address = f"{in_url(reachable(config.registry.host))}:{self._assignment.ports['registry.http_port']}"
        client = await self._stops.enter_async_context(RegistryClient(f"http://{address}", token))
        self._feeds = Feeds(profiles, client, self._metrics, self._announce)
        self._stops.push_async_callback(self._feeds.close)
        try:
            await self._feeds.run()
        except NotTaken as not_taken:
            raise RefusesToStart(f"the registry does not let the feeds' account work: {not_taken}") from None

    async def stop(self, grace_s: float) -> None:  # noqa: ARG002 # nothing waits: what is not committed is delivered again
        await self._stops.aclose()

    def describe(self) -> Mapping[str, Any]:
        return self._feeds.describe() if self._feeds is not None else {}


if __name__ == "__main__":
    sys.exit(run_part(Adapters))
