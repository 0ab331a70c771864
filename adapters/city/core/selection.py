"""What of the changes a system is told: by kind, prefix, registrant, template, type, state and share class.

Share classes are the national ones: 无条件共享 (`unconditional`) is what is public; 有条件共享 (`conditional`) is what a
registrant opens to the feeds' account by a group; 不予共享 is the rest, and leaves the node by no feed: the account does not
get to see it, and what is private is left out here once more.

What is no longer selected is told as removed, so that a system does not keep what has left its view. Of a record only its
present values are known, so one that never was selected by type may be told as removed, too: a system that does not know it
has nothing to do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from proto.model.feed import FeedKind
from proto.model.record import State
from proto.model.value import PRIVATE, PUBLIC, type_filter

Document = Mapping[str, Any]
"""A noun, a value or a row as the REST API gives it."""

_ACTIVE: Final = State.ACTIVE.name.lower()


class Share(StrEnum):
    """The share class of a value."""

    UNCONDITIONAL = "unconditional"
    CONDITIONAL = "conditional"
    NONE = "none"


class Interest(StrEnum):
    """What a system is told of a row."""

    CHANGED = "changed"
    REMOVED = "removed"
    NONE = "none"


# Every other audience is a group of the registrant's.
_SHARES: Final[Mapping[str, Share]] = {PUBLIC: Share.UNCONDITIONAL, PRIVATE: Share.NONE}


def share_of(value: Document) -> Share:
    """The share class of a value, by its audience."""
    return _SHARES.get(value.get("audience", PRIVATE), Share.CONDITIONAL)


@dataclass(frozen=True, slots=True)
class Selection:
    """What is selected. An empty set or tuple selects all, but for kinds and share classes.

    Of notices it is those for the feed `notices_for`.
    """

    kinds: frozenset[FeedKind] = frozenset({FeedKind.RECORD})
    prefixes: tuple[str, ...] = ()
    registrants: frozenset[str] = frozenset()
    templates: frozenset[str] = frozenset()
    types: tuple[str, ...] = ()
    states: frozenset[str] = frozenset()
    share: frozenset[Share] = frozenset({Share.UNCONDITIONAL})
    notices_for: str = ""

    def shared_values(self, record: Document) -> list[Document]:
        """The values of a record that may be told: those of the selected share classes."""
        share = self.share
        return [value for value in record["values"] if share_of(value) in share]

    def judge(self, row: Document) -> Interest:
        """What to tell of a row of a change."""
        kind = row["kind"]
        if kind == FeedKind.NOTICE:
            is_ours = kind in self.kinds and row[kind]["feed"] == self.notices_for
            return Interest.CHANGED if is_ours else Interest.NONE
        if kind not in self.kinds or not self._is_below(kind, row["name"]):
            return Interest.NONE
        noun = row[kind]
        holder = noun["code"] if kind == FeedKind.REGISTRANT else noun["registrant"]
        if self.registrants and holder not in self.registrants:
            return Interest.NONE
        if self._fits(kind, noun):
            return Interest.CHANGED
        was_selected = row["prior_version"] > 0 and (not self.states or row.get("prior_state") in self.states)
        return Interest.REMOVED if was_selected else Interest.NONE

    def reaches(self, prefix: str) -> bool:
        """Whether anything that lies at a prefix may be selected."""
        return not self.prefixes or any(is_below(prefix, each, FeedKind.PREFIX) for each in self.prefixes)

    def _fits(self, kind: str, noun: Document) -> bool:
        if self.states and noun["state"] not in self.states:
            return False
        if kind != FeedKind.RECORD:
            return True
        if self.templates and noun["template"] not in self.templates:
            return False
        if noun["state"] != _ACTIVE:
            # It shows no values to anybody: its state is what there is to tell, if types do not matter.
            return not self.types
        if not self.types:
            share = self.share
            return any(share_of(value) in share for value in noun["values"])
        matches = type_filter(self.types)
        return any(matches(value["type"]) for value in self.shared_values(noun))

    def _is_below(self, kind: str, name: str) -> bool:
        if not self.prefixes or kind == FeedKind.REGISTRANT:
            return True
        return any(is_below(name, prefix, kind) for prefix in self.prefixes)


def is_below(name: str, prefix: str, kind: str) -> bool:
    """Whether a record or prefix lies at `prefix` or derives from it by labels."""
    own = name.partition("/")[0].lower() if kind == FeedKind.RECORD else name
    return own == prefix or own.startswith(f"{prefix}.")


def share_class(name: str) -> Share:
    """A class that may be selected, by its name. Raises `ValueError`."""
    if name not in list(Share):
        raise ValueError(f"a share class is one of {Share.UNCONDITIONAL}, {Share.CONDITIONAL}")
    if name == Share.NONE:
        raise ValueError("what is not to be shared (不予共享) is fed to nobody")
    return Share(name)
