"""What the stand-in holds, as events make it, and the ways in which it may be rude."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

from adapters.upstream.epp.core.objects import Enterprise, EnterpriseChange, Image
from adapters.upstream.epp.core.replies import Audit, Data, EntityData, PrefixData, Response
from adapters.upstream.epp.core.verdict import OK, PENDING
from proto.model.papers import picture_type
from proto.sm3 import sm3

REJECTED: Final = "0"
"""auditResult of a no."""

_MISSING_PARAMETER: Final = 2003
_BAD_VALUE: Final = 2005

OURS: Final = "ours"
"""Who reported an enterprise: the node that this system is asked by, or somebody else."""


class Misbehaviour(StrEnum):
    """How a greeting or a command is met instead of well."""

    NO_GREETING = "no-greeting"
    STRANGE_GREETING = "strange-greeting"
    """Not what the schema says."""
    OTHER_OBJECTS = "other-objects"
    """It does not know enterprises."""
    OTHER_VERSION = "other-version"
    BOMB = "bomb"
    """A greeting with entities in entities."""
    HANG = "hang"
    """The command is carried out, and the answer never comes."""
    CLOSE = "close"
    """The command is carried out, and the line is cut."""
    HALF = "half"
    """The command is carried out, and the line is cut in the middle of the answer."""
    DROP = "drop"
    """The command is not carried out, and the line is cut."""
    LIE = "lie"
    """A frame that says to be 100 MB long."""
    BABBLE = "babble"
    """What comes is no XML."""
    OTHER = "other"
    """An answer to a command that was never given."""
    FAIL = "2400"
    SHUT = "2502"
    UNKNOWN_REFUSAL = "2999"
    UNKNOWN_SUCCESS = "1999"
    """The command is carried out, and the code says nothing that is known."""


AT_GREETING: Final = frozenset({
    Misbehaviour.NO_GREETING, Misbehaviour.STRANGE_GREETING, Misbehaviour.OTHER_OBJECTS, Misbehaviour.OTHER_VERSION,
    Misbehaviour.BOMB,
})  # fmt: skip
UNDONE: Final = frozenset({Misbehaviour.DROP, Misbehaviour.FAIL, Misbehaviour.SHUT, Misbehaviour.UNKNOWN_REFUSAL})


@dataclass(slots=True)
class Books:
    """What the system holds; every change of it is an event of the journal."""

    enterprises: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By code: its id, how often it was created and updated, and what the auditor said."""
    prefixes: dict[str, dict[str, Any]] = field(default_factory=dict)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, Response] = field(default_factory=dict)
    """By transaction: what was answered, to be answered again."""
    audits: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By transaction: what waits for the auditor."""
    messages: dict[str, Audit] = field(default_factory=dict)
    last_message: int = 0

    def apply(self, event: Mapping[str, Any]) -> None:
        """Carry out one event."""
        match event["do"]:
            case "take":
                self._take(event)
            case "audit":
                self._audit(event)
            case "acknowledge":
                self.messages.pop(event["message"], None)

    def code_of(self, entity: str) -> str:
        """The code of the enterprise of this id, empty if there is none."""
        return next((code for code, entry in self.enterprises.items() if entry["entity"] == entity), "")

    def _take(self, event: Mapping[str, Any]) -> None:
        what, name, transaction = event["what"], event["name"], event["transaction"]
        data: Data | None = None
        if what == "enterprise":
            entry = self.enterprises.setdefault(name, {"entity": event["entity"], "created": 0, "updated": 0, "result": ""})
            entry["reporter"] = event.get("reporter", OURS)
            entry["updated" if event["is_update"] else "created"] += 1
            # What changes is told by itself, or everything anew.
            is_part = event["is_update"] and "code" not in event["content"]
            entry["content"] = {**(entry["content"] if is_part else {}), **event["content"]}
            data = EntityData(event["entity"])
        elif what == "prefix":
            entry = self.prefixes.setdefault(name, {"entity": event["entity"], "created": 0, "updated": 0, "result": ""})
            entry["updated" if event["is_update"] else "created"] += 1
            data = PrefixData(name)
        else:
            self.reports.setdefault(name, {"created": 0, "content": event["content"]})["created"] += 1
        code = OK if what == "report" else PENDING
        self.answers[transaction] = Response(code, "等待审核", transaction, event["server_transaction"], data)
        if code == PENDING:
            self.audits[transaction] = dict(event)

    def _audit(self, event: Mapping[str, Any]) -> None:
        taken = self.audits.pop(event["transaction"])
        entries = self.enterprises if taken["what"] == "enterprise" else self.prefixes
        entries[taken["name"]]["result"] = event["result"]
        self.last_message += 1
        prefix = taken["name"] if taken["what"] == "prefix" else ""
        said = (taken["entity"], prefix, "1", event["result"], event["message"])
        self.messages[f"m-{self.last_message}"] = Audit(event["transaction"], taken["server_transaction"], *said)


def is_held(entries: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    """Whether there is something of this name: what the auditor rejected may be created again."""
    return name in entries and entries[name]["result"] != REJECTED


def is_in_audit(books: Books, name: str) -> bool:
    """Whether the auditor has something of this name before him."""
    return any(taken["name"] == name for taken in books.audits.values())


def no_to_papers(content: object) -> tuple[int, str] | None:
    """What is wrong with papers of an enterprise, beyond what the schema says."""
    if not isinstance(content, Enterprise | EnterpriseChange):
        return None
    person, contact = content.legal_person, content.contact
    if person is not None and not (person.name and person.id_number):
        return _MISSING_PARAMETER, "法人信息不全"
    if contact is not None and not (contact.name or contact.email or contact.phone):
        return _MISSING_PARAMETER, "联系人信息不全"
    pictures = (content.licence, person.image if person is not None else None)
    if any(image is not None and picture_type(image.data) != image.type for image in pictures):
        return _BAD_VALUE, "图片类型不符"
    return None


def plain(content: object) -> object:
    """What JSON can hold; of pictures, their type and digest."""
    if isinstance(content, Enterprise | EnterpriseChange):
        texts: dict[str, object] = {name: value for name, value in asdict(content).items() if isinstance(value, str) and value}
        if content.contact is not None:
            texts["contact"] = asdict(content.contact)
        if content.legal_person is not None:
            person = content.legal_person
            texts["legal_person"] = {**asdict(person), "image": _digest_of(person.image)}
        return texts | ({"licence": _digest_of(content.licence)} if content.licence is not None else {})
    return content


def _digest_of(image: Image | None) -> str:
    return f"{image.type} {sm3(image.data).hex()}" if image is not None else ""
