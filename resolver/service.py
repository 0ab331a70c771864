"""Looking up what is homed here: from a located query to the answer that the view holds. Pure but for the view and the clock.

A query is located when its identifier is parsed and its home is known: the chain does that (`resolver.chain.delegation`),
because where a name is homed decides who answers; a query that comes without it is located here.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from proto import compiled
from proto.errors import Reason, Refusal
from proto.model.account import Caller, Role
from proto.model.answer import Answer, Found, NotFound, Refused, Retired, Suspended, ValuesNotFound
from proto.model.identifier import Identifier, SuffixRule, parse_identifier
from proto.model.prefix import Prefix, PrefixState, normalise
from proto.model.query import Ahead, Located, Query
from proto.model.record import State
from proto.model.value import Value
from proto.packing import PUBLIC_CLASS, PackedRecord, alias_target, least_ttl_s
from proto.ports import Clock, RecordReader
from proto.wire.handle.value import compose_value

_PUBLIC_ONLY: Final = (PUBLIC_CLASS,)

# The states of nearly every look-up; members of an enumeration are slow to come by.
_APPROVED: Final = PrefixState.APPROVED
_ACTIVE: Final = State.ACTIVE
_ALIAS_INDEX: Final = 1
# As long as a delegation may be remembered.
_ALIAS_TTL_S: Final = 300

# An answer without values may be untrue with the next registration: nobody is to keep it.
_NO_TTL_S: Final = 0


def locate(query: Query, reader: RecordReader) -> Located:
    """Parse the asked identifier and find the prefix whose home answers for it; the query keeps both.

    Raises `Refusal`: INVALID_IDENTIFIER, NOT_HOMED.
    """
    name = parse_identifier(query.identifier)
    home = reader.homing(name.homing_prefix)
    if home is None:
        raise refuse_foreign(query, name)
    query.located = Located(name, home)
    return query.located


Homing = Callable[[str], Prefix | None]


class Homes(dict[str, Prefix | None]):
    """The homes of prefixes by (folded) name, each looked for once. For one turn of the event loop: prefixes change."""

    def __init__(self, homing: Homing) -> None:
        self._homing = homing

    def __missing__(self, name: str) -> Prefix | None:
        home = self[name] = self._homing(name)
        return home


@compiled.preferred
def stored_under(identifier: str, homing: Homing) -> tuple[str, Prefix | None] | None:
    """Where to look for an identifier: its normalised name, and the prefix that it is homed under; no prefix if it lives on
    another node, and then the name is that of its copies (`foreign_name`).

    None if it is no identifier, or its prefix does not answer from here, or it is the name of a prefix that lives elsewhere.
    """
    try:
        name = parse_identifier(identifier)
    except Refusal:
        return None
    home = homing(name.homing_prefix)
    if home is None:
        return None if name.names_prefix else (foreign_name(name), None)
    if home.state is not _APPROVED or home.delegation is not None:
        return None
    return normalise(name, home), home


def foreign_name(name: Identifier) -> str:
    """What copies of another node's record are known by: suffixes compare as they are spelt, because whether their home folds
    case is its own business."""
    return name.normalised(SuffixRule.EXACT)


def read_ahead(queries: Sequence[Query], reader: RecordReader) -> Ahead | None:
    """The records that answering `queries` will ask for, and those that aliases among them point to, each set read at once.

    None if the reader cannot read now. What of the queries is refused or barred reads nothing.
    """
    homing = Homes(reader.homing).__getitem__
    try:
        places = [place for query in queries if (place := stored_under(query.identifier, homing)) is not None]
        names = [*{name: None for name, home in places if home is not None}]
        records = dict(zip(names, reader.records(names), strict=True))
        targets = {target: None for raw in records.values() if raw is not None and (target := alias_target(raw)) is not None}
        missing = [target for target in targets if target not in records]
        if missing:
            records.update(zip(missing, reader.records(missing), strict=True))
        return Ahead(reader.position, records)
    except Refusal:
        return None


def refuse_foreign(query: Query, name: Identifier) -> Refusal:
    """The refusal of what is not homed here."""
    _explain(query, f"prefix {name.homing_prefix}: neither it nor what it derives from is homed here")
    return Refusal(Reason.NOT_HOMED, f"prefix {name.homing_prefix} does not live here", "identifier")


class Service:
    """Answers located queries from `reader`. Every call is synchronous and takes microseconds."""

    def __init__(self, reader: RecordReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock

    def resolve(self, query: Query) -> Answer:
        """The answer for `query.caller`. Raises `Refusal`: INVALID_IDENTIFIER and NOT_HOMED for a query not yet located."""
        name, home = query.located or locate(query, self._reader)
        barred = self._answer_of_prefix(query, home)
        if barred is not None:
            return barred
        normalised = normalise(name, home)
        if query.reads is not None:
            query.reads.append(normalised)
        raw = self._record(query, normalised)
        via_alias = False
        if raw is not None:
            target = alias_target(raw)
            if target is not None:
                if self._is_delegated(target):
                    return _name_only(query, target)
                raw, via_alias = self._follow(query, normalised, home, target), True
        if raw is None:
            _explain(query, f"record {normalised}: nothing is registered")
            return NotFound(query.identifier)
        return self._answer_of_record(query, PackedRecord(raw), via_alias)

    def _record(self, query: Query, normalised: str) -> bytes | None:
        """What is stored under a normalised identifier: read already with the rest of a batch, or read now."""
        ahead = query.ahead
        if ahead is not None and normalised in ahead.records and ahead.position == self._reader.position:
            return ahead.records[normalised]
        return self._reader.record(normalised)

    def _answer_of_prefix(self, query: Query, home: Prefix) -> Answer | None:
        """What the state of a prefix alone decides."""
        if query.explain is not None:
            _explain(query, f"prefix matched: {home.name}, {home.state.name.lower()}, suffixes {home.suffix_rule.name.lower()}")
        if home.state is _APPROVED:
            return None
        return Suspended(query.identifier, "prefix") if home.state is PrefixState.SUSPENDED else NotFound(query.identifier)

    def _follow(self, query: Query, alias: str, home: Prefix, target: str) -> bytes | None:
        """The record that an alias points to, if it lists the alias back (and is itself no alias)."""
        _explain(query, f"alias: {alias} points to {target}")
        if query.reads is not None:
            query.reads.append(target)
        raw = self._record(query, target)
        if raw is None or alias_target(raw) is not None or not _lists(PackedRecord(raw).aliases, alias, home):
            _explain(query, f"alias: {target} does not list it back")
            return None
        return raw

    def _is_delegated(self, target: str) -> bool:
        """Whether another node answers for a normalised identifier that an alias points to."""
        home = self._reader.homing(parse_identifier(target).homing_prefix)
        return home is not None and home.is_delegated

    def _answer_of_record(self, query: Query, packed: PackedRecord, via_alias: bool) -> Answer:
        if query.explain is not None:
            _explain(query, f"record {packed.identifier}: version {packed.version}, {packed.state.name.lower()}")
        if packed.state is not _ACTIVE:
            return _answer_of_state(query, packed)
        identifier = packed.identifier
        if via_alias and self._is_prefix_suspended(identifier):
            _explain(query, f"prefix of {identifier}: suspended")
            return Suspended(query.identifier, "prefix")

        registrant = packed.registrant
        classes = _classes_of(query.caller, packed, registrant)
        values, hidden = packed.select(query.indexes, query.types, classes)
        if query.explain is not None:
            _explain_selection(query, classes, len(values))
        if hidden and query.wants_private:
            return Refused(query.identifier, _refusal_of(query.caller))
        facts = (query.identifier, identifier, packed.version, packed.aliases, packed.template, registrant)
        if not values:
            return ValuesNotFound(*facts, ttl_s=_NO_TTL_S, via_alias=via_alias)
        ttl_s = least_ttl_s(values, self._clock.now_ms() // 1000, _NO_TTL_S)
        return Found(*facts, ttl_s=ttl_s, via_alias=via_alias, values=values)

    def _is_prefix_suspended(self, identifier: str) -> bool:
        home = self._reader.homing(parse_identifier(identifier).homing_prefix)
        return home is not None and home.state is PrefixState.SUSPENDED


def _answer_of_state(query: Query, packed: PackedRecord) -> Answer:
    """What a record that is not active comes to."""
    if packed.state is State.RETIRED:
        return Retired(query.identifier, packed.version)
    return Suspended(query.identifier, "identifier")


def _name_only(query: Query, target: str) -> Found:
    """An alias whose record another node has: its name, for whoever resolves to follow (HS_ALIAS, RFC 3651 3.2.4)."""
    _explain(query, f"alias: {target} lives on another node")
    value = compose_value(Value(_ALIAS_INDEX, "HS_ALIAS", target.encode(), _ALIAS_TTL_S))
    return Found(query.identifier, query.identifier, 0, (), "", "", _ALIAS_TTL_S, values=(value,))


def _classes_of(caller: Caller, packed: PackedRecord, registrant: str) -> Collection[int] | None:
    """The audience numbers that `caller` may read in a record of `registrant`; None is all of them."""
    if caller.role is None:
        return _PUBLIC_ONLY
    if caller.role is Role.OPERATOR or (caller.role is Role.REGISTRANT and registrant and caller.registrant == registrant):
        return None
    groups = [grant.group for grant in caller.groups if grant.registrant == registrant]
    return packed.classes_for(groups) if groups else _PUBLIC_ONLY


def _lists(aliases: Sequence[str], alias: str, home: Prefix) -> bool:
    return any(normalise(parse_identifier(each), home) == alias for each in aliases)


def _refusal_of(caller: Caller) -> Refusal:
    if caller.is_anonymous:
        return Refusal(Reason.UNAUTHENTICATED, "values are selected that need a credential to be read")
    return Refusal(Reason.PERMISSION_DENIED, f"account {caller.account} may not read all values that are selected")


def _explain(query: Query, line: str) -> None:
    if query.explain is not None:
        query.explain.append(line)


def _explain_selection(query: Query, classes: Collection[int] | None, count: int) -> None:
    who = f"account {query.caller.account} ({query.caller.role.name.lower()})" if query.caller.role is not None else "anybody"
    reads = (
        "everything"
        if classes is None
        else "public values"
        if classes is _PUBLIC_ONLY
        else "public values and those of its groups"
    )
    _explain(query, f"caller: {who} reads {reads}")
    asked = [*(f"index {index}" for index in query.indexes), *(f"type {kind}" for kind in query.types)]
    _explain(query, f"filters: {', '.join(asked) if asked else 'none'}; {count} values selected")
