"""Requests and calls answered in one piece, compiled: what plain Python answers, byte for byte, and asked for as often."""

from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from proto.request_id import RequestIds
from proto.v1.model_pb2 import Failure
from proto.v1.resolver_pb2 import ResolveRequest
from proto.wire.grpc.message import compose_message
from proto.wire.grpc.response import answer_with, compose_tail, fail_with
from proto.wire.http2.frames import compose_headers
from proto.wire.http2.response import Response
from resolver.listeners.grpc import plain_calls
from resolver.listeners.http import public_replies
from resolver.listeners.http.public_replies import render_handle, render_resolution
from resolver.listeners.http.reply import Rendered
from tests.support.packed_records import PLAIN, STORED, packed_records
from tests.support.ways import both_ways, outcome

SEEN = b"h/api/handles/88.1/seen HTTP/1.1"
ROUTES = (b"/api/handles/", b"/api/v1/resolve/")


class Desk:
    """What runs and calls are answered with: a few records, and notes of all that was asked of it."""

    def __init__(self, records: dict[str, bytes], seen: set[bytes]) -> None:
        self.records = records
        self.seen = seen
        self.asked: list[object] = []
        self.ids = RequestIds(b"\x01" * 8)

    def look_up(self, identifier: str) -> bytes | None:
        self.asked.append(identifier)
        return self.records.get(identifier)

    def look_up_turn(self, asked: Sequence[tuple[str, bool, bool]]) -> list[bytes | None]:
        self.asked.append([*asked])
        return [self.records.get(identifier) for identifier, *_ in asked]

    def render(self, place: int, raw: bytes, identifier: str, key: bytes) -> Rendered:
        self.asked.append((place, identifier))
        if key:
            self.asked.append(key)
        rendered = outcome((render_handle, render_resolution)[place], raw, identifier, 1_700_000_000)
        return rendered if isinstance(rendered, Rendered) else Rendered(b"failed", "", b"")

    def get(self, key: bytes) -> Rendered | None:
        return Rendered(b"kept\r\nX-Request-Id: ", "tag", b"body") if key == KEPT else None

    def admits(self, key: bytes) -> bool:
        self.asked.append(key)
        is_seen = key in self.seen
        self.seen.add(key)
        return is_seen

    def admits_each(self, keys: Sequence[bytes]) -> list[bool]:
        return [*map(self.admits, keys)]

    def get_turn(self, keys: Sequence[bytes]) -> list[Rendered | None]:
        return [*map(self.get, keys)]

    def http(self) -> public_replies.Way:
        return public_replies.Way(
            ROUTES, (render_handle, render_resolution), {b"Host: a\r\n\r\n", b"\r\n"}, self.get, self.get_turn, self.look_up,
            self.look_up_turn, self.render, self.admits, self.admits_each, self.ids, lambda: b"\r\nDate: now",
        )  # fmt: skip

    def grpc(self) -> plain_calls.Way:
        return plain_calls.Way(
            KEPT_CALLS.get, lambda keys: [*map(KEPT_CALLS.get, keys)], self.look_up, self.look_up_turn, self.admits,
            self.admits_each, self.keep, ABSENT, self.ids, lambda: 1_700_000_000,
        )  # fmt: skip

    def keep(self, key: bytes, identifier: str, raw: bytes, response: Response) -> None:
        self.asked.append((key, identifier, raw, response.data, response.trailers))


ABSENT = fail_with(Failure(code=5, reason="NOT_FOUND"))
KEPT_CALLS = {
    b"gR" + ResolveRequest(identifier=f"88.1/{name}").SerializeToString(): answer
    for name, answer in (("kept", answer_with(b"kept")), ("denied", fail_with(Failure(code=5, reason="NOT_FOUND"))))
}
KEPT = b"h/api/handles/88.1/kept HTTP/1.1"
ODD_NAMES = ("88.1/a?", "%zz", "%ff", "\x00", "")
HEADS = st.one_of(
    st.builds(
        "{} {}{}{}\r\n{}\r\n".format,
        st.sampled_from(["GET", "GET", "GET", "GET", "HEAD", "get", "POST"]),
        st.sampled_from(["/api/handles/", "/api/v1/resolve/", "/api/handles/", "/other/"]),
        st.sampled_from(["88.1/a", "88.1/b", "88.1/%61", "88.1/absent", "88.1/none", "88.1/kept", "88.1/seen", *ODD_NAMES]),
        st.sampled_from([" HTTP/1.1", " HTTP/1.1", " HTTP/1.1", " HTTP/1.0", ""]),
        st.sampled_from(["Host: a\r\n", "Host: a\r\n", "", "Host: b\r\n", "Host: a\r\nX: y\r\n", "\r", "\r\n"]),
    ).map(lambda text: text.encode("latin-1")),
    st.sampled_from([b"\r\n", b"\r", b"GET", b"GET /api/handles/88.1/a HTTP/1.1\r\nHost: a\r\n\r", b"\x00" * 5]),
)


@given(
    a=STORED, b=packed_records(), heads=st.lists(HEADS, max_size=6), cut=st.integers(0, 3), begin=st.integers(0, 2),
    before=st.sampled_from([[], [], [b"x" * 65_537], [b""] * 31]),
)  # fmt: skip
@example(b"", b"", [b"GET /api/handles/88.1/a HTTP/1.1\r\nHost: a\r\n\r\n"] * 40, 0, 0, [])
@example(b"", b"", [b"GET /api/handles/88.1/a? HTTP/1.1\r\nHost: a\r\n\r\n"], 0, 0, [])
def test_a_run_of_requests_is_answered_the_same(
    a: bytes, b: bytes, heads: list[bytes], cut: int, begin: int, before: list[bytes]
) -> None:
    plain, quick = both_ways("resolver.listeners.http.public_replies", "answer_run")
    stream = b"".join(heads)
    data = b"x" * begin + stream[: len(stream) - cut]
    came_to = []
    for way in (plain, quick):
        records = {"88.1/a": a or PLAIN, "88.1/b": b or PLAIN, "88.1/absent": b"", "88.1/seen": PLAIN}
        desk, replies = Desk(records, {SEEN}), [*before]
        came_to.append(
            (outcome(way, data, begin, desk.http(), replies), replies, [each for each in desk.asked if type(each) is not tuple])
        )
    assert came_to[0] == came_to[1]


@given(a=STORED, b=packed_records(), reads=st.lists(st.one_of(HEADS, st.builds(bytes.__add__, HEADS, HEADS)), max_size=8))
@example(b"", b"", [b"GET /api/handles/88.1/a? HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_a_turn_of_requests_is_answered_the_same(a: bytes, b: bytes, reads: list[bytes]) -> None:
    plain, quick = both_ways("resolver.listeners.http.public_replies", "answer_turn")
    came_to = []
    for way in (plain, quick):
        desk = Desk({"88.1/a": a or PLAIN, "88.1/b": b or PLAIN, "88.1/absent": b"", "88.1/seen": PLAIN}, {SEEN})
        came_to.append((outcome(way, reads, desk.http()), [each for each in desk.asked if type(each) is not tuple]))
    assert came_to[0] == came_to[1]
    replies = came_to[0][0]
    run, _ = both_ways("resolver.listeners.http.public_replies", "answer_run")
    if isinstance(replies, list):  # each is what a connection alone would have got
        for read, reply in zip(reads, replies, strict=True):
            alone: list[bytes] = []
            desk = Desk({"88.1/a": a or PLAIN, "88.1/b": b or PLAIN, "88.1/absent": b"", "88.1/seen": PLAIN}, {SEEN})
            taken = run(read, 0, desk.http(), alone)
            is_whole = taken == len(read) and len(alone) == 1
            assert (reply is not None) == is_whole
            assert not is_whole or reply.partition(b"0" * 4)[0] == alone[0].partition(b"0" * 4)[0]


MESSAGES = st.one_of(
    st.sampled_from(
        [
            "88.1/a",
            "88.1/absent",
            "88.1/none",
            "88.1/kept",
            "88.1/denied",
            "88.1/seen",
            "88.1/seen-absent",
            "",
            "x" * 127,
            "x" * 128,
            "x" * 3_000,
        ]
    ).map(lambda name: ResolveRequest(identifier=name).SerializeToString()),
    st.binary(max_size=8),
    st.just(b"\x0a\x01\xff"),
    st.just(KEPT),
)


def call_desk(raw: bytes) -> Desk:
    seen = {b"gR" + ResolveRequest(identifier=f"88.1/{name}").SerializeToString() for name in ("seen", "seen-absent")}
    stored = {"88.1/a": raw or PLAIN, "88.1/absent": b"", "88.1/seen": raw or PLAIN, "88.1/seen-absent": b""}
    return Desk(stored, seen)


@given(
    raw=STORED, message=MESSAGES, stream=st.integers(1, 2**31 - 1),
    prefix=st.one_of(st.none(), st.binary(min_size=0, max_size=6)),
)  # fmt: skip
@example(b"", b"\x0a\x0688.1/a", 1, None)
@example(b"", b"\x0a\x0988.1/kept", 1, None)
@example(b"", b"\x0a\x0b88.1/denied", 1, None)
def test_a_call_is_answered_the_same(raw: bytes, message: bytes, stream: int, prefix: bytes | None) -> None:
    plain, quick = both_ways("resolver.listeners.grpc.plain_calls", "answer_call")
    data = compose_message(message) if prefix is None else prefix + message
    came_to = []
    for way in (plain, quick):
        desk = call_desk(raw)
        came_to.append((outcome(way, stream, data, desk.grpc()), desk.asked))
    assert came_to[0] == came_to[1]
    answered = came_to[1][0]
    if isinstance(answered, plain_calls.Answered) and answered.data_bytes:
        found = answered.response()
        number = stream.to_bytes(4)
        first, second, third, last = found.parts
        frames = (first, number, second, number, third, number, last, compose_tail(answered.request_id))
        assert answered.frames == b"".join(frames)
        assert found.data_bytes == answered.data_bytes
    elif isinstance(answered, plain_calls.Answered):
        block = answered.response().trailers + compose_tail(answered.request_id)
        assert answered.frames == compose_headers(stream, block, ends=True)


@given(raw=STORED, bodies=st.lists(st.one_of(MESSAGES.map(compose_message), st.binary(max_size=9)), max_size=9))
def test_calls_are_answered_together_as_each_alone(raw: bytes, bodies: list[bytes]) -> None:
    plain, quick = both_ways("resolver.listeners.grpc.plain_calls", "answer_calls")
    streams = [*range(1, 2 * len(bodies), 2)]
    came_to = []
    for way in (plain, quick):
        desk = call_desk(raw)
        came_to.append((outcome(way, streams, bodies, desk.grpc()), desk.asked))
    assert came_to[0] == came_to[1]
    answers = came_to[0][0]
    if isinstance(answers, list):
        alone, _ = both_ways("resolver.listeners.grpc.plain_calls", "answer_call")
        desk = call_desk(raw)
        for stream, body, answered in zip(streams, bodies, answers, strict=True):
            by_itself = alone(stream, body, desk.grpc())
            assert (answered is None) == (by_itself is None)
            if answered is not None:
                size = len(answered.request_id)
                assert answered.frames[:-size] == by_itself.frames[:-size]
                assert answered.data_bytes == by_itself.data_bytes
