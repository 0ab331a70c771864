"""Where a write lands: the prefix that governs an identifier, and whether the caller may write below it now.

An identifier needs its very prefix in the table: that an ancestor is homed here is not enough, or a mistyped prefix would
take registrations. The names of prefixes themselves (`0.NA/P`) are governed by P.
"""

from dataclasses import replace

from proto.errors import Reason, Refusal
from proto.model.account import Caller
from proto.model.change import Table
from proto.model.identifier import Identifier, parse_identifier
from proto.model.prefix import Prefix, PrefixState, normalise
from proto.packing import PackedRecord, alias_target
from proto.ports import RecordReader
from proto.tables import unpack_registrant
from registry.policy.rules import Action, enter, require


class Grounds:
    """The prefixes that one caller does one action below, each looked at once: a batch mostly has one."""

    def __init__(self, reader: RecordReader, caller: Caller, action: Action) -> None:
        enter(caller, action)
        self._reader = reader
        self._caller = caller
        self._action = action
        self._found: dict[str, Prefix | Refusal] = {}

    def under(self, identifier: Identifier) -> Prefix:
        """The prefix of an identifier.

        Raises `Refusal`: NOT_HOMED, UNKNOWN_PREFIX, PERMISSION_DENIED, PREFIX_SUSPENDED, PREFIX_NOT_APPROVED; INVALID_STATE if
        it is delegated.
        """
        name = identifier.homing_prefix
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = self._look_at(name)
        if isinstance(found, Refusal):
            raise replace(found)
        if found.delegation is not None and not identifier.names_prefix:
            raise Refusal(Reason.INVALID_STATE, f"prefix {name} is delegated: another node registers below it", "identifier")
        return found

    def _look_at(self, name: str) -> Prefix | Refusal:
        try:
            prefix = find_prefix(self._reader, name)
            require(self._caller, self._action, prefix.registrant)
            check_state(prefix.state, f"prefix {prefix.name}")
            check_registrant(self._reader, prefix.registrant)
        except Refusal as refusal:
            refusal.field = refusal.field or "identifier"
            return refusal
        return prefix


def find_prefix(reader: RecordReader, name: str) -> Prefix:
    """The prefix of exactly this folded name. Raises `Refusal`: NOT_HOMED, UNKNOWN_PREFIX."""
    prefix = reader.prefix(name)
    if prefix is not None:
        return prefix
    if reader.homing(name) is None:
        raise Refusal(Reason.NOT_HOMED, f"prefix {name} does not live here")
    raise Refusal(Reason.UNKNOWN_PREFIX, f"there is no prefix {name}")


def check_registrant(reader: RecordReader, code: str) -> None:
    """Raise `Refusal` (PREFIX_SUSPENDED, PREFIX_NOT_APPROVED) if the holder of a prefix may not register now."""
    image = reader.image(Table.REGISTRANT, code) if code else None
    if image is not None:
        check_state(unpack_registrant(image).state, f"registrant {code}")


def check_state(state: PrefixState, what: str) -> None:
    """Raise `Refusal` unless `what`, a prefix or its registrant, is approved."""
    if state is PrefixState.SUSPENDED:
        raise Refusal(Reason.PREFIX_SUSPENDED, f"{what} is suspended")
    if state is not PrefixState.APPROVED:
        raise Refusal(Reason.PREFIX_NOT_APPROVED, f"{what} is {state.name.lower()}, not approved")


def parse_named(text: str, field: str) -> Identifier:
    """`parse_identifier`, naming another part of the request."""
    try:
        return parse_identifier(text)
    except Refusal as refusal:
        refusal.field = field
        raise


def key_of(reader: RecordReader, identifier: Identifier) -> str:
    """The normalised name of an identifier, wherever it lives."""
    return normalise(identifier, reader.homing(identifier.homing_prefix))


def spelling_of(identifier: Identifier) -> str:
    """The spelling to keep: a name without slash is the name of a prefix, in full."""
    return identifier.text if "/" in identifier.text else f"0.NA/{identifier.text}"


def record_at(raw: bytes | None, what: str) -> PackedRecord | None:
    """The record stored under an identifier, None if there is none.

    Raises `Refusal(ALIAS_TAKEN)` if the identifier is an alias: what is written is written under a record's own name.
    """
    if raw is None:
        return None
    target = alias_target(raw)
    if target is not None:
        raise Refusal(Reason.ALIAS_TAKEN, f"{what} is an alias of {target}", "identifier")
    return PackedRecord(raw)
