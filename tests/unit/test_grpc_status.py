"""One table from reasons and answers to gRPC statuses, complete; what a call says beside its messages."""

from typing import get_args

import grpc
import pytest

from proto.convert import answer_result, refusal_failure
from proto.errors import Reason, Refusal
from proto.limits import MAX_REQUEST_ID_CHARS
from proto.model.answer import Answer, Found, NotFound, Referral, Refused, Retired, Suspended, ValuesNotFound
from proto.model.value import Value
from proto.v1 import model_pb2, resolver_pb2
from proto.wire.grpc import metadata
from proto.wire.grpc.status import ANSWER_NAME, ANSWER_STATUS, REASON_STATUS, Status, reason_name, status_of
from proto.wire.handle.value import compose_value

# The table of answers that every protocol keeps, its gRPC column.
ANSWERS = [
    (Found("a/B", "a/b", 3, (), "", "", 60, values=(compose_value(Value(1, "URL", b"x")),)), Status.OK, ""),
    (ValuesNotFound("a/b", "a/b", 3, (), "", "", 0), Status.OK, ""),
    (NotFound("a/b"), Status.NOT_FOUND, "NOT_FOUND"),
    (Suspended("a/b", "prefix"), Status.FAILED_PRECONDITION, "SUSPENDED"),
    (Retired("a/b", 7), Status.NOT_FOUND, "RETIRED"),
    (Referral("a/b", "a", ()), Status.FAILED_PRECONDITION, "REFERRAL"),
    (Refused("a/b", Refusal(Reason.NOT_HOMED)), Status.NOT_FOUND, "NOT_HOMED"),
    (Refused("a/b", Refusal(Reason.UNAUTHENTICATED)), Status.UNAUTHENTICATED, "UNAUTHENTICATED"),
    (Refused("a/b", Refusal(Reason.PERMISSION_DENIED)), Status.PERMISSION_DENIED, "PERMISSION_DENIED"),
    (Refused("a/b", Refusal(Reason.INVALID_IDENTIFIER)), Status.INVALID_ARGUMENT, "INVALID_IDENTIFIER"),
    (Refused("a/b", Refusal(Reason.OVERLOADED)), Status.RESOURCE_EXHAUSTED, "OVERLOADED"),
    (Refused("a/b", Refusal(Reason.QUOTA_EXCEEDED)), Status.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED"),
]


def test_statuses_are_those_of_grpc() -> None:
    assert {status.name: int(status) for status in Status} == {code.name: code.value[0] for code in grpc.StatusCode}


def test_every_reason_has_a_status_and_a_name_of_its_own() -> None:
    assert set(REASON_STATUS) == set(Reason)
    assert Status.OK not in REASON_STATUS.values()
    assert len({reason_name(reason) for reason in Reason}) == len(Reason)


def test_every_answer_has_a_status() -> None:
    assert {*ANSWER_STATUS, Refused} == set(get_args(Answer))
    assert set(ANSWER_NAME) == {kind for kind, status in ANSWER_STATUS.items() if status is not Status.OK}
    assert {type(answer) for answer, _, _ in ANSWERS} == set(get_args(Answer))


@pytest.mark.parametrize(("answer", "status", "name"), ANSWERS)
def test_an_answer_is_rendered_as_the_table_says(answer: Answer, status: Status, name: str) -> None:
    assert status_of(answer) is status
    message = answer_result(answer, ["why"])
    assert list(message.explanation) == ["why"]
    if isinstance(message, model_pb2.Failure):
        assert (message.code, message.reason) == (status, name)
        assert message.version == (7 if name == "RETIRED" else 0)
    else:
        assert status is Status.OK
        assert (message.identifier, message.state, message.version) == ("a/b", 1, 3)
        assert message.asked == answer.asked


def test_a_referral_says_where_to_ask() -> None:
    site = compose_value(Value(1, "HS_SITE", b"\1\2"))
    failure = answer_result(Referral("88.1/x", "88.1", (site,), "https://other.example"))
    assert isinstance(failure, model_pb2.Failure)
    assert (failure.referral.prefix, failure.referral.url) == ("88.1", "https://other.example")
    assert failure.referral.values[0].data == b"\1\2"


def test_a_failure_travels_in_trailing_metadata() -> None:
    failure = refusal_failure(Refusal(Reason.INVALID_VALUE, "值太长", "values[3].数据", row=17, retry_after_s=2.5))
    pairs = metadata.compose_trailers("r-1", failure)
    assert metadata.parse_failure(pairs) == failure
    plain = dict(pairs)
    assert plain["x-request-id"] == "r-1"
    assert plain["biaojie-reason"] == "INVALID_VALUE"
    assert plain["biaojie-field"] == "values[3].%E6%95%B0%E6%8D%AE"
    assert (plain["biaojie-row"], plain["biaojie-retry-after-s"]) == ("17", "2.5")


def test_row_zero_is_said_and_no_row_is_not() -> None:
    zero = metadata.compose_trailers("r", refusal_failure(Refusal(Reason.INVALID_VALUE, row=0)))
    none = metadata.compose_trailers("r", refusal_failure(Refusal(Reason.INVALID_VALUE)))
    assert dict(zero)["biaojie-row"] == "0"
    assert "biaojie-row" not in dict(none)


def test_trailing_metadata_stays_small_whatever_failed() -> None:
    long = "标" * 5_000
    failure = refusal_failure(Refusal(Reason.INVALID_VALUE, long, long), [long] * 50)
    failure.referral.values.add(index=1, type="HS_SITE", data=bytes(20_000))
    pairs = metadata.compose_trailers("r", failure)
    assert sum(len(key) + len(value) for key, value in pairs) < 6_000
    kept = metadata.parse_failure(pairs)
    assert kept is not None
    assert (kept.code, kept.reason) == (failure.code, failure.reason)


def test_metadata_without_a_readable_failure_has_none() -> None:
    assert metadata.parse_failure(()) is None
    assert metadata.parse_failure(((metadata.FAILURE, b"\xff\xff"),)) is None


HEADS = [
    ((), metadata.CallHead("new")),
    ((("x-request-id", "abc-1"),), metadata.CallHead("abc-1")),
    ((("x-request-id", "r" * (MAX_REQUEST_ID_CHARS + 1)),), metadata.CallHead("new")),
    ((("x-request-id", "two words"),), metadata.CallHead("new")),
    ((("authorization", "Bearer k"), ("idempotency-key", "i")), metadata.CallHead("new", "Bearer k", "", "i")),
    ((("traceparent", f"00-{'a' * 32}-{'b' * 16}-01"),), metadata.CallHead("new", "", f"00-{'a' * 32}-{'b' * 16}-01")),
    ((("traceparent", "00-xyz"),), metadata.CallHead("new")),
    ((("x-request-id-bin", b"\0"),), metadata.CallHead("new")),
]


@pytest.mark.parametrize(("pairs", "head"), HEADS)
def test_a_head_is_read_from_metadata(pairs: metadata.Pairs, head: metadata.CallHead) -> None:
    assert metadata.parse_head(pairs, lambda: "new") == head


@pytest.mark.parametrize("authorization", ["Basic dTpw", "Bearer", "Bearer ", "k"])
def test_an_authorization_of_another_kind_is_refused(authorization: str) -> None:
    with pytest.raises(Refusal) as refused:
        metadata.parse_bearer(authorization)
    assert refused.value.reason is Reason.UNAUTHENTICATED


def test_a_bearer_token_is_read() -> None:
    assert metadata.parse_bearer("") == ""
    assert metadata.parse_bearer("bearer bj_a_b") == "bj_a_b"


def test_enums_of_messages_and_model_have_the_same_names() -> None:
    from proto.convert import SHIFT
    from proto.model.account import Role
    from proto.model.identifier import SuffixRule
    from proto.model.job import JobState
    from proto.model.prefix import PrefixState
    from proto.model.record import State

    for kind, wire, start in (
        (State, model_pb2.State, "STATE_"),
        (PrefixState, model_pb2.PrefixState, "PREFIX_STATE_"),
        (SuffixRule, model_pb2.SuffixRule, "SUFFIX_RULE_"),
        (Role, model_pb2.Role, "ROLE_"),
        (JobState, model_pb2.JobState, "JOB_STATE_"),
    ):
        assert {start + member.name: member + SHIFT for member in kind} | {f"{start}UNSPECIFIED": 0} == dict(wire.items())
    assert resolver_pb2.SOURCE_UNSPECIFIED == 0
