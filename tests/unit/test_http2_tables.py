"""Who lets our header blocks have less of a dynamic table is told that they do with it (RFC 9113 4.3.1, RFC 7541 4.2)."""

from collections.abc import Callable
from itertools import product

import pytest
from hpack import Decoder

from proto.wire.http2.response import Response
from tests.support.http2 import (
    ACK,
    END_STREAM,
    HEADERS,
    PREFACE,
    SETTINGS,
    WINDOW_UPDATE,
    compose_headers,
    compose_number,
    compose_request,
    compose_settings,
)
from tests.support.http2_core import Core

TABLE_SIZE, WINDOW_SIZE = 1, 4
DEFAULT_BYTES = 4_096
SIZES = (0, 1, 100, 2_048, DEFAULT_BYTES, 65_536)
UPDATE = b"\x20"
HEAD, TAIL = b"\x88", compose_headers({"t": "1"})


class Peer:
    """A client whose decoder insists: a setting holds from its acknowledgement on, and no block may pass one by."""

    def __init__(self, *settings: tuple[int, int]) -> None:
        self.core = Core()
        self.own = self.core.connection
        self.blocks: list[bytes] = []
        self._decoder = Decoder()
        self._unacknowledged: list[list[int]] = []
        self._begin = PREFACE
        self.set(*settings)

    def set(self, *settings: tuple[int, int]) -> None:
        self._unacknowledged.append([value for name, value in settings if name == TABLE_SIZE])
        begin, self._begin = self._begin, b""
        self.core.say(begin + compose_settings(*settings))

    def limit(self, *sizes: int) -> None:
        self.set(*((TABLE_SIZE, size) for size in sizes))

    def hear(self) -> list[bytes]:
        """The header blocks that were said since the last time, all of which can be read."""
        self.core.go_on()
        blocks = []
        for frame in self.core.hear():
            if frame.kind == SETTINGS and frame.flags == ACK:
                for size in self._unacknowledged.pop(0):
                    self._decoder.max_allowed_table_size = size
            elif frame.kind == HEADERS:
                blocks.append(frame.payload)
                fields = [tuple(field) for field in self._decoder.decode(frame.payload, raw=True)]
                assert (b"t", b"1") in fields if frame.flags & END_STREAM else fields == [(b":status", b"200")]
        return blocks


def whole(peer: Peer, number: int) -> None:
    peer.own.respond(number, Response(HEAD, b"data", b"", len(TAIL)), TAIL)


def failure(peer: Peer, number: int) -> None:
    peer.own.respond(number, Response(b"", b"", HEAD, len(TAIL)), TAIL)


def framed(peer: Peer, number: int) -> None:
    """Composed beforehand; where there is no room for that, as `resolver.listeners.grpc.connection` does."""
    first, second, third, last = Response(HEAD, b"data", b"", len(TAIL)).parts
    stream = number.to_bytes(4)
    if not peer.own.respond_at_once(number, b"".join((first, stream, second, stream, third, stream, last, TAIL)), 4):
        whole(peer, number)


def held(peer: Peer, number: int) -> None:
    assert peer.own.hold(number)
    framed(peer, number)


def in_parts(peer: Peer, number: int) -> None:
    peer.own.send_headers(number, HEAD)
    peer.own.send_data(number, b"data")
    peer.own.send_trailers(number, TAIL)


WAYS = (whole, failure, framed, held, in_parts)


def ask(peer: Peer, number: int, answer: Callable[[Peer, int], None]) -> list[bytes]:
    """The blocks of an answer."""
    peer.own.feed(compose_request(number))
    peer.own.begin_turn()
    assert peer.own.next_event() is not None
    answer(peer, number)
    return peer.hear()


@pytest.mark.parametrize("answer", WAYS)
@pytest.mark.parametrize("size", SIZES)
def test_the_first_block_behind_a_smaller_table_gives_it_up_and_no_other_does(
    size: int, answer: Callable[[Peer, int], None]
) -> None:
    peer = Peer((TABLE_SIZE, size))
    first, *others = [block for number in (1, 3, 5) for block in ask(peer, number, answer)]
    assert first.startswith(UPDATE) is (size < DEFAULT_BYTES)
    assert not any(block.startswith(UPDATE) for block in others)


@pytest.mark.parametrize("answer", WAYS)
def test_a_table_may_change_again_and_again(answer: Callable[[Peer, int], None]) -> None:
    for before, between, after in product(SIZES, repeat=3):
        peer = Peer((TABLE_SIZE, before))
        ask(peer, 1, answer)
        peer.limit(between)
        peer.limit(after, before, after)
        assert len(ask(peer, 3, answer)) == len(ask(peer, 5, answer))


def test_a_table_that_was_smaller_for_a_while_is_given_up_all_the_same() -> None:
    peer = Peer((TABLE_SIZE, 0), (TABLE_SIZE, DEFAULT_BYTES))
    assert ask(peer, 1, whole)[0] == UPDATE + HEAD


def test_a_table_that_shrinks_while_an_answer_waits_is_given_up_in_the_answer_s_last_block() -> None:
    peer = Peer((WINDOW_SIZE, 1))
    assert ask(peer, 1, whole) == [HEAD]
    peer.limit(100)
    assert peer.hear() == []
    peer.core.say(compose_number(WINDOW_UPDATE, 1, 3))
    assert peer.hear() == [UPDATE + TAIL]
