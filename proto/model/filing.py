"""Filing (备案): what the upstream is told about a registrant, a prefix or a day, and how far it has come with that.

    draft → submitted → pending → approved | rejected        (and to draft again, as `MOVES` has it)

A *draft* is to be sent. It is *submitted* before it is sent, under a transaction (EPP's clTRID) of its own: from then on the
upstream may have it, whether it answered or not, and it is sent again under the same transaction until it answers. *Pending*
says that it was taken and is being audited. The same transaction never leads to two filings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final


class FilingKind(StrEnum):
    """What is told about."""

    REGISTRANT = "registrant"
    PREFIX = "prefix"
    STATISTICS = "statistics"


class FilingState(IntEnum):
    """How far a filing has come."""

    DRAFT = 0
    SUBMITTED = 1
    PENDING = 2
    APPROVED = 3
    REJECTED = 4


SETTLED = frozenset({FilingState.APPROVED, FilingState.REJECTED})
"""States in which nothing is waited for."""


class FilingEvent(StrEnum):
    """What befalls a filing."""

    NEWS = "news"
    """What it tells of has changed here."""
    SUBMIT = "submit"
    """It is about to be sent."""
    TAKE = "take"
    """The upstream took it, and audits."""
    FIND = "find"
    """The upstream holds such a thing already, and it will be told as an update of that."""
    APPROVE = "approve"
    REJECT = "reject"
    DOUBT = "doubt"
    """It was never said whether what is waited for is our own, and the time for an audit is over."""
    RETRY = "retry"
    """The operator will not wait, or not leave it at a no."""


_DRAFT: Final = FilingState.DRAFT

MOVES: Final[Mapping[FilingState, Mapping[FilingEvent, FilingState]]] = {
    FilingState.DRAFT: {FilingEvent.NEWS: _DRAFT, FilingEvent.SUBMIT: FilingState.SUBMITTED},
    FilingState.SUBMITTED: {
        FilingEvent.TAKE: FilingState.PENDING,
        FilingEvent.FIND: _DRAFT,
        FilingEvent.APPROVE: FilingState.APPROVED,
        FilingEvent.REJECT: FilingState.REJECTED,
        FilingEvent.RETRY: _DRAFT,
    },
    FilingState.PENDING: {
        FilingEvent.APPROVE: FilingState.APPROVED,
        FilingEvent.REJECT: FilingState.REJECTED,
        FilingEvent.DOUBT: _DRAFT,
        FilingEvent.RETRY: _DRAFT,
    },
    FilingState.APPROVED: {FilingEvent.NEWS: _DRAFT},
    FilingState.REJECTED: {FilingEvent.NEWS: _DRAFT, FilingEvent.RETRY: _DRAFT},
}
"""The life of a filing: every move that there is. What is not here is refused."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a filing's history: the state it led to, and the upstream's code (0: none) and sentence if it had a say."""

    at_ms: int
    state: FilingState
    transaction: str = ""
    code: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Filing:
    """A filing. Times are UTC milliseconds.

    `name` is the registrant's code, the prefix, or the day (`2026-11-25`); `registrant` says whose it is (empty: the node's).
    `content` is what is told, as JSON; `subject_version` the version of the registrant or prefix that it was taken from.
    `details` are what the operator adds to a registrant's. `transaction` is the newest one, `server_transaction` the upstream's
    name of it, `entity` the upstream's id of a registrant.

    `is_known` says that the upstream approved it once: what follows is an update. `is_held` says that the upstream answered
    that it holds such a thing, although it had not told us so before: a pending one is in doubt then, because nobody knows
    whether the audit that is awaited is going on, and a draft is told as an update. `approved_content` is the content that the
    upstream approved last, empty if it never did or approved what was told before us.
    """

    kind: FilingKind
    name: str
    registrant: str
    state: FilingState
    content: str
    steps: tuple[Step, ...]
    subject_version: int
    version: int
    created_ms: int
    changed_ms: int
    details: tuple[tuple[str, str], ...] = ()
    transaction: str = ""
    server_transaction: str = ""
    entity: str = ""
    is_known: bool = False
    is_held: bool = False
    approved_content: str = ""

    @property
    def key(self) -> str:
        """Its name in the store: kinds have no slashes."""
        return filing_key(self.kind, self.name)


def filing_key(kind: str, name: str) -> str:
    """The name of a filing in the store."""
    return f"{kind}/{name}"
