"""Copies of other nodes' answers on the plain way: never another answer than the chain's, and never one that has ended.

A node in memory has others above it that are real ones on sockets. Records there change, come and go; nodes die and are back;
prefixes are homed here, delegated, suspended and let go; records are registered here; the clock goes on. In between the
questions of a turn are asked in every protocol: whatever the plain way answers, kept or composed, the chain alone has to answer
at once and byte for byte the same.
"""

import asyncio
import inspect
import json
import random
import re
from collections import Counter
from collections.abc import Awaitable, Iterable, Sequence
from typing import Final, TypeVar
from urllib.parse import quote

import pytest

from proto.limits import MAX_HOPS
from proto.metrics import Metrics
from proto.model.answer import Found, NotFound, Source
from proto.model.prefix import Delegation, PrefixState
from proto.model.query import Query
from proto.model.record import State
from proto.model.value import Value
from proto.packed_answer import found_in
from proto.request_id import RequestIds
from proto.v1.resolver_pb2 import ResolveRequest, ResolveResponse
from proto.wire.grpc.message import compose_message
from proto.wire.grpc.metadata import CallHead
from proto.wire.handle import codes
from proto.wire.handle.envelope import ENVELOPE_BYTES, parse_envelope
from proto.wire.handle.trailer import LifeCycle
from proto.wire.handle.typed import compose_site
from proto.wire.http.plain import Block
from resolver.answer_cache import AnswerCache
from resolver.chain.order import build_chain
from resolver.chain.plain import ABSENT, PlainLookups, no_copies, takes_copy
from resolver.chain.recursion import Recursion
from resolver.listeners import dns, grpc, handle
from resolver.listeners.dns.dialogue import datagram_room
from resolver.listeners.dns.interiors import Interiors
from resolver.listeners.grpc.plain_calls import answer_calls, frame_answer
from resolver.listeners.handle.site import node_site
from resolver.listeners.http.api import Slots
from resolver.listeners.http.lookups import LOOKUPS
from resolver.listeners.http.plain_answers import PlainAnswers
from resolver.listeners.http.public_replies import answer_turn
from resolver.upstream.copies import Copy, Terms
from tests.support.counts import Counts
from tests.support.dns import ZONE, asked
from tests.support.foreign_chain import LOCAL, ForeignChain, foreign_chain
from tests.support.foreign_node import NOT_FOUND, ForeignNode, open_nodes, site
from tests.support.handle import question, until

COMMANDS: Final = 200
NAMES: Final = (
    "99.1/a",
    "99.1/B",
    "99.1/b",
    "99.1/油",
    "99.2/a",
    "99.2/alias",
    "88.118.7/a",
    "88.118/here",
    "99.1",
    "99.1/none",
)
SPELT: Final = {"99.1/a": ("99.1/A", "99.1/other"), "99.2/a": ("99.2/a",)}
PREFIXES: Final = ("99.1", "99.2", "88.118.7")
# How often each happens, among the others.
KINDS_OF_COMMANDS: Final = {
    "record": 40, "gone": 2, "down": 2, "up": 12, "pass": 40, "home": 3, "release": 14, "delegate": 2, "suspend": 2,
    "register": 8, "fetch": 40,
}  # fmt: skip
KINDS: Final = ("NAPTR", "URI", "TXT")
FLAGS: Final = (
    codes.PUBLIC_ONLY | codes.RECURSIVE, codes.RECURSIVE, codes.PUBLIC_ONLY, codes.RECURSIVE | codes.AUTHORITATIVE,
    codes.PUBLIC_ONLY | codes.RECURSIVE | codes.LIFE_CYCLE,
)  # fmt: skip
HEAD: Final = b"Host: a\r\n\r\n"
UNTOLD: Final = re.compile(rb"\r\n(?:X-Request-Id|Date): [^\r]*")


A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


class Desk:
    """The listeners of a worker without their sockets: with the plain way and an answer cache, or with the chain alone."""

    def __init__(self, chain: ForeignChain, is_plain: bool) -> None:
        self.counts = Counts()
        metrics: Metrics = self.counts.metrics
        clock, reader = chain.clock, chain.reader
        self._steps = 0  # so that nothing ends at the very instant in which it is looked at, but a moment before
        self.cache = AnswerCache(1_000_000 if is_plain else 0, True, lambda: clock.monotonic() + self._steps * 1e-6)
        recursion = Recursion(["127.0.0.0/8"], chain.upstream.has_root)
        resolve = build_chain(reader, clock, metrics, chain.upstream, recursion)
        self.copied = chain.upstream.show_each if is_plain else no_copies

        def lookups(protocol: str) -> PlainLookups | None:
            return PlainLookups(reader, clock, metrics, protocol, copied=self.copied) if is_plain else None

        self.resolve = resolve
        self.many = PlainLookups(reader, clock, metrics, "grpc", copied=self.copied)
        shelves = {protocol: self.cache.shelf(protocol, metrics) for protocol in ("http", "grpc", "handle", "dns")}
        ids = RequestIds(b"\x01" * 8)
        self.http = PlainAnswers(
            LOOKUPS, resolve, shelves["http"], Slots(1_000), ids, lambda _: None, lookups("http")
        )  # fmt: skip
        self.grpc = grpc.lookups.Lookups(resolve, metrics.refused, shelves["grpc"], None, lookups("grpc"))
        ways = self.grpc.ways(ids)
        self.calls = ways.way if ways is not None else None
        self.handle = handle.dialogue.Dialogue(
            resolve, "handle", metrics.refused, clock, lambda at: node_site(at, 2641), shelves["handle"], lookups("handle")
        )
        self.dns = dns.dialogue.Dialogue(
            resolve, "dns", metrics.refused, dns.Zone(ZONE), reader, Interiors(reader, self.cache), shelves["dns"],
            datagram_room, clock.now_ms, lookups("dns"),
        )  # fmt: skip

    def forget(self, records: Iterable[bytes]) -> None:
        self.cache.forget(records)

    def forget_all(self) -> None:
        self.cache.forget_all()

    def step(self) -> None:
        self._steps += 1


class Watchers:
    """Whoever is told that prefixes have changed; a reader in memory tells of records as if they were prefixes."""

    def __init__(self, *watchers: Desk | ForeignChain) -> None:
        self._told = [each.upstream if isinstance(each, ForeignChain) else each for each in watchers]

    def forget(self, records: Iterable[bytes]) -> None:
        for each in self._told:
            each.forget(records)

    def forget_all(self) -> None:
        for each in self._told:
            each.forget_all()


class Trial:
    """One run; what happens follows from the seed."""

    def __init__(self, chain: ForeignChain, node: ForeignNode, other: ForeignNode, seed: int) -> None:
        self._chain = chain
        self._node = node
        self._other = other
        self._chance = random.Random(seed)
        self._quick, self._slow = Desk(chain, True), Desk(chain, False)
        chain.reader.watcher = Watchers(self._quick, self._slow, chain)
        self._number = 0
        self._copies: dict[str, Copy] = {}
        self.done: Counter[str] = Counter()

    @property
    def kept_hits(self) -> float:
        """How often the answer cache has answered."""
        return self._quick.counts.of("answer_cache_hits_total")

    async def run(self) -> None:
        kinds = [*KINDS_OF_COMMANDS, *self._chance.choices([*KINDS_OF_COMMANDS], [*KINDS_OF_COMMANDS.values()], k=COMMANDS)]
        self._chance.shuffle(kinds)
        for kind in kinds:
            await self._command(kind)
            for _ in range(2):  # the second time out of the answer cache
                await self._look()

    async def _command(self, kind: str) -> None:
        chance, reader = self._chance, self._chain.reader
        name, prefix = chance.choice(NAMES), chance.choice(PREFIXES)
        self.done[kind] += 1
        match kind:
            case "record":
                for each in (name, *chance.choices(NAMES, k=3)):
                    self._put(chance.choice((self._node, self._node, self._other)), each)
            case "gone":
                self._node.answers[name] = NOT_FOUND
            case "down":
                await self._node.close()
            case "up" if not self._node.is_open:
                await self._node.open()
            case "pass":
                self._chain.clock.now += chance.choice((1, 999, 1_000, chance.randrange(3_000), chance.randrange(30_000)))
                self._quick.step()
            case "register":
                self._number += 1
                state = chance.choice((State.ACTIVE, *State))
                reader.put_record(name, *self._values(b"home"), version=self._number, state=state)
            case "fetch":
                for each in NAMES:
                    await self._chain.ask(each)
            case _:
                self._move(kind, prefix)

    def _move(self, kind: str, prefix: str) -> None:
        """Where a prefix lives changes."""
        reader = self._chain.reader
        match kind:
            case "home":
                reader.put_prefix(prefix)
            case "release" if reader.prefix(prefix) is not None:
                reader.drop_prefix(prefix)
            case "delegate":
                reader.put_prefix(prefix, delegation=Delegation((compose_site(site(self._other.endpoint)),)))
            case "suspend":
                reader.put_prefix(prefix, PrefixState.SUSPENDED)

    def _put(self, node: ForeignNode, name: str) -> None:
        self._number += 1
        values = self._values(b"away")
        if name.endswith("alias"):
            values.append(Value(9, "HS_ALIAS", self._chance.choice(NAMES).encode(), ttl=30))
        node.put(name, *values)
        node.trailers.pop(name, None)
        if self._chance.random() < 0.6:
            spelt = self._chance.choice((name, *SPELT.get(name, ())))
            told = LifeCycle(State.ACTIVE, self._number, spelt)
            if self._chance.random() < 0.4:
                source = self._chance.choice(("cached", "cached", "stale"))
                told = told._replace(source=source, age_s=self._chance.randrange(100))  # type: ignore[arg-type]  # its text
            node.trailers[name] = told

    def _values(self, data: bytes) -> list[Value]:
        chance = self._chance
        url = Value(
            1, "URL", b"https://example.cn/%s/%d" % (data, self._number), ttl=chance.choice((20, 60, 3_600, 3_600)), timestamp=1
        )
        note = Value(2, "TITLE", "变压器".encode(), ttl=chance.choice((0, 1, 40)), timestamp=5)
        until = Value(3, "UNTIL", b"\xff", ttl=self._chain.clock.now // 1000 + 45, ttl_absolute=True)
        return [url, *(each for each in (note, until) if chance.random() < 0.3)]

    async def _look(self) -> None:
        names = self._chance.choices(NAMES, k=12) + [self._chance.choice(NAMES).swapcase() for _ in range(2)]
        looks = (self._look_over_http, self._look_over_grpc, self._look_at_many, self._look_over_handle, self._look_over_dns)
        for look in looks:
            self._let_go()
            await look(names)
            await until(lambda: self._chain.upstream.walks == 0)

    def _let_go(self) -> None:
        """What is kept as rendered may be shown for its second although a newer copy has come: that is not looked at here."""
        copies = {**self._chain.upstream._copies._copies}
        if copies != self._copies:
            self._copies = copies
            self._quick.forget_all()

    async def _look_over_http(self, names: list[str]) -> None:
        paths = [f"{self._chance.choice(('/api/handles/', '/api/v1/resolve/'))}{quote(name)}" for name in names]
        lines = [f"GET {path} HTTP/1.1".encode() for path in paths]
        way = self._quick.http.way
        assert way is not None
        replies = answer_turn([line + b"\r\n" + HEAD for line in lines], way._replace(silent={HEAD}))
        expected = [self._slow.http.answer(line, Block(is_kept=True), LOCAL) for line in lines]
        for name, reply, right in await at_once(names, replies, expected):
            assert UNTOLD.sub(b"", reply) == UNTOLD.sub(b"", right), name
            self._judge(name, reply)

    def _judge(self, name: str, reply: bytes) -> None:
        """What holds of a copy whatever the chain may think."""
        head, _, body = reply.partition(b"\r\n\r\n")
        document = json.loads(body)
        source = document.get("source", "")
        self.done[f"http: {source}"] += 1
        if source == "cached":
            assert self._chain.reader.homing(name.partition("/")[0]) is None
            assert document["ttl_s"] > 0
            assert b"/home/" not in body
            assert (b"\r\nAge: %d\r\n" % document["age_s"] in head) == bool(document["age_s"])

    async def _look_over_grpc(self, names: list[str]) -> None:
        messages = [ResolveRequest(identifier=name).SerializeToString() for name in names]
        assert self._quick.calls is not None
        streams = [*range(1, 2 * len(names), 2)]
        answers = answer_calls(streams, [compose_message(each) for each in messages], self._quick.calls)
        expected = [self._slow.grpc.resolve(CallHead("a"), message, "a", LOCAL) for message in messages]
        for stream, answered, right in await at_once(streams, answers, expected):
            assert answered.frames == frame_answer(stream, right, answered.request_id).frames
            if answered.data_bytes:
                source = ResolveResponse.FromString(answered.response().data[5:]).source
                self.done[f"grpc: {source}"] += 1

    async def _look_at_many(self, names: list[str]) -> None:
        """The identifiers of a batch, whatever it says of copies."""
        for more in ({}, {"is_recursive": False}, {"max_age_s": 5}, {"is_recursive": True}, {"hops": MAX_HOPS}):
            queries = [Query(name, "grpc", peer=LOCAL, **more) for name in names]
            found = self._quick.many.look_up_many(names, False, takes_copy(queries[0]))
            results = [*zip(found, map(self._slow.resolve, queries), strict=True)]
            for name, raw, right in await at_once(names, *zip(*results, strict=True)):
                answer = NotFound(name) if raw == ABSENT else found_in(raw, name, self._chain.clock.now // 1000)
                assert answer == right, more
                self.done[f"many: {more}"] += isinstance(answer, Found) and answer.source is Source.CACHED

    async def _look_over_handle(self, names: list[str]) -> None:
        packets = []
        for number, name in enumerate(names):
            packet = question(name, number, flags=self._chance.choice(FLAGS))
            passed = self._chance.choice((0, 0, 0, 1, MAX_HOPS - 1))
            packets.append(packet[:34] + bytes((passed,)) + packet[35:])
        replies = self._quick.handle.respond_plainly_to(packets)
        expected = [
            self._slow.handle.respond(parse_envelope(packet), packet[ENVELOPE_BYTES:], lambda: LOCAL, LOCAL)
            for packet in packets
        ]  # fmt: skip
        for name, reply, right in await at_once(names, replies, expected):
            assert reply == right, name
            self.done[f"handle: {b'/away/' in reply}"] += 1

    async def _look_over_dns(self, names: list[str]) -> None:
        named, chance = [name for name in names if "/" in name], self._chance
        messages = [
            asked(name, chance.choice(KINDS), number, edns=chance.random() < 0.5, flags=chance.choice((0, 0x100))).to_wire()
            for number, name in enumerate(named)
        ]
        replies = self._quick.dns.respond_plainly_to(messages)
        expected = [self._slow.dns.respond_otherwise(message, LOCAL) for message in messages]
        for name, reply, right in await at_once(named, replies, expected):
            assert reply == right, name
            self.done[f"dns: {b'/away/' in reply}"] += 1


async def at_once(
    asked: Sequence[A], plainly: Sequence[B | None], expected: Sequence[C | Awaitable[C] | None]
) -> list[tuple[A, B, C]]:
    """What the plain way has answered, with what was asked and what the chain has answered; which has not waited for that."""
    answered: list[tuple[A, B, C]] = []
    for each, reply, right in zip(asked, plainly, expected, strict=True):
        if inspect.isawaitable(right):
            assert reply is None, f"the chain would have asked somebody about {each}"
        elif reply is not None:
            assert right is not None
            answered.append((each, reply, right))
    await asyncio.gather(*filter(inspect.isawaitable, expected))
    return answered


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_copy_is_never_shown_otherwise_than_the_chain_would(seed: int) -> None:
    node, other = await open_nodes(2)
    async with foreign_chain(node, others=(other,), terms=Terms(negative_ttl_s=10, stale_s=30)) as chain:
        trial = Trial(chain, node, other, seed)
        await trial.run()
        seen = [*(f"{protocol}: True" for protocol in ("handle", "dns")), "http: cached", "grpc: 2", "many: {}"]
        assert all(trial.done[kind] for kind in seen), trial.done
        assert trial.kept_hits > 100
