"""The command line's Handle client: against our listener, recorded stock answers, and peers that do not behave."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from node.client.document import Outcome, Unanswered
from node.client.handle import resolve, resolve_udp
from proto.model.answer import Answer, Referral
from proto.model.query import Query
from proto.model.record import State
from proto.model.value import Value
from proto.wire.handle.datagram import split_message
from proto.wire.handle.value import compose_value
from resolver.listeners.handle.limits import MAX_UDP_PACKETS
from tests.contract.handle.conftest import HOST, Serve, Served
from tests.interop.handle_replay import exchanges

CLIENTS = [resolve, resolve_udp]
RECORD = "88.118.1/LOAD0000042"
both = pytest.mark.parametrize("ask", CLIENTS, ids=["tcp", "udp"])


@both
async def test_a_record_with_state_version_and_values_as_the_json_api_has_them(served: Served, ask: Any) -> None:
    document = await ask(RECORD.lower(), served.host, served.port)
    assert document.is_found
    told = document.to_json()
    assert (told["identifier"], told["state"], told["version"]) == (RECORD, "active", 7)
    assert [value["type"] for value in told["values"]] == ["URL", "TITLE", "META", "HS_ADMIN"]
    assert told["values"][0] == {
        "index": 1,
        "type": "URL",
        "data": {"format": "string", "value": "https://factory.example.cn/item/42?batch=20240101"},
        "ttl": 86_400,
        "timestamp": told["values"][0]["timestamp"],
    }


@both
async def test_filters(served: Served, ask: Any) -> None:
    document = await ask(RECORD, served.host, served.port, types=["title"], indexes=[1])
    assert [value["index"] for value in document.values] == [1, 2]
    nothing = await ask(RECORD, served.host, served.port, types=["NOPE"])
    assert (nothing.outcome, nothing.state, nothing.version) == (Outcome.VALUES_NOT_FOUND, "active", 7)
    assert not nothing.values
    assert nothing.is_found


@both
@pytest.mark.parametrize(
    ("identifier", "outcome", "state", "version", "reason"),
    [
        ("88.118.1/NOSUCH", Outcome.NOT_FOUND, "", None, ""),
        ("88.118.1/OLD", Outcome.RETIRED, "retired", 3, ""),
        ("88.118.1/HELD", Outcome.SUSPENDED, "suspended", None, ""),
        ("99.9/X", Outcome.NOT_HOMED, "", None, ""),
        ("88.118.1/", Outcome.REFUSED, "", None, "invalid_identifier"),
    ],
)
async def test_what_is_not_found(
    served: Served, ask: Any, identifier: str, outcome: Outcome, state: str, version: int | None, reason: str
) -> None:
    served.reader.put_record("88.118.1/OLD", state=State.RETIRED, version=3)
    served.reader.put_record("88.118.1/HELD", Value(1, "URL", b"u"), state=State.SUSPENDED, version=4)
    document = await ask(identifier, served.host, served.port)
    assert (document.identifier, document.outcome) == (identifier, outcome)
    assert (document.state, document.version, document.reason) == (state, version, reason)
    assert document.detail
    assert not document.is_found


@both
async def test_an_alias_shows_the_records_own_identifier(served: Served, ask: Any) -> None:
    served.reader.put_record("88.118.1/own", Value(1, "URL", b"u"), aliases=("88.118.1/other",), version=2)
    document = await ask("88.118.1/other", served.host, served.port)
    assert (document.identifier, document.version) == ("88.118.1/own", 2)


@both
async def test_a_referral_shows_where_to_ask(serve: Serve, ask: Any) -> None:
    def elsewhere(query: Query) -> Answer:
        return Referral(query.identifier, "88.200", (compose_value(Value(1, "URL", b"u")),))

    served = await serve(elsewhere)
    document = await ask("88.200/x", served.host, served.port)
    assert (document.outcome, document.values[0]["type"]) == (Outcome.REFERRAL, "URL")


async def test_an_answer_too_long_for_udp_is_fetched_over_tcp(served: Served) -> None:
    served.reader.put_record("88.118.1/HUGE", Value(1, "BLOB", b"x" * 200_000))
    document = await resolve_udp("88.118.1/HUGE", served.host, served.port)
    assert len(document.values[0]["data"]["value"]) == 200_000
    assert served.resolved("handle-udp", "found") == served.resolved("handle", "found") == 1


async def test_an_answer_of_many_packets_over_udp(served: Served) -> None:
    served.reader.put_record("88.118.1/LONG", Value(1, "BLOB", b"x" * (492 * MAX_UDP_PACKETS - 300)))
    document = await resolve_udp("88.118.1/LONG", served.host, served.port)
    assert document.is_found
    assert served.resolved("handle", "found") == 0


Script = Callable[[bytes], list[bytes]]
"""What a made-up server sends back for what it received."""


@asynccontextmanager
async def stream_server(script: Script) -> AsyncIterator[int]:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(20)
        question = head + await reader.readexactly(int.from_bytes(head[16:20]))
        for piece in script(question):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.001)
        writer.close()

    server = await asyncio.start_server(converse, HOST, 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


class PacketServer(asyncio.DatagramProtocol):
    """Answers each packet by a script."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.transport: asyncio.DatagramTransport
        self.received = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received += 1
        for packet in self._script(data):
            self.transport.sendto(packet, addr)


@asynccontextmanager
async def packet_server(script: Script) -> AsyncIterator[tuple[int, PacketServer]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: PacketServer(script), local_addr=(HOST, 0))
    yield transport.get_extra_info("sockname")[1], server
    transport.close()


def recorded_answer(question: bytes) -> bytes:
    """The recorded answer of a stock server, under this question's request id."""
    answer = next(each.answer for each in exchanges("hs90_resolve") if each.op == 1)
    return answer[:8] + question[8:12] + answer[12:]


@pytest.mark.parametrize("size", [1, 19, 60, 1_000])
async def test_a_stock_server_in_pieces_has_no_state_and_no_version(size: int) -> None:
    def script(question: bytes) -> list[bytes]:
        answer = recorded_answer(question)
        return [answer[start : start + size] for start in range(0, len(answer), size)]

    async with stream_server(script) as port:
        document = await resolve(RECORD, HOST, port)
    assert (document.identifier, document.state, document.version, len(document.values)) == (RECORD, "", None, 4)
    assert document.to_json()["state"] is None


async def test_a_challenge_is_a_refusal_for_want_of_credentials() -> None:
    recorded = next(each.answer for each in exchanges("hs90_resolve_restricted") if each.op == 1)
    async with stream_server(lambda question: [recorded[:8] + question[8:12] + recorded[12:]]) as port:
        document = await resolve("88.118.1/ADMIN", HOST, port)
    assert (document.outcome, document.reason) == (Outcome.REFUSED, "unauthenticated")


async def test_lost_strange_and_disordered_packets() -> None:
    asked = 0

    def script(question: bytes) -> list[bytes]:
        nonlocal asked
        asked += 1
        recorded = next(each.answer for each in exchanges("hs90_resolve_big"))
        packets = split_message(recorded[:8] + question[8:12] + recorded[12:])
        strange = [b"", b"\2\3", b"\xff" * 40, packets[0][:8] + b"\0\0\0\x63" + packets[0][12:]]
        return strange + (packets[1:] if asked == 1 else packets[::-1])

    async with packet_server(script) as (port, server):
        document = await resolve_udp("88.118.1/BIG", HOST, port)
    assert len(document.values) == 7
    assert server.received == 2


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (lambda question: [], "closed"),
        (lambda question: [b"HTTP/1.1 400 Bad Request\r\n\r\n"], "not of the Handle protocol"),
        (lambda question: [recorded_answer(question)[:-40]], "closed"),
        (
            lambda question: [recorded_answer(question)[:40] + b"\xff\xff\xff\xff" + recorded_answer(question)[44:]],
            "cannot be read",
        ),
        (lambda question: [recorded_answer(question)[:44] + b"\xff" * 16 + recorded_answer(question)[60:]], "cannot be read"),
    ],
    ids=["silence", "http", "half", "body length", "body"],
)
async def test_what_is_no_answer_says_why(script: Script, why: str) -> None:
    async with stream_server(script) as port:
        with pytest.raises(Unanswered, match=why):
            await resolve(RECORD, HOST, port, timeout_s=20)


async def test_a_body_that_cannot_be_read_over_udp_says_why() -> None:
    def script(question: bytes) -> list[bytes]:
        return [recorded_answer(question)[:40] + b"\xff\xff\xff\xff" + recorded_answer(question)[44:]]

    async with packet_server(script) as (port, _):
        with pytest.raises(Unanswered, match="cannot be read"):
            await resolve_udp(RECORD, HOST, port)


@both
async def test_nobody_at_the_port(served: Served, ask: Any) -> None:
    await served.listener.close(0)
    with pytest.raises(Unanswered):
        await ask(RECORD, served.host, served.port, timeout_s=20)


async def test_silence_ends_with_the_timeout_after_the_question_was_sent_again() -> None:
    async with packet_server(lambda question: []) as (port, server):
        with pytest.raises(Unanswered, match=r"no answer within 1\.2 s"):
            await resolve_udp(RECORD, HOST, port, timeout_s=1.2)
        assert server.received == 2
