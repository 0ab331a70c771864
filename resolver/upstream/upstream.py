"""Finding foreign identifiers: from a copy if there is one, otherwise by a walk, and one walk for all who ask the same.

A fresh copy is the answer. A copy that nears its end and is still asked for is fetched anew meanwhile. With a stale copy the
walk has a moment to bring a fresh one, and none at all while the servers to be asked have not answered lately: then the stale
copy is the answer at once, with its true age, and the walk goes on behind it. Nobody's walk ends because who asked has gone.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

from proto.metrics import Metrics
from proto.model.answer import Source
from proto.model.identifier import Identifier
from proto.ports import Clock
from resolver.service import foreign_name
from resolver.upstream.copies import Copies, Copy, Kind, Terms, copy_of
from resolver.upstream.failure import Failed, Why
from resolver.upstream.limits import MAX_PLACES, UpstreamLimits
from resolver.upstream.places import Places
from resolver.upstream.reach import Reach
from resolver.upstream.servers import Servers
from resolver.upstream.sites import Endpoint
from resolver.upstream.walk import Finding, Place, Standing, Walk

log = logging.getLogger(__name__)

# Between a way and a name: no name has it.
_PARTS: Final = "\0"

# Failures that are remembered: of as many identifiers as may be under way, several times over.
MAX_FAILURES: Final = 8_192


@dataclass(frozen=True, slots=True)
class Route:
    """Which way a question goes: to the upstream, or to the sites of a delegation. Copies that came another way are others'."""

    key: str = ""
    place: Place | None = None


UPWARD: Final = Route()


class Held(NamedTuple):
    """A copy, and what it is at this moment."""

    copy: Copy
    source: Source


class Shared(Protocol):
    """Copies that other processes have put where this one can find them (`resolver.upstream.shared_copies`)."""

    async def get(self, key: str) -> Copy | None: ...
    def put(self, key: str, copy: Copy) -> None: ...
    async def close(self) -> None: ...


class _Errand(NamedTuple):
    """What makes two walks the same: the key, the nodes that the question has passed, and whether no copy at all will do."""

    key: str
    hops: int
    is_anew: bool


class _Walking(NamedTuple):
    """A walk under way, since when (monotonic seconds), and what it has done so far."""

    task: "asyncio.Task[Copy | Failed]"
    since_s: float
    trace: list[str]


class Upstream:
    """Of one worker. `root` is the upstream's servers, none if there is no upstream; `networks` are those beside the public
    Internet in which servers are asked that others name. All calls are of one event loop."""

    def __init__(
        self,
        root: Sequence[Endpoint],
        max_bytes: int,
        terms: Terms,
        limits: UpstreamLimits,
        clock: Clock,
        metrics: Metrics,
        shared: Shared | None = None,
        networks: Iterable[str] = (),
    ) -> None:
        self.servers = Servers(limits, clock, metrics)
        self._root = Place(Standing.ROOT, endpoints=tuple(root)) if root else None
        self._reach = Reach(networks, root)
        self._terms = terms
        self._limits = limits
        self._clock = clock
        self._metrics = metrics
        self._copies = Copies(max_bytes)
        self._places = Places(MAX_PLACES)
        self._shared = shared
        self._walks: dict[_Errand, _Walking] = {}
        self._failures: OrderedDict[str, tuple[Failed, float]] = OrderedDict()
        self._absences_end_ms = 0

    @property
    def has_root(self) -> bool:
        """Whether there is an upstream."""
        return self._root is not None

    @property
    def walks(self) -> int:
        """How many walks are under way."""
        return len(self._walks)

    def find(
        self, name: Identifier, route: Route, hops: int, max_age_s: int | None, trace: list[str] | None
    ) -> Held | Awaitable[Held]:
        """What is known of `name`, at once or later. `max_age_s` is the oldest copy that will do; `trace` gets what was done.

        Raises `Failed`, now or later, if there is nothing to show.
        """
        key = _key_of(name, route)
        copy = self._copy_of(key)
        now_ms = self._clock.now_ms()
        if copy is not None and copy.is_fresh(now_ms) and (max_age_s is None or copy.age_s(now_ms) < max_age_s):
            if self._is_due(copy, now_ms):
                self._refresh(key, name, route, hops)
            if trace is not None:
                trace.append(f"copy: {copy.age_s(now_ms)} s old, holds for {copy.ttl_s(now_ms)} s")
            return Held(copy, Source.STALE if copy.was_stale else Source.CACHED)
        stale = self._stale_copy(key)
        failed = self._failure_of(key)
        if failed is not None:
            return self._show(stale, failed, trace)
        walking = self._walk(_Errand(key, hops, max_age_s is not None), name, route)
        if walking is None:
            return self._show(stale, Failed(Why.OVERLOADED, "too many questions to other nodes are under way"), trace)
        if stale is not None and (self._is_vain(name, route) or self._is_late(walking)):
            return self._show(stale, Failed(Why.TIMEOUT, "its node has not answered lately"), trace)
        return self._wait(key, walking, stale, trace)

    def show_each(self, names: Sequence[str]) -> list[bytes | None]:
        """The copies of what came from above that need no more than to be shown (`resolver.upstream.copies.show_each`), by
        `resolver.service.foreign_name`."""
        return self._copies.show_each(names, self._clock.now_ms())

    async def run(self) -> None:
        """Tidy up until cancelled."""
        while True:
            await asyncio.sleep(self._limits.sweep_s)
            self.servers.sweep()
            self._metrics.foreign_copies.set(len(self._copies))

    async def close(self) -> None:
        """Give up what is under way and close every connection."""
        tasks = [walking.task for walking in self._walks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.servers.close()
        if self._shared is not None:
            await self._shared.close()

    def forget(self, records: Iterable[bytes]) -> None:
        """Records of this node have changed (`resolver.view.layers.Watcher`): no copy rests on them."""

    def forget_all(self) -> None:
        """Prefixes of this node have changed: where nothing was, or nobody knew, something may be now."""
        self._absences_end_ms = self._clock.now_ms()
        self._places.forget_nowhere()
        self._failures.clear()

    async def _wait(self, key: str, walking: _Walking, stale: Copy | None, trace: list[str] | None) -> Held:
        """The walk's outcome; with a stale copy to show, only if it comes soon."""
        timeout_s = None if stale is None else self._limits.stale_wait_s
        done, _ = await asyncio.wait((walking.task,), timeout=timeout_s)
        if not done:
            return self._show(stale, Failed(Why.TIMEOUT, "its node takes long"), trace)
        outcome = walking.task.result()
        if isinstance(outcome, Failed):
            return self._show(stale or self._stale_copy(key), outcome, trace)
        if trace is not None:
            trace.extend(walking.trace)
        return Held(outcome, Source.STALE if outcome.was_stale else Source.CACHED)

    def _show(self, stale: Copy | None, failed: Failed, trace: list[str] | None) -> Held:
        """The stale copy, or the failure that left nothing else."""
        if stale is None:
            raise failed
        if trace is not None:
            trace.append(f"copy: {stale.age_s(self._clock.now_ms())} s old, shown past its TTL: {failed.detail}")
        return Held(stale, Source.STALE)

    def _copy_of(self, key: str) -> Copy | None:
        copy = self._copies.get(key)
        return copy if copy is not None and self._holds(copy) else None

    def _holds(self, copy: Copy) -> bool:
        """Whether no change of this node's prefixes has ended it."""
        return copy.kind is Kind.FOUND or copy.fetched_ms > self._absences_end_ms

    def _stale_copy(self, key: str) -> Copy | None:
        copy = self._copy_of(key)
        return copy if copy is not None and self._terms.is_showable(copy, self._clock.now_ms()) else None

    def _is_due(self, copy: Copy, now_ms: int) -> bool:
        """Whether so little of a copy's TTL is left that it is fetched anew before it ends."""
        return copy.kind is Kind.FOUND and now_ms > copy.due_ms

    def _refresh(self, key: str, name: Identifier, route: Route, hops: int) -> None:
        if self._failure_of(key) is None:
            self._walk(_Errand(key, hops, False), name, route)

    def _is_vain(self, name: Identifier, route: Route) -> bool:
        """Whether all servers that are likely to be asked have failed the last time."""
        place = self._start_of(name, route) or self._root
        return place is not None and self.servers.are_suspect(place.endpoints_for(name.text))

    def _is_late(self, walking: _Walking) -> bool:
        return self._clock.monotonic() - walking.since_s >= self._limits.stale_wait_s

    def _start_of(self, name: Identifier, route: Route) -> Place | None:
        if route.place is not None or name.names_prefix:
            return route.place
        return self._places.get(name.homing_prefix, self._clock.monotonic())

    def _failure_of(self, key: str) -> Failed | None:
        """Why the last walk for `key` failed, if that was a moment ago."""
        found = self._failures.get(key)
        if found is None:
            return None
        failed, until_s = found
        if self._clock.monotonic() < until_s:
            return failed
        del self._failures[key]
        return None

    def _walk(self, errand: _Errand, name: Identifier, route: Route) -> _Walking | None:
        """The walk on that errand that is under way, or a new one; None: too many are.

        A question that has come through other nodes has a walk of its own: it may be the question of ours that they ask us.
        """
        walking = self._walks.get(errand)
        if walking is None and len(self._walks) < self._limits.max_walks:
            trace: list[str] = []
            task = asyncio.create_task(self._bring(errand, name, route, trace))
            task.add_done_callback(_look_at_end)
            walking = self._walks[errand] = _Walking(task, self._clock.monotonic(), trace)
        return walking

    async def _bring(self, errand: _Errand, name: Identifier, route: Route, trace: list[str]) -> Copy | Failed:
        """Find a shared copy, or walk, and keep what it comes to."""
        key = errand.key
        try:
            shared = await self._find_shared(errand, trace)
            if shared is not None:
                return shared
            async with asyncio.timeout(self._limits.total_s):
                finding = await self._conduct(name, route, errand.hops, trace)
        except TimeoutError:
            return self._remember(key, Failed(Why.TIMEOUT, f"no answer within {self._limits.total_s:g} s"))
        except Failed as failed:
            return self._remember(key, failed)
        finally:
            del self._walks[errand]
        copy = self._copy_from(finding)
        self._copies.put(key, copy)
        self._failures.pop(key, None)
        if self._shared is not None:
            self._shared.put(_shared_key(key), copy)
        return copy

    async def _find_shared(self, errand: _Errand, trace: list[str]) -> Copy | None:
        """A copy that another process has fetched, if it will do; one that is stale is kept in case that nobody answers."""
        if self._shared is None or errand.is_anew:
            return None
        own = self._copy_of(errand.key)
        copy = await self._shared.get(_shared_key(errand.key))
        if copy is not None:
            # Another node may be configured to trust copies for longer.
            latest_ms = self._clock.now_ms() + self._terms.max_ttl_s * 1000
            copy = replace(copy, until_ms=min(copy.until_ms, latest_ms))
        if copy is None or not self._holds(copy) or (own is not None and copy.until_ms <= own.until_ms):
            return None
        now_ms = self._clock.now_ms()
        if copy.is_fresh(now_ms) and not self._is_due(copy, now_ms):
            self._copies.put(errand.key, copy)
            trace.append(f"shared copy: {copy.age_s(now_ms)} s old, holds for {copy.ttl_s(now_ms)} s")
            return copy
        if own is None and self._terms.is_showable(copy, now_ms):
            self._copies.put(errand.key, copy)
        return None

    async def _conduct(self, name: Identifier, route: Route, hops: int, trace: list[str]) -> Finding:
        """Drive one walk. Raises `Failed`."""
        root = None if route.place is not None else self._root
        walk = Walk(name, root, self._start_of(name, route), hops, self._clock.now_ms() // 1000, self._reach, trace)
        steps = walk.run()
        try:
            ask = next(steps)
            while True:
                try:
                    response = await self.servers.ask(ask)
                except Failed as failed:
                    trace.append(f"{ask.question.identifier}: {failed.detail}")
                    ask = steps.throw(failed)
                else:
                    ask = steps.send(response)
        except StopIteration as end:
            finding: Finding = end.value
        if walk.learned is not None and route.place is None:
            self._learn(name, walk.learned)
        return finding

    def _learn(self, name: Identifier, place: Place) -> None:
        """A site holds as long as its TTL; that the root itself answers, or nobody, as long as absences do."""
        is_site = place.standing is Standing.SITE
        ttl_s = place.ttl_s if is_site else min(place.ttl_s, self._terms.negative_ttl_s)
        self._places.put(name.homing_prefix, place, ttl_s, self._clock.monotonic())

    def _copy_from(self, finding: Finding) -> Copy:
        now_ms = self._clock.now_ms()
        until_ms = self._terms.until_ms(finding.kind, finding.values, now_ms)
        return copy_of(
            finding.kind,
            now_ms - finding.age_s * 1000,
            now_ms,
            until_ms,
            finding.identifier,
            finding.version,
            finding.values,
            finding.alias,
            finding.was_stale,
        )

    def _remember(self, key: str, failed: Failed) -> Failed:
        log.info("a foreign identifier was not found out: %s", failed, extra={"identifier": key.rpartition(_PARTS)[2]})
        self._failures[key] = failed, self._clock.monotonic() + self._limits.failure_s
        self._failures.move_to_end(key)
        if len(self._failures) > MAX_FAILURES:
            self._failures.popitem(last=False)
        return failed


def _key_of(name: Identifier, route: Route) -> str:
    """What came from above is kept under its name alone, as `Upstream.show_each` is asked for it."""
    return route.key + _PARTS + foreign_name(name) if route.key else foreign_name(name)


def _shared_key(key: str) -> str:
    """The same among the copies of several nodes, as all versions of this program write it."""
    return key if _PARTS in key else _PARTS + key


def _look_at_end(task: "asyncio.Task[Copy | Failed]") -> None:
    """A fault of ours is logged even if nobody waits for the walk."""
    if not task.cancelled() and task.exception() is not None:
        log.error("a walk failed", exc_info=task.exception())
