"""Pages of listings, and what small tables have in common: rows by name, read from memory."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from proto.errors import Reason, Refusal
from proto.limits import MAX_PAGE
from proto.model.change import Row, Table
from registry.service.plan import Outcome, Plan, RowOutcome

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items in order; `cursor` is the `after` of the next page, empty if this is the last."""

    items: tuple[Item, ...]
    cursor: str = ""


def check_limit(limit: int) -> None:
    """Raise `Refusal(INVALID_ARGUMENT)` unless a page may have this many items."""
    if not 1 <= limit <= MAX_PAGE:
        raise Refusal(Reason.INVALID_ARGUMENT, f"a page has 1 to {MAX_PAGE} items", "limit")


def page_of(names: Iterable[str], after: str, limit: int, item_of: Callable[[str], Item | None]) -> Page[Item]:
    """The page of a small table after a name; `item_of` gives None for what does not belong to the listing."""
    check_limit(limit)
    found: list[Item] = []
    last = ""
    for name in sorted(name for name in names if name > after):
        item = item_of(name)
        if item is None:
            continue
        if len(found) == limit:
            return Page(tuple(found), last)
        found.append(item)
        last = name
    return Page(tuple(found))


def plan_row(table: Table, name: str, image: bytes, version: int, state: int = 0, prior_state: int = 0) -> Plan:
    """The plan that writes one row of a small table; `version` 1 creates it."""
    outcome = Outcome.CREATED if version == 1 else Outcome.REPLACED
    return Plan(
        rows=[Row(table, name, image, version, version - 1, state, prior_state)],
        outcomes=[RowOutcome(name, outcome, version, state=state, image=image)],
    )


def plan_nothing(name: str, image: bytes, version: int, state: int = 0) -> Plan:
    """The plan for a row that is already as it is wanted."""
    return Plan(outcomes=[RowOutcome(name, Outcome.UNCHANGED, version, state=state, image=image)])
