"""`biaojie.v1.Changes`: one stream for each follower, read from the segments at the follower's own pace.

Nothing is kept for a follower but one page: if it does not read, the next page is not read either. Who it is and what it may
see is asked anew for every page, so that a closed account's stream ends.
"""

from collections import Counter
from typing import Final

from proto.convert import parse_message
from proto.errors import Reason, Refusal
from proto.model.change import Position
from proto.v1 import changes_pb2
from registry.doors.grpc.calls import MAX_REQUEST_BYTES, OVERLOAD_RETRY_S, Call, Calls
from registry.doors.grpc.replies import change_parts
from registry.doors.grpc.requests import position_from
from registry.service.changes import ChangesPage
from registry.service.registry import Registry

# Changes read at a time: at worst as many of the largest (4 MiB) are in memory for one follower.
FOLLOW_PAGE: Final = 16

# A follower hears something at least so often, if only its own cursor.
HEARTBEAT_S: Final = 15.0

# City systems and replicas, each with one stream or a few. One that does not read keeps its place, and its account's.
MAX_FOLLOWERS: Final = 32
MAX_FOLLOWERS_PER_ACCOUNT: Final = 8


class Follow:
    """The methods of `biaojie.v1.Changes`."""

    def __init__(self, registry: Registry, calls: Calls) -> None:
        self._registry = registry
        self._calls = calls
        self._followers: Counter[str] = Counter()
        self.streams = {"Follow": self._follow}

    async def _follow(self, call: Call) -> None:
        account = call.caller().account
        request = parse_message(changes_pb2.FollowRequest, await call.read(), MAX_REQUEST_BYTES)
        after = position_from(request.after)
        if self._followers.total() >= MAX_FOLLOWERS or self._followers[account] >= MAX_FOLLOWERS_PER_ACCOUNT:
            why = f"{MAX_FOLLOWERS} followers are served, {MAX_FOLLOWERS_PER_ACCOUNT} of one account"
            raise Refusal(Reason.OVERLOADED, why, retry_after_s=OVERLOAD_RETRY_S)
        self._followers[account] += 1
        try:
            while True:
                after = await self._send_page(call, request, after)
        finally:
            self._followers[account] -= 1

    async def _send_page(self, call: Call, request: changes_pb2.FollowRequest, after: Position) -> Position:
        """What follows `after`, or a heartbeat; returns where that ends."""
        context = call.context(request, "")
        reading = self._registry.changes(context, after, FOLLOW_PAGE, HEARTBEAT_S, request.prefix, call.caller)
        page: ChangesPage = await self._calls.unless_draining(reading)
        for change in page.changes:
            for part in change_parts(change, after.to_cursor()):
                await call.offer(part)
            after = change.position
        if page.cursor != after or not page.changes:
            await call.offer(changes_pb2.FollowResponse(cursor=page.cursor.to_cursor()))
        return page.cursor
