"""What must hold for any answer and any call of gRPC: our bytes are protobuf's, and cuts change nothing."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from proto.convert import answer_result
from proto.errors import Refusal
from proto.model.answer import Found, Source, ValuesNotFound
from proto.model.value import Reference, Value
from proto.v1.resolver_pb2 import ResolveRequest
from proto.wire.grpc.call import parse_call
from proto.wire.grpc.message import ENCODINGS, MessageReader, compose_message, parse_only_message
from proto.wire.grpc.resolution import VARINTS, compose_resolution, plain_identifier
from proto.wire.handle.value import compose_value
from proto.wire.http2.fields import RequestHead
from tests.support.grpc_messages import compress

WORD = st.integers(0, 2**32 - 1)
TEXT = st.text(max_size=12)
NAME = st.text(min_size=1, max_size=40)
COUNT = st.integers(1, 2**63 - 1)
VALUES = st.builds(
    Value,
    index=WORD,
    type=TEXT,
    data=st.binary(max_size=300),
    ttl=WORD,
    ttl_absolute=st.booleans(),
    timestamp=WORD,
    permissions=st.integers(0, 15),
    references=st.lists(st.builds(Reference, TEXT, WORD), max_size=3).map(tuple),
)
PACKED = st.lists(VALUES.map(compose_value), max_size=4).map(tuple)
FACTS = (TEXT, NAME, COUNT, st.lists(TEXT, max_size=3).map(tuple), TEXT, TEXT, WORD, st.sampled_from(Source), WORD)
FOUND = st.builds(Found, *FACTS, values=PACKED)


@given(st.one_of(FOUND, st.builds(ValuesNotFound, *FACTS)), st.lists(TEXT, max_size=3))
def test_an_answer_is_written_as_protobuf_writes_it(answer: Found | ValuesNotFound, explanation: list[str]) -> None:
    assert compose_resolution(answer, explanation) == answer_result(answer, explanation).SerializeToString()


@given(st.integers(0, 2**64 - 1))
def test_a_number_is_read_as_it_was_written(number: int) -> None:
    raw = VARINTS[number]
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(raw)) == number
    assert [byte >> 7 for byte in raw] == [1] * (len(raw) - 1) + [0]


REQUESTS = st.builds(
    ResolveRequest, identifier=TEXT, indexes=st.lists(WORD, max_size=2), types=st.lists(TEXT, max_size=1), explain=st.booleans()
)


@given(st.one_of(st.binary(max_size=140), REQUESTS.map(ResolveRequest.SerializeToString), NAME.map(
    lambda name: ResolveRequest(identifier=name).SerializeToString())))  # fmt: skip
def test_a_plain_question_is_read_as_protobuf_reads_it(raw: bytes) -> None:
    identifier = plain_identifier(raw)
    if identifier is not None:
        assert ResolveRequest.FromString(raw) == ResolveRequest(identifier=identifier)


@given(st.text(min_size=1, max_size=30))
def test_a_short_question_is_plain(identifier: str) -> None:
    assert plain_identifier(ResolveRequest(identifier=identifier).SerializeToString()) == identifier


# What does not shrink grows by what the compression adds: up to 18 bytes with gzip, and some of its own.
PACKED_BYTES = 100
MESSAGES = st.lists(st.tuples(st.binary(max_size=60), st.booleans()), max_size=5)


@given(MESSAGES, st.sampled_from(ENCODINGS[1:]), st.lists(st.integers(0, 400)))
def test_messages_are_the_same_however_they_are_cut(messages: list[tuple[bytes, bool]], encoding: str, cuts: list[int]) -> None:
    stream = b"".join(compress(message, encoding) if is_packed else compose_message(message) for message, is_packed in messages)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    reader, taken = MessageReader(encoding, PACKED_BYTES), []
    for start, end in pairwise(places):
        reader.feed(stream[start:end])
        while (message := reader.next_message()) is not None:
            taken.append(message)
    assert taken == [message for message, _ in messages]
    assert reader.buffered == 0


@given(st.binary(max_size=60), st.sampled_from(ENCODINGS), st.booleans())
def test_garbage_is_a_message_or_refused(data: bytes, encoding: str, has_prefix: bool) -> None:
    raw = bytes((1,)) + len(data).to_bytes(4) + data if has_prefix else data
    try:
        message = parse_only_message(raw, encoding, 1_000)
    except Refusal:
        return
    assert len(message) <= 1_000


VISIBLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)).map(str.encode)
FIELD_NAMES = st.one_of(
    st.sampled_from([b"content-type", b"grpc-timeout", b"grpc-encoding", b"authorization", b"x-request-id", b"x-bin", b"te"]),
    st.from_regex(rb"[a-z-]{1,10}", fullmatch=True),
)


@given(st.sampled_from([b"POST", b"GET"]), VISIBLE, st.lists(st.tuples(FIELD_NAMES, st.one_of(VISIBLE, st.binary()))))
def test_any_head_is_a_call_or_one_that_is_refused(method: bytes, path: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    call = parse_call(RequestHead(method, path, b"", tuple(fields)))
    assert call.refusal is not None or (method == b"POST" and call.encoding in ENCODINGS)
