"""What a resolution looks like to the command line, whatever protocol carried it.

Every client of this folder has one coroutine, `resolve(identifier, host, port, *, types=(), indexes=(), timeout_s)`,
which returns a `ResolvedDocument`, or raises `Unanswered` when no answer arrived. That an identifier is unknown,
suspended or refused is an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

# How long `biaojie resolve` waits for a node unless told otherwise: far longer than any answer of a healthy one takes.
DEFAULT_TIMEOUT_S: Final = 10.0


class Outcome(StrEnum):
    """The answers of CONTRACT's table, by the names that all clients report."""

    FOUND = "found"
    VALUES_NOT_FOUND = "values_not_found"
    NOT_FOUND = "not_found"
    SUSPENDED = "suspended"
    RETIRED = "retired"
    NOT_HOMED = "not_homed"
    REFERRAL = "referral"
    REFUSED = "refused"


class Unanswered(Exception):
    """No answer arrived, or what arrived was not one; the message says which, for people."""


@dataclass(frozen=True, slots=True)
class ResolvedDocument:
    """One answer. `values` are as in the Handle JSON API (`proto.handle_json.render_value`), in the record's order.

    `identifier` is the registered spelling if the answer names it, otherwise the asked one. `state` is `active`,
    `suspended` or `retired`, empty if the server did not say; `version` is None if it did not say. `detail` is the
    server's own sentence about anything but `found`; `reason` names a refusal in the words of `proto.errors.Reason` if
    the protocol carries them. `explanation` is the trace of `--explain`, line by line, where the protocol has one.
    `source` says where a record comes from (`authoritative`, `cached`, `stale`; empty if the server did not say), `age_s` how
    old a copy is.
    """

    identifier: str
    outcome: Outcome
    state: str = ""
    version: int | None = None
    values: Sequence[dict[str, Any]] = ()
    detail: str = ""
    reason: str = ""
    explanation: Sequence[str] = field(default=())
    source: str = ""
    age_s: int = 0

    @property
    def is_found(self) -> bool:
        """Whether the question was answered with the record, be it with no value (exit status 0 of the command line)."""
        return self.outcome in (Outcome.FOUND, Outcome.VALUES_NOT_FOUND)

    def to_json(self) -> dict[str, Any]:
        """The document of `resolve --json`: `identifier`, `state`, `version`, `values`, `outcome`, and what says more."""
        document: dict[str, Any] = {
            "identifier": self.identifier,
            "state": self.state or None,
            "version": self.version,
            "values": list(self.values),
            "outcome": str(self.outcome),
        }
        if self.source:
            document |= {"source": self.source, "age_s": self.age_s}
        if self.detail:
            document["detail"] = self.detail
        if self.reason:
            document["reason"] = self.reason
        if self.explanation:
            document["explanation"] = list(self.explanation)
        return document
