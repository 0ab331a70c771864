"""Pages of changes, read once for all feeds.

All feeds of a node follow the same stream by the same account, and those that keep up stand at the same place: they share one
request. Each page is kept for a moment, because feeds come to it one after another. At the end of the stream there is a little
pause before the next look: single changes then come in bunches, and the registry is asked ten times a second, not a thousand.
While much is registered the pause is longer, because then every page and every delivery is paid for by who registers.
"""

import asyncio
from collections import OrderedDict
from typing import Final

from adapters.city.core.page import Page
from adapters.city.registry_client import RegistryClient

# Changes of one page, the most that the API gives: a megabyte mostly; the registry ends it at 4 MiB. What is registered within
# a quarter of a second is to be one page, since each is a delivery of every feed.
PAGE_CHANGES: Final = 1_000

# How long to wait for news: the time after which a feed knows that what was committed last is not for it.
WAIT_S: Final = 2.0

# Between a page that reached the end of the stream and the next look.
GATHER_S: Final = 0.1

# The same after a page with so many changes: some hundreds are registered a second. Every page and every delivery has a price
# of its own, a millisecond of processor time for each feed, however little is in it.
BUSY_CHANGES: Final = 50
GATHER_BUSY_S: Final = 0.25

# Pages kept: feeds that keep up are at most one apart, and the foremost has asked for one more; a slow one reads for itself.
KEPT_PAGES: Final = 3


class Pages:
    """The stream from any cursor on."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client
        self._kept: OrderedDict[str, Page] = OrderedDict()
        self._flights: dict[str, asyncio.Task[Page]] = {}
        self._end = ""
        self._gather_s = GATHER_S

    async def after(self, cursor: str) -> Page:
        """The page after a cursor; without changes if none came for a while. Raises `Unreachable`, `NotTaken`."""
        kept = self._kept.get(cursor)
        if kept is not None:
            return kept
        flight = self._flights.get(cursor)
        if flight is None:
            flight = self._flights[cursor] = asyncio.create_task(self._fetch(cursor))
            flight.add_done_callback(lambda done: self._landed(cursor, done))
        # Who gives up waiting (a feed that is paused) does not take the page from the others.
        return await asyncio.shield(flight)

    async def close(self) -> None:
        """Give up what is being read."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    async def _fetch(self, cursor: str) -> Page:
        if cursor == self._end:
            await asyncio.sleep(self._gather_s)
        page = await self._client.changes(cursor, PAGE_CHANGES, WAIT_S)
        if page.cursor == page.head:
            self._end = page.cursor
            self._gather_s = GATHER_BUSY_S if len(page.changes) >= BUSY_CHANGES else GATHER_S
        return page

    def _landed(self, cursor: str, done: asyncio.Task[Page]) -> None:
        del self._flights[cursor]
        if done.cancelled() or done.exception() is not None:
            return
        page = done.result()
        if page.changes:
            self._kept[cursor] = page
            while len(self._kept) > KEPT_PAGES:
                self._kept.popitem(last=False)
