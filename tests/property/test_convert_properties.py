"""Whatever the model holds goes through a message and back unchanged; whatever bytes come, they are read or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto import convert
from proto.errors import Reason, Refusal
from proto.limits import DEFAULT_TTL_S, MAX_MESSAGE_BYTES
from proto.model.account import Account, GroupGrant, Role
from proto.model.identifier import SuffixRule
from proto.model.job import Job, JobState
from proto.model.prefix import Delegation, Prefix, PrefixState, Registrant
from proto.model.record import Record, State
from proto.model.value import PRIVATE, PUBLIC, PUBLIC_READ, Reference, Value, derive_permissions
from proto.v1 import model_pb2, resolver_pb2
from proto.wire.handle.value import compose_value

texts = st.text(max_size=12)
counts = st.integers(0, 2**63 - 1)
words = st.integers(0, 2**32 - 1)


def _settle(value: Value) -> Value:
    permissions = derive_permissions(value.permissions, value.audience)
    return Value(
        value.index, value.type, value.data, value.ttl, value.ttl_absolute, value.timestamp, permissions, value.references,
        value.audience,
    )  # fmt: skip


values = st.builds(
    Value,
    index=words,
    type=texts,
    data=st.binary(max_size=60),
    ttl=words,
    ttl_absolute=st.booleans(),
    timestamp=words,
    permissions=st.integers(0, 15),
    references=st.lists(st.builds(Reference, texts, words), max_size=3).map(tuple),
    audience=st.sampled_from([PUBLIC, PRIVATE, "partners"]),
).map(_settle)
records = st.builds(
    Record, texts, counts, st.sampled_from(State), st.lists(values, max_size=4).map(tuple), texts, counts, counts, texts,
    st.lists(texts, max_size=3).map(tuple),
)  # fmt: skip
delegations = st.none() | st.builds(Delegation, st.lists(st.binary(max_size=40), min_size=1, max_size=3).map(tuple), texts)
prefixes = st.builds(
    Prefix, texts, texts, st.sampled_from(PrefixState), st.sampled_from(SuffixRule), counts, counts, counts, st.just(False),
    delegations,
)  # fmt: skip
registrants = st.builds(Registrant, texts, texts, st.sampled_from(PrefixState), counts, counts, counts)
grants = st.lists(st.builds(GroupGrant, texts, texts), max_size=3).map(tuple)
accounts = st.builds(Account, texts, st.sampled_from(Role), texts, st.just(b""), grants, st.booleans(), counts, counts, counts)
jobs = st.builds(
    Job,
    **{
        name: {"str": texts, "int": counts, "bool": st.booleans(), "bytes": st.binary(max_size=32)}[kind.__name__]
        for name, kind in Job.__annotations__.items()
        if name != "state"
    },
    state=st.sampled_from(JobState),
)


@given(values)
def test_a_value_is_itself_after_its_message(value: Value) -> None:
    raw = convert.value_message(value).SerializeToString()
    assert convert.value_from(model_pb2.Value.FromString(raw), "value") == value


@given(values)
def test_a_packed_value_tells_all_but_the_group(value: Value) -> None:
    message = convert.packed_value_message(compose_value(value))
    audience = PUBLIC if value.permissions & PUBLIC_READ else PRIVATE
    expected = _settle(
        Value(
            value.index, value.type, value.data, value.ttl, value.ttl_absolute, value.timestamp, value.permissions,
            value.references, audience,
        )
    )  # fmt: skip
    assert message.audience == ""
    assert convert.value_from(message, "value") == expected


@given(records)
def test_a_record_is_itself_after_its_message(record: Record) -> None:
    assert convert.record_from(model_pb2.Record.FromString(convert.record_message(record).SerializeToString())) == record


@given(prefixes, registrants, accounts, jobs)
def test_the_other_nouns_are_themselves_after_their_messages(
    prefix: Prefix, registrant: Registrant, account: Account, job: Job
) -> None:
    assert convert.prefix_from(convert.prefix_message(prefix)) == prefix
    assert convert.registrant_from(convert.registrant_message(registrant)) == registrant
    assert convert.account_from(convert.account_message(account)) == account
    assert convert.job_from(convert.job_message(job)) == job


def test_a_value_says_what_it_leaves_out_by_default() -> None:
    assert convert.value_from(model_pb2.Value(index=1, type="URL", data=b"x"), "values[0]") == Value(
        1, "URL", b"x", DEFAULT_TTL_S, False, 0
    )


@given(st.integers(0, 15), st.sampled_from(["", PUBLIC, PRIVATE, "partners"]))
def test_public_read_and_audience_never_disagree(permissions: int, audience: str) -> None:
    message = model_pb2.Value(index=1, type="URL", permissions=permissions, audience=audience)
    if audience == PUBLIC and not permissions & PUBLIC_READ:
        with pytest.raises(Refusal) as refused:
            convert.value_from(message, "values[2]")
        assert (refused.value.reason, refused.value.field) == (Reason.INVALID_VALUE, "values[2].permissions")
    else:
        value = convert.value_from(message, "values[2]")
        assert (value.audience == PUBLIC) == bool(value.permissions & PUBLIC_READ)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_message_or_refused(raw: bytes) -> None:
    read = 0
    for kind in (resolver_pb2.ResolveRequest, model_pb2.Record):
        try:
            read = convert.parse_message(kind, raw, MAX_MESSAGE_BYTES).ByteSize()
        except Refusal as refusal:
            read = 0 if refusal.reason in (Reason.MALFORMED_MESSAGE, Reason.INVALID_ENCODING) else -1
        assert read >= 0


@given(st.integers(3, 2**31 - 1))
def test_a_state_from_a_later_version_is_refused_by_name(state: int) -> None:
    message = model_pb2.Record.FromString(b"\x18" + _varint(state + 1))
    with pytest.raises(Refusal) as refused:
        convert.record_from(message)
    assert (refused.value.reason, refused.value.field) == (Reason.INVALID_ARGUMENT, "state")


def _varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])
