"""Commands of EPP (RFC 5730 2.9) with the objects of CAICT's mapping: values, and documents, both ways.

`parse_command` is the stand-in's side of it. What is not here is not in the mapping: there is no delete, renew, transfer or
info for enterprises.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from adapters.upstream.epp.core.document import (
    ENT,
    EPP,
    PREFIX,
    STATISTICS,
    Element,
    add,
    child_of,
    compose_document,
    elements_of,
    make_root,
    name_of,
    parse_document,
    text_of,
)
from adapters.upstream.epp.core.malformed import Malformed
from adapters.upstream.epp.core.objects import (
    DayReport,
    Enterprise,
    EnterpriseChange,
    PrefixGrant,
    add_change,
    add_enterprise,
    add_grant,
    add_report,
    read_change,
    read_enterprise,
    read_grant,
    read_report,
)

VERSION: Final = "1.0"
LANGUAGE: Final = "en"


@dataclass(frozen=True, slots=True)
class Hello:
    """Asks for the greeting."""


@dataclass(frozen=True, slots=True)
class Login:
    """Opens a session for the objects named."""

    client: str
    password: str
    objects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Logout:
    """Ends a session."""


@dataclass(frozen=True, slots=True)
class CheckEnterprise:
    """Asks for the upstream's id of an enterprise."""

    user: str
    code_type: str
    code: str


@dataclass(frozen=True, slots=True)
class CheckPrefix:
    """Asks whether a prefix is free."""

    home: str
    prefix: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Asks for the figures of a day that were reported."""

    home: str
    day: str


@dataclass(frozen=True, slots=True)
class UpdateEnterprise:
    """Tells an enterprise anew, as a whole (`chgAll`), or what has changed in it (`chg`)."""

    entity: str
    enterprise: Enterprise | EnterpriseChange


@dataclass(frozen=True, slots=True)
class UpdatePrefix:
    """Tells a prefix anew."""

    grant: PrefixGrant


Telling = Enterprise | UpdateEnterprise | PrefixGrant | UpdatePrefix | DayReport
"""What tells a filing; an object alone is its create command."""


@dataclass(frozen=True, slots=True)
class Poll:
    """Asks for the oldest message."""


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Takes a message out of the queue."""

    message: str


Check = CheckEnterprise | CheckPrefix | CheckReport
"""What asks whether there is such a thing."""

Command = Hello | Login | Logout | Check | Telling | Poll | Acknowledge
"""What can be said."""


def compose_command(command: Command, transaction: str) -> bytes:
    """A document; a hello has no transaction. Raises `Malformed` for text that XML cannot have."""
    root = make_root()
    if isinstance(command, Hello):
        add(root, EPP, "hello")
        return compose_document(root)
    outer = add(root, EPP, "command")
    _add_verb(outer, command)
    add(outer, EPP, "clTRID", transaction)
    return compose_document(root)


def parse_command(raw: bytes) -> tuple[Command, str]:
    """What a client says, and its transaction. Raises `Malformed`."""
    (top,) = elements_of(parse_document(raw))
    if name_of(top)[1] == "hello":
        return Hello(), ""
    if name_of(top)[1] != "command":
        raise Malformed("it is no command")
    verb = elements_of(top)[0]
    return _read_verb(verb, name_of(verb)[1]), text_of(top, EPP, "clTRID")


def _read_verb(verb: Element, name: str) -> Command:
    if name == "login":
        services = child_of(verb, EPP, "svcs")
        objects = () if services is None else tuple((each.text or "") for each in services.iterfind(f"{{{EPP}}}objURI"))
        return Login(text_of(verb, EPP, "clID"), text_of(verb, EPP, "pw"), objects)
    if name == "logout":
        return Logout()
    if name == "poll":
        return Acknowledge(verb.get("msgID", "")) if verb.get("op") == "ack" else Poll()
    (thing,) = elements_of(verb)
    return _READ_OBJECT[name, name_of(thing)[0]](thing)


def _read_update(thing: Element) -> UpdateEnterprise:
    entity, whole, part = text_of(thing, ENT, "entId"), child_of(thing, ENT, "chgAll"), child_of(thing, ENT, "chg")
    if whole is not None:
        return UpdateEnterprise(entity, read_enterprise(whole))
    if part is not None:
        return UpdateEnterprise(entity, read_change(part))
    raise Malformed("neither ent:chgAll nor ent:chg")


def _read_prefix_update(thing: Element) -> UpdatePrefix:
    whole = child_of(thing, PREFIX, "chgAll")
    if whole is None:
        raise Malformed("prefix:chgAll is missing")
    return UpdatePrefix(read_grant(whole))


_READ_OBJECT: Final[Mapping[tuple[str, str], Callable[[Element], Command]]] = {
    ("check", ENT): lambda thing: CheckEnterprise(
        text_of(thing, ENT, "shrUserId"), text_of(thing, ENT, "entCrtType"), text_of(thing, ENT, "entCrtCode")
    ),
    ("check", PREFIX): lambda thing: CheckPrefix(text_of(thing, PREFIX, "shrPrefix"), text_of(thing, PREFIX, "prefix")),
    ("check", STATISTICS): lambda thing: CheckReport(
        text_of(thing, STATISTICS, "shrPrefix"), text_of(thing, STATISTICS, "day")
    ),
    ("create", ENT): read_enterprise,
    ("create", PREFIX): read_grant,
    ("create", STATISTICS): read_report,
    ("update", ENT): _read_update,
    ("update", PREFIX): _read_prefix_update,
}


def _add_login(outer: Element, login: Login) -> None:
    element = add(outer, EPP, "login")
    add(element, EPP, "clID", login.client)
    add(element, EPP, "pw", login.password)
    options = add(element, EPP, "options")
    add(options, EPP, "version", VERSION)
    add(options, EPP, "lang", LANGUAGE)
    services = add(element, EPP, "svcs")
    for each in login.objects:
        add(services, EPP, "objURI", each)


def _add_enterprise_check(outer: Element, check: CheckEnterprise) -> None:
    element = add(add(outer, EPP, "check"), ENT, "check")
    for name, text in (("shrUserId", check.user), ("entCrtType", check.code_type), ("entCrtCode", check.code)):
        add(element, ENT, name, text)


def _add_prefix_check(outer: Element, check: CheckPrefix) -> None:
    element = add(add(outer, EPP, "check"), PREFIX, "check")
    add(element, PREFIX, "shrPrefix", check.home)
    add(element, PREFIX, "prefix", check.prefix)


def _add_report_check(outer: Element, check: CheckReport) -> None:
    element = add(add(outer, EPP, "check"), STATISTICS, "check")
    add(element, STATISTICS, "shrPrefix", check.home)
    add(element, STATISTICS, "day", check.day)


def _add_update(outer: Element, update: UpdateEnterprise) -> None:
    element = add(add(outer, EPP, "update"), ENT, "update")
    add(element, ENT, "entId", update.entity)
    if isinstance(update.enterprise, Enterprise):
        add_enterprise(add(element, ENT, "chgAll"), update.enterprise)
    else:
        add_change(add(element, ENT, "chg"), update.enterprise)


def _add_prefix_update(outer: Element, update: UpdatePrefix) -> None:
    element = add(add(outer, EPP, "update"), PREFIX, "update")
    add_grant(add(element, PREFIX, "chgAll"), update.grant)


def _add_poll(outer: Element, poll: Poll | Acknowledge) -> None:
    element = add(outer, EPP, "poll")
    element.set("op", "ack" if isinstance(poll, Acknowledge) else "req")
    if isinstance(poll, Acknowledge):
        element.set("msgID", poll.message)


def _add_verb(outer: Element, command: Command) -> None:
    match command:
        case Login():
            _add_login(outer, command)
        case CheckEnterprise():
            _add_enterprise_check(outer, command)
        case CheckPrefix():
            _add_prefix_check(outer, command)
        case CheckReport():
            _add_report_check(outer, command)
        case Enterprise():
            add_enterprise(add(add(outer, EPP, "create"), ENT, "create"), command)
        case UpdateEnterprise():
            _add_update(outer, command)
        case UpdatePrefix():
            _add_prefix_update(outer, command)
        case PrefixGrant():
            add_grant(add(add(outer, EPP, "create"), PREFIX, "create"), command)
        case DayReport():
            add_report(add(add(outer, EPP, "create"), STATISTICS, "create"), command)
        case Poll() | Acknowledge():
            _add_poll(outer, command)
        case _:
            add(outer, EPP, "logout")
