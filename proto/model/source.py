"""Source: an enterprise's own system whose rows are registered here, as the store keeps it: the bookmark, and the last run.

What a source reads and what its rows come to is a profile outside the store. A *run* of it reads, plans and applies; the store
has the bookmark behind which it reads on, and the report of the last run.
"""

from dataclasses import dataclass
from enum import IntEnum


class SourceState(IntEnum):
    """How the last run of a source ended."""

    NEW = 0
    """There was none yet."""
    DONE = 1
    """Everything that was planned is registered, but for faulty rows."""
    STOPPED = 2
    """The brake held the plan, and nothing of it was applied."""
    FAILED = 3
    """The source could not be read, or the registry did not take what was planned."""


@dataclass(frozen=True, slots=True)
class RowFault:
    """A row of a source that could not be registered: where it stands or what its key is, and why."""

    row: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunCounts:
    """What became of the rows of a run. `suspended` and `retired` were gone from the source, `resumed` came back."""

    rows: int = 0
    created: int = 0
    replaced: int = 0
    unchanged: int = 0
    suspended: int = 0
    retired: int = 0
    resumed: int = 0
    faulty: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """A source. What is before `bookmark` (the reader's own, empty: the beginning) is registered. Times are UTC milliseconds.

    `account` runs it and moves its bookmark. `is_requested` asks for a run at once, `over_brake` is the digest of the plan that
    may pass the brake in that one run. `message` is about the last run, `plan_digest` names the plan that stopped it, if one
    did. `ran_ms` and `done_ms` are when the last run ended, and the last that ended well (0: never); `faults` are its first.
    """

    name: str
    account: str
    registrant: str
    state: SourceState
    bookmark: str
    is_requested: bool
    over_brake: str
    message: str
    plan_digest: str
    counts: RunCounts
    faults: tuple[RowFault, ...]
    ran_ms: int
    done_ms: int
    version: int
    created_ms: int
    changed_ms: int
