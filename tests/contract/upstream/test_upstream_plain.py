"""Copies on the plain way: who gets one, what is counted, and that asking for one is asking for it."""

import inspect

import pytest

from proto.model.answer import Found
from proto.model.query import Query
from proto.model.value import Value
from proto.packing import PackedRecord
from proto.v1.resolver_pb2 import BatchResolveRequest, BatchResolveResponse
from proto.wire.grpc.metadata import CallHead
from proto.wire.handle import codes
from proto.wire.handle.plain import read_plain
from proto.wire.handle.value import parse_value
from resolver.answer_cache import AnswerCache
from resolver.chain.plain import PlainLookups, takes_copy
from resolver.listeners.grpc.lookups import Lookups
from resolver.listeners.http.api import Api
from resolver.tallies import Tallies
from tests.support.foreign_chain import LOCAL, ForeignChain, foreign_chain
from tests.support.foreign_node import ForeignNode
from tests.support.handle import question, until

URL = Value(1, "URL", b"https://example.org/x", ttl=100, timestamp=1)


def lookups(chain: ForeignChain, tallies: Tallies | None = None) -> PlainLookups:
    return PlainLookups(chain.reader, chain.clock, chain.counts.metrics, "http", tallies, chain.upstream.show_each)


async def test_a_copy_is_found_plainly_once_it_has_come_and_as_it_is_now() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        plain = lookups(chain)
        assert plain.look_up("99.1/x") is None
        await chain.find("99.1/x")
        chain.pass_s(40)
        raw = plain.look_up("99.1/x")
        assert raw is not None
        record = PackedRecord(raw)
        assert (record.is_copy, record.told) == (True, (40, 60, 1_000))
        assert [parse_value(value)[0].ttl for value in record.select()[0]] == [60]
        assert node.questions == ["99.1/x"]


async def test_copies_are_counted_as_answers_about_other_nodes_and_below_no_prefix() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        tallies = Tallies()
        plain = lookups(chain, tallies)
        await chain.find("99.1/x")
        found, cached = (
            chain.counts.of("resolve_requests_total", protocol="http", outcome="found", scheme="handle"),
            chain.counts.of("foreign_answers_total", source="cached"),
        )
        timed = chain.counts.of("resolve_seconds_count", protocol="http")
        assert plain.look_up("99.1/x") is not None
        assert [raw is None for raw in plain.look_up_many(["99.1/x", "99.1/none", "99.1/x", "88.118/x"])] == [
            False, True, False, False,
        ]  # fmt: skip
        assert chain.counts.of("resolve_requests_total", protocol="http", outcome="found", scheme="handle") - found == 3
        assert chain.counts.of("foreign_answers_total", source="cached") - cached == 3
        assert chain.counts.of("resolve_seconds_count", protocol="http") - timed == 4
        assert {prefix: (count.found, count.missed) for prefix, count in tallies.take().items()} == {"88.118": (0, 1)}


async def test_a_copy_that_nears_its_end_is_left_to_who_fetches_it_anew() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        plain = lookups(chain)
        await chain.find("99.1/x")
        chain.pass_s(90)
        assert plain.look_up("99.1/x") is not None
        chain.clock.now += 1
        assert plain.look_up("99.1/x") is None
        assert isinstance(chain.ask_now("99.1/x"), Found)
        await until(lambda: chain.upstream.walks == 0)
        assert plain.look_up("99.1/x") is not None
        assert node.questions == ["99.1/x", "99.1/x"]


async def test_what_is_asked_for_plainly_does_not_make_room_for_others() -> None:
    node = await ForeignNode().open()
    large = Value(1, "META", b"x" * 100_000, ttl=1_000)
    names = [f"99.1/{number}" for number in range(12)]
    for name in names:
        node.put(name, large)
    async with foreign_chain(node) as chain:  # with room for a million bytes
        plain = lookups(chain)
        for name in names:
            await chain.find(name)
            assert plain.look_up_many([names[0], name])[0] is not None
        assert plain.look_up(names[1]) is None


@pytest.mark.parametrize(
    ("flags", "passed", "expected"),
    [
        (codes.RECURSIVE, 0, True), (codes.RECURSIVE | codes.PUBLIC_ONLY, 7, True), (codes.RECURSIVE, 8, False),
        (codes.PUBLIC_ONLY, 0, False), (codes.RECURSIVE | codes.AUTHORITATIVE, 0, False),
    ],
)  # fmt: skip
def test_over_handle_who_wants_it_resolved_and_no_primary_takes_a_copy(flags: int, passed: int, expected: bool) -> None:
    packet = question("99.1/x", flags=flags)
    read = read_plain(packet[:34] + bytes((passed,)) + packet[35:])
    assert read is not None
    assert read[3] is expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, True),
        ({"is_recursive": True}, True),
        ({"is_recursive": False}, False),
        ({"max_age_s": 0}, False),
        ({"hops": 8}, False),
    ],
)
def test_whoever_wants_nobody_asked_or_something_newer_takes_none(more: dict[str, int], expected: bool) -> None:
    assert takes_copy(Query("99.1/x", "http", **more)) is expected  # type: ignore[arg-type]  # of several kinds


async def test_a_batch_that_wants_nobody_asked_gets_no_copies() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        await chain.find("99.1/x")
        shelf = AnswerCache(0).shelf("grpc", chain.counts.metrics)
        calls = Lookups(chain.chain, chain.counts.metrics.refused, shelf, None, lookups(chain))
        for more, is_found in (({}, True), ({"recursive": False}, False)):
            request = BatchResolveRequest(identifiers=["99.1/x", "99.1/x"], **more)
            response = calls.batch(CallHead("a"), request.SerializeToString(), "a", LOCAL)
            response = await response if inspect.isawaitable(response) else response
            results = BatchResolveResponse.FromString(response.data[5:]).results
            assert [result.HasField("answer") for result in results] == [is_found, is_found]
        api = Api(chain.chain, chain.reader, plain=lookups(chain))  # type: ignore[arg-type]  # nothing asks whether it is ready
        for wish, is_found in ((None, True), (False, False)):
            queries = [Query("99.1/x", "http", is_recursive=wish) for _ in range(2)]
            assert [raw is not None for raw in api._look_up_plainly(queries)] == [is_found, is_found]


async def test_a_node_that_asks_nobody_for_everybody_finds_no_copies_plainly() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        await chain.find("99.1/x")
        assert PlainLookups(chain.reader, chain.clock, chain.counts.metrics, "http").look_up("99.1/x") is None
