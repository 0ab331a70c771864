"""Plan: what a write would do, worked out from a view and nothing else.

A plan is pure: it reads, decides row by row, and packs. Nothing it says is true until the committer has found its
expectations to hold; if one does not, nothing was written and a new plan is made from a newer view.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from proto.errors import Reason, Refusal
from proto.model.account import Caller
from proto.model.change import Row
from proto.model.record import State
from proto.model.value import Value
from proto.ports import Claim, RecordReader

ABSENT = 0
"""As an expected version: nothing may be registered yet."""


class Outcome(StrEnum):
    """What became of one row."""

    CREATED = "created"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Draft:
    """An identifier as somebody wants it to be: all its values, whole.

    A value whose `timestamp` is 0 was given none: it keeps the stored one if the value is as stored, and is of now
    otherwise. `expected_version` is the version that is to be replaced (`ABSENT`: none), VERSION_CONFLICT otherwise;
    `only_if_absent` refuses to replace anything, ALREADY_EXISTS otherwise.
    """

    identifier: str
    values: tuple[Value, ...]
    template: str = ""
    aliases: tuple[str, ...] = ()
    expected_version: int | None = None
    only_if_absent: bool = False


@dataclass(frozen=True, slots=True)
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

    @property
    def refusals(self) -> int:
        """How many rows are refused."""
        return sum(outcome.outcome is Outcome.REFUSED for outcome in self.outcomes)


def plan_registrations(reader: RecordReader, caller: Caller, drafts: Sequence[Draft | RowOutcome], now_ms: int) -> Plan:
    """Work out a batch of registrations: one outcome for each draft, in order; a refused one does not hinder the others.

    A `RowOutcome` in place of a draft stands for a row that the door could not even read: it keeps its place.
    """
    raise NotImplementedError
