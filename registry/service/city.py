"""What the city asks for: an enterprise by its code, and its products.

The policy is that of all readings: the city gets what is public and what its groups open, and nothing of what is private.
"""

from collections.abc import Set
from dataclasses import dataclass

from proto.errors import Reason, Refusal
from proto.model.account import Caller
from proto.model.change import Table
from proto.model.identifier import parse_identifier, parse_prefix
from proto.model.prefix import Prefix, Registrant
from proto.model.record import Record
from proto.ports import RecordReader
from proto.tables import unpack_prefix
from registry.policy.rules import EVERY_REGISTRANT, Action, require
from registry.service.ground import key_of
from registry.service.listing import Page, check_limit
from registry.service.prefixes import holder_of
from registry.service.read import MAX_PAGE_BYTES, list_records
from registry.service.registrants import list_registrants, parse_code, show_registrant


@dataclass(frozen=True, slots=True)
class Enterprise:
    """A registrant and the prefixes that it holds, by name."""

    registrant: Registrant
    prefixes: tuple[Prefix, ...]


def show_enterprise(reader: RecordReader, caller: Caller, code: str) -> Enterprise:
    """One enterprise. Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED, INVALID_ARGUMENT, NOT_FOUND."""
    registrant = show_registrant(reader, caller, code)
    require(caller, Action.READ_PREFIX, registrant.code)
    return Enterprise(registrant, tuple(_prefixes_of(reader, {registrant.code}).get(registrant.code, ())))


def list_enterprises(reader: RecordReader, caller: Caller, after: str, limit: int) -> Page[Enterprise]:
    """All enterprises, by code. Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED, INVALID_ARGUMENT."""
    require(caller, Action.READ_PREFIX, EVERY_REGISTRANT)
    page = list_registrants(reader, caller, EVERY_REGISTRANT, after, limit)
    prefixes = _prefixes_of(reader, {each.code for each in page.items})
    return Page(tuple(Enterprise(each, tuple(prefixes.get(each.code, ()))) for each in page.items), page.cursor)


def list_products(reader: RecordReader, caller: Caller, code: str, prefix: str, after: str, limit: int) -> Page[Record]:
    """The records of an enterprise below all its prefixes, or (if it is said) below one, in order of prefix and name.

    Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED (also if the prefix is another's), INVALID_ARGUMENT, NOT_FOUND,
    UNKNOWN_PREFIX, NOT_HOMED, INVALID_IDENTIFIER.
    """
    holder = parse_code(code)
    require(caller, Action.LIST, holder)
    check_limit(limit)
    if reader.image(Table.REGISTRANT, holder) is None:
        raise Refusal(Reason.NOT_FOUND, f"there is no registrant {holder}", "enterprise")
    names = [parse_prefix(prefix)] if prefix else [each.name for each in _prefixes_of(reader, {holder}).get(holder, ())]
    first, _, _ = after.partition("/")
    found: list[Record] = []
    size = 0
    for name in names:
        if name < first:
            continue
        page = list_records(reader, caller, holder, name, after if name == first else "", limit - len(found))
        found += page.items
        size += sum(len(value.data) for record in page.items for value in record.values)
        if page.cursor:
            return Page(tuple(found), page.cursor)
        if found and (len(found) >= limit or size >= MAX_PAGE_BYTES):
            return Page(tuple(found), key_of(reader, parse_identifier(found[-1].identifier)))
    return Page(tuple(found))


def _prefixes_of(reader: RecordReader, codes: Set[str]) -> dict[str, list[Prefix]]:
    """The prefixes of some registrants, in order of their names."""
    found: dict[str, list[Prefix]] = {}
    for _, image in sorted(each for each in reader.images(Table.PREFIX).items() if holder_of(each[1]) in codes):
        prefix = unpack_prefix(image)
        found.setdefault(prefix.registrant, []).append(prefix)
    return found
