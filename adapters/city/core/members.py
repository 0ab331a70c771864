"""Members: what a system gets under names of its own, each taken from one place of a record.

    identifier                  a member of the record: registrant, template, state, changed, ...
    values.TITLE                the data of its value of that type, the first by index if there are several
    values.META#rated.power     what stands at that path in the JSON that the value holds

A code whose standard we cannot check is an opaque text with a pattern: what does not match it is not sent, and the member's
name stands under `unfit`, so that the system knows that there is something it would not recognise.

What a member is about and an example of it are for people, for the schema (`core.schema`), and for whoever tries the profile.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.city.core.selection import Document

UNFIT: Final = "unfit"
PLAIN: Final = frozenset({"identifier", "name", "code", "registrant", "template", "created", "changed"})
"""Members of a record, prefix or registrant that may be taken over as they are."""
_VALUES: Final = "values."
_KEYS: Final = frozenset({"from", "pattern", "about", "example"})
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
# A code is some dozens of characters; a pattern is not to be tried on a document.
MAX_CODE_CHARS: Final = 1_024
# What a system always gets; a member must not take its place.
RESERVED: Final = frozenset({"kind", "identifier", "version", "state", UNFIT})


@dataclass(frozen=True, slots=True)
class Member:
    """A member called `name`. `pattern` is what a text must match as a whole; None: anything."""

    name: str
    source: str
    pattern: re.Pattern[str] | None = None
    about: str = ""
    example: str = ""

    @property
    def value_type(self) -> str:
        """The type of the values that it is taken from; empty if it is not taken from one."""
        return self.source.removeprefix(_VALUES).partition("#")[0] if self.source.startswith(_VALUES) else ""


def parse_member(name: str, given: Any) -> Member:
    """The member that a profile describes: its source, or `{from, pattern, about, example}`. Raises `ValueError`."""
    document = {"from": given} if isinstance(given, str) else given
    if not isinstance(document, dict) or not set(document) <= _KEYS or not isinstance(document.get("from"), str):
        raise ValueError("a source, or { from = SOURCE, pattern = PATTERN, about = TEXT, example = TEXT } is wanted")
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise ValueError(f"a member's name is small letters, digits and '_', and none of {', '.join(sorted(RESERVED))}")
    source = document["from"]
    if source not in PLAIN and not (source.startswith(_VALUES) and len(source) > len(_VALUES)):
        raise ValueError(f"a source is one of {', '.join(sorted(PLAIN))}, or values.TYPE, or values.TYPE#path")
    try:
        pattern = re.compile(document["pattern"]) if "pattern" in document else None
    except (re.error, TypeError) as error:
        raise ValueError(f"the pattern cannot be read: {error}") from None
    about, example = document.get("about", ""), document.get("example", "")
    if not isinstance(about, str) or not isinstance(example, str):
        raise ValueError("what it is about, and an example of it, are texts")
    if example and pattern is not None and not _fits(pattern, example):
        raise ValueError(f'the example "{example}" does not match the pattern')
    return Member(name, source, pattern, about, example)


def render_members(members: Sequence[Member], noun: Document, shared: Sequence[Document]) -> dict[str, Any]:
    """The members of a thing; those that it has nothing for are left out."""
    document: dict[str, Any] = {}
    unfit = []
    for member in members:
        found = _find(member.source, noun, shared)
        if found is None or found == "":
            continue
        if member.pattern is not None and not _fits(member.pattern, found):
            unfit.append(member.name)
        else:
            document[member.name] = found
    return {**document, UNFIT: unfit} if unfit else document


def _fits(pattern: re.Pattern[str], found: Any) -> bool:
    return isinstance(found, str) and len(found) <= MAX_CODE_CHARS and pattern.fullmatch(found) is not None


def _find(source: str, noun: Document, shared: Sequence[Document]) -> Any:
    if not source.startswith(_VALUES):
        return noun.get(source)
    kind, _, path = source.removeprefix(_VALUES).partition("#")
    value = next((value for value in shared if value["type"] == kind), None)
    if value is None:
        return None
    data = value["data"]["value"]
    return _at(data, path) if path else data


def _at(text: Any, path: str) -> Any:
    """What stands at a dotted path of a JSON text; nothing if it is no JSON or has no such path."""
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        return None
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
