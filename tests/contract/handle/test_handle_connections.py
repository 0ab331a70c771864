"""Connections of the Handle listener: halves, silence, haste, late answers, crowds and closing; none harms the others."""

import asyncio
import os
import resource
import socket
import struct
from collections.abc import Awaitable

import pytest

from proto.errors import Reason
from proto.model.answer import Answer, Found
from proto.model.query import Query
from proto.model.value import Value
from proto.wire.handle.value import compose_value
from resolver.listeners.handle import HandleLimits
from resolver.listeners.handle.limits import MAX_DESCRIPTOR_SHARE
from tests.contract.handle.conftest import Serve, Served
from tests.support.handle import WAIT_S, Caller, question, read_message, read_messages, until
from tests.support.withheld import Withheld

RECORD = "88.118.1/LOAD0000042"
# A sweep that comes soon, and limits that the stopped clock reaches only when a test moves it.
SWEPT = HandleLimits(sweep_s=0.01)


async def closed(caller: Caller) -> None:
    assert await caller.rest() == b""


async def after_minutes(served: Served, caller: Caller) -> bytes:
    """Everything until the server closes, while its clock runs a thousand times as fast."""
    rest = asyncio.ensure_future(caller.rest())

    def is_over() -> bool:
        served.clock.now += 5_000
        return rest.done()

    await until(is_over)
    return rest.result()


async def test_a_client_that_asks_and_ends_its_half_gets_its_answers(served: Served) -> None:
    caller = await served.caller()
    caller.writer.write(question(RECORD, 1) + question("88.118.1/NOSUCH", 2))
    caller.writer.write_eof()
    assert [answer.code for answer in read_messages(await caller.rest())] == [1, 100]
    await until(lambda: served.connections == 0)


async def test_a_client_that_ends_within_a_message_is_told(served: Served) -> None:
    caller = await served.caller()
    caller.writer.write(question(RECORD, 1) + question(RECORD, 2)[:-5])
    caller.writer.write_eof()
    whole, half = read_messages(await caller.rest())
    assert (whole.code, half.code, half.envelope.request) == (1, 4, 2)
    assert served.refused(Reason.MALFORMED_MESSAGE) == 1


async def test_a_client_that_vanishes_is_forgotten(served: Served) -> None:
    for raw in (b"", question(RECORD)[:30], question(RECORD)):
        caller = await served.caller()
        await until(lambda: served.connections == 1)
        caller.writer.write(raw)
        caller.writer.transport.abort()
        await until(lambda: served.connections == 0)


async def test_half_a_message_is_waited_for_only_so_long(serve: Serve) -> None:
    served = await serve(limits=SWEPT)
    caller = await served.caller()
    (first,) = await caller.ask(question(RECORD))
    caller.writer.write(question(RECORD, 42)[:33])
    refused = read_message(await after_minutes(served, caller))
    assert (first.code, refused.code, refused.envelope.request) == (1, 4, 42)
    assert served.refused(Reason.MALFORMED_MESSAGE) == 1


async def test_idle_connections_are_closed_and_busy_ones_kept(serve: Serve) -> None:
    served = await serve(limits=SWEPT)
    idle, busy = await served.caller(), await served.caller()
    await until(lambda: served.connections == 2)
    for _ in range(4):
        served.clock.now += 300_000
        await asyncio.sleep(0.05)
        (answer,) = await busy.ask(question("0"))
        assert answer.code == 100
    await closed(idle)
    assert served.connections == 1
    assert served.refused(Reason.TIMEOUT) == 0


async def test_a_client_that_does_not_read_is_not_read_either_and_loses_nothing(serve: Serve) -> None:
    asked = 0
    large = compose_value(Value(1, "BLOB", b"x" * 200_000))

    def resolve(query: Query) -> Answer:
        nonlocal asked
        asked += 1
        return Found(query.identifier, query.identifier, 1, (), "", "", 60, values=(large,))

    served = await serve(resolve)
    caller = await Caller.connect(served.host, served.port, limit=2**16)
    count = 300
    caller.writer.write(b"".join(question("88.118.1/x", n + 1) for n in range(count)))
    await until(lambda: asked)
    while True:
        seen = asked
        await asyncio.sleep(0.1)
        if asked == seen:
            break
    # What the kernel takes of 60 MB, and the buffer's bound; far from all.
    assert asked < count // 2
    other = await served.caller()
    assert (await other.ask(question("88.118.1/x")))[0].code == 1
    answers = [await caller.answer() for _ in range(count)]
    assert [answer.envelope.request for answer in answers] == list(range(1, count + 1))
    assert all(len(answer.body) > 200_000 for answer in answers)


async def test_a_client_that_never_reads_is_cut_off(serve: Serve) -> None:
    large = compose_value(Value(1, "BLOB", b"x" * 200_000))
    served = await serve(lambda query: Found(query.identifier, "a/b", 1, (), "", "", 60, values=(large,)), SWEPT)
    caller = await Caller.connect(served.host, served.port, limit=2**16)
    caller.writer.write(b"".join(question("88.118.1/x", n + 1) for n in range(300)))
    await until(lambda: served.connections == 1)

    def is_cut_off() -> bool:
        served.clock.now += 1_000
        return served.connections == 0

    await until(is_cut_off)
    assert served.refused(Reason.TIMEOUT) == 1


async def test_answers_that_come_late_keep_their_place(serve: Serve) -> None:
    withheld = Withheld()
    served = await serve(withheld)
    caller = await served.caller()
    names = ["a/later1", "a/now", "a/later2", "a/now"]
    caller.writer.write(b"".join(question(name, place) for place, name in enumerate(names, 1)))
    await until(lambda: len(withheld.asked) == 4)
    withheld.release("a/later2")
    caller.writer.write(question("a/now", 5))
    await until(lambda: len(withheld.asked) == 5)
    withheld.release("a/later1")
    assert [(await caller.answer()).envelope.request for _ in range(5)] == [1, 2, 3, 4, 5]
    (answer,) = await caller.ask(question("a/now", 6))
    assert answer.envelope.request == 6


async def test_only_so_many_questions_of_one_connection_wait(serve: Serve) -> None:
    withheld = Withheld()
    served = await serve(withheld, HandleLimits(max_pipelined=8))
    caller = await served.caller()
    caller.writer.write(b"".join(question(f"a/later{n}", n + 1) for n in range(50)))
    await until(lambda: len(withheld.asked) == 8)
    await asyncio.sleep(0.05)
    assert len(withheld.asked) == 8
    received: list[int] = []
    while len(received) < 50:
        await until(lambda: withheld.waiting)
        for name in list(withheld.waiting):
            withheld.release(name)
            received.append((await caller.answer()).envelope.request)
    assert received == list(range(1, 51))


async def test_answers_for_a_client_that_has_gone_are_given_up(serve: Serve) -> None:
    withheld = Withheld()
    served = await serve(withheld)
    caller = await served.caller()
    caller.writer.write(question("a/later"))
    await until(lambda: withheld.waiting)
    # A reset, not an end: who only ends its half still waits for its answer.
    caller.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.writer.transport.abort()
    await until(lambda: served.connections == 0)
    await until(lambda: withheld.waiting["a/later"].cancelled())


async def test_a_client_that_ended_its_half_gets_its_late_answer(serve: Serve) -> None:
    withheld = Withheld()
    served = await serve(withheld)
    caller = await served.caller()
    caller.writer.write(question("a/later", 42))
    caller.writer.write_eof()
    await until(lambda: withheld.waiting)
    await asyncio.sleep(0.05)
    withheld.release("a/later")
    assert read_message(await caller.rest()).envelope.request == 42
    await until(lambda: served.connections == 0)


async def test_a_stream_that_goes_wrong_behind_late_answers_is_ended_after_them(serve: Serve) -> None:
    withheld = Withheld()
    served = await serve(withheld)
    caller = await served.caller()
    caller.writer.write(question("a/later", 1) + b"\xff" * 40)
    await until(lambda: withheld.waiting)
    await asyncio.sleep(0.05)
    withheld.release("a/later")
    late, refused = read_messages(await caller.rest())
    assert (late.code, late.envelope.request, refused.code) == (100, 1, 4)


async def test_a_resolver_that_fails_is_an_answer_now_or_later(serve: Serve) -> None:
    async def late() -> Answer:
        raise LookupError("late")

    def resolve(query: Query) -> Answer | Awaitable[Answer]:
        if query.identifier == "a/late":
            return late()
        raise LookupError("now")

    served = await serve(resolve)
    caller = await served.caller()
    answers = await caller.ask(question("a/now"), question("a/late"), question("0"))
    assert [answer.code for answer in answers] == [2, 2, 100]
    assert served.refused(Reason.INTERNAL) == 2


async def test_too_many_connections_are_told_so_and_closed(serve: Serve) -> None:
    served = await serve(limits=HandleLimits(max_connections=2))
    kept = [await served.caller(), await served.caller()]
    await until(lambda: served.connections == 2)
    turned_away = read_message(await (await served.caller()).rest())
    assert (turned_away.code, turned_away.envelope.request) == (3, 0)
    assert served.refused(Reason.OVERLOADED) == 1
    assert (await kept[0].ask(question(RECORD)))[0].code == 1
    kept[1].close()
    await until(lambda: served.connections == 1)
    assert (await (await served.caller()).ask(question(RECORD)))[0].code == 1


async def test_closing_answers_what_was_read_and_takes_nothing_new(serve: Serve) -> None:
    withheld = Withheld()
    served = await serve(withheld)
    idle, waiting = await served.caller(), await served.caller()
    await idle.ask(question("a/now"))
    waiting.writer.write(question("a/later"))
    await until(lambda: withheld.waiting)
    closing = asyncio.ensure_future(served.listener.close(WAIT_S))
    await closed(idle)
    with pytest.raises(ConnectionRefusedError):
        await served.caller()
    withheld.release("a/later")
    assert (await waiting.answer()).code == 100
    await closed(waiting)
    await closing
    assert served.connections == 0


async def test_closing_waits_only_for_its_grace(serve: Serve) -> None:
    withheld = Withheld()
    served = await serve(withheld)
    caller = await served.caller()
    caller.writer.write(question("a/later"))
    await until(lambda: withheld.waiting)
    await served.listener.close(0.01)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await caller.answer()
    await until(lambda: served.connections == 0)


async def test_a_closed_listener_opens_again_on_the_same_port(served: Served) -> None:
    port = served.port
    await served.listener.close(1)
    await served.open()
    assert served.port == port
    caller = await served.caller()
    assert (await caller.ask(question(RECORD)))[0].code == 1


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
    used = len(os.listdir("/proc/self/fd"))
    share = used + 40
    resource.setrlimit(resource.RLIMIT_NOFILE, (share, hard))
    try:
        await served.open()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    kept = [await served.caller() for _ in range(int(share * MAX_DESCRIPTOR_SHARE))]
    await until(lambda: served.connections == len(kept))
    assert read_message(await (await served.caller()).rest()).code == 3
