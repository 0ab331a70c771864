"""What of a record a caller may see. The resolver answers by the same rule, from packed records (`resolver.service`)."""

from dataclasses import replace

from proto.model.account import Caller
from proto.model.record import Record, State
from proto.model.value import PRIVATE, PUBLIC
from registry.policy.rules import Reach


def groups_open(caller: Caller, registrant: str) -> frozenset[str]:
    """The groups of `registrant` whose values the caller may read."""
    return frozenset(each.group for each in caller.groups if each.registrant == registrant) - {PRIVATE}


def visible_record(record: Record, caller: Caller, reach: Reach) -> Record:
    """The record with the values open to the caller; a suspended one shows values only to those it is open to whole."""
    if reach is Reach.WHOLE:
        return record
    if record.state is not State.ACTIVE:
        return replace(record, values=())
    groups = groups_open(caller, record.registrant)
    open_values = tuple(value for value in record.values if value.audience == PUBLIC or value.audience in groups)
    return replace(record, values=open_values)
