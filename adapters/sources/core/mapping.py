"""Mapping: what the rows of a source come to, as the section `record` of its profile says it. Every text is an expression.

    [record]
    identifier = "88.118.1001/{serial | trim | upper}"
    template = "transformer"                     # empty or missing: whatever is there stays
    aliases = ["88.118.1001/OLD-{old_serial}"]   # all of them, without those that come to nothing; missing: what is there stays

    [[record.values]]
    index = 1
    type = "URL"
    text = "https://erp.example/products/{id}"
    ttl = 3600                                   # seconds; missing: 86400
    audience = "public"                          # or "private", or a group

    [[record.values]]
    index = 3
    type = "META"
    optional = true                              # left out if it comes to nothing; otherwise that is a fault of the row
    [record.values.members]                      # instead of `text`: a JSON object; members that come to nothing are left out
    rated_kv = "{kv | number}"

    [maps.states]                                # tables for the step `map`; "*" is for any other text
    "1" = "in use"

The indexes that are named here are the source's: it adds, replaces and removes values there. Values at other indexes are
others' and stay as they are.
"""

import json
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from typing import Any, Final

from adapters.section import Section
from adapters.sources.core.cells import Cells
from adapters.sources.core.expression import Expression, Maps, parse_expression
from proto.errors import Refusal
from proto.limits import DEFAULT_TTL_S, MAX_ALIASES, MAX_TTL_S, MAX_VALUES
from proto.model.value import PUBLIC, check_audience

MAX_INDEX: Final = 2**32 - 1

# What administers an identifier is no matter of a table of products.
_ADMINISTRATION: Final = "HS_"

_VALUE: Final = ("index", "type", "text", "members", "optional", "ttl", "audience")
_RECORD: Final = ("identifier", "template", "aliases", "values")
_NOTHING: Final = Expression(())


@dataclass(frozen=True, slots=True)
class ValueRule:
    """What makes one value: `text`, or `members` of a JSON object."""

    index: int
    type: str
    text: Expression
    members: tuple[tuple[str, Expression], ...]
    is_optional: bool
    ttl: int
    audience: str

    @property
    def columns(self) -> frozenset[str]:
        """The columns that it reads."""
        return self.text.columns.union(*(expression.columns for _, expression in self.members))

    def data(self, cells: Cells) -> str | None:
        """The value's text for a row; None if it comes to nothing. Raises `ValueError`."""
        if not self.members:
            return self.text.text(cells)
        made = {name: expression.member(cells) for name, expression in self.members}
        kept = {name: member for name, member in made.items() if member is not None}
        return json.dumps(kept, ensure_ascii=False, separators=(",", ":")) if kept else None


@dataclass(frozen=True, slots=True)
class Wanted:
    """An identifier as a row wants it. `values` are documents of the REST API; None: what is there stays."""

    identifier: str
    values: tuple[dict[str, Any], ...]
    template: str | None
    aliases: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Mapping:
    """The whole mapping. `template` and `aliases` are None if it does not say anything of them."""

    identifier: Expression
    values: tuple[ValueRule, ...]
    template: Expression | None = None
    aliases: tuple[Expression, ...] | None = None

    @property
    def columns(self) -> frozenset[str]:
        """All columns that it reads."""
        more = [each.columns for each in (self.identifier, self.template or _NOTHING, *(self.aliases or ()))]
        return frozenset().union(*more, *(rule.columns for rule in self.values))

    @property
    def indexes(self) -> frozenset[int]:
        """The indexes that are the source's."""
        return frozenset(rule.index for rule in self.values)

    def name(self, cells: Cells) -> str:
        """The identifier of a row. Raises `ValueError` if it has none."""
        return _text("identifier", self.identifier, cells)

    def map(self, cells: Cells) -> Wanted:
        """What a row wants. Raises `ValueError` that names the part of the record."""
        values = []
        for rule in self.values:
            try:
                data = rule.data(cells)
            except ValueError as error:
                raise ValueError(f"value {rule.index} {rule.type}: {error}") from None
            if data is None and not rule.is_optional:
                raise ValueError(f"value {rule.index} {rule.type}: {_empty(rule.columns, cells)}")
            if data is not None:
                values.append(_value_document(rule, data))
        template = None if self.template is None else _text("template", self.template, cells)
        aliases = None if self.aliases is None else tuple(_aliases(self.aliases, cells))
        return Wanted(self.name(cells), tuple(values), template, aliases)


def parse_mapping(section: Section, maps: Maps) -> Mapping:
    """The mapping that the section `record` says; what is wrong with it is noted there."""
    identifier = _expression(section, "identifier", section.text("identifier"), maps)
    template = _expression(section, "template", section.text("template", ""), maps) if section.has("template") else None
    aliases = None
    if section.has("aliases"):
        texts = section.texts("aliases")
        if len(texts) > MAX_ALIASES:
            section.note("aliases", f"at most {MAX_ALIASES} are wanted")
        aliases = tuple(_expression(section, "aliases", text, maps) for text in texts)
    rules = [_rule(each, maps) for each in section.sections("values", _VALUE)]
    if not 0 < len(rules) <= MAX_VALUES:
        section.note("values", f"1 to {MAX_VALUES} are wanted")
    if len({rule.index for rule in rules}) < len(rules):
        section.note("values", "two of them have the same index")
    return Mapping(identifier, tuple(rules), template if template is None or template.parts else None, aliases)


def parse_maps(section: Section, names: list[str]) -> dict[str, dict[str, str]]:
    """The tables of the section `maps`."""
    found = {}
    for name in names:
        entries = section.entries(name)
        if not all(isinstance(text, str) for _, text in entries):
            section.note(name, 'texts for texts are wanted ("1" = "in use")')
        found[name] = {key: text for key, text in entries if isinstance(text, str)}
    return found


def _rule(section: Section, maps: Maps) -> ValueRule:
    kind = section.text("type", check=_check_type)
    members = tuple((name, _expression(section, f"members.{name}", text, maps)) for name, text in section.entries("members"))
    if section.has("text") == section.has("members"):
        section.note("text", "either a text is wanted, or members of a JSON object")
    text = _expression(section, "text", section.text("text"), maps) if section.has("text") else _NOTHING
    return ValueRule(
        int(section.number("index", 0, 1, MAX_INDEX)) if section.has("index") else _missing(section, "index"),
        kind,
        text,
        members,
        section.flag("optional", False),
        int(section.number("ttl", DEFAULT_TTL_S, 0, MAX_TTL_S)),
        section.text("audience", PUBLIC, _check_audience),
    )


def _missing(section: Section, key: str) -> int:
    section.note(key, "it is missing")
    return 0


def _expression(section: Section, key: str, text: object, maps: Maps) -> Expression:
    if not isinstance(text, str):
        section.note(key, "a string is wanted")
        return _NOTHING
    try:
        return parse_expression(text, maps)
    except ValueError as error:
        section.note(key, str(error))
        return _NOTHING


def _check_type(name: str) -> None:
    if name.upper().startswith(_ADMINISTRATION):
        raise ValueError("types of HS_ administer identifiers, which no source does")


def _check_audience(name: str) -> None:
    try:
        check_audience(name, "audience")
    except Refusal as refusal:
        raise ValueError(refusal.detail) from None


def _text(part: str, expression: Expression, cells: Cells) -> str:
    try:
        text = expression.text(cells)
    except ValueError as error:
        raise ValueError(f"{part}: {error}") from None
    if text is None:
        raise ValueError(f"{part}: {_empty(expression.columns, cells)}")
    return text


def _aliases(expressions: tuple[Expression, ...], cells: Cells) -> list[str]:
    try:
        made = [expression.text(cells) for expression in expressions]
    except ValueError as error:
        raise ValueError(f"aliases: {error}") from None
    return list(dict.fromkeys(each for each in made if each is not None))


def _empty(columns: frozenset[str], cells: Cells) -> str:
    empty = sorted(column for column in columns if cells.get(column) in (None, "")) or sorted(columns)
    return f"column {', '.join(empty)} is empty" if empty else "it is empty"


def _value_document(rule: ValueRule, data: str) -> dict[str, Any]:
    return {
        "index": rule.index,
        "type": rule.type,
        "data": {"format": "string", "value": data},
        "ttl": rule.ttl,
        "audience": rule.audience,
    }


def merge(stored: MappingOf[str, Any], wanted: Wanted, own: frozenset[int]) -> dict[str, Any] | None:
    """The record as it is to be: of a `stored` one, those parts changed that are the source's; None if nothing would change.

    A value that is as wanted keeps its timestamp; one that changes keeps permissions and references, if its audience stays.
    """
    ours = {value["index"]: value for value in wanted.values}
    values, is_changed = [], False
    for value in stored["values"]:
        index = value["index"]
        if index not in own:
            values.append(value)
        elif index in ours:
            new = ours.pop(index)
            if all(value.get(member) == new[member] for member in ("type", "data", "ttl", "audience")):
                values.append(value)
                continue
            is_changed = True
            kept = value if value.get("audience") == new["audience"] else {}
            values.append({**{key: kept[key] for key in ("permissions", "references") if key in kept}, **new})
        else:
            is_changed = True
    values += ours.values()
    template = stored["template"] if wanted.template is None else wanted.template
    aliases = stored["aliases"] if wanted.aliases is None else list(wanted.aliases)
    if not (is_changed or ours) and template == stored["template"] and aliases == stored["aliases"]:
        return None
    return {"values": values, "template": template, "aliases": aliases}


def whole(wanted: Wanted) -> dict[str, Any]:
    """A record that is not there yet."""
    return {"values": list(wanted.values), "template": wanted.template or "", "aliases": list(wanted.aliases or ())}
