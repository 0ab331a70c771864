"""Every way of looking up gives the chain's answer: one by one, together in a batch, plainly, and plainly over Handle.

A registry on a real store writes (registrations, aliases, suspensions, retirements, prefixes, grants), a view follows it; after
every few commands each way is compared with single questions to the chain, for callers of every kind.
"""

import inspect
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.convert import answer_result
from proto.errors import Refusal
from proto.metrics import Metrics
from proto.model.account import GroupGrant
from proto.model.answer import Answer, Found, NotFound, Refused
from proto.model.identifier import SuffixRule
from proto.model.prefix import Prefix, PrefixState
from proto.model.query import Query
from proto.model.record import Record, State
from proto.model.value import Reference, Value
from proto.packed_messages import compose_public_response, compose_public_result
from proto.packing import PackedRecord, least_ttl_s, pack_record
from proto.ports import FollowingReader
from proto.v1 import resolver_pb2
from proto.wire.handle import codes
from proto.wire.handle.envelope import ENVELOPE_BYTES, parse_envelope
from registry.service.context import Context
from registry.service.plan import Draft
from resolver.answer_cache import AnswerCache
from resolver.chain.order import build_chain
from resolver.chain.plain import ABSENT, PlainLookups, is_plain
from resolver.chain.step import Resolve
from resolver.chain.together import resolve_together
from resolver.listeners.handle.dialogue import Dialogue
from resolver.listeners.handle.site import node_site
from resolver.listeners.http.documents import handle_reply, resolve_reply
from resolver.listeners.http.public_replies import render_handle, render_resolution
from resolver.listeners.http.questions import PLAIN
from resolver.listeners.http.reply import split_reply
from resolver.service import read_ahead
from tests.property.test_packing_properties import records
from tests.support.control_plane import ACME, ACME_CODE, HOME, ControlPlane
from tests.support.handle import question
from tests.support.reader import NOW_MS, DictReader, StoppedClock

EXACT: Final = f"{ACME}.7"
CLOSED: Final = f"{ACME}.8"
SUFFIXES: Final = ("a", "B", "c-油", "d")
ALIASES: Final = ("x", "Y")
ODD: Final = (
    "", "/", ACME, f"0.NA/{ACME}", f"{ACME}/", f"{ACME}/\n", f"{ACME}/e\u0301", "10.1/x", HOME, f"{HOME}/none", f"{ACME}/A",
    f"{EXACT}/b", f"{ACME.upper()}/a",
)  # fmt: skip
FLAGS: Final = (
    codes.PUBLIC_ONLY, 0, codes.PUBLIC_ONLY | codes.RECURSIVE, codes.LIFE_CYCLE | codes.PUBLIC_ONLY, codes.RETURN_DIGEST,
)  # fmt: skip
COMMANDS: Final = 150
LOOK_EVERY: Final = 5


class Trial:
    """One run; what happens follows from the seed."""

    def __init__(self, plane: ControlPlane, seed: int) -> None:
        self._plane = plane
        self._chance = random.Random(seed)
        self._operator = Context(plane.registry.authenticate(plane.operator), "trial")
        self._ways = Ways(plane.view)
        self._credentials = ("", "", plane.operator, plane.acme, plane.city, "nonsense")
        self.done: Counter[str] = Counter()

    async def run(self) -> None:
        for number in range(COMMANDS):
            await self._command()
            if number % LOOK_EVERY == 0:
                self._look()

    def _look(self) -> None:
        suffixes = (*SUFFIXES, *ALIASES, "none")
        every = [*(f"{prefix}/{suffix}" for prefix in (ACME, EXACT, CLOSED) for suffix in suffixes), *ODD]
        identifiers = self._chance.choices(every, k=40)
        for wants_private in (False, True):
            self.done += self._ways.compare_plain(every, wants_private)
        self.done += self._ways.compare_handle(identifiers, self._chance)
        for _ in range(4):
            options = {
                "credential": self._chance.choice(self._credentials),
                "indexes": self._chance.choice(((), (), (1,), (900, 901))),
                "types": self._chance.choice(((), (), ("note",))),
                "wants_private": self._chance.random() < 0.3,
                "after": self._chance.choice((None, self._plane.view.position)),
            }
            self.done += self._ways.compare_together(identifiers, options, self._chance.random() < 0.3)

    async def _command(self) -> None:
        identifier = f"{self._chance.choice((ACME, ACME, EXACT, CLOSED))}/{self._chance.choice(SUFFIXES)}"
        registry, operator = self._plane.registry, self._operator
        doing = {
            "register": lambda: registry.register(operator, self._draft(identifier)),
            "suspend": lambda: registry.suspend(operator, identifier),
            "resume": lambda: registry.resume(operator, identifier),
            "retire": lambda: registry.retire(operator, identifier),
            "close": lambda: registry.move_prefix(operator, CLOSED, PrefixState.SUSPENDED),
            "open": lambda: registry.move_prefix(operator, CLOSED, PrefixState.APPROVED),
            "make exact": lambda: registry.create_prefix(operator, EXACT, ACME_CODE, SuffixRule.EXACT),
            "make closed": lambda: registry.create_prefix(operator, CLOSED, ACME_CODE),
            "grant": lambda: registry.grant(operator, "city", GroupGrant(ACME_CODE, "partners")),
            "revoke": lambda: registry.revoke(operator, "city", GroupGrant(ACME_CODE, "partners")),
        }
        kind = self._chance.choices(list(doing), (60, 8, 10, 2, 4, 6, 4, 4, 3, 3))[0]
        try:
            await doing[kind]()
            self.done[kind] += 1
        except Refusal:
            self.done["refused"] += 1

    def _draft(self, identifier: str) -> Draft:
        chance = self._chance
        values = [Value(1, "URL", b"%d" % chance.randrange(3), ttl=chance.choice((60, 3_600)))]
        if chance.random() < 0.2:
            values = []
        for index in (900, 901):
            if chance.random() < 0.3:
                audience = chance.choice(("private", "partners"))
                values.append(Value(index, "NOTE", b"n", permissions=12, audience=audience))
        if chance.random() < 0.2:
            values.append(Value(2, "UNTIL", b"", ttl=NOW_MS // 1000 + chance.choice((-5, 5)), ttl_absolute=True))
        prefix = identifier.partition("/")[0]
        aliases = chance.sample([f"{prefix}/{alias}" for alias in ALIASES], chance.choice((0, 0, 1, 2)))
        return Draft(identifier, tuple(values), aliases=tuple(aliases))


class Ways:
    """The ways of looking up, each over the same reader and with counts of its own."""

    def __init__(self, reader: FollowingReader) -> None:
        self._clock = StoppedClock()
        self._counts = {
            way: CollectorRegistry() for way in ("singles", "together", "plain", "many", "turn", "handle", "plain handle")
        }
        metrics = {way: build_metrics(registry) for way, registry in self._counts.items()}
        self._single = build_chain(reader, self._clock, metrics["singles"])
        self._together = resolve_together(build_chain(reader, self._clock, metrics["together"]), reader)
        self._plain = PlainLookups(reader, self._clock, metrics["plain"], "grpc")
        self._many = PlainLookups(reader, self._clock, metrics["many"], "grpc")
        self._turn = PlainLookups(reader, self._clock, metrics["turn"], "grpc")
        self._handle = self._dialogue(build_chain(reader, self._clock, metrics["handle"]), metrics["handle"], None)
        plain = PlainLookups(reader, self._clock, metrics["plain handle"], "handle")
        self._plain_handle = self._dialogue(
            build_chain(reader, self._clock, metrics["plain handle"]), metrics["plain handle"], plain
        )

    def compare_together(self, identifiers: list[str], options: Mapping[str, object], explains: bool) -> Counter[str]:
        singly, together = (
            [Query(each, "grpc", explain=[] if explains else None, **options) for each in identifiers]  # type: ignore[arg-type]  # of many kinds
            for _ in range(2)
        )
        singles = [self._ask(query) for query in singly]
        results = [now(result) for result in self._together(together)]
        assert [facts(answer) for answer in results] == [facts(answer) for answer in singles]
        assert [query.explain for query in together] == [query.explain for query in singly]
        for outcome in ("found", "not_found", "refused", "retired", "suspended", "values_not_found"):
            assert self._requests("together", "grpc", outcome) == self._requests("singles", "grpc", outcome)
        return Counter(f"together: {type(answer).__name__}" for answer in singles)

    def compare_plain(self, identifiers: list[str], wants_private: bool) -> Counter[str]:
        """Whatever the chain finds without an alias is found plainly, and nothing else is; what is absent is known to be."""
        done: Counter[str] = Counter()
        plainly = [self._plain.look_up(identifier, wants_private) for identifier in identifiers]
        many = self._many.look_up_many(identifiers, wants_private)
        assert many == plainly
        assert self._turn.look_up_turn([(identifier, wants_private, False) for identifier in identifiers]) == plainly
        for outcome in ("found", "not_found"):
            for way in ("turn", "many"):
                assert self._requests(way, "grpc", outcome) == self._requests("plain", "grpc", outcome)
        now_s = self._plain.now_s()
        for identifier, raw in zip(identifiers, plainly, strict=True):
            query = Query(identifier, "http", wants_private=wants_private)
            assert is_plain(query)
            answer = self._ask(query)
            is_found = isinstance(answer, Found) and not answer.via_alias
            assert bool(raw) == is_found, identifier
            if raw and isinstance(answer, Found):
                assert PackedRecord(raw).public_part == b"".join(answer.values)
                whole = answer_result(answer)
                assert compose_public_response(raw, identifier, now_s) == whole.SerializeToString(deterministic=True)
                result = resolver_pb2.ResolveResult.FromString(compose_public_result(raw, identifier, now_s))
                assert result.answer == whole
                assert render_handle(raw, identifier, now_s) == split_reply(handle_reply(answer, PLAIN, False))
                assert render_resolution(raw, identifier, now_s) == split_reply(resolve_reply(answer, None, False))
            if raw == ABSENT:
                assert isinstance(answer, NotFound), identifier
                done["plain: absent"] += 1
            done[f"plain: {is_found}"] += 1
        return done

    def compare_handle(self, identifiers: list[str], chance: random.Random) -> Counter[str]:
        done: Counter[str] = Counter()
        for number, identifier in enumerate(identifiers):
            packet = question(identifier, number, flags=chance.choice(FLAGS), session=chance.choice((0, 7)))
            reply, plain = self._respond(self._handle, packet), self._plain_handle.respond_plainly(packet)
            done[f"handle: {plain is not None}"] += 1
            found = self._respond(self._plain_handle, packet) if plain is None else plain
            if reply[24:28] != CHALLENGE:  # which is another one every time
                assert found == reply, identifier
        for outcome in ("found", "not_found", "refused", "retired", "suspended", "values_not_found"):
            assert self._requests("plain handle", "handle", outcome) == self._requests("handle", "handle", outcome)
        return done

    def _dialogue(self, resolve: Resolve, metrics: Metrics, plain: PlainLookups | None) -> Dialogue:
        kept = AnswerCache(0).shelf("handle", metrics)
        return Dialogue(resolve, "handle", metrics.refused, self._clock, lambda at: node_site(at, 2641), kept, plain)

    def _respond(self, dialogue: Dialogue, packet: bytes) -> bytes:
        reply = dialogue.respond(parse_envelope(packet), packet[ENVELOPE_BYTES:], lambda: "127.0.0.1", "127.0.0.1")
        assert isinstance(reply, bytes)
        return reply

    def _ask(self, query: Query) -> Answer:
        return now(self._single(query))

    def _requests(self, way: str, protocol: str, outcome: str) -> float:
        labels = {"protocol": protocol, "outcome": outcome, "scheme": "handle"}
        return self._counts[way].get_sample_value("biaojie_resolve_requests_total", labels) or 0


class CountingReader(DictReader):
    """Five names below 88.118, of which the last is an alias of the first; notes how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.put_prefix("88.118")
        for number in range(4):
            self.put_record(f"88.118/{number}", aliases=("88.118/4",) if number == 0 else ())
        self.homings = 0
        self.asked: list[list[str]] = []

    def homing(self, name: str) -> Prefix | None:
        if hasattr(self, "homings"):
            self.homings += 1
        return super().homing(name)

    def records(self, normalised: Sequence[str]) -> list[bytes | None]:
        self.asked.append([*normalised])
        return super().records(normalised)


CHALLENGE: Final = int(codes.ResponseCode.AUTHENTICATION_NEEDED).to_bytes(4)


def now(result: object) -> Answer:
    assert not inspect.isawaitable(result)
    return result  # type: ignore[return-value]  # what is not to be waited for is an answer


def facts(answer: Answer) -> object:
    return (answer.asked, answer.refusal.reason, answer.refusal.field) if isinstance(answer, Refused) else answer


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_way_of_looking_up_gives_the_same_answer(tmp_path: Path, seed: int) -> None:
    async with ControlPlane(tmp_path) as plane:
        trial = Trial(plane, seed)
        await trial.run()
    seen = [f"together: {kind}" for kind in ("Found", "ValuesNotFound", "NotFound", "Suspended", "Retired", "Refused")]
    seen += [f"{way}: {is_found}" for way in ("plain", "handle") for is_found in (True, False)] + ["plain: absent"]
    assert all(trial.done[kind] for kind in (*seen, "register", "retire", "close", "make exact")), trial.done


@given(records)
def test_a_response_written_from_a_packed_record_is_protobufs_own(record: Record) -> None:
    packed = PackedRecord(pack_record(record))
    values, _ = packed.select()
    if not values:
        return
    asked = record.identifier + "?"
    found = Found(
        asked, record.identifier, record.version, record.aliases, record.template, record.registrant,
        ttl_s=least_ttl_s(values, 5_000, 0), values=values,
    )  # fmt: skip
    assert compose_public_response(packed.raw, asked, 5_000) == answer_result(found).SerializeToString(deterministic=True)


@pytest.mark.parametrize("count", [1, 31, 32, 500])
@pytest.mark.parametrize("size", [0, 1, 127, 128, 2_047, 20_000])
def test_responses_of_every_size_are_protobufs_own(count: int, size: int) -> None:
    values = tuple(Value(1 + index * 2**19, f"TYPE{index}", b"x" * (size if index == 0 else 3)) for index in range(count))
    referring = Value(2**32 - 1, "REF", b"", references=(Reference("88.118/a", 0), Reference("", 300)))
    record = Record("88.118/x", 2**63, State.ACTIVE, (*values, referring), "", NOW_MS, NOW_MS)
    packed = PackedRecord(pack_record(record))
    shown, _ = packed.select()
    found = Found("88.118/x", "88.118/x", 2**63, (), "", "", least_ttl_s(shown, 0, 0), values=shown)
    assert compose_public_response(packed.raw, "88.118/x", 0) == answer_result(found).SerializeToString(deterministic=True)


@given(st.lists(st.sampled_from([f"88.118/{number}" for number in range(5)]), max_size=8))
def test_a_batch_reads_together_what_it_names_however_often(identifiers: list[str]) -> None:
    reader = CountingReader()
    ahead = read_ahead([Query(identifier, "grpc") for identifier in identifiers], reader)
    assert ahead is not None
    assert set(ahead.records) == set(identifiers) | ({"88.118/0"} if "88.118/4" in identifiers else set())
    assert reader.homings == (1 if identifiers else 0)
    assert len(reader.asked) == (2 if "88.118/4" in identifiers and "88.118/0" not in identifiers else 1)
