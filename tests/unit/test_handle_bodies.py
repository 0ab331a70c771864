"""Bodies of resolution, of errors, referrals and challenges, and the life-cycle trailer: one table, both directions."""

from collections.abc import Callable
from typing import Any

import pytest

from proto.errors import Reason, Refusal
from proto.limits import MAX_FILTERS, MAX_IDENTIFIER_BYTES, MAX_VALUES
from proto.model.answer import Source
from proto.model.record import State
from proto.model.value import Reference, Value
from proto.wire.handle.resolution import (
    ErrorResponse,
    ReferralResponse,
    ResolutionRequest,
    ResolutionResponse,
    compose_challenge_body,
    compose_error_body,
    compose_referral_body,
    compose_resolution_body,
    compose_resolution_request,
    parse_challenge_body,
    parse_error_body,
    parse_referral_body,
    parse_resolution_body,
    parse_resolution_request,
)
from proto.wire.handle.trailer import LifeCycle, compose_trailer, parse_trailer
from proto.wire.handle.value import compose_value

URL = compose_value(Value(1, "URL", b"https://x"))
TITLE = compose_value(Value(2, "TITLE", "工业".encode(), references=(Reference("88.118.1/ADMIN", 300),)))


def success(response: ResolutionResponse) -> bytes:
    return b"".join(compose_resolution_body(response.identifier, response.values)) + response.rest


def error(response: ErrorResponse) -> bytes:
    return compose_error_body(response.message) + response.rest


Case = tuple[Callable[[Any], bytes], Callable[[bytes], Any], Any, str]
CASES: list[Case] = [
    (compose_resolution_request, parse_resolution_request, ResolutionRequest("88.118.1/NS1"),
     "0000000c38382e3131382e312f4e5331" "00000000" "00000000"),
    (compose_resolution_request, parse_resolution_request, ResolutionRequest("a/b", (1, 0xFFFFFFFF), ("URL", "类型")),
     "00000003612f62" "00000002" "00000001" "ffffffff" "00000002" "0000000355524c" "00000006e7b1bbe59e8b"),
    (compose_resolution_request, parse_resolution_request, ResolutionRequest("a/b", rest=b"\0\0\0\0"),
     "00000003612f62" "00000000" "00000000" "00000000"),
    (compose_resolution_request, parse_resolution_request, ResolutionRequest("a/b", (), ("EMAIL",), b"\0\0\0\2id"),
     "00000003612f62" "00000000" "00000001" "00000005454d41494c" "000000026964"),
    (success, parse_resolution_body, ResolutionResponse("a/b", ()), "00000003612f62" "00000000"),
    (success, parse_resolution_body, ResolutionResponse("a/b", (URL, TITLE), b"rest"),
     "00000003612f62" "00000002" + URL.hex() + TITLE.hex() + b"rest".hex()),
    (error, parse_error_body, ErrorResponse(""), "00000000"),
    (error, parse_error_body, ErrorResponse("前缀", b"\0\0\0\0"), "00000006e5898de7bc80" "00000000"),
    (compose_referral_body, parse_referral_body, ReferralResponse("0.NA/88.200", ()), "0000000b302e4e412f38382e323030"),
    (compose_referral_body, parse_referral_body, ReferralResponse("", (URL,)), "00000000" "00000001" + URL.hex()),
    (compose_challenge_body, parse_challenge_body, bytes(range(16)), "00000010" "000102030405060708090a0b0c0d0e0f"),
    (compose_trailer, parse_trailer, LifeCycle(State.ACTIVE, 7, "a/b"), "01" "00" "0000000000000007" "00000003612f62"),
    (compose_trailer, parse_trailer, LifeCycle(State.RETIRED, 2, ""), "01" "02" "0000000000000002" "00000000"),
    (
        compose_trailer, parse_trailer, LifeCycle(State.ACTIVE, 7, "a/b", Source.STALE, 300),
        "02" "00" "0000000000000007" "00000003612f62" "02" "0000012c",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("compose", "parse", "meant", "hexadecimal"), CASES)
def test_bodies_read_and_write(
    compose: Callable[[Any], bytes], parse: Callable[[bytes], Any], meant: object, hexadecimal: str
) -> None:
    raw = bytes.fromhex(hexadecimal)
    assert parse(raw) == meant
    assert compose(meant) == raw


@pytest.mark.parametrize(("compose", "parse", "meant", "hexadecimal"), CASES)
def test_bodies_cut_anywhere_are_refused_or_mean_just_what_is_left(
    compose: Callable[[Any], bytes], parse: Callable[[bytes], Any], meant: object, hexadecimal: str
) -> None:
    raw = bytes.fromhex(hexadecimal)
    for size in range(len(raw)):
        try:
            read = parse(raw[:size])
        except Refusal:
            continue
        # No body at all is an error without a message, and nothing else.
        assert compose(read) == (raw[:size] if size else bytes(4))


def refusal_of(parse: Callable[[bytes], Any], hexadecimal: str) -> Refusal:
    with pytest.raises(Refusal) as refused:
        parse(bytes.fromhex(hexadecimal))
    return refused.value


@pytest.mark.parametrize(
    ("hexadecimal", "reason"),
    [
        ("ffffffff", Reason.MALFORMED_MESSAGE),
        ("80000000", Reason.MALFORMED_MESSAGE),
        ("00000003612f62" "ffffffff", Reason.MALFORMED_MESSAGE),
        ("00000003612f62" "80000000" "00000000", Reason.MALFORMED_MESSAGE),
        ("00000003612f62" "00000000" "7fffffff", Reason.MALFORMED_MESSAGE),
        ("00000003612f62" "00000000" "00000001" "00000002fffe", Reason.MALFORMED_MESSAGE),
        ("00000004612fff62" "00000000" "00000000", Reason.INVALID_IDENTIFIER),
        ("00000003612f62" + f"{MAX_FILTERS + 1:08x}" + "00000001" * (MAX_FILTERS + 1) + "00000000", Reason.INVALID_ARGUMENT),
        (f"{MAX_IDENTIFIER_BYTES + 1:08x}" + "61" * (MAX_IDENTIFIER_BYTES + 1) + "0000000000000000", Reason.INVALID_IDENTIFIER),
    ],
)  # fmt: skip
def test_questions_that_cannot_be_read_say_why(hexadecimal: str, reason: Reason) -> None:
    assert refusal_of(parse_resolution_request, hexadecimal).reason is reason


def test_the_longest_identifier_and_the_most_filters_pass() -> None:
    most = ResolutionRequest("a/" + "b" * (MAX_IDENTIFIER_BYTES - 2), tuple(range(MAX_FILTERS)), ("T",) * MAX_FILTERS)
    assert parse_resolution_request(compose_resolution_request(most)) == most


def test_more_values_than_a_record_may_have_are_refused_before_they_are_read() -> None:
    assert refusal_of(parse_resolution_body, "00000003612f62" + f"{MAX_VALUES + 1:08x}").reason is Reason.MALFORMED_MESSAGE


def test_an_error_without_a_body_has_no_message() -> None:
    assert parse_error_body(b"") == ErrorResponse("")


def test_an_error_message_that_is_not_utf8_is_still_shown() -> None:
    assert parse_error_body(bytes.fromhex("00000002ff41")).message == "\ufffdA"


@pytest.mark.parametrize(
    "hexadecimal",
    ["0300000000000000000700000000", "0103000000000000000700000000", "02000000000000000007000000000300000001"],
)
def test_a_trailer_of_a_later_day_is_refused(hexadecimal: str) -> None:
    assert refusal_of(parse_trailer, hexadecimal).reason is Reason.MALFORMED_MESSAGE
