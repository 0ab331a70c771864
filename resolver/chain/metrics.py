"""Counts and times every question, and makes an answer of whatever was raised behind it: the chain never raises."""

import logging
from collections.abc import Awaitable
from typing import Final, cast

from proto.errors import Reason, Refusal
from proto.metrics import Counter, Histogram, Metrics
from proto.model.answer import OUTCOMES, Answer, Refused
from proto.model.query import Query
from proto.ports import Clock
from resolver.chain.step import Resolve, Result
from resolver.tallies import Tallies

log = logging.getLogger(__name__)

_SCHEME: Final = "handle"
_FAULT: Final = "a query failed"


class Tally:
    """Where the answers of one protocol are counted. Finding a labelled metric takes longer than a look-up."""

    __slots__ = ("requests", "seconds")

    def __init__(self, metrics: Metrics, protocol: str) -> None:
        self.requests: dict[type, Counter] = {
            kind: metrics.resolve_requests.labels(protocol, outcome, _SCHEME) for kind, outcome in OUTCOMES.items()
        }
        self.seconds: Histogram = metrics.resolve_seconds.labels(protocol)


class MetricsStep:
    """`resolve_requests`, `resolve_seconds`, `refused` for refusals that come out of the chain; by prefix what is homed here.

    Listeners count only what they refuse before they ask.
    """

    def __init__(self, metrics: Metrics, clock: Clock, by_prefix: Tallies | None = None) -> None:
        self._by_prefix = by_prefix or Tallies()
        self._metrics = metrics
        self._monotonic = clock.monotonic
        self._tallies: dict[str, Tally] = {}

    def resolve(self, query: Query, following: Resolve) -> Result:
        begun = self._monotonic()
        try:
            result = following(query)
        except Refusal as refusal:
            result = Refused(query.identifier, refusal)
        except Exception:
            log.exception(_FAULT, extra=_trace(query))
            result = _fault(query)
        if type(result) in OUTCOMES:
            return self._count(query, cast("Answer", result), begun)
        return self._await(query, cast("Awaitable[Answer]", result), begun)

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
        tally = self._tallies.get(query.protocol)
        if tally is None:
            tally = self._tallies[query.protocol] = Tally(self._metrics, query.protocol)
        tally.requests[type(answer)].inc()
        tally.seconds.observe(self._monotonic() - begun)
        if query.located is not None:
            self._by_prefix.counter(query.located.home.name, type(answer)).n += 1
        if type(answer) is Refused:
            self._metrics.refused.labels(answer.refusal.reason).inc()
        return answer


def _fault(query: Query) -> Refused:
    """A fault of ours: the log holds it, the caller learns only that it happened."""
    return Refused(query.identifier, Refusal(Reason.INTERNAL, "the node failed to answer; its log says why"))


def _trace(query: Query) -> dict[str, str]:
    return {"identifier": query.identifier, "protocol": query.protocol, "request_id": query.request_id}
