"""What requests ask for, in the terms of the use cases. Pure; what cannot be read is a `Refusal` naming the field."""

from typing import Final

from proto.convert import enum_from, value_from
from proto.errors import Reason, Refusal
from proto.limits import DEFAULT_PAGE
from proto.model.account import Caller, GroupGrant, Role
from proto.model.change import START, Position, parse_cursor
from proto.model.identifier import SuffixRule
from proto.model.prefix import PrefixState
from proto.v1 import model_pb2, registry_pb2
from registry.policy.rules import EVERY_REGISTRANT
from registry.service.patch import Patch
from registry.service.plan import Draft, RowOutcome, refused
from registry.service.register import Mode

# Requests that may name the version they expect.
Conditional = (
    registry_pb2.Draft
    | registry_pb2.UpdateRequest
    | registry_pb2.IdentifierWrite
    | registry_pb2.MovePrefixRequest
    | registry_pb2.SetDelegationRequest
    | registry_pb2.SetSuffixRuleRequest
    | registry_pb2.MoveRegistrantRequest
    | registry_pb2.ChangePapersRequest
    | registry_pb2.AccountWrite
)

_MODES: Final = {
    registry_pb2.MODE_PARTIAL: Mode.PARTIAL,
    registry_pb2.MODE_ATOMIC: Mode.ATOMIC,
    registry_pb2.MODE_REHEARSAL: Mode.REHEARSAL,
}


def expected_version(request: Conditional) -> int | None:
    """The version that is to be replaced; None if any will do."""
    return request.expected_version if request.HasField("expected_version") else None


def draft_from(message: registry_pb2.Draft) -> Draft:
    """The draft of an identifier. Raises `Refusal(INVALID_VALUE)`."""
    return Draft(
        message.identifier,
        tuple(value_from(value, f"values[{place}]") for place, value in enumerate(message.values)),
        message.template,
        tuple(message.aliases),
        expected_version(message),
        message.only_if_absent,
    )


def row_from(message: registry_pb2.Draft) -> Draft | RowOutcome:
    """The draft of one row of a batch, or its refusal, which keeps the row's place."""
    try:
        return draft_from(message)
    except Refusal as refusal:
        return refused(message.identifier, refusal)


def patch_from(message: registry_pb2.UpdateRequest) -> Patch:
    """What to change of an identifier. Raises `Refusal(INVALID_VALUE)`."""
    return Patch(
        set=tuple(value_from(value, f"set[{place}]") for place, value in enumerate(message.set)),
        remove=tuple(message.remove),
        template=message.template if message.HasField("template") else None,
        aliases=tuple(message.aliases.identifiers) if message.HasField("aliases") else None,
    )


def mode_from(number: registry_pb2.Mode.ValueType) -> Mode:
    """Raises `Refusal(INVALID_ARGUMENT)`."""
    mode = _MODES.get(number)
    if mode is None:
        raise Refusal(Reason.INVALID_ARGUMENT, f"{number} is not a Mode of this version", "mode")
    return mode


def state_from(number: int, default: PrefixState | None = None) -> PrefixState:
    """The state of a prefix or registrant that is asked for. Raises `Refusal(INVALID_ARGUMENT)`."""
    return default if not number and default is not None else enum_from(PrefixState, number, "state")


def suffix_rule_from(number: int) -> SuffixRule:
    """Raises `Refusal(INVALID_ARGUMENT)`."""
    return enum_from(SuffixRule, number, "suffix_rule") if number else SuffixRule.FOLD_ASCII


def role_from(number: int) -> Role:
    """Raises `Refusal(INVALID_ARGUMENT)`."""
    return enum_from(Role, number, "role")


def grant_from(message: model_pb2.GroupGrant) -> GroupGrant:
    return GroupGrant(message.registrant, message.group)


def page_asked(request: registry_pb2.ListRequest, caller: Caller) -> tuple[str, str, int]:
    """Whose things a listing is to show, after which cursor, and how many."""
    registrant = request.registrant or caller.registrant or EVERY_REGISTRANT
    return registrant, request.after, request.limit or DEFAULT_PAGE


def position_from(cursor: str) -> Position:
    """The position behind an `after`; the start for an empty one. Raises `Refusal(INVALID_ARGUMENT)`."""
    return parse_cursor(cursor) if cursor else START
