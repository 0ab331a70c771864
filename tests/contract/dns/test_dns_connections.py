"""Connections of the DNS listener: cut anywhere, halves, silence, haste, late answers, crowds; none harms the others."""

import asyncio
import os
import resource
import socket
import struct
from collections.abc import Awaitable
from typing import Final

import dns.flags
import dns.message
import dns.rcode
import pytest

from proto.errors import Reason
from proto.model.answer import Answer, Found
from proto.model.query import Query
from proto.model.value import Value
from proto.wire.dns.message import MAX_QUERY_BYTES
from proto.wire.handle.value import compose_value
from resolver.listeners.dns import DnsLimits
from resolver.listeners.dns.limits import MAX_DESCRIPTOR_SHARE
from tests.contract.dns.conftest import Serve, Served
from tests.support.dns import HUGE, WAIT_S, WHOLE, Caller, asked, framed, question, read, unframed
from tests.support.handle import until
from tests.support.withheld import Withheld

# A sweep that comes soon, and limits that the stopped clock reaches only when a test moves it.
SWEPT = DnsLimits(sweep_s=0.01)


async def after_minutes(served: Served, caller: Caller) -> bytes:
    """Everything until the server closes, while its clock runs a thousand times as fast."""
    rest = asyncio.ensure_future(caller.rest())

    def is_over() -> bool:
        served.clock.now += 1_000
        return rest.done()

    await until(is_over)
    return rest.result()


async def test_a_connection_is_kept_open_for_the_next_question(served: Served) -> None:
    caller = await served.caller()
    for ident in range(1, 20):
        assert (await caller.ask(asked(WHOLE, ident=ident))).id == ident
    assert served.connections == 1


async def test_a_stream_may_be_cut_at_every_byte(served: Served) -> None:
    queries = [asked(WHOLE, "URI", 1), asked("88.118.1001/nothing", ident=2)]
    stream = b"".join(framed(query.to_wire()) for query in queries)
    whole = await served.caller()
    whole.writer.write(stream)
    expected = [await whole.answer(), await whole.answer()]
    for cut in range(1, len(stream)):
        caller = await served.caller()
        caller.writer.write(stream[:cut])
        await caller.writer.drain()
        await asyncio.sleep(0)
        caller.writer.write(stream[cut:])
        assert [await caller.answer(), await caller.answer()] == expected
        caller.writer.close()


async def test_a_stream_of_single_bytes_is_answered(served: Served) -> None:
    caller = await served.caller()
    caller.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    query = asked(WHOLE)
    for octet in framed(query.to_wire()):
        caller.writer.write(bytes((octet,)))
        await asyncio.sleep(0)
    assert read(query, await caller.answer()).rcode() == dns.rcode.NOERROR


async def test_many_questions_at_once_are_answered_in_turns(served: Served) -> None:
    caller = await served.caller()
    caller.send(*(asked(WHOLE, ident=ident).to_wire() for ident in range(1, 501)))
    assert [dns.message.from_wire(await caller.answer()).id for _ in range(500)] == list(range(1, 501))


async def test_a_client_that_asks_and_ends_its_half_gets_its_answers(served: Served) -> None:
    caller = await served.caller()
    caller.send(asked(WHOLE, ident=1).to_wire(), asked("88.118.1001/nothing", ident=2).to_wire())
    caller.writer.write_eof()
    answers = [dns.message.from_wire(raw) for raw in unframed(await caller.rest())]
    assert [(answer.id, answer.rcode()) for answer in answers] == [(1, dns.rcode.NOERROR), (2, dns.rcode.NXDOMAIN)]
    await until(lambda: served.connections == 0)


async def test_a_client_that_ends_within_a_message_is_told(served: Served) -> None:
    caller = await served.caller()
    caller.writer.write(framed(asked(WHOLE, ident=1).to_wire()) + framed(asked(WHOLE, ident=2).to_wire())[:-5])
    caller.writer.write_eof()
    whole, half = (dns.message.from_wire(raw) for raw in unframed(await caller.rest()))
    assert (whole.rcode(), half.rcode(), half.id) == (dns.rcode.NOERROR, dns.rcode.FORMERR, 2)
    assert served.refused(Reason.MALFORMED_MESSAGE) == 1


@pytest.mark.parametrize("begun", [b"\0", b"\0\x30", b"\0\x30abc", framed(asked(WHOLE).to_wire())[:-1], b"\x0f\xff"])
async def test_a_message_that_never_comes_whole_is_waited_for_only_so_long(serve: Serve, begun: bytes) -> None:
    served = await serve(limits=SWEPT)
    caller = await served.caller()
    await caller.ask(asked(WHOLE))
    caller.writer.write(begun)
    await until(lambda: served.connections == 1)
    assert await after_minutes(served, caller) == b""
    assert served.refused(Reason.MALFORMED_MESSAGE) == 1
    assert served.connections == 0


@pytest.mark.parametrize("size", [0, 1, 11])
async def test_a_length_shorter_than_a_header_ends_the_connection(served: Served, size: int) -> None:
    caller = await served.caller()
    caller.writer.write(framed(asked(WHOLE, ident=1).to_wire()) + size.to_bytes(2) + b"x" * size)
    assert len(unframed(await caller.rest())) == 1
    assert served.refused(Reason.MALFORMED_MESSAGE) == 1
    caller.writer.close()
    await until(lambda: served.connections == 0)


async def test_a_length_that_no_query_has_is_refused_before_it_comes(served: Served) -> None:
    caller = await served.caller()
    head = asked(WHOLE, ident=42).to_wire()
    caller.writer.write((MAX_QUERY_BYTES + 1).to_bytes(2) + head)
    answer = dns.message.from_wire(unframed(await caller.rest())[0])
    assert (answer.id, answer.rcode()) == (42, dns.rcode.FORMERR)
    assert served.refused(Reason.MESSAGE_TOO_LARGE) == 1


async def test_a_refused_query_does_not_end_the_connection(served: Served) -> None:
    caller = await served.caller()
    broken = bytearray(asked(WHOLE, ident=1).to_wire())
    broken[4:6] = b"\0\2"
    caller.send(bytes(broken), asked(WHOLE, ident=2).to_wire())
    first, second = dns.message.from_wire(await caller.answer()), dns.message.from_wire(await caller.answer())
    assert (first.id, first.rcode()) == (1, dns.rcode.FORMERR)
    assert (second.id, second.rcode()) == (2, dns.rcode.NOERROR)


async def test_a_response_is_not_replied_to(served: Served) -> None:
    caller = await served.caller()
    answer = asked(WHOLE, ident=1)
    answer.flags |= dns.flags.QR
    caller.send(answer.to_wire(), asked(WHOLE, ident=2).to_wire())
    assert dns.message.from_wire(await caller.answer()).id == 2
    assert served.refused(Reason.MALFORMED_MESSAGE) == 1


async def test_a_client_that_vanishes_is_forgotten(served: Served) -> None:
    whole = framed(asked(WHOLE).to_wire())
    for raw in (b"", whole[:20], whole):
        caller = await served.caller()
        await until(lambda: served.connections == 1)
        caller.writer.write(raw)
        caller.writer.transport.abort()
        await until(lambda: served.connections == 0)


async def test_idle_connections_are_closed_and_busy_ones_kept(serve: Serve) -> None:
    served = await serve(limits=SWEPT)
    idle, busy = await served.caller(), await served.caller()
    await until(lambda: served.connections == 2)
    for _ in range(4):
        served.clock.now += 6_000
        await until(lambda: served.listener.now_s == served.clock.monotonic())
        await busy.ask(asked(WHOLE))
    assert await idle.rest() == b""
    assert served.connections == 1
    assert served.refused(Reason.TIMEOUT) == 0


MUCH: Final = Found("a/b", "a/b", 1, (), "", "", 60, values=(compose_value(Value(1, "META", b"x" * 59_000)),))


async def test_a_client_that_does_not_read_is_not_read_either_and_loses_nothing(serve: Serve) -> None:
    seen = [0]

    def resolve(_: Query) -> Answer:
        seen[0] += 1
        return MUCH

    served = await serve(resolve)
    caller = await Caller.connect(served.host, served.port, limit=2**16)
    count = 500
    caller.send(*(asked(WHOLE, ident=ident, piece=0).to_wire() for ident in range(1, count + 1)))
    await until(lambda: seen[0])
    # The kernel takes some megabytes of 30. While the listener answers others, turn by turn, it then reads no more of this one.
    other, still = await served.caller(), 0
    while still < 20:
        before = seen[0]
        assert (await other.ask(question("id.internal.", "SOA"))).rcode() == dns.rcode.NOERROR
        still = still + 1 if seen[0] == before else 0
    assert seen[0] < count
    answers = [await caller.answer() for _ in range(count)]
    assert [int.from_bytes(raw[:2]) for raw in answers] == list(range(1, count + 1))
    assert all(len(raw) > 59_000 for raw in answers)


async def test_a_client_that_never_reads_is_cut_off(serve: Serve) -> None:
    served = await serve(lambda _: MUCH, SWEPT)
    caller = await Caller.connect(served.host, served.port, limit=2**16)
    caller.send(*(asked(WHOLE, ident=ident, piece=0).to_wire() for ident in range(1, 501)))
    await until(lambda: served.connections == 1)

    def is_cut_off() -> bool:
        served.clock.now += 1_000
        return served.connections == 0

    await until(is_cut_off)
    assert served.refused(Reason.TIMEOUT) == 1


async def test_answers_that_are_there_do_not_wait_for_those_that_are_not(serve: Serve) -> None:
    withheld = Withheld()
    served = await serve(withheld)
    caller = await served.caller()
    names = ["88.118/later1", "88.118/now", "88.118/later2", "88.118/now"]
    caller.send(*(asked(name, ident=place).to_wire() for place, name in enumerate(names, 1)))
    order = [dns.message.from_wire(await caller.answer()).id for _ in range(2)]
    await until(lambda: len(withheld.waiting) == 2)
    for name in ("88.118/later2", "88.118/later1"):
        withheld.release(name)
        order.append(dns.message.from_wire(await caller.answer()).id)
    assert order == [2, 4, 3, 1]


async def test_only_so_many_questions_of_one_connection_wait(serve: Serve) -> None:
    withheld = Withheld()
    served = await serve(withheld, DnsLimits(max_pipelined=8))
    caller = await served.caller()
    caller.send(*(asked(f"88.118/later{n}", ident=n + 1).to_wire() for n in range(50)))
    received: set[int] = set()
    while len(received) < 50:
        await until(lambda: withheld.waiting)
        assert len(withheld.waiting) <= 8
        withheld.release(next(iter(withheld.waiting)))
        received.add(dns.message.from_wire(await caller.answer()).id)
    assert received == set(range(1, 51))


async def test_answers_for_a_client_that_has_gone_are_given_up(serve: Serve) -> None:
    withheld = Withheld()
    served = await serve(withheld)
    caller = await served.caller()
    caller.send(asked("88.118/later").to_wire())
    await until(lambda: withheld.waiting)
    # A reset, not an end: who only ends its half still waits for its answer.
    caller.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.writer.transport.abort()
    await until(lambda: served.connections == 0)
    await until(lambda: withheld.waiting["88.118/later"].cancelled())


async def test_a_client_that_ended_its_half_gets_its_late_answer(serve: Serve) -> None:
    withheld = Withheld()
    served = await serve(withheld)
    caller = await served.caller()
    caller.send(asked("88.118/later", ident=42).to_wire())
    caller.writer.write_eof()
    await until(lambda: withheld.waiting)
    withheld.release("88.118/later")
    (raw,) = unframed(await caller.rest())
    assert dns.message.from_wire(raw).id == 42
    await until(lambda: served.connections == 0)


async def test_a_resolver_that_fails_is_an_answer_now_or_later(serve: Serve) -> None:
    async def late() -> Answer:
        raise LookupError("late")

    def resolve(query: Query) -> Answer | Awaitable[Answer]:
        if query.identifier.endswith("/late"):
            return late()
        raise LookupError("now")

    served = await serve(resolve)
    caller = await served.caller()
    for name in ("88.118/now", "88.118/late"):
        answer = await caller.ask(asked(name))
        assert answer.rcode() == dns.rcode.SERVFAIL
        assert answer.extended_errors()[0].text == "the node failed to answer"
    assert served.refused(Reason.INTERNAL) == 2


async def test_too_many_connections_are_closed_and_counted(serve: Serve) -> None:
    served = await serve(limits=DnsLimits(max_connections=2))
    kept = [await served.caller(), await served.caller()]
    await until(lambda: served.connections == 2)
    assert await (await served.caller()).rest() == b""
    assert served.refused(Reason.OVERLOADED) == 1
    assert (await kept[0].ask(asked(WHOLE))).rcode() == dns.rcode.NOERROR
    kept[1].writer.close()
    await until(lambda: served.connections == 1)
    assert (await (await served.caller()).ask(asked(WHOLE))).rcode() == dns.rcode.NOERROR


async def test_closing_answers_what_was_read_and_takes_nothing_new(serve: Serve) -> None:
    withheld = Withheld()
    served = await serve(withheld)
    idle, waiting = await served.caller(), await served.caller()
    await idle.ask(asked("88.118/now"))
    waiting.send(asked("88.118/later", ident=42).to_wire())
    await until(lambda: withheld.waiting)
    closing = asyncio.ensure_future(served.listener.close(WAIT_S))
    assert await idle.rest() == b""
    with pytest.raises(ConnectionRefusedError):
        await served.caller()
    withheld.release("88.118/later")
    assert dns.message.from_wire(await waiting.answer()).id == 42
    assert await waiting.rest() == b""
    await closing
    assert served.connections == 0


async def test_closing_waits_only_for_its_grace(serve: Serve) -> None:
    withheld = Withheld()
    served = await serve(withheld)
    caller = await served.caller()
    caller.send(asked("88.118/later").to_wire())
    await until(lambda: withheld.waiting)
    await served.listener.close(0.01)
    assert await caller.rest() == b""
    await until(lambda: served.connections == 0)


async def test_a_closed_listener_opens_again_on_the_same_port(served: Served) -> None:
    port = served.port
    await served.listener.close(1)
    await served.open()
    assert served.port == port
    assert (await (await served.caller()).ask(asked(WHOLE))).rcode() == dns.rcode.NOERROR
    assert (await (await served.packet_caller()).ask(asked(WHOLE))).rcode() == dns.rcode.NOERROR


async def test_two_listeners_share_a_port_and_a_taken_one_is_an_error(serve: Serve, served: Served) -> None:
    second = Served(None, None)
    second.port = served.port
    await second.open()
    assert second.port == served.port
    await second.listener.close(0)
    with socket.socket() as taken:
        taken.bind((served.host, 0))
        taken.listen()
        second.port = taken.getsockname()[1]
        with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
            await second.open()


async def test_descriptors_are_left_for_others(serve: Serve) -> None:
    served = await serve()
    await served.listener.close(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    share = len(os.listdir("/proc/self/fd")) + 40
    resource.setrlimit(resource.RLIMIT_NOFILE, (share, hard))
    try:
        await served.open()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    kept = [await served.caller() for _ in range(int(share * MAX_DESCRIPTOR_SHARE))]
    await until(lambda: served.connections == len(kept))
    assert await (await served.caller()).rest() == b""


async def test_a_large_record_is_read_over_one_connection_beside_others(served: Served) -> None:
    async def pieces() -> int:
        caller = await served.caller()
        return sum([len((await caller.ask(asked(HUGE, piece=piece))).answer) for piece in range(3)])

    async def small() -> int:
        caller = await served.caller()
        return sum([len((await caller.ask(question("id.internal.", "SOA"))).answer) for _ in range(20)])

    assert list(await asyncio.gather(pieces(), small(), pieces(), small())) == [3, 20, 3, 20]
