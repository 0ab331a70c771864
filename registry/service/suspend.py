"""Suspending an identifier, and letting it answer again.

A suspended identifier exists and shows nothing. It may be replaced and patched meanwhile, and stays suspended. This is the
registrant's own switch; what the operator shuts off is the prefix or the registrant.
"""

from proto.model.account import Caller
from proto.model.record import State
from proto.ports import RecordReader
from registry.policy.rules import Action
from registry.service.plan import Plan
from registry.service.target import find_target, plan_state


def plan_suspension(reader: RecordReader, caller: Caller, identifier: str, expected_version: int | None, now_ms: int) -> Plan:
    """Nothing to do if it is suspended. Raises `Refusal` as `find_target` does."""
    target = find_target(reader, caller, Action.SUSPEND, identifier, expected_version)
    return plan_state(target, State.SUSPENDED, now_ms)


def plan_resumption(reader: RecordReader, caller: Caller, identifier: str, expected_version: int | None, now_ms: int) -> Plan:
    """Nothing to do if it is active. Raises `Refusal` as `find_target` does."""
    target = find_target(reader, caller, Action.SUSPEND, identifier, expected_version)
    return plan_state(target, State.ACTIVE, now_ms)
