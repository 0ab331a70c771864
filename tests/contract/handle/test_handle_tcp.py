"""The Handle listener over TCP: what clients ask, how they misbehave, and that it harms nobody else."""

import asyncio
import hashlib
import os
import resource
import socket
import struct
from collections.abc import Awaitable

import pytest

from proto.errors import Reason
from proto.model.answer import Answer, Found, NotFound
from proto.model.query import Query
from proto.model.value import Value
from proto.wire.handle import codes
from proto.wire.handle.codes import OpCode
from proto.wire.handle.message import split_digest
from proto.wire.handle.resolution import parse_error_body, parse_resolution_body
from proto.wire.handle.typed import InterfaceInfo, Purpose, Transport, parse_site
from proto.wire.handle.value import compose_value
from resolver.listeners.handle import HandleLimits
from resolver.listeners.handle.limits import MAX_DESCRIPTOR_SHARE
from tests.contract.handle.conftest import Serve, Served, values_of
from tests.support.handle import WAIT_S, Caller, operation, question, read_message, read_messages, until
from tests.support.reader import NOW_MS

RECORD = "88.118.1/LOAD0000042"
NOW_S = NOW_MS // 1000
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


async def test_a_found_record_with_everything_that_a_client_reads_of_a_reply(served: Served) -> None:
    caller = await served.caller()
    (answer,) = await caller.ask(question(RECORD.lower(), 4711, session=10001, flags=codes.PUBLIC_ONLY | codes.RECURSIVE))
    assert (answer.envelope.version, answer.envelope.suggested_version) == ((2, 10), (2, 10))
    assert (answer.envelope.request, answer.envelope.session, answer.envelope.sequence) == (4711, 10001, 0)
    assert (answer.op, answer.code, answer.serial) == (1, 1, 1)
    assert answer.flags == codes.AUTHORITATIVE | codes.PUBLIC_ONLY | codes.RECURSIVE
    assert answer.expiration > NOW_S
    identifier, values, rest = parse_resolution_body(answer.body)
    assert (identifier, len(values), rest) == (RECORD.lower(), 4, b"")
    assert served.resolved("handle", "found") == 1


async def test_filters_by_index_and_type(served: Served) -> None:
    caller = await served.caller()
    served.reader.put_record("88.118.1/x", Value(1, "URL", b"u"), Value(2, "a.b", b"v"), Value(3, "a.c", b"w"))
    cases: list[tuple[tuple[str, ...], tuple[int, ...], list[int]]] = [
        (("url",), (), [1]),
        (("a.",), (), [2, 3]),
        ((), (3, 1), [1, 3]),
        (("URL",), (2,), [1, 2]),
    ]
    for types, indexes, expected in cases:
        (answer,) = await caller.ask(question("88.118.1/x", types=types, indexes=indexes))
        assert [index for index, _ in values_of(parse_resolution_body(answer.body).values)] == expected
    (answer,) = await caller.ask(question("88.118.1/x", types=("NOPE",)))
    assert (answer.code, answer.body) == (200, bytes(4))


@pytest.mark.parametrize(
    ("identifier", "code"),
    [
        ("88.118.1/NOSUCH", 100),
        ("99.9/X", 301),
        ("99.9", 301),
        ("", 102),
        ("/", 102),
        ("88.118.1/", 102),
        ("88.118.1/\x07", 102),
    ],
)
async def test_what_is_not_found(served: Served, identifier: str, code: int) -> None:
    caller = await served.caller()
    answer, alive = await caller.ask(question(identifier), question(RECORD))
    assert (answer.code, alive.code) == (code, 1)


async def test_the_heartbeat_is_answered_and_is_no_resolution(serve: Serve) -> None:
    def resolve(query: Query) -> Answer:
        raise AssertionError(query)

    served = await serve(resolve)
    caller = await served.caller()
    assert [answer.code for answer in await caller.ask(question("0"), question("0"))] == [100, 100]
    assert served.refused(Reason.INTERNAL) == 0


async def test_values_that_may_not_be_read_ask_for_credentials_unless_only_public_ones_are_wanted(served: Served) -> None:
    caller = await served.caller()
    asked = question("88.118.1/ADMIN", flags=codes.RECURSIVE)
    (challenged,) = await caller.ask(asked)
    digest, body = split_digest(challenged)
    assert (challenged.code, challenged.op) == (402, 1)
    assert 0 < challenged.envelope.session < 2**31
    assert digest == b"\x03" + hashlib.sha256(asked[20:-4]).digest()
    assert len(body) == 20
    (again,) = await caller.ask(asked)
    assert split_digest(again)[1] != body
    (kept,) = await caller.ask(question("88.118.1/ADMIN", flags=0, session=10001))
    assert (kept.code, kept.envelope.session) == (402, 10001)
    codes_of_others = [
        answer.code
        for answer in await caller.ask(
            question("88.118.1/ADMIN"),
            question("88.118.1/ADMIN", indexes=(301,)),
            question("88.118.1/ADMIN", indexes=(300,), flags=0),
        )
    ]
    assert codes_of_others == [1, 200, 1]


@pytest.mark.parametrize("op", [0, 3, 100, 105, 200, 300, 400, 1000, 2000, 2001, 2**32 - 1])
async def test_other_operations_are_refused_under_their_own_number_and_the_connection_stays(served: Served, op: int) -> None:
    caller = await served.caller()
    refused, alive = await caller.ask(operation(op, bytes(4), 42), question(RECORD, 43))
    assert (refused.op, refused.code, refused.envelope.request) == (op, 5, 42)
    assert parse_error_body(refused.body).message
    assert (alive.code, alive.envelope.request) == (1, 43)
    assert served.refused(Reason.UNSUPPORTED_OPERATION) == 1


async def test_the_site_is_one_that_stock_clients_need_no_session_for(served: Served) -> None:
    caller = await served.caller()
    (answer,) = await caller.ask(operation(OpCode.GET_SITE_INFO, b"\0\0\0\1/"))
    site = parse_site(answer.body)
    assert (answer.code, site.protocol_version, site.serial, site.is_primary) == (1, (2, 0), 1, True)
    (server,) = site.servers
    assert server.address == served.host
    assert server.interfaces == (
        InterfaceInfo(Purpose.QUERY, Transport.TCP, served.port),
        InterfaceInfo(Purpose.QUERY, Transport.UDP, served.port),
    )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\0\0\0\x04a/\xff\xfe" + bytes(8), 102),
        (b"\xff\xff\xff\xff", 4),
        (b"", 4),
        (b"\0\0\0\3a/b\0\0\0\1", 4),
        (b"\0\0\0\3a/b" + b"\x80" * 8, 4),
    ],
    ids=["utf8", "length", "nothing", "short", "negative"],
)  # fmt: skip
async def test_a_body_that_cannot_be_read_is_refused_and_the_connection_stays(served: Served, body: bytes, code: int) -> None:
    caller = await served.caller()
    refused, alive = await caller.ask(operation(OpCode.RESOLUTION, body, 42), question(RECORD))
    assert (refused.op, refused.code, refused.envelope.request, alive.code) == (1, code, 42, 1)
    assert served.refused(Reason.INVALID_IDENTIFIER if code == 102 else Reason.MALFORMED_MESSAGE) == 1


async def test_a_body_longer_than_its_message_and_a_response_for_a_question_are_refused(served: Served) -> None:
    caller = await served.caller()
    long = bytearray(question(RECORD, 42))
    long[40:44] = b"\0\0\1\0"
    response = bytearray(question(RECORD, 43))
    response[24:28] = b"\0\0\0\1"
    first, second, alive = await caller.ask(bytes(long), bytes(response), question(RECORD))
    assert [(answer.op, answer.code, answer.envelope.request) for answer in (first, second)] == [(0, 4, 42), (0, 4, 43)]
    assert alive.code == 1
    assert served.refused(Reason.MALFORMED_MESSAGE) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        bytes.fromhex("020a020a 00000000 0000002a 00000000 80000000"),
        bytes.fromhex("020a020a 00000000 0000002a 00000000 ffffffff"),
        bytes.fromhex("020a020a 00000000 0000002a 00000000 00040001"),
        bytes.fromhex("020a020a 00000000 0000002a 00000000 00000017") + bytes(23),
        bytes.fromhex("020a420a 00000000 0000002a 00000000 00000018") + bytes(24),
        b"GET / HTTP/1.1\r\nHost: example\r\n\r\n",
        b"\x16\x03\x01" + bytes(200),
    ],
    ids=["2^31", "2^32-1", "limit+1", "23", "encrypted", "http", "tls"],
)
async def test_a_stream_that_cannot_be_read_on_is_answered_and_ended_and_others_go_on(served: Served, wrong: bytes) -> None:
    other, caller = await served.caller(), await served.caller()
    (first,) = await caller.ask(question(RECORD))
    caller.writer.write(wrong)
    refused = read_message(await caller.rest())
    assert (first.code, refused.op, refused.code) == (1, 0, 4)
    assert refused.envelope.request == int.from_bytes(wrong[8:12])
    assert parse_error_body(refused.body).message
    caller.close()
    (alive,) = await other.ask(question(RECORD))
    assert alive.code == 1
    assert served.refused(Reason.MALFORMED_MESSAGE) == 1
    await until(lambda: served.connections == 1)


async def test_a_question_in_single_bytes(served: Served) -> None:
    caller = await served.caller()
    for value in question(RECORD):
        caller.writer.write(bytes((value,)))
        await caller.writer.drain()
        await asyncio.sleep(0)
    assert (await caller.answer()).code == 1


async def test_a_hundred_questions_in_one_go_are_answered_in_order(served: Served) -> None:
    caller = await served.caller()
    answers = await caller.ask(*(question(RECORD if n % 3 else f"88.118.1/{n}", n + 1) for n in range(100)))
    assert [answer.envelope.request for answer in answers] == list(range(1, 101))
    assert [answer.code for answer in answers] == [1 if n % 3 else 100 for n in range(100)]


async def test_careless_clients_are_understood(served: Served) -> None:
    caller = await served.caller()
    plain = question(RECORD, flags=0xFFFFFFFF & ~codes.RETURN_DIGEST & ~codes.LIFE_CYCLE)
    without_credential = plain[:16] + (len(plain) - 24).to_bytes(4) + plain[20:-4]
    with_rest = plain[:16] + (len(plain) - 17).to_bytes(4) + plain[20:] + b"xyz"
    body = plain[44:-4] + b"\0\0\0\2id"
    with_token = plain[:16] + (28 + len(body)).to_bytes(4) + plain[20:40] + len(body).to_bytes(4) + body + bytes(4)
    for raw in (plain, without_credential, with_rest, with_token):
        (answer,) = await caller.ask(raw)
        assert answer.code == 1
        assert len(parse_resolution_body(answer.body).values) == 4
        assert not answer.flags & (codes.CERTIFIED | codes.ENCRYPTED | codes.CONTINUED)


@pytest.mark.parametrize(
    ("asked", "replied"),
    [(0, NOW_S + 43_200), (NOW_S - 1, NOW_S + 43_200), (NOW_S + 40_000, NOW_S + 40_000), (2**32 - 1, NOW_S + 43_200)],
)
async def test_a_reply_never_looks_expired(served: Served, asked: int, replied: int) -> None:
    caller = await served.caller()
    raw = question(RECORD)
    (answer,) = await caller.ask(raw[:36] + asked.to_bytes(4) + raw[40:])
    assert answer.expiration == replied


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


class Withheld:
    """A resolver whose answers come when the test says so."""

    def __init__(self) -> None:
        self.waiting: dict[str, asyncio.Future[Answer]] = {}
        self.asked: list[str] = []

    def __call__(self, query: Query) -> Answer | Awaitable[Answer]:
        self.asked.append(query.identifier)
        if "later" not in query.identifier:
            return NotFound(query.identifier)
        self.waiting[query.identifier] = asyncio.get_running_loop().create_future()
        return self.waiting[query.identifier]

    def release(self, identifier: str) -> None:
        self.waiting.pop(identifier).set_result(NotFound(identifier))


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
