"""What the upstream says: its greeting, responses, and the messages in its queue (RFC 5730 2.4, 2.6, 2.9.2.3).

Response codes are kept as they come, also those that the standard does not know: `core.verdict` judges them. Object data of
namespaces that are not ours is passed over; a response that answers by them alone has no data.
"""

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
from adapters.upstream.epp.core.objects import DayReport, add_report, read_report

NORMAL: Final = "1"
"""state: 1 is normal."""
APPROVED: Final = "1"
"""auditResult: 1 is a yes, anything else is a no."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """Who answers, and what it speaks."""

    server: str
    date: str
    versions: tuple[str, ...]
    languages: tuple[str, ...]
    objects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EntityData:
    """`ent:creData` and `ent:chkData`: the upstream's id of an enterprise, empty if it knows none."""

    entity: str
    is_check: bool = False


@dataclass(frozen=True, slots=True)
class PrefixData:
    """`prefix:creData`, and `prefix:chkData` with whether it is free."""

    prefix: str
    is_free: bool | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """The outcome of an audit: `transaction` is that of the command which was audited. A prefix's has the prefix."""

    transaction: str
    server_transaction: str
    entity: str
    prefix: str
    state: str
    result: str
    message: str

    @property
    def is_approved(self) -> bool:
        return (self.state, self.result) == (NORMAL, APPROVED)


Data = EntityData | PrefixData | DayReport | Audit
"""What a response may hold; a day's report is what `statistics:chkData` says is held of that day."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue of messages: how many there are, and the id of the one in this response."""

    count: int
    message: str


@dataclass(frozen=True, slots=True)
class Response:
    """What became of a command. `transaction` is the client's name of it, empty if the server could not read it."""

    code: int
    message: str
    transaction: str
    server_transaction: str
    data: Data | None = None
    queue: Queue | None = None


def parse_reply(raw: bytes) -> Greeting | Response:
    """Raises `Malformed`."""
    tops = elements_of(parse_document(raw))
    name = name_of(tops[0])[1]
    if name == "greeting":
        return _read_greeting(tops[0])
    if name == "response":
        return _read_response(tops[0])
    raise Malformed("neither a greeting nor a response")


def compose_greeting(greeting: Greeting) -> bytes:
    """The document of a greeting."""
    root = make_root()
    top = add(root, EPP, "greeting")
    add(top, EPP, "svID", greeting.server)
    add(top, EPP, "svDate", greeting.date)
    menu = add(top, EPP, "svcMenu")
    for name, texts in (("version", greeting.versions), ("lang", greeting.languages), ("objURI", greeting.objects)):
        for text in texts:
            add(menu, EPP, name, text)
    return compose_document(root)


def compose_response(response: Response) -> bytes:
    """The document of a response."""
    root = make_root()
    top = add(root, EPP, "response")
    result = add(top, EPP, "result")
    result.set("code", f"{response.code:04}")
    add(result, EPP, "msg", response.message)
    if response.queue is not None:
        queue = add(top, EPP, "msgQ")
        queue.set("count", str(response.queue.count))
        queue.set("id", response.queue.message)
    if response.data is not None:
        _add_data(add(top, EPP, "resData"), response.data)
    names = add(top, EPP, "trID")
    if response.transaction:
        add(names, EPP, "clTRID", response.transaction)
    add(names, EPP, "svTRID", response.server_transaction)
    return compose_document(root)


def _read_greeting(top: Element) -> Greeting:
    menu = child_of(top, EPP, "svcMenu")

    def texts(name: str) -> tuple[str, ...]:
        found = menu.iterfind(f"{{{EPP}}}{name}") if menu is not None else ()
        return tuple((each.text or "").strip() for each in found)

    return Greeting(text_of(top, EPP, "svID"), text_of(top, EPP, "svDate"), texts("version"), texts("lang"), texts("objURI"))


def _read_response(top: Element) -> Response:
    result, names = child_of(top, EPP, "result"), child_of(top, EPP, "trID")
    if result is None or names is None:
        raise Malformed("a response without result or transaction")
    queue, data = child_of(top, EPP, "msgQ"), child_of(top, EPP, "resData")
    return Response(
        int(result.get("code", "0")),
        text_of(result, EPP, "msg"),
        text_of(names, EPP, "clTRID"),
        text_of(names, EPP, "svTRID"),
        _read_data(data) if data is not None else None,
        Queue(int(queue.get("count", "0")), queue.get("id", "")) if queue is not None else None,
    )


def _read_data(parent: Element) -> Data | None:
    for thing in elements_of(parent):
        match name_of(thing):
            case (space, "auditData") if space in (ENT, PREFIX):
                return _read_audit(thing, space)
            case (space, "creData" | "chkData" as name) if space == ENT:
                return EntityData(text_of(thing, ENT, "entId"), name == "chkData")
            case (space, "chkData") if space == STATISTICS:
                return read_report(thing)
            case (space, "creData") if space == PREFIX:
                return PrefixData(text_of(thing, PREFIX, "prefix"))
            case (space, "chkData") if space == PREFIX:
                found = child_of(thing, PREFIX, "prefix")
                return PrefixData(text_of(thing, PREFIX, "prefix"), found is not None and found.get("avail") in ("1", "true"))
    return None


_AUDIT: Final = ("clTRID", "svTRID", "entId", "prefix", "state", "auditResult", "auditResultMsg")


def _read_audit(thing: Element, space: str) -> Audit:
    return Audit(*(text_of(thing, space, name) for name in _AUDIT))


def _add_data(parent: Element, data: Data) -> None:
    match data:
        case Audit():
            space = PREFIX if data.prefix else ENT
            texts = (
                data.transaction, data.server_transaction, data.entity, data.prefix, data.state, data.result, data.message
            )  # fmt: skip
            element = add(parent, space, "auditData")
            for name, text in zip(_AUDIT, texts, strict=True):
                if text:
                    add(element, space, name, text)
        case DayReport():
            add_report(add(parent, STATISTICS, "chkData"), data)
        case EntityData():
            element = add(parent, ENT, "chkData" if data.is_check else "creData")
            if data.entity:
                add(element, ENT, "entId", data.entity)
        case PrefixData():
            element = add(parent, PREFIX, "creData" if data.is_free is None else "chkData")
            found = add(element, PREFIX, "prefix", data.prefix)
            if data.is_free is not None:
                found.set("avail", "1" if data.is_free else "0")
