"""The Handle listener over TCP: what clients ask, in what shape, and what they are answered."""

import asyncio
import hashlib

import pytest

from proto.errors import Reason
from proto.model.answer import Answer
from proto.model.query import Query
from proto.model.value import Value
from proto.wire.handle import codes
from proto.wire.handle.codes import OpCode
from proto.wire.handle.message import split_digest
from proto.wire.handle.resolution import parse_error_body, parse_resolution_body
from proto.wire.handle.typed import InterfaceInfo, Purpose, Transport, parse_site
from tests.contract.handle.conftest import Serve, Served, values_of
from tests.support.handle import operation, question, read_message, until
from tests.support.reader import NOW_MS

RECORD = "88.118.1/LOAD0000042"
NOW_S = NOW_MS // 1000


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
