"""Changing some values of an identifier, by index; what is not named stays as it is."""

from dataclasses import dataclass
from typing import Final

from proto.errors import Reason, Refusal
from proto.limits import MAX_VALUES
from proto.model.account import Caller
from proto.model.record import check_values
from proto.model.value import Value
from proto.ports import RecordReader
from registry.policy.rules import Action
from registry.service.plan import Draft, Plan
from registry.service.register import plan_registration
from registry.service.target import find_target

# Removing more indexes than a record can have values is a mistake.
MAX_REMOVED: Final = MAX_VALUES


@dataclass(frozen=True, slots=True)
class Patch:
    """What to change: values set by their index, indexes removed (absent ones are no mistake); None leaves as it is."""

    set: tuple[Value, ...] = ()
    remove: tuple[int, ...] = ()
    template: str | None = None
    aliases: tuple[str, ...] | None = None


def plan_patch(
    reader: RecordReader, caller: Caller, identifier: str, patch: Patch, expected_version: int | None, now_ms: int
) -> Plan:
    """The record with the patch applied, replaced whole. Raises `Refusal` as `find_target` and `plan_registration` do."""
    target = find_target(reader, caller, Action.REGISTER, identifier, expected_version)
    check_patch(patch)
    before = target.record
    gone = {*patch.remove, *(value.index for value in patch.set)}
    draft = Draft(
        identifier,
        (*(value for value in before.values if value.index not in gone), *patch.set),
        before.template if patch.template is None else patch.template,
        before.aliases if patch.aliases is None else patch.aliases,
        before.version,
    )
    return plan_registration(reader, caller, draft, now_ms)


def check_patch(patch: Patch) -> None:
    """Raise `Refusal` for what is wrong with a patch by itself."""
    check_values(patch.set, "set")
    if len(patch.remove) > MAX_REMOVED:
        raise Refusal(Reason.INVALID_ARGUMENT, f"at most {MAX_REMOVED} values can be removed", "remove")
    both = {value.index for value in patch.set} & set(patch.remove)
    if both:
        raise Refusal(Reason.DUPLICATE_INDEX, f"index {min(both)} is set and removed", "remove")
