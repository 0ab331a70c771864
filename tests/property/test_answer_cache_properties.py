"""The answer cache is never stale: registrations, aliases, suspensions, prefixes and grants between look-ups of all kinds.

A registry on a real store writes, a view follows it and tells the cache; after every command, and in every turn of the loop in
between, what the cache gives is compared with what the chain answers without one.
"""

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from node.clock import SystemClock
from proto.errors import Refusal
from proto.model.account import GroupGrant
from proto.model.answer import Answer, Found, NotFound, Refused
from proto.model.prefix import Delegation, PrefixState
from proto.model.query import Query
from proto.model.value import Value
from proto.packing import PackedRecord
from proto.wire.handle.typed import compose_site
from registry.service.context import Context
from registry.service.plan import Draft
from resolver.answer_cache import AnswerCache, Shelf
from resolver.chain.order import build_chain
from resolver.chain.plain import PlainLookups
from resolver.upstream.sites import Endpoint
from tests.support.control_plane import ACME, ACME_CODE, ControlPlane
from tests.support.foreign_node import site

SUFFIXES = ("a", "b", "c")
ALIASES = ("x", "y")
DERIVED = f"{ACME}.7"
ELSEWHERE = Delegation((compose_site(site(Endpoint("10.0.0.7", 2641))),))
COMMANDS = 500

# Looks in turns that follow each other; then the threads of the committer get theirs.
TURNS = 5
BREATH_S = 0.0005


class Trial:
    """One run; what happens follows from the seed, but for the turns of the loop in which it does."""

    def __init__(self, plane: ControlPlane, cache: AnswerCache, seed: int) -> None:
        self._plane = plane
        self._chance = random.Random(seed)
        self._operator = Context(plane.registry.authenticate(plane.operator), "trial")
        self._resolve = build_chain(plane.view, SystemClock(), plane.metrics)
        self._shelf: Shelf[Answer] = cache.shelf("http", plane.metrics)
        self._plain = PlainLookups(plane.view, SystemClock(), plane.metrics, "grpc")
        self._plain_shelf: Shelf[bytes] = cache.shelf("grpc", plane.metrics)
        self.done: Counter[str] = Counter()

    async def run(self) -> None:
        probing = asyncio.create_task(self._probe())
        try:
            for _ in range(COMMANDS):
                await self._command()
                self.look(60)
        finally:
            probing.cancel()
            outcome = (await asyncio.gather(probing, return_exceptions=True))[0]
        if isinstance(outcome, AssertionError):
            raise outcome

    def look(self, count: int) -> None:
        """Ask as a listener does, and compare with an answer that nothing was kept of."""
        self._look_plainly(count)
        for _ in range(count):
            identifier = self._name()
            indexes = self._chance.choice(((), (1,), (900,)))
            credential = self._chance.choice(("", "", "", self._plane.city))
            found = self._ask(identifier, indexes, credential)
            fresh = self._answer(Query(identifier, "http", indexes, credential=credential))
            assert facts(found) == facts(fresh), f"{identifier} {indexes}: {found}, should be {fresh}"

    def _look_plainly(self, count: int) -> None:
        """The same in the way of nearly all questions: many in a turn, answered by records as they are stored."""
        names = [self._name() for _ in range(count)]
        keys = [f"g{name}".encode() for name in names]
        found = self._plain_shelf.get_turn(keys)
        self.done["plain hit"] += count - found.count(None)
        missing = [place for place, kept in enumerate(found) if kept is None]
        stored = self._plain.look_up_turn([(names[place], False, True) for place in missing])
        for place, raw, is_admitted in zip(
            missing, stored, self._plain_shelf.admits_each([keys[place] for place in missing]), strict=True
        ):
            found[place] = raw
            if raw is not None and is_admitted:
                self._plain.keep(self._plain_shelf, keys[place], names[place], raw, raw, 100)
        for name, raw in zip(names, found, strict=True):
            if raw is not None:  # else the chain is asked
                fresh = self._answer(Query(name, "http"))
                assert plain_facts(raw) == chain_facts(fresh), f"{name}: {raw!r}, should be {fresh}"

    def _name(self) -> str:
        return f"{self._chance.choice((ACME, DERIVED))}/{self._chance.choice((*SUFFIXES, *ALIASES))}"

    def _ask(self, identifier: str, indexes: tuple[int, ...], credential: str) -> Answer:
        key = f"h{identifier} {indexes}".encode()
        if not credential:
            found = self._shelf.get(key)
            if found is not None:
                self.done["hit"] += 1
                return found
        query = Query(identifier, "http", indexes, credential=credential, reads=[])
        answer = self._answer(query)
        self._shelf.keep(key, query, answer, answer, 100)
        return answer

    def _answer(self, query: Query) -> Answer:
        answer: Any = self._resolve(query)
        return answer  # type: ignore[no-any-return]  # without a position to wait for, it is there at once

    async def _command(self) -> None:
        suffix = self._chance.choice(SUFFIXES)
        identifier = f"{self._chance.choice((ACME, ACME, DERIVED))}/{suffix}"
        registry, operator = self._plane.registry, self._operator
        doing = {
            "register": lambda: registry.register(operator, self._draft(identifier)),
            "suspend": lambda: registry.suspend(operator, identifier),
            "resume": lambda: registry.resume(operator, identifier),
            "retire": lambda: registry.retire(operator, identifier),
            "close": lambda: registry.move_prefix(operator, ACME, PrefixState.SUSPENDED),
            "open": lambda: registry.move_prefix(operator, ACME, PrefixState.APPROVED),
            "delegate": lambda: registry.set_delegation(operator, self._chance.choice((ACME, DERIVED)), ELSEWHERE),
            "take back": lambda: registry.set_delegation(operator, self._chance.choice((ACME, DERIVED)), None),
            "derive": lambda: registry.create_prefix(operator, DERIVED, ACME_CODE),
            "grant": lambda: registry.grant(operator, "city", GroupGrant(ACME_CODE, "partners")),
            "revoke": lambda: registry.revoke(operator, "city", GroupGrant(ACME_CODE, "partners")),
        }
        weights = (60, 10, 20, 1, 4, 16, 3, 12, 3, 3, 3)
        kind = self._chance.choices(list(doing), weights)[0]
        try:
            await doing[kind]()
            self.done[kind] += 1
        except Refusal:
            self.done["refused"] += 1

    def _draft(self, identifier: str) -> Draft:
        values = [Value(1, "URL", b"%d" % self._chance.randrange(3))]
        if self._chance.random() < 0.5:
            values.append(Value(900, "NOTE", b"n", audience=self._chance.choice(("private", "partners"))))
        prefix = identifier.partition("/")[0]
        aliases = self._chance.sample([f"{prefix}/{alias}" for alias in ALIASES], self._chance.choice((0, 0, 1, 2)))
        return Draft(identifier, tuple(values), aliases=tuple(aliases))

    async def _probe(self) -> None:
        while True:
            for _ in range(TURNS):
                self.look(1)
                await asyncio.sleep(0)
            await asyncio.sleep(BREATH_S)


def facts(answer: Answer) -> object:
    return answer.refusal.reason if isinstance(answer, Refused) else answer


def plain_facts(raw: bytes) -> object:
    """What a stored record shows everybody; None: there is none."""
    if not raw:
        return None
    record = PackedRecord(raw)
    return record.identifier, record.version, record.select()[0]


def chain_facts(answer: Answer) -> object:
    """The same of an answer; whatever is no plain one is like no record."""
    if isinstance(answer, NotFound):
        return None
    return (answer.identifier, answer.version, answer.values) if isinstance(answer, Found) else answer


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_what_is_kept_is_what_would_be_answered(tmp_path: Path, seed: int) -> None:
    cache = AnswerCache(20_000)  # some twenty answers: they come and go all the time
    async with ControlPlane(tmp_path, cache) as plane:
        trial = Trial(plane, cache, seed)
        await trial.run()
    assert min(trial.done["hit"], trial.done["plain hit"]) > 1_000
    done = ("register", "suspend", "resume", "close", "open", "delegate", "take back")
    assert min(trial.done[kind] for kind in done) > 0, trial.done
