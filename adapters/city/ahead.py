"""What waits for a feed that is not running: read ahead of its cursor until there is something for it, and no further."""

import asyncio
import logging

from adapters.city.core.profile import Profile
from adapters.city.pages import Pages
from adapters.registry_api import NotTaken, Unreachable

log = logging.getLogger(__name__)


class Ahead:
    """Of one feed, from one cursor on. One page is read for each look, and none once something was found."""

    def __init__(self, profile: Profile, pages: Pages, cursor: str) -> None:
        self.begin = cursor
        self._profile = profile
        self._pages = pages
        self._end = cursor
        self._found = ""
        self._passed: str | None = None
        self._reading: asyncio.Task[None] | None = None

    def look(self, head: str) -> str | None:
        """The time of the oldest change that waits; empty: none does; None: that is not known yet."""
        if self._found:
            return self._found
        if self._end == head:
            return ""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        return self._passed

    async def close(self) -> None:
        """Give up what is being read."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        try:
            page = await self._pages.after(self._end)
        except (Unreachable, NotTaken) as failure:
            # The next look reads it again; of a cursor that the registry does not take the run will say so.
            log.info("what waits cannot be read", extra={"feed": self._profile.name, "why": str(failure)})
            return
        for entries, _ in page.told(self._profile):
            if entries:
                self._found = entries[0].time
                return
            await asyncio.sleep(0)  # the turn of feeds that run
        self._end = page.cursor
        self._passed = page.changes[-1]["time"] if page.changes else self._passed
