"""Registering identifiers, one or many."""

from dataclasses import dataclass
from enum import StrEnum

from proto.errors import Refusal
from registry.service.plan import RowOutcome


class Mode(StrEnum):
    """How a batch deals with refused rows."""

    PARTIAL = "partial"
    ATOMIC = "atomic"
    REHEARSAL = "rehearsal"


@dataclass(slots=True)
class AtomicRefusal(Refusal):
    """Nothing of an atomic batch was written: `row` is the first refused row, `outcomes` what each would have come to."""

    outcomes: tuple[RowOutcome, ...] = ()
