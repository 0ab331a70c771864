"""What of a record a caller may see. The resolver answers by the same rule, from packed records (`resolver.service`)."""

from dataclasses import replace
from typing import NamedTuple

from proto.model.account import Caller
from proto.model.record import Record, State
from proto.model.value import PRIVATE, PUBLIC
from registry.policy.rules import Action, Reach, judge


class Sight(NamedTuple):
    """How far a caller sees the records of a registrant, and the groups of it whose values are open."""

    reach: Reach
    groups: frozenset[str]


class Sights(dict[str, Sight]):
    """What a caller who follows changes sees of each registrant's records: worked out once for each that is asked for."""

    def __init__(self, caller: Caller) -> None:
        super().__init__()
        self.caller = caller

    def __missing__(self, registrant: str) -> Sight:
        sight = self[registrant] = Sight(judge(self.caller, Action.FOLLOW, registrant), groups_open(self.caller, registrant))
        return sight


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
