"""Plan: what a write would do, worked out from a view and nothing else.

A plan is pure: it reads, decides row by row, and packs. Nothing it says is true until the committer has found its
expectations to hold; if one does not, nothing was written and a new plan is made from a newer view.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from proto.errors import Reason, Refusal
from proto.frozen import frozen
from proto.limits import MAX_BATCH_ROWS, MAX_TEMPLATE_BYTES
from proto.model.account import Caller
from proto.model.change import Row, Table
from proto.model.identifier import Identifier, parse_identifier
from proto.model.prefix import Prefix, normalise
from proto.model.record import Record, State, check_aliases, check_values
from proto.model.value import Value, derive_permissions
from proto.packing import PackedRecord, pack_record
from proto.ports import Claim, RecordReader
from proto.tables import pack_prefix
from registry.policy.rules import Action
from registry.service.aliases import AliasBook
from registry.service.ground import Grounds, record_at, spelling_of

ABSENT: Final = 0
"""As an expected version: nothing may be registered yet."""

ANY_VERSION: Final = -1
"""As an expected version: something must be registered, in whatever version."""


class Outcome(StrEnum):
    """What became of one row."""

    CREATED = "created"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@frozen
class Draft:
    """An identifier as somebody wants it to be: all its values, whole.

    A value whose `timestamp` is 0 was given none: it keeps the stored one if the value is as stored, and is of now
    otherwise. `expected_version` is the version that is to be replaced (or `ABSENT`, `ANY_VERSION`), otherwise
    VERSION_CONFLICT; `only_if_absent` refuses to replace anything, ALREADY_EXISTS otherwise.
    """

    identifier: str
    values: tuple[Value, ...]
    template: str = ""
    aliases: tuple[str, ...] = ()
    expected_version: int | None = None
    only_if_absent: bool = False


@frozen
class RowOutcome:
    """What became of one row; `version` and `state` are those it has now, `image` its after-image if it is of a small table.

    Of a refused row `reason`, `field` and `detail` say why, as `Refusal` has them, and the version is 0.
    """

    identifier: str
    outcome: Outcome
    version: int = 0
    reason: Reason | None = None
    field: str = ""
    detail: str = ""
    state: int = State.ACTIVE
    image: bytes = b""


def refused(identifier: str, refusal: Refusal) -> RowOutcome:
    """The outcome of a row that was refused."""
    return RowOutcome(identifier, Outcome.REFUSED, 0, refusal.reason, refusal.field, refusal.detail)


@dataclass(slots=True)
class Plan:
    """The rows to commit with the aliases they claim and release, and one outcome for each thing asked, in order."""

    rows: list[Row] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    releases: list[Claim] = field(default_factory=list)
    outcomes: list[RowOutcome] = field(default_factory=list)


def plan_registrations(reader: RecordReader, caller: Caller, drafts: Sequence[Draft | RowOutcome], now_ms: int) -> Plan:
    """Work out a batch of registrations: one outcome for each draft, in order; a refused one does not hinder the others.

    A `RowOutcome` in place of a draft stands for a row that the door could not even read: it keeps its place. Raises
    `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED if the caller may not register anything at all, BATCH_TOO_LARGE.
    """
    if len(drafts) > MAX_BATCH_ROWS:
        raise Refusal(Reason.BATCH_TOO_LARGE, f"{len(drafts)} rows; a batch has at most {MAX_BATCH_ROWS}", "identifiers")
    return _Planning(reader, Grounds(reader, caller, Action.REGISTER), now_ms).plan(drafts)


@dataclass(slots=True)
class _Candidate:
    """A draft that can be looked up: nothing of it alone is wrong."""

    draft: Draft
    identifier: Identifier
    home: Prefix
    key: str
    values: tuple[Value, ...]


class _Planning:
    """One batch on its way to a plan: place every row, read all of them at once, settle row by row."""

    def __init__(self, reader: RecordReader, grounds: Grounds, now_ms: int) -> None:
        self._reader = reader
        self._grounds = grounds
        self._now_ms = now_ms
        self._plan = Plan()
        self._first_used: dict[str, Prefix] = {}

    def plan(self, drafts: Sequence[Draft | RowOutcome]) -> Plan:
        placed: list[_Candidate | RowOutcome] = []
        rows_by_key: dict[str, int] = {}
        for row, draft in enumerate(drafts):
            placed.append(draft if isinstance(draft, RowOutcome) else self._place(row, draft, rows_by_key))
        stored = dict(zip(rows_by_key, self._reader.records(list(rows_by_key)), strict=True))
        wanted = [each.draft.aliases for each in placed if isinstance(each, _Candidate) and each.draft.aliases]
        self._aliases = AliasBook(self._reader, self._grounds, stored, wanted)
        for each in placed:
            outcome = each if isinstance(each, RowOutcome) else self._settle(each, stored[each.key])
            self._plan.outcomes.append(outcome)
        for home in self._first_used.values():
            self._plan.rows.append(self._mark_in_use(home))
        return self._plan

    def _place(self, row: int, draft: Draft, rows_by_key: dict[str, int]) -> _Candidate | RowOutcome:
        """What the draft says by itself, and where it belongs."""
        try:
            identifier = parse_identifier(draft.identifier)
            home = self._grounds.under(identifier)
            check_values(draft.values)
            check_aliases(draft.aliases)
            check_template(draft.template)
            key = normalise(identifier, home)
            first = rows_by_key.setdefault(key, row)
            if first != row:
                raise Refusal(Reason.DUPLICATE_IDENTIFIER, f"row {first} is the same identifier", "identifier")
        except Refusal as refusal:
            return refused(draft.identifier, refusal)
        return _Candidate(draft, identifier, home, key, with_permissions(draft.values))

    def _settle(self, candidate: _Candidate, raw: bytes | None) -> RowOutcome:
        """What the draft comes to, given what is stored."""
        draft = candidate.draft
        try:
            packed = record_at(raw, draft.identifier)
            check_replaceable(packed, draft)
            before = packed.unpack() if packed is not None else None
            after = self._compose(candidate, before)
            if before is not None and _same_content(before, after):
                return RowOutcome(draft.identifier, Outcome.UNCHANGED, before.version, state=before.state)
            self._commit(candidate, before, after)
        except Refusal as refusal:
            return refused(draft.identifier, refusal)
        outcome = Outcome.CREATED if before is None else Outcome.REPLACED
        return RowOutcome(draft.identifier, outcome, after.version, state=after.state)

    def _compose(self, candidate: _Candidate, before: Record | None) -> Record:
        draft, registrant, now_ms = candidate.draft, candidate.home.registrant, self._now_ms
        if before is None:
            name = spelling_of(candidate.identifier)
            return Record(name, 1, State.ACTIVE, candidate.values, registrant, now_ms, now_ms, draft.template, draft.aliases)
        return Record(
            before.identifier,
            before.version + 1,
            before.state,
            keep_timestamps(candidate.values, before.values),
            registrant,
            before.created_ms,
            max(now_ms, before.changed_ms),
            draft.template,
            draft.aliases,
        )

    def _commit(self, candidate: _Candidate, before: Record | None, after: Record) -> None:
        """Pack the record, and put all that must be written together into the plan."""
        listed = before.aliases if before is not None else ()
        aliases = self._aliases.compare(candidate.key, after.registrant, listed, after.aliases)
        image = pack_record(after, self._now_ms // 1000)
        self._aliases.enter(aliases)
        plan = self._plan
        if before is None:
            plan.rows.append(Row(Table.RECORD, candidate.key, image, 1, 0, after.state))
            self._use(candidate.home, candidate.identifier)
        else:
            plan.rows.append(Row(Table.RECORD, candidate.key, image, after.version, before.version, after.state, before.state))
        plan.claims.extend(aliases.claims)
        plan.releases.extend(aliases.releases)
        for home in aliases.homes:
            self._use(home)

    def _use(self, home: Prefix, identifier: Identifier | None = None) -> None:
        """The first identifier below a prefix fixes its suffix rule; names of prefixes fold whatever the rule."""
        if not home.in_use and not (identifier is not None and identifier.names_prefix):
            self._first_used[home.name] = home

    def _mark_in_use(self, home: Prefix) -> Row:
        after = replace(home, in_use=True, version=home.version + 1, changed_ms=max(self._now_ms, home.changed_ms))
        return Row(Table.PREFIX, home.name, pack_prefix(after), after.version, home.version, home.state, home.state)


def check_replaceable(packed: PackedRecord | None, draft: Draft) -> None:
    """Raise `Refusal` unless the draft may replace what is there: RETIRED, ALREADY_EXISTS, VERSION_CONFLICT."""
    if packed is not None and packed.state is State.RETIRED:
        raise Refusal(Reason.RETIRED, "it was retired, and is never used again", "identifier")
    if packed is not None and draft.only_if_absent:
        raise Refusal(Reason.ALREADY_EXISTS, f"it is registered, in version {packed.version}", "identifier")
    check_version(packed.version if packed is not None else ABSENT, draft.expected_version)


def check_version(found: int, expected: int | None) -> None:
    """Raise `Refusal(VERSION_CONFLICT)` if a version is expected and another one is there."""
    if expected is None or expected == found or (expected == ANY_VERSION and found != ABSENT):
        return
    there = f"version {found} is stored" if found else "nothing is registered"
    wanted = {ABSENT: "nothing", ANY_VERSION: "something"}.get(expected, f"version {expected}")
    raise Refusal(Reason.VERSION_CONFLICT, f"{there}, {wanted} is expected", "expected_version")


def check_template(template: str) -> None:
    """Raise `Refusal(INVALID_ARGUMENT)` unless it is empty or can be the name of a template."""
    if template and (not template.isprintable() or len(template.encode(errors="surrogatepass")) > MAX_TEMPLATE_BYTES):
        raise Refusal(Reason.INVALID_ARGUMENT, f"a template's name is at most {MAX_TEMPLATE_BYTES} printable bytes", "template")


def with_permissions(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """The values with the public-read bit that their audience says, whatever the door passed on."""
    for value in values:
        if derive_permissions(value.permissions, value.audience) != value.permissions:
            break
    else:
        return values
    return tuple([replace(each, permissions=derive_permissions(each.permissions, each.audience)) for each in values])


def keep_timestamps(values: tuple[Value, ...], before: tuple[Value, ...]) -> tuple[Value, ...]:
    """The values, those without a timestamp and otherwise as stored with the timestamp they have there."""
    stored = {value.index: value for value in before}
    kept = []
    for value in values:
        old = stored.get(value.index)
        kept.append(old if old is not None and not value.timestamp and _same_but_for_time(value, old) else value)
    return tuple(kept)


def _same_but_for_time(one: Value, other: Value) -> bool:
    return (
        one.data == other.data
        and one.type == other.type
        and one.ttl == other.ttl
        and one.ttl_absolute == other.ttl_absolute
        and one.permissions == other.permissions
        and one.audience == other.audience
        and one.references == other.references
    )


def _index(value: Value) -> int:
    return value.index


def _same_content(before: Record, after: Record) -> bool:
    return (
        before.template == after.template
        and before.aliases == after.aliases
        and len(before.values) == len(after.values)
        and sorted(before.values, key=_index) == sorted(after.values, key=_index)
    )
