"""Reading identifiers: one by its name, or all below a prefix in pages."""

from proto.errors import Reason, Refusal
from proto.model.account import Caller
from proto.model.identifier import parse_identifier, parse_prefix
from proto.model.prefix import PrefixState, normalise
from proto.model.record import Record, State
from proto.packing import PackedRecord, alias_target
from proto.ports import RecordReader
from registry.policy.rules import Action, Reach, require
from registry.policy.sight import visible_record
from registry.service.ground import find_prefix
from registry.service.listing import Page, check_limit
from registry.service.registrants import parse_whose

# Records are read in portions and a page ends early at this size, so that a page of the largest records stays bounded.
PORTION = 64
MAX_PAGE_BYTES = 4 * 1024 * 1024


def read_record(reader: RecordReader, caller: Caller, text: str) -> Record:
    """All of a record that the caller may see; an alias reads as its record.

    Raises `Refusal`: INVALID_IDENTIFIER, NOT_HOMED, NOT_FOUND, RETIRED; SUSPENDED and PREFIX_SUSPENDED for those to whom
    it is not open whole.
    """
    identifier = parse_identifier(text)
    home = reader.homing(identifier.homing_prefix)
    if home is None:
        raise Refusal(Reason.NOT_HOMED, f"prefix {identifier.homing_prefix} does not live here", "identifier")
    raw = reader.record(normalise(identifier, home))
    target = alias_target(raw) if raw is not None else None
    if target is not None:
        raw = reader.record(target)
    if raw is None:
        raise Refusal(Reason.NOT_FOUND, f"nothing is registered under {text}", "identifier")
    record = PackedRecord(raw).unpack()
    reach = require(caller, Action.READ, record.registrant)
    if record.state is State.RETIRED:
        raise Refusal(Reason.RETIRED, f"it was retired with version {record.version}", "identifier")
    if reach is not Reach.WHOLE:
        check_answers(home.state, record.state)
    return visible_record(record, caller, reach)


def check_answers(prefix: PrefixState, record: State) -> None:
    """Raise `Refusal` unless strangers get an answer in these states."""
    if prefix is PrefixState.SUSPENDED:
        raise Refusal(Reason.PREFIX_SUSPENDED, "its prefix is suspended", "identifier")
    if prefix is not PrefixState.APPROVED:
        raise Refusal(Reason.NOT_FOUND, "its prefix is not approved", "identifier")
    if record is State.SUSPENDED:
        raise Refusal(Reason.SUSPENDED, "it is suspended", "identifier")


def list_records(reader: RecordReader, caller: Caller, registrant: str, prefix: str, after: str, limit: int) -> Page[Record]:
    """The records of `registrant` below exactly `prefix`, tombstones included, from the normalised name `after` on.

    Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED (also if the prefix is another registrant's), UNKNOWN_PREFIX,
    NOT_HOMED, INVALID_IDENTIFIER, INVALID_ARGUMENT.
    """
    holder = parse_whose(registrant)
    reach = require(caller, Action.LIST, holder)
    check_limit(limit)
    name = parse_prefix(prefix)
    if find_prefix(reader, name).registrant != holder:
        raise Refusal(Reason.PERMISSION_DENIED, f"prefix {name} is not held by {holder or 'the node itself'}", "prefix")
    found: list[Record] = []
    size, cursor = 0, after
    while len(found) < limit and size < MAX_PAGE_BYTES:
        portion = reader.scan(name, cursor, min(PORTION, limit - len(found)))
        if not portion:
            return Page(tuple(found))
        cursor = portion[-1][0]
        size += sum(len(raw) for _, raw in portion)
        found.extend(visible_record(PackedRecord(raw).unpack(), caller, reach) for _, raw in portion)
    return Page(tuple(found), cursor)
