"""Bytes that two readers could take for different requests: refused, or read in one way by both paths; and mixed conversations.

Each case is a conversation and the statuses of its answers. Whatever serves the connection, they are the same, and the node
answers as many requests as it says it does.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from proto.errors import Reason
from resolver.listeners.http.limits import MAX_HEADER_FIELD_BYTES, MAX_HEADERS, MAX_REQUEST_LINE_BYTES
from tests.contract.http.conftest import fill
from tests.support.two_paths import TwoPaths, differ, statuses, two_paths, without_chance

TARGET = b"/api/handles/88.118.1/Sample-1"
GET = b"GET " + TARGET + b" HTTP/1.1\r\nHost: h\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD", 1)
LAST = b"GET /api/handles/88.118.1/nothing HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
# Fewer than batches may be answered at once.
AT_ONCE = 16
BATCH_BODY = b'{"identifiers":["88.118.1/old"]}'
BATCH = (
    b"POST /api/v1/resolve HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    % len(BATCH_BODY)
) + BATCH_BODY


def with_fields(*fields: bytes, method: bytes = b"GET") -> bytes:
    """A request for the sample with these lines after its Host."""
    return method + b" " + TARGET + b" HTTP/1.1\r\nHost: h\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


@pytest.fixture
async def both() -> AsyncIterator[TwoPaths]:
    async with two_paths() as paths:
        fill(paths.plain)
        yield paths


CHUNKED = b"Transfer-Encoding: chunked"
AS_MANY_FIELDS = [b"X-%d: y" % number for number in range(MAX_HEADERS - 1)]

# What each is, the bytes, and the statuses of the answers. Every conversation ends with `LAST` where its connection lives on.
CASES: list[tuple[str, bytes, list[int]]] = [
    ("a length and a transfer coding", with_fields(b"Content-Length: 4", CHUNKED) + b"0\r\n\r\n" + LAST, [400]),
    ("a transfer coding and a length", with_fields(CHUNKED, b"Content-Length: 4") + b"0\r\n\r\n" + LAST, [400]),
    ("two lengths", with_fields(b"Content-Length: 0", b"Content-Length: 5") + LAST, [400]),
    ("a length twice", with_fields(b"Content-Length: 0", b"Content-Length: 0") + LAST, [400]),
    ("lengths in a list", with_fields(b"Content-Length: 0, 0") + LAST, [400]),
    ("a signed length", with_fields(b"Content-Length: +0") + LAST, [400]),
    ("a negative length", with_fields(b"Content-Length: -1") + LAST, [400]),
    ("a length in hexadecimal", with_fields(b"Content-Length: 0x0") + LAST, [400]),
    ("a coding nobody knows", with_fields(b"Transfer-Encoding: xchunked") + LAST, [400]),
    ("a coding after chunked", with_fields(b"Transfer-Encoding: chunked, identity") + LAST, [400]),
    ("a coding twice", with_fields(CHUNKED, CHUNKED) + b"0\r\n\r\n" + LAST, [400]),
    ("space before a colon", with_fields(b"Content-Length : 0") + LAST, [400]),
    ("space before another colon", with_fields(b"X-Note : 0") + LAST, [400]),
    ("a tab before a colon", with_fields(b"X-Note\t: 0") + LAST, [400]),
    ("a folded line", with_fields(b"X-Note: a", b" b") + LAST, [400]),
    ("a folded line with a tab", with_fields(b"X-Note: a", b"\tContent-Length: 5") + LAST, [400]),
    ("space before the first field", GET.replace(b"Host", b" Host") + LAST, [400]),
    ("a field without a name", with_fields(b": x") + LAST, [400]),
    ("a field without a colon", with_fields(b"Note") + LAST, [400]),
    ("a line feed alone ends the request line", GET.replace(b"1.1\r\n", b"1.1\n") + LAST, [400]),
    ("a line feed alone ends a field", with_fields(b"X-Note: a\nContent-Length: 5") + LAST, [400]),
    ("a line feed alone ends the head", GET[:-2] + b"\n" + LAST, [400]),
    ("a carriage return within a field", with_fields(b"X-Note: a\rContent-Length: 5") + LAST, [400]),
    ("a carriage return before the line's end", with_fields(b"X-Note: a\r") + LAST, [400]),
    ("a zero byte in a field", with_fields(b"X-Note: a\0b") + LAST, [400]),
    ("a zero byte in the target", GET.replace(b"Sample", b"Sam\0ple") + LAST, [400]),
    ("a tab in the request line", GET.replace(b"GET ", b"GET\t") + LAST, [400]),
    ("two spaces in the request line", GET.replace(b" HTTP", b"  HTTP") + LAST, [200, 404]),
    ("space after the version", GET.replace(b"1.1\r\n", b"1.1 \r\n", 1) + LAST, [400]),
    ("small letters in the version", GET.replace(b"HTTP/", b"http/") + LAST, [400]),
    ("small letters in the method", GET.replace(b"GET", b"get") + LAST, [400]),
    ("version 1.2", GET.replace(b"1.1", b"1.2") + LAST, [400]),
    ("version 2.0", GET.replace(b"1.1", b"2.0") + LAST, [400]),
    ("no version", b"GET " + TARGET + b"\r\n\r\n", [400]),
    ("a host with a port", GET.replace(b"Host: h", b"Host: h:80") + LAST, [200, 404]),
    ("a host that is an address", GET.replace(b"Host: h", b"Host: [::1]:8080") + LAST, [200, 404]),
    ("an empty host", GET.replace(b"Host: h", b"Host:") + LAST, [200, 404]),
    ("a host with a space", GET.replace(b"Host: h", b"Host: h i") + LAST, [400]),
    ("hosts in a list", GET.replace(b"Host: h", b"Host: h, i") + LAST, [400]),
    ("a host with a path", GET.replace(b"Host: h", b"Host: h/i") + LAST, [400]),
    ("a host with a user", GET.replace(b"Host: h", b"Host: u@h") + LAST, [400]),
    ("no host", GET.replace(b"Host: h\r\n", b"") + LAST, [400]),
    ("two hosts", with_fields(b"Host: i") + LAST, [400]),
    ("a host twice", with_fields(b"host: h") + LAST, [400]),
    ("a length of nothing", with_fields(b"Content-Length: 0") + LAST, [200, 404]),
    ("a body of a GET that looks like a request", with_fields(b"Content-Length: %d" % len(GET)) + GET + LAST, [200, 404]),
    ("a chunked body of a GET", with_fields(CHUNKED) + b"3\r\nGET\r\n0\r\n\r\n" + LAST, [200, 404]),
    ("a known preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
    ("what is expected", with_fields(b"Expect: 100-continue") + LAST, [200, 404]),
    ("credentials", with_fields(b"Authorization: Basic MzAxOng=") + LAST, [200, 404]),
    ("a connection of odd words", with_fields(b"Connection: keep-alive, X-Note") + LAST, [200, 404]),
    ("a connection in capitals", with_fields(b"Connection: Keep-Alive") + LAST, [200, 404]),
    ("the old version", GET.replace(b"1.1", b"1.0"), [200]),
    ("the old version kept open", with_fields(b"Connection: keep-alive").replace(b"1.1", b"1.0") + LAST, [200, 404]),
    ("an absolute target", GET.replace(TARGET, b"http://h" + TARGET) + LAST, [200, 404]),
    ("an absolute target of https", GET.replace(TARGET, b"HTTPS://h:1" + TARGET) + LAST, [200, 404]),
    ("a target without a slash", GET.replace(TARGET, TARGET[1:]) + LAST, [400]),
    ("two slashes before", GET.replace(TARGET, b"/" + TARGET) + LAST, [404, 404]),
    ("two slashes within", GET.replace(b"88.118.1/", b"88.118.1//") + LAST, [404, 404]),
    ("dots", GET.replace(TARGET, b"/api/handles/../handles/88.118.1/Sample-1") + LAST, [400, 404]),
    ("an escaped slash", GET.replace(b"88.118.1/", b"88.118.1%2F") + LAST, [200, 404]),
    ("an escaped route", GET.replace(b"/handles", b"/h%61ndles") + LAST, [404, 404]),
    ("a fragment", GET.replace(b"Sample-1", b"Sample-1#x") + LAST, [404, 404]),
    ("raw UTF-8", GET.replace(b"Sample-1", "油浸".encode()) + LAST, [404, 404]),
    ("raw UTF-8 in a field", with_fields("X-Note: 油".encode()) + LAST, [200, 404]),
    ("empty lines before", b"\r\n\r\n" + GET + LAST, [200, 404]),
    ("empty lines between", GET + b"\r\n\r\n" + LAST, [200, 404]),
    ("a field twice", with_fields(b"Accept: a/b", b"Accept: c/d") + LAST, [200, 404]),
    ("a field without a value", with_fields(b"X-Note:") + LAST, [200, 404]),
    ("space after a value", with_fields(b"X-Note: a ") + LAST, [200, 404]),
    ("no space after the colon", with_fields(b"X-Note:a") + LAST, [200, 404]),
    ("two spaces after the colon", with_fields(b"X-Note:  a") + LAST, [200, 404]),
    ("as many fields as there may be", with_fields(*AS_MANY_FIELDS) + LAST, [200, 404]),
    ("a field too many", with_fields(*AS_MANY_FIELDS, b"X-One: more") + LAST, [431]),
    ("a field as long as it may be", with_fields(b"X-N: " + b"y" * MAX_HEADER_FIELD_BYTES) + LAST, [200, 404]),
    ("a field too long", with_fields(b"X-N: " + b"y" * (MAX_HEADER_FIELD_BYTES + 1)) + LAST, [431]),
    ("a line too long", GET.replace(b"Sample-1", b"x" * MAX_REQUEST_LINE_BYTES) + LAST, [414]),
    ("a long line", GET.replace(b"Sample-1", b"x" * (MAX_REQUEST_LINE_BYTES - len(TARGET))) + LAST, [400, 404]),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "wanted"), [pytest.param(raw, wanted, id=name) for name, raw, wanted in CASES])
async def test_both_paths_read_the_same_requests(both: TwoPaths, raw: bytes, wanted: list[int]) -> None:
    for served in (both.plain, both.other):
        said = await served.talk(raw)
        assert statuses(said) == wanted, said
        said = await served.talk(raw, after=(GET, b"]}"))
        assert statuses(said) == wanted, said
    assert both.plain.refused(Reason.INTERNAL) == both.other.refused(Reason.INTERNAL) == 0
    reasons = [reason for reason in Reason if both.plain.refused(reason) != both.other.refused(reason)]
    assert not reasons


@pytest.mark.parametrize(("raw", "wanted"), [pytest.param(raw, wanted, id=name) for name, raw, wanted in CASES])
async def test_pieces_do_not_matter(both: TwoPaths, raw: bytes, wanted: list[int]) -> None:
    for cuts in ((len(raw) // 3,), (len(raw) // 2, len(raw) - 1), (raw.index(b"\r\n") + 1, raw.index(b"\r\n") + 2)):
        pieces = [raw[begin:end] for begin, end in zip((0, *cuts), (*cuts, len(raw)), strict=True)]
        plain, other = await both.say(*pieces)
        assert not differ(statuses(plain), statuses(other))
        assert statuses(plain)[-1:] == wanted[-1:]


UPGRADE = with_fields(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")


async def test_another_protocol_is_not_taken_up(both: TwoPaths) -> None:
    for before in (GET, BATCH):
        plain, other = await both.say(before, UPGRADE, LAST)
        assert plain == other
        assert statuses(plain) == [200, 200, 404]


BATCH_UPGRADE = BATCH.replace(b"Host: h\r\n", b"Host: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n")
CHUNKED_UPGRADE = with_fields(b"Connection: upgrade", b"Upgrade: h2c", CHUNKED) + b"3\r\nGET\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "asking", [UPGRADE, UPGRADE.replace(b"h2c", b"websocket"), UPGRADE.replace(b"h2c", b"foo"), BATCH_UPGRADE, CHUNKED_UPGRADE],
    ids=["h2c", "websocket", "unknown", "with a body", "with a body in chunks"],
)  # fmt: skip
async def test_what_comes_together_with_a_request_for_another_protocol_is_answered(both: TwoPaths, asking: bytes) -> None:
    raw = GET + asking + GET + asking + BATCH + asking + LAST
    for pieces in ([raw], *([raw[:at], raw[at:]] for at in range(len(GET), len(GET + asking) + 5))):
        plain, other = await both.say(*pieces)
        assert plain == other
        assert statuses(plain) == [200] * 6 + [404], pieces
    plain, other = await both.say(asking * 70 + LAST)  # more than are read at once
    assert statuses(plain) == statuses(other) == [200] * 70 + [404]


async def test_a_body_full_of_line_ends_is_read_in_turns_and_loses_nothing(both: TwoPaths) -> None:
    body = BATCH_BODY.replace(b":", b":" + b"\r\n" * 5_000)
    field = CHUNKED + b"\r\nContent-Type: application/json"
    batch = b"POST /api/v1/resolve HTTP/1.1\r\nHost: h\r\n%b\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (field, len(body), body)
    for pieces in ([b"\r\n" * 3_000 + batch + GET + batch + LAST], [batch[:7_777], batch[7_777:] + batch, LAST]):
        plain, other = await both.say(*pieces)
        assert plain == other
        assert statuses(plain) == [200] * (len(b"".join(pieces)) // len(batch) + (GET in pieces[0])) + [404]


@pytest.mark.parametrize("bad", [b"BAD\r\n\r\n", GET.replace(b"Host: h\r\n", b""), b"\0", GET.replace(b"1.1", b"3.0")])
@pytest.mark.parametrize("good", [GET, BATCH, with_fields(b"Keep-Alive: 5"), with_fields(CHUNKED) + b"0\r\n\r\n"])
async def test_what_cannot_be_read_takes_nothing_with_it_that_came_before(both: TwoPaths, good: bytes, bad: bytes) -> None:
    for count in (1, 40):
        plain, other = await both.say(good * count + bad + GET)
        assert statuses(plain) == statuses(other) == [200] * count + [400]
        assert b"HTTP/1.0 " not in plain + other


@pytest.mark.parametrize("rest", [b"x", GET, BATCH, b"\r\n", b"\0"])
@pytest.mark.parametrize(
    "last", [LAST, LAST.replace(b"1.1", b"1.0"), BATCH.replace(b"h\r\n", b"h\r\nConnection: close\r\n", 1)]
)
async def test_nothing_is_answered_behind_the_last_request(both: TwoPaths, last: bytes, rest: bytes) -> None:
    alone, other = await both.say(last)
    assert alone == other
    for pieces in ([last + rest], [last, rest], [GET + last + rest + rest]):
        plain, other = await both.say(*pieces)
        assert plain == other
        assert plain.endswith(alone)
        assert len(statuses(plain)) == pieces[0].startswith(GET) + 1


MIX = GET + HEAD + BATCH + GET + with_fields(b"If-None-Match: *") + with_fields(b"X-Request-Id: r-1") + LAST
PLAIN_MIX = (
    GET + HEAD + with_fields(b"If-None-Match: *") + with_fields(b"traceparent: 00-x") + GET.replace(b"Sample-1", b"old") + LAST
)


@pytest.mark.parametrize("raw", [MIX, PLAIN_MIX, BATCH + MIX, GET * 100 + LAST, (GET + BATCH) * 5 + LAST])
async def test_a_mixed_conversation_in_one_packet_is_answered_alike_and_in_order(both: TwoPaths, raw: bytes) -> None:
    plain, other = await both.say(raw)
    assert plain == other
    assert statuses(plain)[-1] == 404


@pytest.mark.parametrize("raw", [MIX, PLAIN_MIX])
async def test_a_mixed_conversation_may_be_cut_anywhere(both: TwoPaths, raw: bytes) -> None:
    whole, _ = await both.say(raw)

    async def cut(at: int) -> bytes:
        return without_chance(await both.plain.talk(raw[:at], raw[at:]))

    for begin in range(1, len(raw), AT_ONCE):
        assert set(await asyncio.gather(*map(cut, range(begin, min(begin + AT_ONCE, len(raw)))))) == {whole}


async def test_a_client_may_end_its_half_anywhere(both: TwoPaths) -> None:
    async def end(at: int) -> str:
        plain, other = await both.say(raw[:at], ends=True)
        return differ(statuses(plain), statuses(other))

    raw = GET + BATCH + GET
    for begin in range(1, len(raw) + 1, AT_ONCE):
        assert set(await asyncio.gather(*map(end, range(begin, min(begin + AT_ONCE, len(raw) + 1))))) == {""}


FIELDS = [
    (),
    (b"If-None-Match: *",),
    (b'If-None-Match: "1-0000"',),
    (b"X-Request-Id: r-1",),
    (b"X-Request-Id: " + b"x" * 200,),
    (b"traceparent: 00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",),
    (b"traceparent: 00-x",),
    (b"Accept: text/html, */*;q=0.1", b"User-Agent: curl/8", b"Accept-Encoding: gzip"),
    (b"Accept: application/x-ndjson",),
]
TARGETS = [
    "/api/handles/88.118.1/Sample-1",
    "/api/v1/resolve/88.118.1/Sample-1",
    "/api/handles/88.118.1/old?type=URL",
    "/api/handles/88.118.1%2FSample-1?index=2&pretty",
    "/api/handles/88.118.1/Sample-1?callback=cb",
    "/api/handles/88.118.1/Sample-1?index=4242",
    "/api/v1/resolve/88.118.1/old?explain=1",
    "/api/v1/resolve/88.118.1/Sample-1?wants_private=1",
    "/api/handles/88.118.1/nothing",
    "/api/handles/88.118.1/suspended",
    "/api/v1/resolve/88.118.1/retired",
    "/api/handles/10.1/x",
    "/api/v1/resolve/10.1/x",
    "/api/handles/",
    "/api/handles/88.118.1/%FF",
    "/api/handles/88.118.1/x?index=no",
    "/api/v1/resolve/88.118.1/x?after=no",
    "/api/handles",
    "/api/v1/resolve",
    "/healthz",
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_answers_are_the_same_byte_for_byte_the_first_time_and_when_kept(
    both: TwoPaths, method: str, target: str
) -> None:
    conversation = [
        f"{method} {target} HTTP/1.1\r\nHost: h\r\n".encode() + b"".join(field + b"\r\n" for field in fields) + b"\r\n"
        for fields in FIELDS
        for _ in range(3)
    ]
    conversation[-1] = conversation[-1].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    plain, other = await both.say(*conversation)
    assert plain == other
    assert len(statuses(plain)) == len(conversation)
