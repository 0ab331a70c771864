"""The life cycle that prefixes and registrants share: draft → submitted → approved or rejected; approved ↔ suspended."""

from typing import Final

from proto.errors import Reason, Refusal
from proto.model.prefix import PrefixState

MOVES: Final[dict[PrefixState, frozenset[PrefixState]]] = {
    PrefixState.DRAFT: frozenset({PrefixState.SUBMITTED}),
    PrefixState.SUBMITTED: frozenset({PrefixState.APPROVED, PrefixState.REJECTED}),
    PrefixState.REJECTED: frozenset({PrefixState.SUBMITTED}),
    PrefixState.APPROVED: frozenset({PrefixState.SUSPENDED}),
    PrefixState.SUSPENDED: frozenset({PrefixState.APPROVED}),
}

# An operator need not walk what is already decided through every state.
FIRST_STATES: Final = frozenset({PrefixState.DRAFT, PrefixState.SUBMITTED, PrefixState.APPROVED})


def check_move(before: PrefixState, after: PrefixState) -> None:
    """Raise `Refusal(INVALID_STATE)` unless the life cycle leads from one state to the other."""
    if after not in MOVES[before]:
        raise Refusal(Reason.INVALID_STATE, f"what is {before.name.lower()} does not become {after.name.lower()}", "state")


def check_first(state: PrefixState) -> None:
    """Raise `Refusal(INVALID_STATE)` unless a life may begin in this state."""
    if state not in FIRST_STATES:
        raise Refusal(Reason.INVALID_STATE, f"nothing begins as {state.name.lower()}", "state")
