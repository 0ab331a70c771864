"""Garbled conversations of HTTP/1.1 to both paths: whoever serves a connection, the same requests are read in the same bytes.

What one of the paths took for a request and the other did not is how requests are smuggled. So the answers are compared: their
statuses, and byte for byte where the paths agree on all of them.
"""

import asyncio
import random
from typing import Final

import pytest
import uvloop

from proto.errors import Reason
from proto.wire.http.plain import parse_block, parse_line
from tests.contract.http.conftest import fill
from tests.support.garbage import SEEDS, mutate
from tests.support.two_paths import TwoPaths, differ, statuses, two_paths

ROUNDS: Final = 150
# Conversations at a time.
AT_ONCE: Final = 16
TARGETS: Final = (
    b"/api/handles/88.118.1/Sample-1",
    b"/api/v1/resolve/88.118.1/Sample-1",
    b"/api/handles/88.118.1/nothing?index=1",
    b"/api/handles/88.118.1%2Fold?pretty",
    b"/healthz",
)
FIELDS: Final = (
    b"Accept: */*\r\n",
    b"User-Agent: a (b; c) d/1.0\r\n",
    b"If-None-Match: *\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: close\r\n",
    b"X-Request-Id: r-1\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    b"Keep-Alive: 5\r\n",
    b"Authorization: Bearer bj_root_wrong\r\n",
    b"Host: i\r\n",
)
# What readers of HTTP have disagreed on.
SPLICES: Final = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b" ", b"\t", b"\0", b":", b",", b"\x0b", b"\x80", "油".encode(), b"%0d%0a",
    b"#", b"?", b"//", b"..", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"GET ", b"HEAD ", b"POST ", b"http://h", b"0\r\n\r\n",
    b"5\r\nhello\r\n", b" chunked", b", 5", b"+5", b"0x5", b" :", b"\r\n ", *FIELDS,
)  # fmt: skip
# Whoever serves them, these change nothing of what is answered, nor of what is answered next.
HARMLESS: Final = (
    b"",
    b"Keep-Alive: 5\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
)
BATCH: Final = b'{"identifiers": ["88.118.1/Sample-1"]}'
CLOSE: Final = b"\r\nConnection: close"


def request(chance: random.Random) -> bytes:
    """A request that is well formed, or nearly."""
    method = chance.choice((b"GET", b"GET", b"GET", b"HEAD", b"POST"))
    fields = chance.sample(FIELDS, chance.randint(0, 2)) if chance.random() < 0.6 else []
    body = chance.choice((b"", b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n"))
    return method + b" " + chance.choice(TARGETS) + b" HTTP/1.1\r\nHost: h\r\n" + b"".join(fields) + b"\r\n" + body


def well_formed(chance: random.Random) -> bytes:
    """A request that is answered 200: a look-up, or a batch whose body is announced by its length or comes in chunks."""
    field = chance.choice(HARMLESS)
    if chance.random() < 0.7:
        body, line = b"", chance.choice((b"GET ", b"HEAD ")) + TARGETS[0]
    else:
        body, line = BATCH, b"POST /api/v1/resolve"
        field += b"Content-Type: application/json\r\n"
        if chance.random() < 0.5:
            field += b"Content-Length: %d\r\n" % len(body)
        else:
            field += b"Transfer-Encoding: chunked\r\n"
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return line + b" HTTP/1.1\r\nHost: h\r\n" + field + b"\r\n" + body


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    return [raw[begin:end] for begin, end in zip([0, *places], [*places, len(raw)], strict=True)]


def splice(raw: bytes, chance: random.Random) -> bytes:
    """Put what readers have disagreed on somewhere, or in place of something."""
    for _ in range(chance.randint(1, 2)):
        at, piece = chance.randint(0, len(raw)), chance.choice(SPLICES)
        raw = raw[:at] + piece + raw[at + (len(piece) if chance.random() < 0.3 else 0) :]
    return raw


def garble(chance: random.Random) -> bytes:
    good = [request(chance) for _ in range(chance.randint(1, 4))]
    place = chance.randrange(len(good))
    good[place] = (splice if chance.random() < 0.8 else mutate)(good[place], chance)
    return b"".join(good)


async def compare(paths: TwoPaths, raw: bytes, cuts: list[int]) -> list[int]:
    """The statuses that the plain path answered, which the other must have answered as well."""
    pieces = cut(raw, cuts)
    plain, other = await paths.say(*pieces, ends=True)
    ours, theirs = statuses(plain), statuses(other)
    # What is not ASCII in its line is escaped only in a request that comes when those before it are answered; otherwise it is
    # refused for that, and not for what is wrong behind it.
    is_known = not raw.isascii() and 400 in (*theirs[-1:], *ours[-1:])
    assert is_known or not differ(ours, theirs), (pieces, plain, other)
    if ours == theirs and not is_known:
        # Whether the end of the client's half is known before the last answer goes out is a matter of chance.
        assert plain.replace(CLOSE, b"") == other.replace(CLOSE, b""), pieces
    return ours


async def search(seed: int) -> set[int]:
    chance = random.Random(seed)
    met: set[int] = set()
    async with two_paths() as paths:
        fill(paths.plain)
        for _ in range(ROUNDS // AT_ONCE + 1):
            talks = []
            for _ in range(AT_ONCE):
                raw = garble(chance)
                talks.append(
                    compare(paths, raw, sorted(chance.sample(range(len(raw)), min(len(raw), chance.choice((0, 0, 1, 2))))))
                )
            for seen in await asyncio.gather(*talks):
                met.update(seen)
        for served in (paths.plain, paths.other):
            assert served.refused(Reason.INTERNAL) == 0
        assert paths.plain.connections() == paths.other.connections() == 0
    return met


@pytest.mark.parametrize("seed", SEEDS)
def test_both_paths_read_the_same_requests_in_garbage(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    met = uvloop.run(search(seed))
    assert not caplog.records
    assert met >= {200, 400, 404}, "the garbage is too good or too bad to find anything"


async def count_answers(seed: int) -> None:
    chance = random.Random(seed)
    async with two_paths() as paths:
        fill(paths.plain)
        for _ in range(ROUNDS // AT_ONCE):
            count = chance.choice((1, 3, 10, 50))
            raw = (
                b"".join(well_formed(chance) for _ in range(count))
                + b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nrest"
            )
            pieces = cut(raw, sorted(chance.sample(range(len(raw)), chance.choice((0, 0, 1, 2, 5)))))
            for said in await paths.say(*pieces):
                assert statuses(said) == [200] * count + [404], pieces


@pytest.mark.parametrize("seed", SEEDS)
def test_every_request_is_answered_whatever_it_stands_beside(seed: int) -> None:
    uvloop.run(count_answers(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_plain_is_plain_whatever_stands_around_it(seed: int) -> None:
    """A line and a block that are taken for plain hold no second reading: visible, one field of a name, no body."""
    chance, found = random.Random(seed), 0
    for _ in range(ROUNDS * 20):
        raw = splice(request(chance), chance)
        line, _, rest = raw.partition(b"\r\n")
        block = rest[: rest.find(b"\r\n\r\n") + 4]
        if parse_line(line) is None or parse_block(block) is None:
            continue
        found += 1
        fields = block[:-4].split(b"\r\n")
        names = [field.partition(b":")[0].lower() for field in fields]
        assert len({*names}) == len(names)
        assert not {b"content-length", b"transfer-encoding", b"authorization", b"upgrade", b"expect"} & {*names}
        assert line.count(b" ") == 2
        assert all(0x20 <= byte < 0x7F for byte in line + b"".join(fields))
    assert found > ROUNDS
