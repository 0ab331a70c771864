"""Receipts: what a system did with a batch of events, and what follows from that.

A system takes a batch (DELIVERED), refuses what it was sent (REFUSED: the same again would be refused again), or fails (FAILED:
later it may take it). It may say so for the whole batch, or event by event.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from adapters.city.core.backlog import Entry
from adapters.city.core.event import Key


class Verdict(StrEnum):
    """What became of an event; the value is the outcome in `feed_deliveries_total`."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    FAILED = "failed"


# What is wrong with what was sent. Everything else that is no success is wrong with the system, the way to it, or its
# configuration (401, 403, 404): the next event would meet the same.
_REFUSALS: Final = frozenset({
    HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
})  # fmt: skip


# Versions count writes, in 63 bits.
MAX_VERSION: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Receipt:
    """The verdict on a batch; `single` are verdicts on events by their id, for which `verdict` does not hold.

    `retry_after_s` is what the system asks for; `detail` what it said, for people. `missing_after` is set if the system has
    lost what it was told before: everything behind that cursor is to be told again. `later` are seconds that it asks for before
    it is sent single events again, by their id: others need not wait for them.
    """

    verdict: Verdict
    detail: str = ""
    retry_after_s: float | None = None
    single: Mapping[str, Verdict] = field(default_factory=dict)
    missing_after: str | None = None
    later: Mapping[str, float] = field(default_factory=dict)

    def on(self, event_id: str) -> Verdict:
        """The verdict on one event."""
        return self.single.get(event_id, self.verdict)


@dataclass(frozen=True, slots=True)
class Settlement:
    """A batch, sorted. `left` are to be tried again; `superseded` need not: a later image of the same thing is there."""

    delivered: Sequence[Entry]
    refused: Sequence[Entry]
    superseded: Sequence[Entry]
    left: Sequence[Entry]


def letters_settled(letters: Mapping[Key, int], delivered: Sequence[Entry]) -> set[Key]:
    """Of the open letters (their versions by what they tell of) those that something delivered makes needless."""
    if not letters:
        return set()
    keys = (entry.event.key for entry in delivered if entry.event.version >= letters.get(entry.event.key, MAX_VERSION + 1))
    return set(keys)


def verdict_of(status: int) -> Verdict:
    """The verdict that an HTTP status is."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Verdict.DELIVERED
    return Verdict.REFUSED if status in _REFUSALS else Verdict.FAILED


def settle(batch: Sequence[Entry], receipt: Receipt) -> Settlement:
    """What follows from a receipt. An older image is never delivered behind a newer one of the same thing."""
    if receipt.verdict is Verdict.DELIVERED and not receipt.single:
        return Settlement(batch, (), (), ())
    sorted_by: dict[Verdict, list[Entry]] = {verdict: [] for verdict in Verdict}
    for entry in batch:
        sorted_by[receipt.on(entry.event.id)].append(entry)
    newest: dict[tuple[str, str], int] = {}
    for entry in sorted_by[Verdict.DELIVERED]:
        newest[entry.event.key] = max(entry.event.version, newest.get(entry.event.key, 0))
    undelivered = [*sorted_by[Verdict.REFUSED], *sorted_by[Verdict.FAILED]]
    superseded = [entry for entry in undelivered if entry.event.version < newest.get(entry.event.key, 0)]
    gone = {id(entry) for entry in superseded}
    return Settlement(
        sorted_by[Verdict.DELIVERED],
        [entry for entry in sorted_by[Verdict.REFUSED] if id(entry) not in gone],
        superseded,
        [entry for entry in sorted_by[Verdict.FAILED] if id(entry) not in gone],
    )
