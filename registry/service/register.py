"""Registering identifiers: one, or a batch in one change."""

from collections.abc import Sequence
from enum import StrEnum

from proto.errors import Refusal
from proto.model.account import Caller
from proto.ports import RecordReader
from registry.service.memory import AtomicRefusal
from registry.service.plan import Draft, Outcome, Plan, RowOutcome, plan_registrations


class Mode(StrEnum):
    """How a batch deals with refused rows."""

    PARTIAL = "partial"
    """They do not hinder the others."""
    ATOMIC = "atomic"
    """All rows are written, or none."""
    REHEARSAL = "rehearsal"
    """Nothing is written; the outcomes say what would be."""


def plan_registration(reader: RecordReader, caller: Caller, draft: Draft, now_ms: int) -> Plan:
    """One registration. Raises `Refusal` if it is refused."""
    plan = plan_registrations(reader, caller, [draft], now_ms)
    raise_refused(plan)
    return plan


def plan_all_or_nothing(reader: RecordReader, caller: Caller, drafts: Sequence[Draft | RowOutcome], now_ms: int) -> Plan:
    """A batch without refused rows. Raises `AtomicRefusal` if there is one."""
    plan = plan_registrations(reader, caller, drafts, now_ms)
    for row, each in enumerate(plan.outcomes):
        if each.outcome is Outcome.REFUSED and each.reason is not None:
            raise AtomicRefusal(each.reason, each.detail, each.field, row, None, tuple(plan.outcomes))
    return plan


def raise_refused(plan: Plan) -> None:
    """Raise the refusal of a plan about one thing, if it is refused."""
    (only,) = plan.outcomes
    if only.outcome is Outcome.REFUSED and only.reason is not None:
        raise Refusal(only.reason, only.detail, only.field)
