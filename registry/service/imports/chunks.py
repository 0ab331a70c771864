"""Chunks: a piece of a table, planned. Pure but for what it reads from the view, whichever process it runs in.

The rows of a table happen one after the other, wherever its chunks end: so a chunk ends before a row that depends on an
earlier row of it (it names the same identifier, or an alias that the other one claims or gives up). For the same reason it
says what its rows name: if a chunk before it, which names the same, was not yet shown when it was planned, it must be planned
again.

Planning is a generator that pauses between slices: in the registry's own process others get their turn then, in a process
of its own nobody waits.
"""

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from proto.errors import Reason, Refusal
from proto.limits import MAX_CHANGE_BYTES
from proto.model.account import Caller
from proto.model.change import Row, Table
from proto.model.identifier import PREFIX_OF_PREFIXES, fold_ascii
from proto.ports import Claim, RecordReader
from proto.stream import compose_payload
from registry.service.execute import PASSING
from registry.service.imports.pieces import Piece
from registry.service.imports.results import RowResult, compose_results
from registry.service.imports.rows import TableRow
from registry.service.imports.tables import Table as TableRows
from registry.service.imports.tables import TableFrame, open_rows
from registry.service.plan import Draft, Outcome, Plan, RowOutcome, plan_registrations, refused

# One commit: large enough that its sync costs little per row, small enough that others' commands wait little behind it.
CHUNK_ROWS: Final = 1_000

# Rows that are read or planned before others get their turn: about a millisecond.
SLICE_ROWS: Final = 50

# What a change holds beside the records: the job's row, the prefix's, and what serialising adds to each.
_RESERVED_BYTES: Final = 64 * 1024
_ROW_OVERHEAD_BYTES: Final = 48

# What is shown of a row's own text; a record's identifier is never longer.
_SHOWN_CHARS: Final = 2_048


@dataclass(frozen=True, slots=True)
class ChunkTask:
    """A piece of a table to be planned for this caller, below this prefix and no other; `now_ms` is the time of the change."""

    frame: TableFrame
    piece: Piece
    caller: Caller
    prefix: str
    now_ms: int


class Chunk(NamedTuple):
    """What the first rows of a piece come to: all of them, if `end` is the piece's end.

    `lines` are those of the job's result, without numbers, one for each row (`registry.service.imports.results`).
    """

    end: int
    lines: Sequence[str]
    rows: Sequence[Row]
    payload: bytes
    """The rows, serialised (`proto.stream.compose_payload`)."""
    claims: Sequence[Claim]
    releases: Sequence[Claim]
    outcomes: Counter[Outcome]
    reasons: Counter[Reason]
    """Why rows were refused."""
    names: frozenset[str] | None
    """What the rows name; None if nothing else can be planned until they are shown.

    That is so if they change more than records: a prefix that is used for the first time is written by whoever is first.
    """


def plan_chunk(task: ChunkTask, reader: RecordReader, slice_rows: int = SLICE_ROWS) -> Generator[None, None, Chunk]:
    """Plan as many of a piece's first rows as one commit can take; none if the piece holds no whole row.

    Raises `Refusal` if the caller may register nothing at all, and what the view refuses because it cannot answer now.
    """
    table = open_rows(task.frame, task.piece.offset)
    task.piece.feed(table)
    rows: list[TableRow] = []
    # A piece may hold more rows than were counted on: the quote that opened one of them was never closed.
    while len(rows) < CHUNK_ROWS and (row := table.next_row()) is not None:
        rows.append(row)
        if len(rows) % slice_rows == 0:
            yield
    whole = rows[: _independent(rows)]
    plan = yield from _plan(whole, task, reader, slice_rows)
    done = whole[: len(plan.outcomes)]
    is_all = len(done) == len(rows) and table.is_drained
    end = task.piece.end if is_all else done[-1].end if done else task.piece.offset
    return _compose(end, done, plan, table)


def _plan(rows: Sequence[TableRow], task: ChunkTask, reader: RecordReader, slice_rows: int) -> Generator[None, None, Plan]:
    """Plan rows that do not depend on each other as far as the table tells."""
    items = [_keep_below(row.item, task.prefix) for row in rows]
    while True:
        plan = yield from _plan_slices(items, task, reader, slice_rows)
        dependent = _first_naming(items, {fold_ascii(claim.alias) for claim in plan.releases})
        if dependent is None or dependent >= len(plan.outcomes):
            return plan
        items = items[:dependent]


def _plan_slices(
    items: Sequence[Draft | RowOutcome], task: ChunkTask, reader: RecordReader, size: int
) -> Generator[None, None, Plan]:
    merged, at = Plan(), 0
    marks: dict[str, Row] = {}
    room = MAX_CHANGE_BYTES - _RESERVED_BYTES
    while at < len(items):
        plan = plan_registrations(reader, task.caller, items[at : at + size], task.now_ms)
        needed = sum([len(row.image) + len(row.name.encode()) + _ROW_OVERHEAD_BYTES for row in plan.rows])
        if needed <= room:
            _merge(merged, plan, marks)
            at += size
            room -= needed
            yield
        elif at:
            break
        else:
            # A single record always fits.
            size //= 2
    merged.rows += marks.values()
    return merged


def _merge(merged: Plan, plan: Plan, marks: dict[str, Row]) -> None:
    """Add a plan of independent rows; `marks` are what several of them write alike (a prefix is in use now), once each."""
    for row in plan.rows:
        if row.table is Table.RECORD:
            merged.rows.append(row)
        else:
            marks.setdefault(f"{row.table} {row.name}", row)
    merged.claims += plan.claims
    merged.releases += plan.releases
    merged.outcomes += plan.outcomes


def _compose(end: int, rows: Sequence[TableRow], plan: Plan, table: TableRows) -> Chunk:
    outcomes, reasons = Counter[Outcome](), Counter[Reason]()
    for each in plan.outcomes:
        outcomes[each.outcome] += 1
        if each.reason is not None:
            reasons[each.reason] += 1
    for reason in reasons.keys() & PASSING:
        # The view could not answer: that is no fault of a row.
        raise Refusal(reason, "the view could not be read")
    results = [_result(row, outcome, table) for row, outcome in zip(rows, plan.outcomes, strict=True)]
    return Chunk(
        end,
        compose_results(results),
        plan.rows,
        compose_payload(plan.rows) if plan.rows else b"",
        plan.claims,
        plan.releases,
        outcomes,
        reasons,
        _names_in(rows, plan),
    )


def _result(row: TableRow, outcome: RowOutcome, table: TableRows) -> RowResult:
    field = outcome.field
    if field and isinstance(row.item, Draft):
        field = table.field_name(row.item, field)
    message = outcome.detail or (str(outcome.reason) if outcome.reason is not None else "")
    return RowResult(outcome.identifier[:_SHOWN_CHARS], outcome.outcome, field, message)


def _keep_below(item: Draft | RowOutcome, prefix: str) -> Draft | RowOutcome:
    if isinstance(item, RowOutcome) or fold_ascii(item.identifier.partition("/")[0]) == prefix:
        return item
    why = f"it is not below the prefix of this import, {prefix}"
    return refused(item.identifier, Refusal(Reason.INVALID_IDENTIFIER, why, "identifier"))


def _independent(rows: Sequence[TableRow]) -> int:
    """How many of the first rows depend on none of each other, as far as the table tells."""
    named: set[str] = set()
    for count, row in enumerate(rows):
        if isinstance(row.item, Draft):
            names = _names(row.item)
            if not named.isdisjoint(names):
                return count
            named.update(names)
    return len(rows)


def _names_in(rows: Sequence[TableRow], plan: Plan) -> frozenset[str] | None:
    if any(row.table is not Table.RECORD for row in plan.rows):
        return None
    named = {fold_ascii(claim.alias) for claim in plan.releases}
    for row in rows:
        if isinstance(row.item, Draft):
            named.update(_names(row.item))
    return frozenset(named)


def _names(draft: Draft) -> list[str]:
    """What a draft names, folded further than any rule folds: what differs here is different."""
    if not draft.aliases:
        return [_folded(draft.identifier)]
    return [_folded(draft.identifier), *{_folded(alias) for alias in draft.aliases}]


def _folded(name: str) -> str:
    return fold_ascii(name) if "/" in name else f"{PREFIX_OF_PREFIXES}/{fold_ascii(name)}"


def _first_naming(items: Sequence[Draft | RowOutcome], names: set[str]) -> int | None:
    """The place of the first item, but the very first, that is a draft and names one of `names`."""
    if not names:
        return None
    for place, item in enumerate(items[1:], 1):
        if isinstance(item, Draft) and not names.isdisjoint(_names(item)):
            return place
    return None
