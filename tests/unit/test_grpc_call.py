"""A call's head and messages: what is accepted, what is refused and how; answers as their client reads them."""

import base64
from http import HTTPStatus

import pytest
from hpack import Decoder

from proto.convert import refusal_failure
from proto.errors import Reason, Refusal
from proto.v1 import model_pb2
from proto.wire.grpc import response
from proto.wire.grpc.call import Call, parse_call, parse_timeout
from proto.wire.grpc.message import MessageReader, compose_message, parse_only_message
from proto.wire.grpc.metadata import MAX_METADATA_BYTES
from proto.wire.http2.fields import RequestHead
from proto.wire.http2.response import Response
from tests.support.grpc_messages import compress

GRPC = (b"content-type", b"application/grpc")


def call(*fields: tuple[bytes, bytes], method: bytes = b"POST") -> Call:
    return parse_call(RequestHead(method, b"/s/M", b"", fields))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1H", 3600), ("2M", 120), ("3S", 3), ("250m", 0.25), ("4u", 4e-6), ("5n", 5e-9), ("99999999S", 99_999_999), ("0n", 0)],
)
def test_timeouts_are_read(text: str, seconds: float) -> None:
    assert parse_timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "S", "1", "1s", "123456789S", "-1S", "1.5S", " 1S", "1 S", "٣S"])
def test_what_is_no_timeout_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse_timeout(text)
    assert (refused.value.reason, refused.value.field) == (Reason.INVALID_ARGUMENT, "grpc-timeout")


@pytest.mark.parametrize("kind", [b"application/grpc", b"application/grpc+proto", b"application/grpc;charset=utf-8"])
def test_kinds_of_grpc_are_accepted(kind: bytes) -> None:
    assert call((b"content-type", kind)).refusal is None


@pytest.mark.parametrize("fields", [(), ((b"content-type", b"application/json"),), ((b"content-type", b"application/grpcx"),)])
def test_other_content_is_not_grpc(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    made = call(*fields)
    assert made.status is HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert made.refusal is not None
    assert made.refusal.reason is Reason.UNSUPPORTED_CONTENT_TYPE


def test_another_method_is_not_grpc() -> None:
    assert call(GRPC, method=b"GET").status is HTTPStatus.METHOD_NOT_ALLOWED


def test_metadata_becomes_the_head_of_the_call() -> None:
    made = call(
        GRPC, (b"authorization", b"Bearer k"), (b"x-request-id", b"r-1"), (b"grpc-timeout", b"2S"), (b"te", b"trailers")
    )
    assert (made.head.authorization, made.head.request_id, made.timeout_s, made.refusal) == ("Bearer k", "r-1", 2.0, None)
    assert call(GRPC, (b"x-request-id", b"has blanks")).head.request_id == ""


REFUSED = [
    ((b"grpc-encoding", b"snappy"), Reason.UNSUPPORTED_OPERATION, "grpc-encoding"),
    ((b"grpc-timeout", b"soon"), Reason.INVALID_ARGUMENT, "grpc-timeout"),
    ((b"x-key-bin", b"***"), Reason.INVALID_ARGUMENT, "x-key-bin"),
    ((b"x-long", b"x" * MAX_METADATA_BYTES), Reason.MESSAGE_TOO_LARGE, "metadata"),
]


@pytest.mark.parametrize(("field", "reason", "named"), REFUSED, ids=[case[0][0].decode() for case in REFUSED])
def test_what_is_wrong_with_a_call_is_named(field: tuple[bytes, bytes], reason: Reason, named: str) -> None:
    refusal = call(GRPC, field).refusal
    assert refusal is not None
    assert (refusal.reason, refusal.field) == (reason, named)


@pytest.mark.parametrize("value", [base64.b64encode(b"ab"), base64.b64encode(b"ab").rstrip(b"=")])
def test_binary_metadata_comes_with_or_without_padding(value: bytes) -> None:
    assert call(GRPC, (b"x-key-bin", value)).refusal is None


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_message_is_unpacked(encoding: str) -> None:
    assert parse_only_message(compress(b"message" * 50, encoding), encoding, 350) == b"message" * 50
    assert parse_only_message(compose_message(b"as it is"), encoding, 350) == b"as it is"


BAD = [
    (b"", "identity", Reason.MALFORMED_MESSAGE),
    (b"\0\0\0", "identity", Reason.MALFORMED_MESSAGE),
    (b"\0\0\0\0\5abc", "identity", Reason.MALFORMED_MESSAGE),
    (b"\0\0\0\0\1ab", "identity", Reason.MALFORMED_MESSAGE),
    (compose_message(b"1") + compose_message(b"2"), "identity", Reason.MALFORMED_MESSAGE),
    (b"\2\0\0\0\1a", "identity", Reason.MALFORMED_MESSAGE),
    (b"\0\x7f\xff\xff\xff", "identity", Reason.MESSAGE_TOO_LARGE),
    (b"\1\0\0\0\1a", "identity", Reason.MALFORMED_MESSAGE),
    (b"\1\0\0\0\1a", "gzip", Reason.MALFORMED_MESSAGE),
    (compress(b"x", "deflate"), "gzip", Reason.MALFORMED_MESSAGE),
    (compress(bytes(1_000_000), "gzip"), "gzip", Reason.MESSAGE_TOO_LARGE),
    (b"\1\0\0\0\x14" + compress(b"message", "gzip")[5:25], "gzip", Reason.MALFORMED_MESSAGE),
]


@pytest.mark.parametrize(("raw", "encoding", "reason"), BAD, ids=range(len(BAD)))
def test_what_is_not_one_message_is_refused(raw: bytes, encoding: str, reason: Reason) -> None:
    with pytest.raises(Refusal) as refused:
        parse_only_message(raw, encoding, 100)
    assert refused.value.reason is reason


def test_a_message_is_refused_by_its_prefix_before_it_is_there() -> None:
    reader = MessageReader("identity", 100)
    reader.feed(b"\0\0\0\0\x65")
    assert reader.promised == 101
    with pytest.raises(Refusal):
        reader.next_message()


def fields_of(answer: Response, tail: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in Decoder().decode(answer.head + answer.trailers + tail, raw=True)]


@pytest.mark.parametrize("request_id", ["a" * 32, "x", "y" * 127, "z" * 128])
def test_an_answer_says_its_status_and_its_request(request_id: str) -> None:
    answer = response.answer_with(b"message")
    assert answer.data == b"\0\0\0\0\7message"
    assert fields_of(answer, response.compose_tail(request_id)) == [
        (b":status", b"200"),
        (b"content-type", b"application/grpc"),
        (b"grpc-status", b"0"),
        (b"x-request-id", request_id.encode()),
    ]


def test_a_failure_says_why_in_words_and_in_bytes() -> None:
    failure = refusal_failure(Refusal(Reason.OVERLOADED, "许昌 is 100% busy", "identifiers[3]", 3, 1.5))
    fields = dict(fields_of(response.fail_with(failure), response.compose_tail("r")))
    assert fields[b"grpc-status"] == b"8"
    assert fields[b"grpc-message"] == b"%E8%AE%B8%E6%98%8C is 100%25 busy"
    assert fields[b"biaojie-reason"] == b"OVERLOADED"
    assert (fields[b"biaojie-row"], fields[b"biaojie-retry-after-s"]) == (b"3", b"1.5")
    packed = fields[b"biaojie-failure-bin"]
    assert model_pb2.Failure.FromString(base64.b64decode(packed + b"==")) == failure
    assert b"grpc-accept-encoding" not in fields


def test_who_compresses_with_something_else_is_told_with_what() -> None:
    refusal = call(GRPC, (b"grpc-encoding", b"snappy")).refusal
    assert refusal is not None
    fields = dict(fields_of(response.fail_with(refusal_failure(refusal)), response.compose_tail("r")))
    assert (fields[b"grpc-status"], fields[b"grpc-accept-encoding"]) == (b"12", b"identity,gzip,deflate")


def test_the_largest_failure_fits_one_frame() -> None:
    refusal = Refusal(Reason.INVALID_ARGUMENT, "许" * 5_000, "昌" * 500, 3, 1.5)
    failure = refusal_failure(refusal, ["why " * 1_000] * 10)
    block = response.fail_with(failure).trailers
    assert len(block) < 16_384
    assert dict(Decoder().decode(block + b"\1r", raw=True))[b"grpc-status"] == b"3"
