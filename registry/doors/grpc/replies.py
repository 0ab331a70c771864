"""What use cases answer, as messages. Pure."""

from collections.abc import Iterator
from typing import Final

from proto.convert import (
    SHIFT,
    account_message,
    job_message,
    prefix_message,
    record_message,
    refusal_failure,
    registrant_message,
)
from proto.errors import Reason, Refusal
from proto.model.account import Account
from proto.model.change import Table
from proto.model.job import Job
from proto.model.notice import Notice
from proto.model.prefix import Prefix, Registrant
from proto.model.record import Record
from proto.tables import unpack_account, unpack_prefix, unpack_registrant
from proto.v1 import changes_pb2, model_pb2, registry_pb2
from registry.service.accounts import NewAccount
from registry.service.changes import VisibleChange, VisibleRow
from registry.service.execute import Written
from registry.service.plan import Outcome, RowOutcome

# A part of a change, or of a page of records, as one message: half of what a stock client accepts (4 MiB).
MAX_PART_BYTES: Final = 2 * 1024 * 1024

_OUTCOMES: Final = {
    Outcome.CREATED: registry_pb2.OUTCOME_CREATED,
    Outcome.REPLACED: registry_pb2.OUTCOME_REPLACED,
    Outcome.UNCHANGED: registry_pb2.OUTCOME_UNCHANGED,
    Outcome.REFUSED: registry_pb2.OUTCOME_REFUSED,
}


def written_message(written: Written) -> registry_pb2.Written:
    """What became of a write of one thing that is not an identifier."""
    (outcome,) = written.outcomes
    return registry_pb2.Written(
        name=outcome.identifier,
        outcome=_OUTCOMES[outcome.outcome],
        version=outcome.version,
        position=written.position.to_cursor(),
        time_ms=written.time_ms,
        replayed=written.replayed,
    )


def identifier_written(written: Written) -> registry_pb2.Written:
    """What became of a write of one identifier."""
    message = written_message(written)
    message.state = model_pb2.State.ValueType(written.outcomes[0].state + SHIFT)
    return message


def prefix_written(written: Written) -> registry_pb2.PrefixWritten:
    prefix = prefix_message(unpack_prefix(written.outcomes[0].image))
    return registry_pb2.PrefixWritten(written=written_message(written), prefix=prefix)


def registrant_written(written: Written) -> registry_pb2.RegistrantWritten:
    registrant = registrant_message(unpack_registrant(written.outcomes[0].image))
    return registry_pb2.RegistrantWritten(written=written_message(written), registrant=registrant)


def account_written(written: Written) -> registry_pb2.AccountWritten:
    account = account_message(unpack_account(written.outcomes[0].image))
    return registry_pb2.AccountWritten(written=written_message(written), account=account)


def new_account(made: NewAccount) -> registry_pb2.AccountWritten:
    """An account with the key that was just made."""
    return registry_pb2.AccountWritten(
        written=written_message(made.written), account=account_message(made.account), token=made.token
    )


def batch_message(written: Written, first_row: int) -> registry_pb2.BatchRegisterResponse:
    """What became of a chunk whose first row is the `first_row`th of the call."""
    return registry_pb2.BatchRegisterResponse(
        results=[_row_result(first_row + place, outcome) for place, outcome in enumerate(written.outcomes)],
        position=written.position.to_cursor(),
        time_ms=written.time_ms,
        replayed=written.replayed,
    )


def record_parts(records: tuple[Record, ...], cursor: str) -> Iterator[registry_pb2.ListIdentifiersResponse]:
    """A page in messages that a stock client accepts; the last one carries the cursor."""
    part, size = registry_pb2.ListIdentifiersResponse(), 0
    for record in records:
        message = record_message(record)
        size += message.ByteSize()
        if part.records and size > MAX_PART_BYTES:
            yield part
            part, size = registry_pb2.ListIdentifiersResponse(), message.ByteSize()
        part.records.append(message)
    part.cursor = cursor
    yield part


def change_parts(change: VisibleChange, before: str) -> Iterator[changes_pb2.FollowResponse]:
    """A change in messages that a stock client accepts. `before` is the cursor to begin it again; the last part moves on."""
    part, size = _change_head(change), 0
    for row in change.rows:
        message = _changed_row(row)
        size += message.ByteSize()
        if part.rows and size > MAX_PART_BYTES:
            yield changes_pb2.FollowResponse(cursor=before, change=part, more=True)
            part, size = _change_head(change), message.ByteSize()
        part.rows.append(message)
    yield changes_pb2.FollowResponse(cursor=change.position.to_cursor(), change=part)


def _row_result(row: int, outcome: RowOutcome) -> registry_pb2.RowResult:
    result = registry_pb2.RowResult(
        row=row, identifier=outcome.identifier, outcome=_OUTCOMES[outcome.outcome], version=outcome.version
    )
    if outcome.outcome is Outcome.REFUSED:
        refusal = Refusal(outcome.reason or Reason.INTERNAL, outcome.detail, outcome.field, row)
        result.failure.CopyFrom(refusal_failure(refusal))
    return result


def _change_head(change: VisibleChange) -> changes_pb2.Change:
    return changes_pb2.Change(
        epoch=change.position.epoch,
        sequence=change.position.sequence,
        time_ms=change.time_ms,
        actor=change.actor,
        request_id=change.request_id,
        traceparent=change.traceparent,
    )


def _changed_row(row: VisibleRow) -> changes_pb2.ChangedRow:
    message = changes_pb2.ChangedRow(name=row.name, version=row.version, prior_version=row.prior_version)
    _set_noun(message, row.noun)
    if row.prior_version:
        if row.table is Table.RECORD:
            message.prior_state = model_pb2.State.ValueType(row.prior_state + SHIFT)
        elif row.table in (Table.PREFIX, Table.REGISTRANT):
            message.prior_prefix_state = model_pb2.PrefixState.ValueType(row.prior_state + SHIFT)
    return message


_NOTICE_FIELDS: Final = tuple(field.name for field in changes_pb2.Notice.DESCRIPTOR.fields)


def _set_noun(message: changes_pb2.ChangedRow, noun: Record | Prefix | Registrant | Account | Job | Notice) -> None:
    match noun:
        case Record():
            message.record.CopyFrom(record_message(noun))
        case Prefix():
            message.prefix.CopyFrom(prefix_message(noun))
        case Registrant():
            message.registrant.CopyFrom(registrant_message(noun))
        case Account():
            message.account.CopyFrom(account_message(noun))
        case Job():
            message.job.CopyFrom(job_message(noun))
        case Notice():
            for name in _NOTICE_FIELDS:
                setattr(message.notice, name, getattr(noun, name))
