"""Value (标识值): one typed, indexed datum of a record (RFC 3651 3.1), and who may read it.

The *audience* is decided when the value is committed: everybody, a named group of the registrant, or nobody but the
registrant. The public-read permission bit is derived from it, so that the two can never disagree.
"""

import re
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Final

from proto.errors import Reason, Refusal
from proto.frozen import frozen
from proto.limits import (
    DEFAULT_TTL_S,
    MAX_GROUP_BYTES,
    MAX_RECORD_BYTES,
    MAX_REFERENCES,
    MAX_TTL_S,
    MAX_TYPE_BYTES,
)

PUBLIC: Final = "public"
PRIVATE: Final = "private"

# Permission bits (RFC 3651 3.1).
ADMIN_READ: Final = 0x08
ADMIN_WRITE: Final = 0x04
PUBLIC_READ: Final = 0x02
PUBLIC_WRITE: Final = 0x01
DEFAULT_PERMISSIONS: Final = ADMIN_READ | ADMIN_WRITE | PUBLIC_READ

MAX_INDEX: Final = 0xFFFF_FFFF
MAX_TIMESTAMP_S: Final = 0xFFFF_FFFF

_DOT: Final = re.compile(r"\.")

# A registry has some dozens of types; judging each once makes checks of batches cheap.
_TYPES_KEPT: Final = 1_024


@frozen
class Reference:
    """A pointer from a value to another value (RFC 3651 3.1 `reference`)."""

    handle: str
    index: int


@frozen
class Value:
    """One value. `ttl` is in seconds, or an epoch second if `ttl_absolute`; `timestamp` is in epoch seconds."""

    index: int
    type: str
    data: bytes
    ttl: int = DEFAULT_TTL_S
    ttl_absolute: bool = False
    timestamp: int = 0
    permissions: int = DEFAULT_PERMISSIONS
    references: tuple[Reference, ...] = ()
    audience: str = PUBLIC


def derive_permissions(requested: int, audience: str) -> int:
    """The permissions a value is stored with: public read exactly when the audience is public."""
    return requested | PUBLIC_READ if audience == PUBLIC else requested & ~(PUBLIC_READ | PUBLIC_WRITE)


def check_value(value: Value, field: str) -> None:
    """Raise `Refusal` (INVALID_VALUE, VALUE_TOO_LARGE) naming the part below `field` that cannot be stored."""
    if not 1 <= value.index <= MAX_INDEX:
        raise _invalid(f"{field}.index", f"an index is between 1 and {MAX_INDEX}")
    fault = _fault_of_type(value.type)
    if fault:
        raise _invalid(f"{field}.type", fault)
    if len(value.data) > MAX_RECORD_BYTES:
        raise Refusal(
            Reason.VALUE_TOO_LARGE, f"the data is {len(value.data)} bytes; a record holds {MAX_RECORD_BYTES}", f"{field}.data"
        )
    if not 0 <= value.ttl <= (MAX_TIMESTAMP_S if value.ttl_absolute else MAX_TTL_S):
        raise _invalid(f"{field}.ttl", f"a TTL is between 0 and {MAX_TTL_S} seconds")
    if not 0 <= value.timestamp <= MAX_TIMESTAMP_S:
        raise _invalid(f"{field}.timestamp", "a timestamp is in epoch seconds, 32 bits")
    if not 0 <= value.permissions <= 0x0F:
        raise _invalid(f"{field}.permissions", "permissions are four bits")
    if len(value.references) > MAX_REFERENCES:
        raise _invalid(f"{field}.references", f"at most {MAX_REFERENCES} references")
    if value.audience not in (PUBLIC, PRIVATE):
        check_audience(value.audience, f"{field}.audience")


def check_audience(audience: str, field: str) -> None:
    """Raise `Refusal(INVALID_VALUE)` unless `audience` is public, private or a group's name."""
    plain = audience.isascii() and audience.replace("-", "a").replace("_", "a").isalnum()
    if not plain or len(audience) > MAX_GROUP_BYTES:
        raise _invalid(field, "an audience is 'public', 'private' or a group's name (letters, digits, '-', '_')")


def type_matches(stored: str, asked: str) -> bool:
    """Whether a stored type answers to a requested one.

    Types compare without ASCII case; a request ending in `.` asks for the bare type and all below it, as stock Handle
    servers do.
    """
    stored, asked = stored.lower(), asked.lower()
    if asked.endswith("."):
        return stored == asked[:-1] or stored.startswith(asked)
    return stored == asked


def type_filter(asked: Collection[str]) -> Callable[[str], bool]:
    """`type_matches` against any of many requested types, at a cost that does not grow with their number."""
    if not asked:
        return lambda _: False
    exact = {kind.lower() for kind in asked if not kind.endswith(".")}
    families = {kind[:-1].lower() for kind in asked if kind.endswith(".")}

    def matches(stored: str) -> bool:
        stored = stored.lower()
        if stored in exact or stored in families:
            return True
        return bool(families) and any(stored[: dot.start()] in families for dot in _DOT.finditer(stored))

    return matches


@lru_cache(_TYPES_KEPT)
def _fault_of_type(kind: str) -> str:
    """What is wrong with a type's name; empty if nothing is."""
    if not 0 < len(kind.encode(errors="surrogatepass")) <= MAX_TYPE_BYTES or not kind.isprintable() or kind != kind.strip():
        return f"a type is 1 to {MAX_TYPE_BYTES} bytes of printable text"
    return "a type ending in '.' is a query for a family of types, not a type" if kind.endswith(".") else ""


def _invalid(field: str, why: str) -> Refusal:
    return Refusal(Reason.INVALID_VALUE, why, field)
