"""Following what changes: the stream as one caller may see it."""

from dataclasses import dataclass

from proto.model.account import Account
from proto.model.change import Position, Table
from proto.model.job import Job
from proto.model.prefix import Prefix, Registrant
from proto.model.record import Record


@dataclass(frozen=True, slots=True)
class VisibleRow:
    """A row of a change with what the caller may see of it. States are those of the table (`State`, `PrefixState`, ...)."""

    table: Table
    name: str
    noun: Record | Prefix | Registrant | Account | Job
    version: int
    prior_version: int
    state: int
    prior_state: int


@dataclass(frozen=True, slots=True)
class VisibleChange:
    """A change with its visible rows (at least one). Who commanded it is empty for callers who may not know."""

    position: Position
    time_ms: int
    actor: str
    request_id: str
    traceparent: str
    rows: tuple[VisibleRow, ...]


@dataclass(frozen=True, slots=True)
class ChangesPage:
    """Changes in order; `cursor` is where to go on (also past changes that are not the caller's); `head` the stream's end."""

    changes: tuple[VisibleChange, ...]
    cursor: Position
    head: Position
