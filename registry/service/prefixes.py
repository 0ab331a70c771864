"""Prefixes: created for a registrant below a home of this node, and moved along their life cycle."""

from dataclasses import replace
from functools import lru_cache
from typing import Final

from proto.errors import Reason, Refusal
from proto.model.account import Caller
from proto.model.change import Table
from proto.model.identifier import PREFIX_OF_PREFIXES, SuffixRule, parse_prefix
from proto.model.prefix import Prefix, PrefixState
from proto.ports import RecordReader
from proto.tables import pack_prefix, unpack_prefix
from registry.policy.rules import EVERY_REGISTRANT, Action, enter, require
from registry.service.lifecycle import check_first, check_move
from registry.service.listing import Page, page_of, plan_nothing, plan_row
from registry.service.plan import Plan, check_version
from registry.service.registrants import find_registrant, parse_code, parse_whose

# As many as a node is planned for, several times: whose each is is asked for with every page of the city's.
MAX_HOLDERS_KEPT: Final = 65_536


@lru_cache(MAX_HOLDERS_KEPT)
def holder_of(image: bytes) -> str:
    """Whose a prefix is, by its row: unpacking twenty thousand for one enterprise would hold everybody up for 60 ms."""
    return unpack_prefix(image).registrant


def plan_prefix(
    reader: RecordReader,
    caller: Caller,
    name: str,
    registrant: str,
    suffix_rule: SuffixRule,
    state: PrefixState,
    now_ms: int,
) -> Plan:
    """A new prefix; the same again changes nothing.

    Raises `Refusal`: PERMISSION_DENIED, INVALID_IDENTIFIER, INVALID_ARGUMENT, INVALID_STATE, ALREADY_EXISTS, NOT_FOUND
    for an unknown registrant, NOT_HOMED for a registrant's prefix that is below none of this node's.
    """
    require(caller, Action.ADMINISTER_PREFIX, registrant)
    folded = _parse_name(name)
    holder = parse_code(registrant, "registrant") if registrant else ""
    check_first(state)
    if holder:
        _check_place(reader, folded, holder)
    there = reader.prefix(folded)
    if there is not None:
        if (there.registrant, there.suffix_rule, there.state) == (holder, suffix_rule, state):
            return plan_nothing(folded, pack_prefix(there), there.version, there.state)
        raise Refusal(Reason.ALREADY_EXISTS, f"there is a prefix {folded}", "name")
    prefix = Prefix(folded, holder, state, suffix_rule, 1, now_ms, now_ms)
    return plan_row(Table.PREFIX, folded, pack_prefix(prefix), 1, state)


def plan_prefix_move(
    reader: RecordReader, caller: Caller, name: str, state: PrefixState, expected_version: int | None, now_ms: int
) -> Plan:
    """A prefix in another state. Raises `Refusal`: PERMISSION_DENIED, NOT_FOUND, VERSION_CONFLICT, INVALID_STATE."""
    before = find_own(reader, caller, name)
    check_version(before.version, expected_version)
    if before.state is state:
        return plan_nothing(before.name, pack_prefix(before), before.version, before.state)
    check_move(before.state, state)
    return plan_next(before, replace(before, state=state), now_ms)


def plan_suffix_rule(
    reader: RecordReader, caller: Caller, name: str, rule: SuffixRule, expected_version: int | None, now_ms: int
) -> Plan:
    """A prefix with another suffix rule. Raises `Refusal`: as a move does; INVALID_STATE once it has been used."""
    before = find_own(reader, caller, name)
    check_version(before.version, expected_version)
    if before.suffix_rule is rule:
        return plan_nothing(before.name, pack_prefix(before), before.version, before.state)
    if before.in_use:
        why = "an identifier was registered below it: how its suffixes compare is fixed"
        raise Refusal(Reason.INVALID_STATE, why, "suffix_rule")
    return plan_next(before, replace(before, suffix_rule=rule), now_ms)


def show_prefix(reader: RecordReader, caller: Caller, name: str) -> Prefix:
    """Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND."""
    enter(caller, Action.READ_PREFIX)
    prefix = _find(reader, name)
    require(caller, Action.READ_PREFIX, prefix.registrant)
    return prefix


def list_prefixes(reader: RecordReader, caller: Caller, registrant: str, after: str, limit: int) -> Page[Prefix]:
    """The prefixes of one registrant, or of `EVERY_REGISTRANT`, by name. Raises `Refusal`: PERMISSION_DENIED, ..."""
    whose = parse_whose(registrant)
    require(caller, Action.READ_PREFIX, whose)

    def item_of(name: str) -> Prefix | None:
        prefix = reader.prefix(name)
        belongs = prefix is not None and whose in (EVERY_REGISTRANT, prefix.registrant)
        return prefix if belongs else None

    return page_of(reader.images(Table.PREFIX), after, limit, item_of)


def _parse_name(name: str) -> str:
    try:
        folded = parse_prefix(name)
    except Refusal as refusal:
        refusal.field = "name"
        raise
    if folded == PREFIX_OF_PREFIXES:
        raise Refusal(Reason.INVALID_IDENTIFIER, "0.NA names prefixes and is none that can be given away", "name")
    return folded


def _check_place(reader: RecordReader, name: str, holder: str) -> None:
    """A registrant's prefix lies below a prefix of the node itself, or of its own."""
    find_registrant(reader, holder)
    home = reader.homing(name)
    if home is None:
        raise Refusal(Reason.NOT_HOMED, f"{name} is below no prefix that lives here", "name")
    if home.name != name and home.registrant not in ("", holder):
        raise Refusal(Reason.PERMISSION_DENIED, f"{name} is below {home.name}, another registrant's", "name")


def _find(reader: RecordReader, name: str) -> Prefix:
    prefix = reader.prefix(_parse_name(name))
    if prefix is None:
        raise Refusal(Reason.NOT_FOUND, f"there is no prefix {name}", "name")
    return prefix


def find_own(reader: RecordReader, caller: Caller, name: str) -> Prefix:
    """The prefix of this name, for a caller who may change it. Raises `Refusal`: PERMISSION_DENIED, NOT_FOUND, ..."""
    enter(caller, Action.ADMINISTER_PREFIX)
    prefix = _find(reader, name)
    require(caller, Action.ADMINISTER_PREFIX, prefix.registrant)
    return prefix


def plan_next(before: Prefix, after: Prefix, now_ms: int) -> Plan:
    """`after` as the next version of `before`."""
    after = replace(after, version=before.version + 1, changed_ms=max(now_ms, before.changed_ms))
    return plan_row(Table.PREFIX, after.name, pack_prefix(after), after.version, after.state, before.state)
