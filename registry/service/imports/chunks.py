"""Chunks: how many rows one commit takes, and what they come to.

The rows of a table happen one after the other, wherever its chunks end: so a chunk ends before a row that depends on an
earlier row of it (it names the same identifier, or an alias that the other one claims or gives up). For the same reason a
chunk may be planned while the one before is still being committed, if it ends before a row that depends on that one. Planning
goes on in slices, between which the event loop serves others.
"""

import asyncio
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Final

from proto.errors import Reason, Refusal
from proto.limits import MAX_CHANGE_BYTES
from proto.model.account import Caller
from proto.model.change import Row, Table
from proto.model.identifier import PREFIX_OF_PREFIXES, fold_ascii
from proto.ports import RecordReader
from registry.service.imports.rows import TableRow
from registry.service.plan import Draft, Plan, RowOutcome, plan_registrations, refused

# One commit: large enough that its sync costs little per row, small enough that others' commands wait little behind it.
CHUNK_ROWS: Final = 1_000

# Rows planned before others get their turn: about two milliseconds.
_SLICE_ROWS: Final = 50

# What a change holds beside the records: the job's row, the prefix's, and what serialising adds to each.
_RESERVED_BYTES: Final = 64 * 1024
_ROW_OVERHEAD_BYTES: Final = 48


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans the rows of one job: of this caller, below this prefix and no other."""

    reader: RecordReader
    caller: Caller
    prefix: str

    async def plan(self, rows: Sequence[TableRow], now_ms: int, held: Set[str] = frozenset()) -> Plan:
        """Plan as many of the first rows as one commit can take and as name nothing that is `held`.

        `outcomes` says how many these are: at least one, if there are rows and nothing is held. Raises `Refusal` if the
        caller may register nothing at all.
        """
        items = [self._keep_below(row.item) for row in rows[: independent(rows, held)]]
        while True:
            plan = await self._plan_slices(items, now_ms)
            dependent = _first_naming(items, {fold_ascii(claim.alias) for claim in plan.releases})
            if dependent is None or dependent >= len(plan.outcomes):
                return plan
            items = items[:dependent]

    async def _plan_slices(self, items: list[Draft | RowOutcome], now_ms: int) -> Plan:
        merged, size, at = Plan(), _SLICE_ROWS, 0
        marks: dict[str, Row] = {}
        room = MAX_CHANGE_BYTES - _RESERVED_BYTES
        while at < len(items):
            plan = plan_registrations(self.reader, self.caller, items[at : at + size], now_ms)
            needed = sum([len(row.image) + len(row.name.encode()) + _ROW_OVERHEAD_BYTES for row in plan.rows])
            if needed <= room:
                _merge(merged, plan, marks)
                at += size
                room -= needed
                await asyncio.sleep(0)
            elif at:
                break
            else:
                # A single record always fits.
                size //= 2
        merged.rows += marks.values()
        return merged

    def _keep_below(self, item: Draft | RowOutcome) -> Draft | RowOutcome:
        if isinstance(item, RowOutcome) or fold_ascii(item.identifier.partition("/")[0]) == self.prefix:
            return item
        why = f"it is not below the prefix of this import, {self.prefix}"
        return refused(item.identifier, Refusal(Reason.INVALID_IDENTIFIER, why, "identifier"))


def independent(rows: Sequence[TableRow], held: Set[str] = frozenset()) -> int:
    """How many of the first rows depend on none of each other and name nothing that is `held`, as far as the table tells."""
    named = set(held)
    for count, row in enumerate(rows):
        if isinstance(row.item, Draft):
            names = _names(row.item)
            if not named.isdisjoint(names):
                return count
            named.update(names)
    return len(rows)


def names_in(rows: Sequence[TableRow], plan: Plan) -> set[str] | None:
    """What rows with this plan hold until they are committed; None if nothing else can be planned until then.

    That is so if they change more than records: a prefix that is used for the first time is written by whoever is first.
    """
    if any(row.table is not Table.RECORD for row in plan.rows):
        return None
    named = {fold_ascii(claim.alias) for claim in plan.releases}
    for row in rows:
        if isinstance(row.item, Draft):
            named.update(_names(row.item))
    return named


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
