"""The one identifier that a request is about."""

from dataclasses import dataclass, replace

from proto.errors import Reason, Refusal
from proto.model.account import Caller
from proto.model.change import Row, Table
from proto.model.identifier import Identifier, parse_identifier
from proto.model.prefix import Prefix, normalise
from proto.model.record import Record, State
from proto.packing import pack_record
from proto.ports import RecordReader
from registry.policy.rules import Action
from registry.service.ground import Grounds, record_at
from registry.service.plan import Outcome, Plan, RowOutcome, check_version


@dataclass(frozen=True, slots=True)
class Target:
    """A record that is about to be changed: how it was asked for, where it lives, and what it is now."""

    asked: str
    identifier: Identifier
    home: Prefix
    key: str
    record: Record


def find_target(reader: RecordReader, caller: Caller, action: Action, text: str, expected_version: int | None) -> Target:
    """The record under an identifier, for a caller who may do `action` to it.

    Raises `Refusal`: INVALID_IDENTIFIER, what `Grounds.under` raises, ALIAS_TAKEN for an alias, NOT_FOUND, RETIRED,
    VERSION_CONFLICT.
    """
    grounds = Grounds(reader, caller, action)
    identifier = parse_identifier(text)
    home = grounds.under(identifier)
    key = normalise(identifier, home)
    packed = record_at(reader.record(key), text)
    if packed is None:
        raise Refusal(Reason.NOT_FOUND, f"nothing is registered under {text}", "identifier")
    if packed.state is State.RETIRED:
        raise Refusal(Reason.RETIRED, "it was retired, and is never used again", "identifier")
    check_version(packed.version, expected_version)
    return Target(text, identifier, home, key, packed.unpack())


def plan_state(target: Target, state: State, now_ms: int) -> Plan:
    """The record in another state, a tombstone without its values; nothing to do if it is in that state."""
    before = target.record
    if before.state is state:
        return Plan(outcomes=[RowOutcome(target.asked, Outcome.UNCHANGED, before.version, state=before.state)])
    after = replace(
        before,
        version=before.version + 1,
        state=state,
        values=() if state is State.RETIRED else before.values,
        changed_ms=max(now_ms, before.changed_ms),
    )
    row = Row(Table.RECORD, target.key, pack_record(after), after.version, before.version, after.state, before.state)
    return Plan(rows=[row], outcomes=[RowOutcome(target.asked, Outcome.REPLACED, after.version, state=after.state)])
