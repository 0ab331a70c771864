"""The Handle listener over UDP: packets, their loss and forgery, and what may be sent to whom."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.errors import Reason
from proto.model.answer import Answer, Found, NotFound
from proto.model.query import Query
from proto.model.value import Value
from proto.wire.handle import codes
from proto.wire.handle.codes import OpCode
from proto.wire.handle.datagram import PACKET_BYTES, PART_BYTES, split_message
from proto.wire.handle.envelope import parse_envelope
from proto.wire.handle.message import split_digest
from proto.wire.handle.resolution import parse_error_body, parse_resolution_body
from proto.wire.handle.typed import parse_site
from proto.wire.handle.value import compose_value
from resolver.answer_cache import AnswerCache
from resolver.listeners.handle import HandleLimits, node_site
from resolver.listeners.handle.datagrams import Datagrams
from resolver.listeners.handle.dialogue import Dialogue
from resolver.listeners.handle.limits import MAX_UDP_PACKETS, MAX_UDP_PENDING
from resolver.listeners.source_budget import SourceBudget, network_of
from tests.contract.handle.conftest import Serve, Served
from tests.interop.handle_replay import ask_udp
from tests.support.handle import PacketCaller, operation, question, read_message, until
from tests.support.reader import StoppedClock

RECORD = "88.118.1/LOAD0000042"
STRANGER = ("192.0.2.7", 4242)


async def test_a_question_in_a_packet_is_answered_in_one(served: Served) -> None:
    caller = await PacketCaller.connect(served.host, served.port)
    answer = read_message(await caller.ask(question(RECORD, 42)))
    assert (answer.code, answer.envelope.request, len(parse_resolution_body(answer.body).values)) == (1, 42, 4)
    assert served.resolved("handle-udp", "found") == 1
    assert served.connections == 0


async def test_an_answer_of_several_packets(served: Served) -> None:
    served.reader.put_record("88.118.1/BIG2", Value(1, "BLOB", bytes(range(256)) * 12))
    answer = read_message(await asyncio.to_thread(ask_udp, served.host, served.port, question("88.118.1/BIG2")))
    assert answer.code == 1
    assert len(answer.body) > 3_000


@pytest.mark.parametrize("mark", [False, True])
async def test_a_question_of_several_packets(served: Served, mark: bool) -> None:
    caller = await PacketCaller.connect(served.host, served.port)
    packets = split_message(question(RECORD, types=tuple(f"TYPE{n}" for n in range(200)), indexes=(1,)), mark)
    assert len(packets) > 2
    answer = read_message(await caller.ask(*reversed(packets)))
    assert (answer.code, len(parse_resolution_body(answer.body).values)) == (1, 1)


async def test_an_answer_over_the_limit_sends_its_client_to_tcp(served: Served) -> None:
    size = PART_BYTES * MAX_UDP_PACKETS
    served.reader.put_record("88.118.1/HUGE", Value(1, "BLOB", b"x" * size))
    caller = await PacketCaller.connect(served.host, served.port)
    asked = question("88.118.1/HUGE", 42, flags=codes.PUBLIC_ONLY | codes.RETURN_DIGEST | codes.LIFE_CYCLE)
    packet = await caller.ask(asked)
    answer = read_message(packet)
    digest, body = split_digest(answer)
    assert (answer.op, answer.code, answer.envelope.request, len(digest)) == (1, 2, 42, 33)
    assert parse_error_body(body).message == "ask over TCP"
    assert not answer.flags & codes.LIFE_CYCLE
    assert len(await caller.ask(question("88.118.1/HUGE"))) <= len(question("88.118.1/HUGE"))
    assert served.refused(Reason.MESSAGE_TOO_LARGE) == 2
    over_tcp = await served.caller()
    assert len((await over_tcp.ask(asked))[0].body) > size


async def test_the_site_over_udp_is_where_the_client_sent_to(serve: Serve) -> None:
    served = await serve()
    await served.listener.close(0)
    served.host, served.port = "0.0.0.0", 0
    await served.open()
    caller = await PacketCaller.connect("127.0.0.1", served.port)
    site = parse_site(read_message(await caller.ask(operation(OpCode.GET_SITE_INFO, b"\0\0\0\1/"))).body)
    assert site.servers[0].address == "127.0.0.1"


async def test_garbage_is_refused_if_it_can_be_and_never_if_it_is_a_response(served: Served) -> None:
    caller = await PacketCaller.connect(served.host, served.port)
    response = bytearray(question(RECORD, 1))
    response[24:28] = b"\0\0\0\1"
    long = bytearray(response)
    long[16:20] = b"\x80\0\0\0"
    for silent in (b"\2", bytes(19), bytes(response), bytes(long)):
        caller.transport.sendto(silent)
    wrong = bytearray(question(RECORD, 42))
    wrong[16:20] = b"\x80\0\0\0"
    refused = read_message(await caller.ask(bytes(wrong)))
    assert (refused.op, refused.code, refused.envelope.request) == (0, 4, 42)
    answer = read_message(await caller.ask(question(RECORD, 43)))
    assert (answer.code, answer.envelope.request) == (1, 43)
    assert caller.packets.empty()
    assert served.refused(Reason.MALFORMED_MESSAGE) == 5


def is_bound(client: socket.socket, address: tuple[str, int]) -> bool:
    """Bind a socket, if that can be done yet."""
    try:
        client.bind(address)
    except OSError:
        return False
    return True


async def test_a_port_that_is_taken_for_udp_alone_is_taken(serve: Serve) -> None:
    served = await serve()
    await served.listener.close(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        # The listener's own number, because it was free for TCP a moment ago: of any other nobody knows.
        await until(lambda: is_bound(taken, (served.host, served.port)))
        with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
            await served.open()
    await served.open()


@pytest.mark.parametrize("body", [b"\xff\xff\xff\xff", b"", b"\0\0\0\3a/b\0\0\0\1"])
async def test_a_body_that_cannot_be_read_is_refused(served: Served, body: bytes) -> None:
    caller = await PacketCaller.connect(served.host, served.port)
    refused = read_message(await caller.ask(operation(OpCode.RESOLUTION, body, 42)))
    assert (refused.op, refused.code, refused.envelope.request) == (1, 4, 42)


async def test_a_question_sent_twice_is_answered_twice(served: Served) -> None:
    caller = await PacketCaller.connect(served.host, served.port)
    assert await caller.ask(question(RECORD), question(RECORD)) == await caller.packet()


async def test_answers_that_come_late_are_sent_when_they_come_and_closing_waits_for_them(serve: Serve) -> None:
    waiting: dict[str, asyncio.Future[Answer]] = {}

    def resolve(query: Query) -> Awaitable[Answer]:
        waiting[query.identifier] = asyncio.get_running_loop().create_future()
        return waiting[query.identifier]

    served = await serve(resolve)
    caller = await PacketCaller.connect(served.host, served.port)
    caller.transport.sendto(question("a/1", 1))
    caller.transport.sendto(question("a/2", 2))
    await until(lambda: len(waiting) == 2)
    waiting["a/2"].set_result(NotFound("a/2"))
    assert parse_envelope(await caller.packet()).request == 2
    closing = asyncio.ensure_future(served.listener.close(20))
    await asyncio.sleep(0.05)
    caller.transport.sendto(question("a/3", 3))
    await asyncio.sleep(0.05)
    waiting["a/1"].set_result(NotFound("a/1"))
    assert parse_envelope(await caller.packet()).request == 1
    await closing
    assert set(waiting) == {"a/1", "a/2"}


class Socket:
    """A socket that notes what is sent through it."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, tuple[Any, ...]]] = []

    @property
    def name(self) -> tuple[Any, ...]:
        return ("127.0.0.1", 2641)

    def sendto(self, packet: bytes, addr: tuple[Any, ...]) -> None:
        self.sent.append((packet, addr))

    def close(self) -> None:
        pass


class Bench:
    """The UDP half with strangers as its clients, which loopback has none of."""

    def __init__(self, resolve: Callable[[Query], Answer | Awaitable[Answer]], limits: HandleLimits | None = None) -> None:
        self._registry = CollectorRegistry()
        metrics = build_metrics(self._registry)
        self.clock = StoppedClock()
        kept = AnswerCache(0).shelf("handle-udp", metrics)
        dialogue = Dialogue(resolve, "handle-udp", metrics.refused, self.clock, lambda at: node_site(at, 2641), kept)
        self.datagrams = Datagrams(dialogue, limits or HandleLimits(), self.clock)
        self.socket = Socket()
        self.datagrams.connect(self.socket)

    def ask(self, raw: bytes, source: tuple[str, int] = STRANGER) -> list[bytes]:
        """The packets sent in reply to one."""
        self.socket.sent.clear()
        self.datagrams.datagrams_received([(raw, source)])
        assert all(addr == source for _, addr in self.socket.sent)
        return [packet for packet, _ in self.socket.sent]

    def refused(self, reason: Reason) -> float:
        return self._registry.get_sample_value("biaojie_refused_total", {"reason": reason}) or 0


def of_size(size: int) -> Callable[[Query], Answer]:
    value = compose_value(Value(1, "BLOB", b"x" * size))
    return lambda query: Found(query.identifier, query.identifier, 1, (), "", "", 60, values=(value,))


async def test_a_network_is_sent_only_so_much_and_then_to_tcp_until_time_has_passed() -> None:
    bench = Bench(of_size(350), HandleLimits(udp_source_bytes_per_s=1_000, udp_source_burst_bytes=2_000))
    sent = [read_message(bench.ask(question("a/b"))[0]).code for _ in range(8)]
    assert sent == [1] * 4 + [2] * 4
    assert bench.refused(Reason.QUOTA_EXCEEDED) == 4
    assert read_message(bench.ask(question("a/b"), ("192.0.2.99", 1))[0]).code == 2
    assert read_message(bench.ask(question("a/b"), ("192.0.3.99", 1))[0]).code == 1
    assert read_message(bench.ask(question("a/b"), ("127.0.0.1", 1))[0]).code == 1
    bench.clock.now += 1_000
    assert [read_message(bench.ask(question("a/b"))[0]).code for _ in range(4)] == [1, 1, 2, 2]


async def test_what_is_sent_for_want_of_budget_is_no_longer_than_the_question() -> None:
    bench = Bench(of_size(300), HandleLimits(udp_source_burst_bytes=0, udp_source_bytes_per_s=0))
    (packet,) = bench.ask(question("88.118/x"))
    assert len(packet) <= len(question("88.118/x"))


async def test_parts_of_a_long_answer_are_marked_for_peers_of_version_3_only() -> None:
    bench = Bench(of_size(1_000))
    asked = question("a/b")
    assert [parse_envelope(packet).is_truncated for packet in bench.ask(asked)] == [False, False, False]
    newer = bytes((3, 0, 3, 0)) + asked[4:]
    assert [parse_envelope(packet).is_truncated for packet in bench.ask(newer)] == [True, True, False]
    assert all(len(packet) <= PACKET_BYTES for packet, _ in bench.socket.sent)


async def test_while_the_socket_takes_nothing_nothing_is_answered() -> None:
    bench = Bench(of_size(10))
    bench.datagrams.pause_writing()
    assert bench.ask(question("a/b")) == []
    assert bench.refused(Reason.OVERLOADED) == 1
    bench.datagrams.resume_writing()
    assert len(bench.ask(question("a/b"))) == 1


async def test_only_so_many_questions_wait_for_others() -> None:
    held: list[asyncio.Future[Answer]] = []

    def resolve(query: Query) -> Awaitable[Answer]:
        held.append(asyncio.get_running_loop().create_future())
        return held[-1]

    bench = Bench(resolve)
    for number in range(MAX_UDP_PENDING):
        assert bench.ask(question("a/b", number + 1)) == []
    (packet,) = bench.ask(question("a/b", 4711))
    assert (read_message(packet).code, read_message(packet).envelope.request) == (3, 4711)
    await until(lambda: len(held) == MAX_UDP_PENDING)
    for future in held:
        future.set_result(NotFound("a/b"))
    await bench.datagrams.finish()
    assert len(bench.socket.sent) == MAX_UDP_PENDING + 1


async def test_unfinished_questions_are_forgotten_in_time() -> None:
    bench = Bench(of_size(10))
    first, *rest = split_message(question("a/b", types=tuple(f"TYPE{n}" for n in range(100))))
    bench.ask(first)
    bench.clock.now += 6_000
    bench.datagrams.sweep()
    assert bench.refused(Reason.MALFORMED_MESSAGE) == 1
    assert [bench.ask(packet) for packet in rest] == [[]] * len(rest)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2ff::7", "2001:db8:1:200::/56"),
        ("fe80::1%eth0", "fe80::/56"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
    ],
)
def test_addresses_are_counted_by_network_and_this_machine_is_not(address: str, network: str) -> None:
    assert network_of(address) == network


def test_only_so_many_networks_are_remembered() -> None:
    budget = SourceBudget(rate=0, burst=10, max_sources=3)
    for number in range(5):
        assert budget.spend(f"192.0.{number}.1", 10, 0)
    assert len(budget) == 3
    assert not budget.spend("192.0.4.1", 1, 0)
    assert budget.spend("192.0.0.1", 1, 0)
