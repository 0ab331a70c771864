"""Retiring an identifier: a tombstone stands under it for ever.

The tombstone keeps whose it was, its template and its aliases (a code on a nameplate must not come to mean something
else), and none of its values.
"""

from proto.model.account import Caller
from proto.model.record import State
from proto.ports import RecordReader
from registry.policy.rules import Action
from registry.service.plan import Plan
from registry.service.target import find_target, plan_state


def plan_retirement(reader: RecordReader, caller: Caller, identifier: str, expected_version: int | None, now_ms: int) -> Plan:
    """Raises `Refusal` as `find_target` does: what is retired already is RETIRED."""
    target = find_target(reader, caller, Action.RETIRE, identifier, expected_version)
    return plan_state(target, State.RETIRED, now_ms)
