"""Copies on the plain way: who gets one, what is counted, and that asking for one is asking for it."""

import asyncio
import inspect
from collections.abc import Callable
from functools import partial

import pytest
from grpc import StatusCode, aio

from proto.model.answer import Found
from proto.model.query import Query
from proto.model.value import Value
from proto.packing import PackedRecord
from proto.v1.resolver_pb2 import BatchResolveRequest, BatchResolveResponse, ResolveRequest
from proto.wire.grpc.metadata import CallHead
from proto.wire.handle import codes
from proto.wire.handle.envelope import ENVELOPE_BYTES, parse_envelope
from proto.wire.handle.message import parse_message
from proto.wire.handle.plain import read_plain
from proto.wire.handle.value import parse_value
from resolver.answer_cache import AnswerCache
from resolver.chain.order import build_chain
from resolver.chain.plain import PlainLookups, takes_copy
from resolver.chain.recursion import Recursion
from resolver.listeners.grpc import GrpcListener
from resolver.listeners.grpc.lookups import RESOLVE, Lookups
from resolver.listeners.handle import HandleListener, node_site
from resolver.listeners.http.api import Api
from resolver.listeners.http.listener import HttpListener
from resolver.listeners.sources import respond_by_source
from resolver.tallies import Tallies
from tests.support.foreign_chain import LOCAL, ForeignChain, foreign_chain
from tests.support.foreign_node import ForeignNode
from tests.support.grpc_calls import call_raw
from tests.support.handle import question, until
from tests.support.http import Gate

URL = Value(1, "URL", b"https://example.org/x", ttl=100, timestamp=1)


def lookups(
    chain: ForeignChain, tallies: Tallies | None = None, serves: Callable[[str], bool] = lambda _: True
) -> PlainLookups:
    return PlainLookups(chain.reader, chain.clock, chain.counts.metrics, "http", tallies, chain.upstream.show_each, serves)


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
        for request, is_found in (
            (BatchResolveRequest(identifiers=["99.1/x", "99.1/x"]), True),
            (BatchResolveRequest(identifiers=["99.1/x", "99.1/x"], recursive=False), False),
        ):
            response = calls.batch(CallHead("a"), request.SerializeToString(), "a", LOCAL)
            response = await response if inspect.isawaitable(response) else response
            results = BatchResolveResponse.FromString(response.data[5:]).results
            assert [result.HasField("answer") for result in results] == [is_found, is_found]
        api = Api(chain.chain, chain.reader, plain=lookups(chain))  # type: ignore[arg-type]  # nothing asks whether it is ready
        for wish, is_found in ((None, True), (False, False)):
            queries = [Query("99.1/x", "http", is_recursive=wish) for _ in range(2)]
            assert [raw is not None for raw in api._look_up_plainly(queries)] == [is_found, is_found]


async def test_copies_are_for_those_whom_others_are_asked_for() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        chain.reader.put_record("88.118/x", URL)
        await chain.find("99.1/x")
        plain = lookups(chain, serves=Recursion(["127.0.0.0/8"]).serves)
        for peer, is_served in ((LOCAL, True), ("10.0.0.1", False), ("", False)):
            found = plain.looked_up_for(peer).look_up_many(["99.1/x", "88.118/x"])
            assert [raw is not None for raw in found] == [is_served, True]
            assert (plain.looked_up_for(peer).look_up("99.1/x") is not None) is is_served
        alone = PlainLookups(chain.reader, chain.clock, chain.counts.metrics, "http")
        assert (alone.here is alone, alone.look_up("99.1/x")) == (True, None)
        # Over UDP packets of both kinds come in one turn.
        listener = HandleListener(
            chain.chain, chain.counts.metrics, chain.clock, node_site,
            plain=lambda _: lookups(chain, serves=Recursion(["127.0.0.0/8"]).serves),
        )  # fmt: skip
        copied, homed = question("99.1/x", flags=codes.RECURSIVE), question("88.118/x")
        turn = [(copied, (LOCAL, 1)), (copied, ("10.0.0.1", 1)), (homed, ("10.0.0.1", 2)), (copied, (LOCAL, 2))]
        replies = respond_by_source(listener.dialogue, turn)
        assert [reply is not None for reply in replies] == [True, False, True, True]
        assert [reply is not None for reply in respond_by_source(listener.dialogue, turn[1:3])] == [False, True]


@pytest.mark.parametrize("is_served", [True, False])
async def test_over_every_protocol_a_connection_gets_copies_if_others_are_asked_for_it(is_served: bool) -> None:
    """Whoever is not served is refused by the chain, although the copy is there."""
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        await chain.find("99.1/x")
        chain.reader.put_record("88.118/x", URL)
        recursion = Recursion(["127.0.0.0/8"] if is_served else ["10.0.0.0/8"], chain.upstream.has_root)
        metrics = chain.counts.metrics
        resolve = build_chain(chain.reader, chain.clock, metrics, chain.upstream, recursion)
        plain = partial(
            PlainLookups, chain.reader, chain.clock, metrics, copied=chain.upstream.show_each, serves=recursion.serves
        )
        http = HttpListener(resolve, Gate(), metrics, plain=plain("http"))
        handle = HandleListener(resolve, metrics, chain.clock, node_site, plain=plain)
        grpc = GrpcListener(resolve, metrics, chain.clock, plain=plain("grpc"))
        ports = [await listener.open(LOCAL, 0) for listener in (http, handle, grpc)]
        try:
            cached = chain.counts.of("foreign_answers_total", source="cached")
            timed = chain.counts.of("foreign_answers_total", source="failed")
            assert await over_http(ports[0]) is is_served
            assert await over_handle(ports[1]) is is_served
            assert await over_grpc(ports[2]) is is_served
            assert chain.counts.of("foreign_answers_total", source="cached") - cached == (3 if is_served else 0)
            assert chain.counts.of("foreign_answers_total", source="failed") == timed
        finally:
            for listener in (http, handle, grpc):
                await listener.close(0)


async def over_http(port: int) -> bool:
    reader, writer = await asyncio.open_connection(LOCAL, port)
    writer.write(b"GET /api/handles/99.1/x HTTP/1.1\r\nHost: a\r\n\r\n")
    status = (await reader.readline()).split()[1]
    writer.close()
    return status == b"200"


async def over_handle(port: int) -> bool:
    reader, writer = await asyncio.open_connection(LOCAL, port)
    writer.write(question("99.1/x", flags=codes.RECURSIVE))
    envelope = parse_envelope(await reader.readexactly(ENVELOPE_BYTES))
    reply = parse_message(envelope, await reader.readexactly(envelope.length))
    writer.close()
    return reply.code == codes.ResponseCode.SUCCESS


async def over_grpc(port: int) -> bool:
    async with aio.insecure_channel(f"{LOCAL}:{port}") as channel:
        try:
            await call_raw(channel, RESOLVE, ResolveRequest(identifier="99.1/x").SerializeToString())
        except aio.AioRpcError as error:
            return error.code() is not StatusCode.NOT_FOUND
    return True
