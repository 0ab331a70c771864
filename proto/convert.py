"""Protobuf messages and the model, both ways: pure and total.

`*_message` makes a message of a model value; `*_from` makes a model value of a message, or raises a `Refusal` that names
the field. What a message leaves out takes the default that model.proto names. Whether a value may be stored is the model's
business (`check_values`), not decided here.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from proto.errors import Reason, Refusal
from proto.limits import DEFAULT_TTL_S
from proto.model.account import Account, GroupGrant, Role
from proto.model.answer import Answer, Found, Referral, Refused, Retired, Source, Suspended, ValuesNotFound
from proto.model.identifier import SuffixRule
from proto.model.job import Job, JobState
from proto.model.prefix import Delegation, Prefix, PrefixState, Registrant
from proto.model.record import Record, State
from proto.model.value import DEFAULT_PERMISSIONS, PRIVATE, PUBLIC, PUBLIC_READ, Reference, Value, derive_permissions
from proto.v1 import model_pb2, resolver_pb2
from proto.wire.grpc.status import ANSWER_NAME, REASON_STATUS, reason_name, status_of
from proto.wire.handle.value import parse_value

# Enums on the wire begin with an unspecified 0, so each of theirs is ours plus one (a test compares the names).
SHIFT: Final = 1
_Member = TypeVar("_Member", bound=IntEnum)

_SOURCES: Final[dict[Source, resolver_pb2.Source.ValueType]] = {
    Source.AUTHORITATIVE: resolver_pb2.SOURCE_AUTHORITATIVE,
    Source.CACHED: resolver_pb2.SOURCE_CACHED,
    Source.STALE: resolver_pb2.SOURCE_STALE,
}
_Message = TypeVar("_Message", bound=Message)


def parse_message(kind: type[_Message], raw: bytes, limit: int) -> _Message:
    """The message of type `kind` in `raw`, at most `limit` bytes.

    Raises `Refusal`: MESSAGE_TOO_LARGE, INVALID_ENCODING if text is not UTF-8, MALFORMED_MESSAGE if it is no such message.
    """
    if len(raw) > limit:
        raise Refusal(Reason.MESSAGE_TOO_LARGE, f"the message is {len(raw)} bytes; the limit is {limit}")
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        if "UTF-8" in str(error):
            raise Refusal(Reason.INVALID_ENCODING, "a text in the message is not UTF-8") from None
        raise Refusal(Reason.MALFORMED_MESSAGE, f"the bytes are not a {kind.DESCRIPTOR.name}") from None


def value_message(value: Value) -> model_pb2.Value:
    """The message of a value, every part of it set."""
    return model_pb2.Value(
        index=value.index,
        type=value.type,
        data=value.data,
        ttl=value.ttl,
        ttl_absolute=value.ttl_absolute,
        timestamp=value.timestamp,
        permissions=value.permissions,
        references=[model_pb2.Reference(handle=each.handle, index=each.index) for each in value.references],
        audience=value.audience,
    )


def value_from(message: model_pb2.Value, field: str) -> Value:
    """The value of a message; `field` is its path in the request. A timestamp of 0 is none: the registry sets one.

    Public read and the audience are one thing: whichever is given decides, and a public audience without the bit is a
    contradiction (`Refusal(INVALID_VALUE)`).
    """
    permissions = message.permissions if message.HasField("permissions") else DEFAULT_PERMISSIONS
    hidden = not permissions & PUBLIC_READ
    audience = message.audience or (PRIVATE if hidden else PUBLIC)
    if audience == PUBLIC and hidden:
        raise Refusal(Reason.INVALID_VALUE, "they withhold public read, but the audience is public", f"{field}.permissions")
    return Value(
        index=message.index,
        type=message.type,
        data=message.data,
        ttl=message.ttl if message.HasField("ttl") else DEFAULT_TTL_S,
        ttl_absolute=message.ttl_absolute,
        timestamp=message.timestamp,
        permissions=derive_permissions(permissions, audience),
        references=tuple(Reference(each.handle, each.index) for each in message.references),
        audience=audience,
    )


def packed_value_message(packed: bytes) -> model_pb2.Value:
    """The message of a value in its Handle wire form. The public-read bit stands for the audience: groups are not told."""
    value, _ = parse_value(packed)
    message = value_message(value)
    message.ClearField("audience")
    return message


def record_message(record: Record) -> model_pb2.Record:
    """The message of a record with the values it is given with."""
    return model_pb2.Record(
        identifier=record.identifier,
        version=record.version,
        state=model_pb2.State.ValueType(record.state + SHIFT),
        values=[value_message(value) for value in record.values],
        registrant=record.registrant,
        created_ms=record.created_ms,
        changed_ms=record.changed_ms,
        template=record.template,
        aliases=record.aliases,
    )


def record_from(message: model_pb2.Record) -> Record:
    """The record of a message that a node sent. Raises `Refusal(INVALID_ARGUMENT)` for a state unknown to this version."""
    return Record(
        identifier=message.identifier,
        version=message.version,
        state=enum_from(State, message.state, "state"),
        values=tuple(value_from(each, f"values[{place}]") for place, each in enumerate(message.values)),
        registrant=message.registrant,
        created_ms=message.created_ms,
        changed_ms=message.changed_ms,
        template=message.template,
        aliases=tuple(message.aliases),
    )


def prefix_message(prefix: Prefix) -> model_pb2.Prefix:
    return model_pb2.Prefix(
        name=prefix.name,
        registrant=prefix.registrant,
        state=model_pb2.PrefixState.ValueType(prefix.state + SHIFT),
        suffix_rule=model_pb2.SuffixRule.ValueType(prefix.suffix_rule + SHIFT),
        version=prefix.version,
        created_ms=prefix.created_ms,
        changed_ms=prefix.changed_ms,
        delegation=delegation_message(prefix.delegation) if prefix.delegation is not None else None,
    )


def delegation_message(delegation: Delegation) -> model_pb2.Delegation:
    return model_pb2.Delegation(sites=delegation.sites, url=delegation.url)


def delegation_from(message: model_pb2.Delegation) -> Delegation:
    return Delegation(tuple(message.sites), message.url)


def prefix_from(message: model_pb2.Prefix) -> Prefix:
    return Prefix(
        message.name,
        message.registrant,
        enum_from(PrefixState, message.state, "state"),
        enum_from(SuffixRule, message.suffix_rule, "suffix_rule"),
        message.version,
        message.created_ms,
        message.changed_ms,
        delegation=delegation_from(message.delegation) if message.HasField("delegation") else None,
    )


def registrant_message(registrant: Registrant) -> model_pb2.Registrant:
    return model_pb2.Registrant(
        code=registrant.code,
        name=registrant.name,
        state=model_pb2.PrefixState.ValueType(registrant.state + SHIFT),
        version=registrant.version,
        created_ms=registrant.created_ms,
        changed_ms=registrant.changed_ms,
    )


def registrant_from(message: model_pb2.Registrant) -> Registrant:
    state = enum_from(PrefixState, message.state, "state")
    return Registrant(message.code, message.name, state, message.version, message.created_ms, message.changed_ms)


def account_message(account: Account) -> model_pb2.Account:
    """The message of an account; the digest of its key stays inside."""
    return model_pb2.Account(
        name=account.name,
        role=model_pb2.Role.ValueType(account.role + SHIFT),
        registrant=account.registrant,
        groups=[model_pb2.GroupGrant(registrant=grant.registrant, group=grant.group) for grant in account.groups],
        enabled=account.enabled,
        version=account.version,
        created_ms=account.created_ms,
        changed_ms=account.changed_ms,
    )


def account_from(message: model_pb2.Account) -> Account:
    """The account of a message; without a key digest, which is never sent."""
    return Account(
        message.name,
        enum_from(Role, message.role, "role"),
        message.registrant,
        b"",
        tuple(GroupGrant(grant.registrant, grant.group) for grant in message.groups),
        message.enabled,
        message.version,
        message.created_ms,
        message.changed_ms,
    )


_JOB_FIELDS: Final = tuple(field.name for field in model_pb2.Job.DESCRIPTOR.fields if field.name != "state")


def job_message(job: Job) -> model_pb2.Job:
    fields = {name: getattr(job, name) for name in _JOB_FIELDS}
    return model_pb2.Job(state=model_pb2.JobState.ValueType(job.state + SHIFT), **fields)


def job_from(message: model_pb2.Job) -> Job:
    fields = {name: getattr(message, name) for name in _JOB_FIELDS}
    return Job(state=enum_from(JobState, message.state, "state"), **fields)


def answer_result(answer: Answer, explanation: Sequence[str] = ()) -> resolver_pb2.ResolveResponse | model_pb2.Failure:
    """What a resolution came to, as the message of a response or of a failure."""
    if isinstance(answer, Found | ValuesNotFound):
        return _response(answer, explanation)
    if isinstance(answer, Refused):
        return refusal_failure(answer.refusal, explanation)
    status, name = status_of(answer), ANSWER_NAME[type(answer)]
    failure = model_pb2.Failure(code=status, reason=name, detail=_sentence(answer), explanation=explanation)
    if isinstance(answer, Retired):
        failure.version = answer.version
    if isinstance(answer, Referral):
        values = [packed_value_message(packed) for packed in answer.values]
        failure.referral.CopyFrom(model_pb2.Referral(prefix=answer.prefix, url=answer.url, values=values))
    return failure


def refusal_failure(refusal: Refusal, explanation: Sequence[str] = ()) -> model_pb2.Failure:
    """The message of a refusal."""
    return model_pb2.Failure(
        code=REASON_STATUS[refusal.reason],
        reason=reason_name(refusal.reason),
        detail=refusal.detail,
        field=refusal.field,
        row=refusal.row,
        retry_after_s=refusal.retry_after_s,
        explanation=explanation,
    )


def _response(answer: Found | ValuesNotFound, explanation: Sequence[str]) -> resolver_pb2.ResolveResponse:
    return resolver_pb2.ResolveResponse(
        identifier=answer.identifier,
        state=model_pb2.STATE_ACTIVE,
        version=answer.version,
        values=[packed_value_message(packed) for packed in answer.values] if isinstance(answer, Found) else (),
        aliases=answer.aliases,
        template=answer.template,
        registrant=answer.registrant,
        source=_SOURCES[answer.source],
        age_s=answer.age_s,
        ttl_s=answer.ttl_s,
        asked=answer.asked,
        explanation=explanation,
    )


def _sentence(answer: Answer) -> str:
    match answer:
        case Suspended(what=what):
            return f"the {what} is suspended"
        case Retired():
            return "the identifier is retired"
        case Referral(prefix=prefix):
            return f"another node answers for {prefix}"
        case _:
            return "nothing is registered under this identifier"


def enum_from(kind: type[_Member], number: int, field: str) -> _Member:
    """The member behind an enum's number on the wire. Raises `Refusal(INVALID_ARGUMENT)` for one that is not ours."""
    try:
        return kind(number - SHIFT)
    except ValueError:
        raise Refusal(Reason.INVALID_ARGUMENT, f"{number} is not a {kind.__name__} of this version", field) from None
