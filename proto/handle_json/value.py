"""One value: `{"index", "type", "data": {"format", "value"}, "ttl", "timestamp"}` and what is unusual about it.

`permissions` stands only when they are not "1110", `references` only when there are any. An absolute TTL is a time
instead of a number of seconds. The audience is ours: only our own REST shows it (`render_owned_value`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from proto.errors import Reason, Refusal
from proto.handle_json.data import parse_data, render_data
from proto.handle_json.members import MAX_UINT32, Members, open_members
from proto.limits import DEFAULT_TTL_S, MAX_REFERENCES, MAX_VALUES
from proto.model.value import (
    DEFAULT_PERMISSIONS,
    PRIVATE,
    PUBLIC,
    PUBLIC_READ,
    Reference,
    Value,
    check_audience,
    derive_permissions,
)

_MEMBERS: Final = frozenset({"index", "type", "data", "ttl", "timestamp", "permissions", "references", "audience"})
_REFERENCE_MEMBERS: Final = frozenset({"handle", "index"})
_PERMISSION_BITS: Final = 4
_DAY_S: Final = 86_400

# Records are written on few days and read often: some years of days are kept.
_DAYS_KEPT: Final = 4_096

_TWO_DIGITS: Final = tuple(f"{number:02}" for number in range(60))


def render_value(value: Value) -> dict[str, Any]:
    """The value as the Handle JSON API shows it."""
    document: dict[str, Any] = {
        "index": value.index,
        "type": value.type,
        "data": render_data(value.type, value.data),
        "ttl": render_time(value.ttl) if value.ttl_absolute else value.ttl,
        "timestamp": render_time(value.timestamp),
    }
    if value.permissions != DEFAULT_PERMISSIONS:
        document["permissions"] = f"{value.permissions:04b}"
    if value.references:
        document["references"] = [{"handle": each.handle, "index": each.index} for each in value.references]
    return document


def render_owned_value(value: Value) -> dict[str, Any]:
    """The value as its registrant sees it: with its audience."""
    document = render_value(value)
    document["audience"] = value.audience
    return document


def parse_value(document: object, field: str, now_s: int) -> Value:
    """The value that a JSON document describes; `field` is its path in the request (`values[2]`).

    Without a timestamp it is of `now_s`. Public read and the audience are one thing: whichever is given decides, a
    private audience beats a public-read bit, and a public audience without one is a contradiction. Raises
    `Refusal(INVALID_VALUE)` for a member that is missing, unknown, of the wrong type or out of range; whether the value
    may be stored is `check_values`' business.
    """
    members = open_members(document, field)
    members.allow(_MEMBERS)
    ttl, absolute = _parse_ttl(members)
    permissions = _parse_permissions(members)
    audience = _parse_audience(members, permissions)
    return Value(
        index=members.integer("index"),
        type=members.text("type"),
        data=parse_data(members),
        ttl=ttl,
        ttl_absolute=absolute,
        timestamp=parse_time(members, "timestamp") if "timestamp" in members.document else now_s,
        permissions=derive_permissions(DEFAULT_PERMISSIONS if permissions is None else permissions, audience),
        references=tuple(_parse_reference(each) for each in members.objects("references", MAX_REFERENCES)),
        audience=audience,
    )


def parse_values(documents: object, field: str, now_s: int) -> tuple[Value, ...]:
    """A list of values. Raises `Refusal`: INVALID_VALUE as `parse_value`, TOO_MANY_VALUES."""
    if not isinstance(documents, list):
        raise Refusal(Reason.INVALID_VALUE, "a list of values is wanted", field)
    if len(documents) > MAX_VALUES:
        raise Refusal(Reason.TOO_MANY_VALUES, f"{len(documents)} values; a record holds {MAX_VALUES}", field)
    return tuple(parse_value(document, f"{field}[{place}]", now_s) for place, document in enumerate(documents))


def render_values(values: Sequence[Value]) -> list[dict[str, Any]]:
    """Each value as the Handle JSON API shows it, in order."""
    return [render_value(value) for value in values]


def render_time(epoch_s: int) -> str:
    """ISO 8601 in UTC: `2026-01-31T08:00:00Z`."""
    day, second = divmod(epoch_s, _DAY_S)
    minute, second = divmod(second, 60)
    hour, minute = divmod(minute, 60)
    return f"{_day(day)}T{_TWO_DIGITS[hour]}:{_TWO_DIGITS[minute]}:{_TWO_DIGITS[second]}Z"


def parse_time(members: Members, name: str) -> int:
    """Epoch seconds of an ISO 8601 time with a zone; fractions of a second are dropped."""
    try:
        moment = datetime.fromisoformat(members.text(name))
    except ValueError:
        raise members.refuse(name, "an ISO 8601 time is wanted, as 2026-01-31T08:00:00Z") from None
    if moment.tzinfo is None:
        raise members.refuse(name, "a time without a zone; add Z for UTC")
    epoch_s = (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    if not 0 <= epoch_s < MAX_UINT32 + 1:
        raise members.refuse(name, "times are from 1970 to 2106")
    return int(epoch_s)


@lru_cache(_DAYS_KEPT)
def _day(days: int) -> str:
    return datetime.fromtimestamp(days * _DAY_S, UTC).date().isoformat()


def _parse_ttl(members: Members) -> tuple[int, bool]:
    """(TTL, whether it is a time): a number of seconds, or a string that says until when."""
    if isinstance(members.document.get("ttl"), str):
        return parse_time(members, "ttl"), True
    return members.integer("ttl", DEFAULT_TTL_S), False


def _parse_permissions(members: Members) -> int | None:
    if "permissions" not in members.document:
        return None
    text = members.text("permissions")
    if len(text) != _PERMISSION_BITS or not set(text) <= {"0", "1"}:
        raise members.refuse("permissions", "four digits 0 or 1 are wanted: admin read, admin write, public read, public write")
    return int(text, 2)


def _parse_audience(members: Members, permissions: int | None) -> str:
    hidden = permissions is not None and not permissions & PUBLIC_READ
    if "audience" not in members.document:
        return PRIVATE if hidden else PUBLIC
    audience = members.text("audience")
    check_audience(audience, members.path_of("audience"))
    if audience == PUBLIC and hidden:
        raise members.refuse("permissions", "they withhold public read, but the audience is public")
    return audience


def _parse_reference(members: Members) -> Reference:
    members.allow(_REFERENCE_MEMBERS)
    return Reference(members.text("handle"), members.integer("index"))
