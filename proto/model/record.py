"""Record: all values of one identifier, with its life-cycle state (DESIGN: active <-> suspended -> retired).

A retired record keeps its identifier for ever as a tombstone: it has no values and is never registered again.
`version` counts the writes to this identifier from 1; it is what `ETag` and `If-Match` carry.
"""

from enum import IntEnum

from proto.errors import Reason, Refusal
from proto.frozen import frozen
from proto.limits import MAX_ALIASES, MAX_GROUPS, MAX_VALUES
from proto.model.value import PRIVATE, PUBLIC, Value, check_value


class State(IntEnum):
    """Life cycle of an identifier."""

    ACTIVE = 0
    SUSPENDED = 1
    RETIRED = 2


@frozen
class Record:
    """What is registered under one identifier. Times are UTC milliseconds; `aliases` are further identifiers' spellings."""

    identifier: str
    version: int
    state: State
    values: tuple[Value, ...]
    registrant: str
    created_ms: int
    changed_ms: int
    template: str = ""
    aliases: tuple[str, ...] = ()


def check_values(values: tuple[Value, ...], field: str = "values") -> None:
    """Raise `Refusal` unless the values can stand together in one record (each one valid, indexes distinct)."""
    if len(values) > MAX_VALUES:
        raise Refusal(Reason.TOO_MANY_VALUES, f"{len(values)} values; a record holds {MAX_VALUES}", field)
    seen: set[int] = set()
    groups: set[str] = set()
    for place, value in enumerate(values):
        check_value(value, f"{field}[{place}]")
        if value.index in seen:
            raise Refusal(Reason.DUPLICATE_INDEX, f"index {value.index} is used twice", f"{field}[{place}].index")
        seen.add(value.index)
        if value.audience not in (PUBLIC, PRIVATE):
            groups.add(value.audience)
    if len(groups) > MAX_GROUPS:
        raise Refusal(Reason.INVALID_VALUE, f"{len(groups)} groups; a record names at most {MAX_GROUPS}", field)


def check_aliases(aliases: tuple[str, ...], field: str = "aliases") -> None:
    """Raise `Refusal` if there are more aliases than a record may have."""
    if len(aliases) > MAX_ALIASES:
        raise Refusal(Reason.INVALID_ARGUMENT, f"{len(aliases)} aliases; a record has at most {MAX_ALIASES}", field)
