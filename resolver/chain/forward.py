"""What lives on other nodes: found by `resolver.upstream`, shown as an answer of ours, with its source and its age.

An HS_ALIAS is followed by whoever resolves (RFC 3651 3.2.4), unless the caller asked for that very value: the identifier it
names is looked for from the start, and may well be homed here. An answer that was copied is never kept as rendered, because
its age changes by itself.
"""

import inspect
from collections.abc import Awaitable
from dataclasses import replace
from functools import lru_cache
from typing import Final

from proto.errors import Reason, Refusal
from proto.limits import MAX_HOPS
from proto.metrics import Counter, Metrics
from proto.model.answer import Answer, Found, NotFound, RecordAnswer, Refused, Retired, Source, Suspended, ValuesNotFound
from proto.model.identifier import fold_ascii, parse_identifier
from proto.model.prefix import Prefix
from proto.model.query import Foreign, Located, Query
from proto.model.value import type_matches
from proto.ports import Clock, RecordReader
from proto.wire.handle.typed import parse_site
from resolver.chain.step import Resolve, Result
from resolver.upstream.copies import Copy, Kind, select
from resolver.upstream.failure import Failed, Why
from resolver.upstream.limits import MAX_ALIASES
from resolver.upstream.sites import HS_ALIAS
from resolver.upstream.upstream import UPWARD, Held, Route, Upstream
from resolver.upstream.walk import Place, Standing

# When trying again may help: a breaker's first pause, and what a failure is remembered for.
RETRY_S: Final = 2.0

_FAILED_ANSWER: Final = "failed"

# As many delegated prefixes as are asked for at a time.
_ROUTES: Final = 1_024


class ForwardStep:
    """Answers foreign queries; all others go on."""

    def __init__(self, upstream: Upstream, reader: RecordReader, clock: Clock, metrics: Metrics) -> None:
        self._upstream = upstream
        self._reader = reader
        self._clock = clock
        self._answers: dict[str, Counter] = {
            name: metrics.foreign_answers.labels(name) for name in (Source.CACHED, Source.STALE, _FAILED_ANSWER)
        }

    def resolve(self, query: Query, following: Resolve) -> Result:
        foreign = query.foreign
        if foreign is None:
            return following(query)
        query.reads = None
        if query.hops >= MAX_HOPS:
            raise Refusal(Reason.TOO_MANY_HOPS, f"the question has passed {query.hops} nodes")
        return self._resolve(query, foreign, following, MAX_ALIASES)

    def _resolve(self, query: Query, foreign: Foreign, following: Resolve, aliases: int) -> Result:
        try:
            route = UPWARD if foreign.home is None else _route_to(foreign.home)
            found = self._upstream.find(foreign.name, route, query.hops + 1, query.max_age_s, query.explain)
        except Failed as failed:
            return self._fail(query, failed)
        if isinstance(found, Held):
            return self._answer(query, found, following, aliases)
        return self._answer_later(query, found, following, aliases)

    async def _answer_later(self, query: Query, finding: Awaitable[Held], following: Resolve, aliases: int) -> Answer:
        try:
            held = await finding
        except Failed as failed:
            return self._fail(query, failed)
        result = self._answer(query, held, following, aliases)
        return await result if inspect.isawaitable(result) else result

    def _answer(self, query: Query, held: Held, following: Resolve, aliases: int) -> Result:
        copy, source = held
        self._answers[source].inc()
        if copy.alias and not any(type_matches(HS_ALIAS, kind) for kind in query.types):
            return self._follow(query, held, following, aliases)
        if source is Source.CACHED and query.max_age_s is None:
            query.holds_ms = copy.holds_ms(self._clock.now_ms())
        match copy.kind:
            case Kind.FOUND | Kind.NO_VALUES:
                return self._record(query, copy, source)
            case Kind.SUSPENDED:
                return Suspended(query.identifier, "identifier")
            case Kind.RETIRED:
                return Retired(query.identifier, copy.version)
            case Kind.NOT_FOUND:
                return NotFound(query.identifier)
            case Kind.NOT_HOMED:
                raise Refusal(Reason.NOT_HOMED, "neither this node nor the one above it knows where it lives", "identifier")

    def _record(self, query: Query, copy: Copy, source: Source) -> Answer:
        now_ms = self._clock.now_ms()
        identifier = copy.identifier or query.identifier
        # Another node says which spelling is registered; that it is an alias is seen by its being another one.
        via_alias = bool(copy.identifier) and fold_ascii(copy.identifier) != fold_ascii(query.identifier)
        ttl_s = copy.ttl_s(now_ms) if source is Source.CACHED else 0
        facts = (query.identifier, identifier, copy.version, (), "", "", ttl_s, source, copy.age_s(now_ms), via_alias)
        values = tuple(select(copy.shown(now_ms), query.indexes, query.types))
        return Found(*facts, values) if values else ValuesNotFound(*facts)

    def _follow(self, query: Query, held: Held, following: Resolve, aliases: int) -> Result:
        """The answer for what an alias names, as the answer to this query."""
        copy = held.copy
        if query.explain is not None:
            query.explain.append(f"alias: {query.identifier} is {copy.alias}")
        if not aliases:
            raise Refusal(Reason.TOO_MANY_HOPS, f"more than {MAX_ALIASES} aliases, one behind the other")
        target = replace(query, identifier=copy.alias, located=None, foreign=None)
        try:
            name = parse_identifier(copy.alias)
        except Refusal:
            return self._fail(
                query, Failed(Why.MALFORMED, f"{copy.alias!r}, which it is said to be an alias of, is no identifier")
            )
        home = self._reader.homing(name.homing_prefix)
        if home is not None and not home.is_delegated:
            target.located = Located(name, home)
            result = following(target)
        else:
            target.foreign = Foreign(name, home)
            result = self._resolve(target, target.foreign, following, aliases - 1)
        if inspect.isawaitable(result):
            return self._rename_later(query, held, result)
        return self._rename(query, held, result)

    async def _rename_later(self, query: Query, held: Held, result: Awaitable[Answer]) -> Answer:
        return self._rename(query, held, await result)

    def _rename(self, query: Query, held: Held, answer: Answer) -> Answer:
        """The answer for the target as that of the alias: no fresher than what said that it is one."""
        answer = replace(answer, asked=query.identifier)
        if not isinstance(answer, RecordAnswer):
            return answer
        copy, source = held
        now_ms = self._clock.now_ms()
        is_stale = Source.STALE in (source, answer.source)
        return replace(
            answer,
            via_alias=True,
            source=Source.STALE if is_stale else Source.CACHED,
            age_s=max(answer.age_s, copy.age_s(now_ms)),
            ttl_s=0 if is_stale else min(answer.ttl_s, copy.ttl_s(now_ms)),
        )

    def _fail(self, query: Query, failed: Failed) -> Refused:
        self._answers[_FAILED_ANSWER].inc()
        if query.explain is not None:
            query.explain.append(f"upstream: {failed.detail}")
        if failed.why is Why.LOOP:
            return Refused(query.identifier, Refusal(Reason.TOO_MANY_HOPS, failed.detail))
        if failed.why is Why.FORBIDDEN:
            return Refused(query.identifier, Refusal(Reason.FORBIDDEN_ADDRESS, failed.detail))
        if failed.why is Why.OVERLOADED:
            return Refused(query.identifier, Refusal(Reason.OVERLOADED, failed.detail, retry_after_s=RETRY_S))
        detail = f"the node that knows has not answered: {failed.detail}"
        return Refused(query.identifier, Refusal(Reason.UPSTREAM_FAILED, detail, retry_after_s=RETRY_S))


@lru_cache(_ROUTES)
def _route_to(home: Prefix) -> Route:
    """The way to the node that a prefix is delegated to. With every change of the prefix it is another one, so that no copy
    outlives the delegation under which it was fetched."""
    sites = home.delegation.sites if home.delegation is not None else ()
    place = Place(Standing.DELEGATED, tuple(parse_site(site) for site in sites))
    return Route(f"{home.name}@{home.version}.{home.changed_ms}", place)
