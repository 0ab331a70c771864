"""Following changes over REST: a long poll from a cursor on."""

import asyncio
from collections.abc import Sequence
from typing import Final

from registry.doors.rest.call import Call, parse_limit, parse_number, parse_position
from registry.doors.rest.documents import change_document
from registry.doors.rest.limits import RENDER_SLICE
from registry.doors.rest.parameters import LIMIT
from registry.doors.rest.reply import Reply, compose_json
from registry.doors.rest.route import Answer, Parameter, Route
from registry.service.changes import MAX_WAIT_S, ChangesPage
from registry.service.registry import Registry

CHANGES: Final = "/api/v1/changes"
CITY_CHANGES: Final = "/api/v1/city/changes"
_TEXT: Final = {"type": "string"}
_AFTER: Final = Parameter("after", "query", "The `cursor` of the last answer; without it from the first change kept.", _TEXT)
_WAIT: Final = Parameter(
    "wait_s",
    "query",
    "Wait so many seconds for a change if there is none.",
    {"type": "number", "minimum": 0, "maximum": MAX_WAIT_S, "default": 0},
)
_PREFIX: Final = Parameter("prefix", "query", "Only rows of this prefix and of what is derived from it.", _TEXT)


class ChangeResource:
    """The stream of changes, as the caller may see it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._draining = asyncio.Event()

    @property
    def routes(self) -> Sequence[Route]:
        answers = {200: Answer("The changes after the cursor, and where to go on.", "ChangesPage")}
        summary = "What changed, in order, at least once: keep the `cursor` of what is dealt with."
        asked = (_AFTER, _WAIT, LIMIT, _PREFIX)
        return (
            Route("GET", CHANGES, "followChanges", "changes", summary, self.get, answers, asked, waits=True),
            Route("GET", CITY_CHANGES, "followCityChanges", "city", summary, self.get, answers, asked, waits=True),
        )

    def drain(self) -> None:
        """Answer those who wait, now and from now on at once."""
        self._draining.set()

    async def get(self, call: Call) -> Reply:
        query = call.query()
        wait_s = parse_number(query, "wait_s", 0, MAX_WAIT_S)
        waiting = asyncio.create_task(self._page(call, query, wait_s))
        draining = asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait((waiting, draining), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
            page = waiting.result() if waiting.done() else await self._page(call, query, 0)
        finally:
            waiting.cancel()
            draining.cancel()
        return await _render(page)

    async def _page(self, call: Call, query: dict[str, str], wait_s: float) -> ChangesPage:
        after, limit = parse_position(query), parse_limit(query)
        return await self._registry.changes(call.context, after, limit, wait_s, query.get("prefix", ""))


async def _render(page: ChangesPage) -> Reply:
    """The page, rendered with a pause after so many rows."""
    pieces, rows = [b'{"changes":['], 0
    for place, change in enumerate(page.changes):
        pieces += (b"," if place else b"", compose_json(change_document(change)))
        rows += len(change.rows)
        if rows >= RENDER_SLICE:
            rows = 0
            await asyncio.sleep(0)
    ends = {"cursor": page.cursor.to_cursor(), "head": page.head.to_cursor()}
    pieces.append(b"]," + compose_json(ends)[1:])
    return Reply(200, b"".join(pieces), headers={"Cache-Control": "no-store"})
