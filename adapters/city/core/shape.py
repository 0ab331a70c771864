"""What of a selected thing is sent: a field mask over its document, or members under names of the system's own.

Fields are members of the document as the REST API gives it (`identifier`, `state`, `registrant`, ...); `values` are all shared
values of a record, `values.URL` those of one type. Without a mask everything shared is sent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.city.core.members import Member, render_members
from adapters.city.core.selection import Document, Selection, Share, share_of
from proto.model.feed import FeedKind
from proto.model.value import type_filter

_VALUES: Final = "values"

# What names a thing, and says how old what is said of it is, is always sent.
_ALWAYS: Final[Mapping[str, tuple[str, ...]]] = {
    FeedKind.RECORD: ("identifier", "version", "state"),
    FeedKind.PREFIX: ("name", "version", "state"),
    FeedKind.REGISTRANT: ("code", "version", "state"),
}
NAME_MEMBER: Final[Mapping[str, str]] = {kind: members[0] for kind, members in _ALWAYS.items()}
"""The member that names a thing, by its kind."""
FIELDS: Final = frozenset({
    "identifier", "name", "code", "version", "state", "registrant", "template", "aliases", "created", "changed", "suffix_rule",
    "in_use", _VALUES,
})  # fmt: skip
"""Every member that some kind of thing has."""


# As mere text, which is written several times as fast as a member of an enumeration.
_SHARE_NAMES: Final = {share: str(share.value) for share in Share}

MapNoun = Callable[[FeedKind, Document, Sequence[Document]], dict[str, Any]]
"""The members of a thing, of its document and its shared values: code that a system has of its own."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A field mask; empty: everything. `members` (`core.members`) or a `mapping` take its place."""

    fields: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()
    mapping: MapNoun | None = None

    def render(self, kind: FeedKind, noun: Document, selection: Selection) -> dict[str, Any]:
        """The document of a selected thing."""
        if self.members or self.mapping is not None:
            always = {"kind": kind, **{name: noun[name] for name in _ALWAYS[kind]}}
            shared = selection.shared_values(noun) if kind is FeedKind.RECORD else []
            own = self.mapping(kind, noun, shared) if self.mapping is not None else {}
            return {**own, **render_members(self.members, noun, shared), **always}
        wanted = {*self.fields, *_ALWAYS[kind]} if self.fields else noun.keys()
        document = {"kind": str(kind), **noun}
        if self.fields:
            document = {name: part for name, part in document.items() if name == "kind" or name in wanted}
        document.pop(_VALUES, None)
        if kind is FeedKind.RECORD:
            values = self._values(selection.shared_values(noun))
            if values or _VALUES in wanted:
                document[_VALUES] = values
        return document

    def _values(self, shared: list[Document]) -> list[dict[str, Any]]:
        if self.fields and _VALUES not in self.fields:
            matches = type_filter([name.partition(".")[2] for name in self.fields if name.startswith(f"{_VALUES}.")])
            shared = [value for value in shared if matches(value["type"])]
        return [_render_value(value) for value in shared]


def render_removed(kind: FeedKind, noun: Document) -> dict[str, Any]:
    """The document of a thing that is no longer selected: what it is called, and which version of it is gone."""
    return {"kind": kind, **{name: noun[name] for name in _ALWAYS[kind]}}


def subject_of(kind: FeedKind, noun: Document) -> str:
    """What a thing is called, as registered."""
    return str(noun[NAME_MEMBER[kind]])


def is_field(name: str) -> bool:
    """Whether a mask may name it."""
    return name in FIELDS or (name.startswith(f"{_VALUES}.") and len(name) > len(_VALUES) + 1)


def _render_value(value: Document) -> dict[str, Any]:
    """A value with its share class; the name of the group that opens it is the registrant's own matter."""
    document = {**value, "share": _SHARE_NAMES[share_of(value)]}
    document.pop("audience", None)
    document.pop("permissions", None)
    return document
