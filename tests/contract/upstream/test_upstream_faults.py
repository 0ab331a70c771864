"""Servers that fail in every way: the caller hears a reason, the server's fault is counted, and nothing false is kept."""

import asyncio
import contextlib
import dataclasses
import itertools
from collections.abc import Awaitable, Callable

import pytest

from proto.errors import Reason
from proto.limits import MAX_MESSAGE_BYTES
from proto.model.answer import Found, Refused
from proto.model.value import Value
from proto.wire.handle.codes import ResponseCode
from proto.wire.handle.envelope import ENVELOPE_BYTES, compose_envelope, parse_envelope
from proto.wire.handle.message import Message, compose_message, compose_reply, parse_message
from proto.wire.handle.resolution import compose_resolution_body
from proto.wire.handle.value import compose_value
from resolver.upstream.breaker import FAILURES
from resolver.upstream.sites import Endpoint
from tests.support.foreign_chain import PATIENT, foreign_chain, refusal
from tests.support.foreign_node import ForeignNode, error, open_nodes, packed, refer, site_value
from tests.support.handle import until

URL = Value(1, "URL", b"https://example.org/x", ttl=100)
BRISK = dataclasses.replace(PATIENT, attempt_s=0.3)
"""For servers that will never answer: what they are waited for in vain."""

HUGE = 100 * 1024 * 1024
CHUNK = bytes(64 * 1024)
MAX_IN_FLIGHT = 32 * 1024 * 1024
"""What the kernel may hold for a reader that has gone, with room to spare."""


async def stay_silent(_message: Message, _reply: bytes, _writer: asyncio.StreamWriter) -> None:
    """Say nothing, and go on listening."""


async def trickle(_message: Message, reply: bytes, writer: asyncio.StreamWriter) -> None:
    """A byte now and then: never done within an attempt."""
    for byte in reply:
        writer.write(bytes((byte,)))
        await writer.drain()
        await asyncio.sleep(0.05)


async def close_early(_message: Message, reply: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(reply[: len(reply) // 2])
    await writer.drain()
    writer.close()


async def close_at_once(_message: Message, _reply: bytes, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def claim_more(_message: Message, reply: bytes, writer: asyncio.StreamWriter) -> None:
    """An envelope whose length is beyond every limit."""
    envelope = parse_envelope(reply)._replace(length=HUGE)
    writer.write(compose_envelope(envelope) + reply[ENVELOPE_BYTES:])


async def claim_less(_message: Message, reply: bytes, writer: asyncio.StreamWriter) -> None:
    """An envelope that ends within the body."""
    envelope = parse_envelope(reply)
    writer.write(compose_envelope(envelope._replace(length=envelope.length - 20)) + reply[ENVELOPE_BYTES:])


async def lie_about_a_value(message: Message, _reply: bytes, writer: asyncio.StreamWriter) -> None:
    """A body whose inner length passes its end."""
    name, count, value = compose_resolution_body("99.1/x", packed(URL))
    broken = value[:14] + b"\x7f\xff\xff\xff" + value[18:]
    writer.write(compose_reply(message, ResponseCode.SUCCESS, (name, count, broken), serial=1, session=0, expiration=0))


async def lie_about_a_count(message: Message, _reply: bytes, writer: asyncio.StreamWriter) -> None:
    name, _, value = compose_resolution_body("99.1/x", packed(URL))
    body = (name, b"\xff\xff\xff\xff", value)
    writer.write(compose_reply(message, ResponseCode.SUCCESS, body, serial=1, session=0, expiration=0))


async def answer_for_another(message: Message, _reply: bytes, writer: asyncio.StreamWriter) -> None:
    body = compose_resolution_body("99.1/other", packed(URL))
    writer.write(compose_reply(message, ResponseCode.SUCCESS, body, serial=1, session=0, expiration=0))


async def answer_another_question(_message: Message, reply: bytes, writer: asyncio.StreamWriter) -> None:
    envelope = parse_envelope(reply)
    writer.write(compose_envelope(envelope._replace(request=envelope.request + 1)) + reply[ENVELOPE_BYTES:])


async def answer_with_a_request(_message: Message, reply: bytes, writer: asyncio.StreamWriter) -> None:
    message = parse_message(parse_envelope(reply), reply[ENVELOPE_BYTES:])
    writer.write(compose_message(dataclasses.replace(message, code=0)))


async def answer_another_operation(_message: Message, reply: bytes, writer: asyncio.StreamWriter) -> None:
    message = parse_message(parse_envelope(reply), reply[ENVELOPE_BYTES:])
    writer.write(compose_message(dataclasses.replace(message, op=2)))


async def speak_http(_message: Message, _reply: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


async def be_busy(message: Message, _reply: bytes, writer: asyncio.StreamWriter) -> None:
    code, body = error(ResponseCode.TOO_BUSY, "later")
    writer.write(compose_reply(message, code, body, serial=1, session=0, expiration=0))


FAULTS: dict[str, tuple[Callable[[Message, bytes, asyncio.StreamWriter], Awaitable[None]], str]] = {
    "silent": (stay_silent, "timeout"),
    "slow": (trickle, "timeout"),
    "closing within the answer": (close_early, "closed"),
    "closing without an answer": (close_at_once, "closed"),
    "claiming a huge message": (claim_more, "malformed"),
    "claiming a short message": (claim_less, "malformed"),
    "lying about a length": (lie_about_a_value, "malformed"),
    "lying about a count": (lie_about_a_count, "malformed"),
    "answering for another identifier": (answer_for_another, "malformed"),
    "answering another question": (answer_another_question, "malformed"),
    "answering with a request": (answer_with_a_request, "malformed"),
    "answering another operation": (answer_another_operation, "malformed"),
    "speaking another protocol": (speak_http, "malformed"),
    "too busy": (be_busy, "refused"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_told_and_counted_and_the_next_answer_is_true(fault: str) -> None:
    misbehave, outcome = FAULTS[fault]
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    node.misbehave = misbehave
    limits = BRISK if outcome == "timeout" else PATIENT
    async with foreign_chain(node, limits=limits) as chain:
        assert refusal(await chain.ask("99.1/x")) == Reason.UPSTREAM_FAILED
        assert chain.requests(outcome) == 1
        assert chain.requests() == 0
        assert chain.counts.of("refused_total", reason=Reason.UPSTREAM_FAILED) == 1


@pytest.mark.parametrize("fault", [fault for fault, (_, outcome) in FAULTS.items() if outcome != "timeout"])
async def test_after_a_fault_the_truth_comes_through(fault: str) -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    node.misbehave, _ = FAULTS[fault]
    async with foreign_chain(node) as chain:
        await chain.ask("99.1/x")
        node.misbehave = None
        chain.pass_s(2)
        assert (await chain.find("99.1/x")).values == packed(URL)


async def test_a_hundred_megabytes_are_not_taken() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    taken = 0
    over = asyncio.Event()

    async def flood(_message: Message, reply: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        envelope = parse_envelope(reply)
        writer.write(compose_envelope(envelope._replace(length=MAX_MESSAGE_BYTES)))
        try:
            while taken < HUGE:
                writer.write(CHUNK)
                await writer.drain()
                taken += len(CHUNK)
        finally:
            over.set()

    node.misbehave = flood
    async with foreign_chain(node) as chain:
        assert refusal(await chain.ask("99.1/x")) == Reason.UPSTREAM_FAILED
        await over.wait()
        assert taken < MAX_IN_FLIGHT


PACKED = compose_value(URL, 1)
BROKEN = {
    "a type that is no text": PACKED[:18] + b"\xff\xfe\xfd" + PACKED[21:],
    "a type that is too long": PACKED[:14] + (300).to_bytes(4) + b"x" * 300 + PACKED[21:],
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_a_record_that_cannot_be_read_is_not_its_servers_outage(broken: bytes) -> None:
    # Anybody may have registered it there, and anybody may ask for it here.
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    names = [f"99.1/broken-{number}" for number in range(2 * FAILURES)]
    for name in names:
        node.answers[name] = (ResponseCode.SUCCESS, compose_resolution_body(name, (broken,)))
    async with foreign_chain(node) as chain:
        for name in names:
            assert refusal(await chain.ask(name)) == Reason.UPSTREAM_FAILED
        assert chain.requests("malformed") == len(names)
        assert chain.counts.of("upstream_breakers_open") == 0
        assert isinstance(await chain.ask("99.1/x"), Found)


async def test_what_follows_an_answer_unasked_is_not_taken_for_the_next_one() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    node.put("99.1/y", Value(1, "URL", b"true"))

    async def say_it_twice(_message: Message, reply: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply + reply)
        await writer.drain()

    node.misbehave = say_it_twice
    async with foreign_chain(node) as chain:
        await chain.find("99.1/x")
        node.misbehave = None
        assert (await chain.find("99.1/y")).values == packed(Value(1, "URL", b"true"))


async def test_an_error_that_cannot_name_its_question_is_an_error_all_the_same() -> None:
    node = await ForeignNode().open()

    async def shrug(message: Message, _reply: bytes, writer: asyncio.StreamWriter) -> None:
        nameless = dataclasses.replace(message, envelope=message.envelope._replace(request=0xFFFF_FFFF))
        code, body = error(ResponseCode.ERROR, "server error")
        writer.write(compose_reply(nameless, code, body, serial=1, session=0, expiration=0))

    node.misbehave = shrug
    async with foreign_chain(node) as chain:
        assert refusal(await chain.ask("99.1/x")) == Reason.UPSTREAM_FAILED
        assert chain.requests("refused") == 1


async def test_referrals_in_a_circle_end() -> None:
    first, second = await open_nodes(2)
    first.answers["99.1/x"] = refer(site_value(second.site))
    second.answers["99.1/x"] = refer(site_value(first.site))
    async with foreign_chain(first) as chain:
        assert refusal(await chain.ask("99.1/x")) == Reason.TOO_MANY_HOPS
        assert (first.questions, second.questions) == (["99.1/x"], ["99.1/x"])
    await second.close()


async def test_nobody_listening_is_a_fault_too() -> None:
    node = await ForeignNode().open()
    await node.close()
    async with foreign_chain(node) as chain:
        assert refusal(await chain.ask("99.1/x")) == Reason.UPSTREAM_FAILED
        assert chain.requests("unreachable") == 1


async def test_a_host_that_has_no_address_is_a_fault_too() -> None:
    node = ForeignNode()
    node.endpoint = Endpoint("node.invalid", 2641)
    async with foreign_chain(node) as chain:
        assert refusal(await chain.ask("99.1/x")) == Reason.UPSTREAM_FAILED


async def test_another_server_answers_when_the_first_does_not() -> None:
    dead, alive = await open_nodes(2)
    await dead.close()
    alive.put("99.1/x", URL)
    async with foreign_chain(dead, alive) as chain:
        assert isinstance(await chain.ask("99.1/x"), Found)


async def test_the_whole_walk_has_a_limit() -> None:
    nodes = await open_nodes(3)
    for node, after in itertools.pairwise(nodes):
        node.answers["99.1/x"] = refer(site_value(after.site))
    nodes[-1].misbehave = stay_silent
    async with foreign_chain(*nodes, limits=dataclasses.replace(PATIENT, total_s=0.3)) as chain:
        answer = await chain.ask("99.1/x")
        assert refusal(answer) == Reason.UPSTREAM_FAILED
        assert isinstance(answer, Refused)
        assert "within 0.3 s" in answer.refusal.detail


async def test_a_failure_is_not_tried_again_at_once() -> None:
    node = await ForeignNode().open()
    node.misbehave = close_at_once
    async with foreign_chain(node) as chain:
        await chain.ask("99.1/x")
        for _ in range(20):
            assert refusal(chain.ask_now("99.1/x")) == Reason.UPSTREAM_FAILED
        assert len(node.questions) == 1


async def test_walks_under_way_are_bounded() -> None:
    node = await ForeignNode().open()
    node.misbehave = stay_silent
    limits = dataclasses.replace(PATIENT, max_walks=3)
    async with foreign_chain(node, limits=limits) as chain:
        waiting = [asyncio.ensure_future(chain.ask(f"99.1/{number}")) for number in range(3)]
        await asyncio.sleep(0)
        assert refusal(chain.ask_now("99.1/more")) == Reason.OVERLOADED
        for each in waiting:
            each.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await each


async def test_who_goes_does_not_end_the_walk_of_the_others() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    go_on = asyncio.Event()

    async def wait(_message: Message, reply: bytes, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        writer.write(reply)

    node.misbehave = wait
    async with foreign_chain(node) as chain:
        leaving, staying = (asyncio.ensure_future(chain.ask("99.1/x")) for _ in range(2))
        await until(lambda: node.questions)
        leaving.cancel()
        go_on.set()
        assert isinstance(await staying, Found)
        assert leaving.cancelled()


async def test_closing_ends_what_is_under_way() -> None:
    node = await ForeignNode().open()
    node.misbehave = stay_silent
    async with foreign_chain(node) as chain:
        asking = asyncio.ensure_future(chain.ask("99.1/x"))
        await until(lambda: node.questions)
        await chain.upstream.close()
        with pytest.raises(asyncio.CancelledError):
            await asking
