"""Following changes over REST: a long poll from a cursor on. `pages` says where what is sent is made."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from proto.model.account import Caller
from proto.model.change import Position
from registry.doors.rest.call import Call, parse_limit, parse_number, parse_position
from registry.doors.rest.packed_changes import render_change
from registry.doors.rest.pages import PagesBeside, Rendered, join
from registry.doors.rest.parameters import LIMIT
from registry.doors.rest.reply import Reply, compose_json
from registry.doors.rest.route import Answer, Parameter, Route
from registry.policy.sight import Sights
from registry.service.changes import MAX_WAIT_S
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

    def __init__(self, registry: Registry, beside: PagesBeside | None = None) -> None:
        """`beside` makes the pages of those who wait for changes; without it they are made here."""
        self._registry = registry
        self._beside = beside
        self._read = self._make if beside is None else beside.beside(self._make)
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
        if wait_s and self._beside is not None:
            self._beside.start()
        waiting = asyncio.create_task(self._page(call, query, wait_s))
        draining = asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait((waiting, draining), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
            return waiting.result() if waiting.done() else await self._page(call, query, 0)
        finally:
            waiting.cancel()
            draining.cancel()

    async def _page(self, call: Call, query: dict[str, str], wait_s: float) -> Reply:
        after, limit = parse_position(query), parse_limit(query)
        prefix = query.get("prefix", "")
        rendered, cursor, head = await self._registry.follow(
            call.context, call.identify, after, limit, wait_s, prefix, self._read
        )
        ends = compose_json({"cursor": cursor.to_cursor(), "head": head.to_cursor()})
        body = b"".join((b'{"changes":[', rendered.documents, b"],", ends[1:]))
        return Reply(200, body, headers={"Cache-Control": "no-store"})

    async def _make(self, caller: Caller, after: Position, limit: int, below: str) -> tuple[Rendered, Position]:
        """Read and render here, with pauses in between."""
        see = partial(render_change, sights=Sights(caller), below=below)
        changes, cursor = await self._registry.read_changes(see, after, limit)
        return join(changes), cursor
