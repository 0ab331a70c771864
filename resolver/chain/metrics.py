"""Counts and times every question, and makes an answer of whatever was raised behind it: the chain never raises."""

import inspect
import logging
from collections.abc import Awaitable
from typing import Final

from proto.errors import Reason, Refusal
from proto.metrics import Counter, Histogram, Metrics
from proto.model.answer import OUTCOMES, Answer, Refused
from proto.model.query import Query
from proto.ports import Clock
from resolver.chain.step import Resolve, Result

log = logging.getLogger(__name__)

_SCHEME: Final = "handle"
_FAULT: Final = "a query failed"


class MetricsStep:
    """`resolve_requests`, `resolve_seconds`, and `refused` for refusals that come out of the chain.

    Listeners count only what they refuse before they ask.
    """

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        # Looking a labelled metric up takes a lock and longer than a look-up; there are few labels.
        self._requests: dict[tuple[str, type[Answer]], Counter] = {}
        self._seconds: dict[str, Histogram] = {}

    def resolve(self, query: Query, following: Resolve) -> Result:
        begun = self._clock.monotonic()
        try:
            result = following(query)
        except Refusal as refusal:
            result = Refused(query.identifier, refusal)
        except Exception:
            log.exception(_FAULT, extra=_trace(query))
            result = _fault(query)
        if inspect.isawaitable(result):
            return self._await(query, result, begun)
        return self._count(query, result, begun)

    async def _await(self, query: Query, result: Awaitable[Answer], begun: float) -> Answer:
        try:
            answer = await result
        except Refusal as refusal:
            answer = Refused(query.identifier, refusal)
        except Exception:
            log.exception(_FAULT, extra=_trace(query))
            answer = _fault(query)
        return self._count(query, answer, begun)

    def _count(self, query: Query, answer: Answer, begun: float) -> Answer:
        kind, protocol = type(answer), query.protocol
        requests = self._requests.get((protocol, kind))
        if requests is None:
            requests = self._requests[protocol, kind] = self._metrics.resolve_requests.labels(protocol, OUTCOMES[kind], _SCHEME)
        requests.inc()
        seconds = self._seconds.get(protocol)
        if seconds is None:
            seconds = self._seconds[protocol] = self._metrics.resolve_seconds.labels(protocol)
        seconds.observe(self._clock.monotonic() - begun)
        if isinstance(answer, Refused):
            self._metrics.refused.labels(answer.refusal.reason).inc()
        return answer


def _fault(query: Query) -> Refused:
    """A fault of ours: the log holds it, the caller learns only that it happened."""
    return Refused(query.identifier, Refusal(Reason.INTERNAL, "the node failed to answer; its log says why"))


def _trace(query: Query) -> dict[str, str]:
    return {"identifier": query.identifier, "protocol": query.protocol, "request_id": query.request_id}
