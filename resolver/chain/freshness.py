"""Read your writes: a query with `after` is answered from a view that shows that position, or not at all."""

import inspect

from proto.errors import Reason, Refusal
from proto.limits import FRESHNESS_WAIT_S
from proto.model.answer import Answer, Refused
from proto.model.change import Position
from proto.model.query import Query
from proto.ports import FollowingReader
from resolver.chain.step import Resolve, Result


class FreshnessStep:
    """Lets a query wait for the view; the only step that waits."""

    def __init__(self, reader: FollowingReader, wait_s: float = FRESHNESS_WAIT_S) -> None:
        self._reader = reader
        self._wait_s = wait_s

    def resolve(self, query: Query, following: Resolve) -> Result:
        if query.after is None or self._reader.position >= query.after:
            return following(query)
        return self._wait(query, query.after, following)

    async def _wait(self, query: Query, after: Position, following: Resolve) -> Answer:
        if not await self._reader.reach(after, self._wait_s):
            why = f"this worker does not show that position yet, after {self._wait_s:g} s"
            return Refused(query.identifier, Refusal(Reason.NOT_READY, why, "after", retry_after_s=self._wait_s))
        result = following(query)
        return await result if inspect.isawaitable(result) else result
