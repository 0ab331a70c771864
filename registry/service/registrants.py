"""Registrants: the enterprises that hold prefixes, keyed by their unified social credit code or another code."""

import re
from dataclasses import replace
from typing import Final

from proto.errors import Reason, Refusal
from proto.model.account import Caller
from proto.model.change import Table
from proto.model.prefix import PrefixState, Registrant
from proto.ports import RecordReader
from proto.schemes.uscc import is_uscc_shaped, parse_uscc
from proto.tables import pack_registrant, unpack_registrant
from registry.policy.rules import EVERY_REGISTRANT, Action, enter, require
from registry.service.lifecycle import check_first, check_move
from registry.service.listing import Page, page_of, plan_nothing, plan_row
from registry.service.plan import Plan, check_version

# Codes stand in paths and in every record; the longest in use are the 18 characters of a USCC.
_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

# The legal names of companies run to some dozens of characters.
MAX_NAME_BYTES: Final = 512


def parse_code(text: str, field: str = "code") -> str:
    """A registrant's code as it is kept: what can only be a USCC is checked and in upper case, others are as spelt.

    Raises `Refusal(INVALID_ARGUMENT)`.
    """
    if is_uscc_shaped(text):
        return parse_uscc(text, field)
    if not _CODE.fullmatch(text):
        raise Refusal(Reason.INVALID_ARGUMENT, "a code is 1 to 64 letters, digits, '.', '-' and '_'", field)
    return text


def parse_whose(text: str, field: str = "registrant") -> str:
    """A registrant's code where a scan names whose things it wants: empty for the node's own, `EVERY_REGISTRANT` for all."""
    return text if text in ("", EVERY_REGISTRANT) else parse_code(text, field)


def plan_registrant(reader: RecordReader, caller: Caller, code: str, name: str, state: PrefixState, now_ms: int) -> Plan:
    """A new registrant; the same again changes nothing.

    Raises `Refusal`: PERMISSION_DENIED, INVALID_ARGUMENT, INVALID_STATE, ALREADY_EXISTS.
    """
    require(caller, Action.ADMINISTER_REGISTRANT, code)
    kept = parse_code(code)
    check_name(name)
    check_first(state)
    image = reader.image(Table.REGISTRANT, kept)
    if image is not None:
        there = unpack_registrant(image)
        if (there.name, there.state) == (name, state):
            return plan_nothing(kept, image, there.version, there.state)
        raise Refusal(Reason.ALREADY_EXISTS, f"there is a registrant {kept}", "code")
    registrant = Registrant(kept, name, state, 1, now_ms, now_ms)
    return plan_row(Table.REGISTRANT, kept, pack_registrant(registrant), 1, state)


def plan_registrant_move(
    reader: RecordReader, caller: Caller, code: str, state: PrefixState, expected_version: int | None, now_ms: int
) -> Plan:
    """A registrant in another state. Raises `Refusal`: PERMISSION_DENIED, NOT_FOUND, VERSION_CONFLICT, INVALID_STATE."""
    require(caller, Action.ADMINISTER_REGISTRANT, code)
    before = find_registrant(reader, parse_code(code))
    check_version(before.version, expected_version)
    if before.state is state:
        return plan_nothing(before.code, pack_registrant(before), before.version, before.state)
    check_move(before.state, state)
    after = replace(before, state=state, version=before.version + 1, changed_ms=max(now_ms, before.changed_ms))
    return plan_row(Table.REGISTRANT, after.code, pack_registrant(after), after.version, after.state, before.state)


def show_registrant(reader: RecordReader, caller: Caller, code: str) -> Registrant:
    """Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND."""
    enter(caller, Action.READ_REGISTRANT)
    kept = parse_code(code)
    require(caller, Action.READ_REGISTRANT, kept)
    return find_registrant(reader, kept)


def list_registrants(reader: RecordReader, caller: Caller, registrant: str, after: str, limit: int) -> Page[Registrant]:
    """One registrant, or `EVERY_REGISTRANT`, by code. Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED."""
    whose = parse_whose(registrant)
    require(caller, Action.READ_REGISTRANT, whose)
    images = reader.images(Table.REGISTRANT)

    def item_of(code: str) -> Registrant | None:
        return unpack_registrant(images[code]) if whose in (EVERY_REGISTRANT, code) else None

    return page_of(images, after, limit, item_of)


def find_registrant(reader: RecordReader, code: str) -> Registrant:
    """The registrant of this code. Raises `Refusal(NOT_FOUND)`."""
    image = reader.image(Table.REGISTRANT, code)
    if image is None:
        raise Refusal(Reason.NOT_FOUND, f"there is no registrant {code}", "registrant")
    return unpack_registrant(image)


def check_name(name: str) -> None:
    """Raise `Refusal(INVALID_ARGUMENT)` unless it can be a legal name."""
    size = len(name.encode(errors="surrogatepass"))
    if not 0 < size <= MAX_NAME_BYTES or not name.isprintable() or name != name.strip():
        raise Refusal(Reason.INVALID_ARGUMENT, f"a name is 1 to {MAX_NAME_BYTES} bytes of printable text", "name")
