"""What a group of transactions comes to: pure, so that all drivers decide alike.

Transactions are judged in order against what is stored, overlaid by what those before them in the group write. Each one
that holds takes the next sequence, a time not before its predecessor's, and its place in the chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from proto.model.change import START, Head, Position
from proto.packing import version_of
from proto.stream import compose_change
from proto.tables import pack_memory
from registry.store.port import Applied, Entry, Mismatch, Transaction


@dataclass(slots=True)
class Plan:
    """What is to be written, at once: `writes` with the last value of each key (empty: it goes), frames, and the head."""

    head: Head
    results: list[Applied | Mismatch] = field(default_factory=list)
    writes: dict[bytes, bytes] = field(default_factory=dict)
    frames: list[tuple[Position, bytes]] = field(default_factory=list)


def keys_to_read(group: Sequence[Transaction]) -> list[bytes]:
    """Every key that some transaction of the group has an expectation of, once."""
    keys: dict[bytes, None] = {}
    for transaction in group:
        keys.update(dict.fromkeys([key for key, _ in transaction.expect]))
        keys.update(dict.fromkeys([key for key, _ in transaction.holds]))
    return list(keys)


def plan_group(head: Head, group: Sequence[Transaction], stored: dict[bytes, bytes | None], now_ms: int) -> Plan:
    """Judge `group` on `stored`, which holds what is under `keys_to_read(group)` and is used up."""
    plan = Plan(head)
    for transaction in group:
        mismatch = _judge(transaction, stored, plan.head.position)
        plan.results.append(mismatch if mismatch is not None else _accept(plan, transaction, stored, now_ms))
    return plan


def _judge(transaction: Transaction, stored: dict[bytes, bytes | None], position: Position) -> Mismatch | None:
    for place, (key, expected) in enumerate(transaction.expect):
        value = stored[key]
        found = version_of(value) if value else 0
        if found != expected:
            return Mismatch(position, place, key, expected, found)
    for place, (key, wanted) in enumerate(transaction.holds, len(transaction.expect)):
        value = stored[key]
        if value != wanted:
            return Mismatch(position, place, key, version_of(wanted), version_of(value) if value else 0)
    return None


def _accept(plan: Plan, transaction: Transaction, stored: dict[bytes, bytes | None], now_ms: int) -> Applied:
    time_ms = max(now_ms, plan.head.time_ms)
    frame = _enter(plan, transaction.entry, time_ms) if transaction.entry is not None else b""
    applied = Applied(plan.head.position, time_ms, frame)
    plan.writes.update(transaction.writes)
    stored.update(transaction.writes)
    if transaction.memory is not None:
        key, memory = transaction.memory
        position = applied.position if frame else START
        value = pack_memory(replace(memory, position=position, time_ms=time_ms))
        plan.writes[key] = stored[key] = value
    return applied


def _enter(plan: Plan, entry: Entry, time_ms: int) -> bytes:
    head = plan.head
    position = Position(head.position.epoch, head.position.sequence + 1)
    frame, chain = compose_change(
        node_id=head.node_id,
        position=position,
        time_ms=time_ms,
        actor=entry.actor,
        request_id=entry.request_id,
        traceparent=entry.traceparent,
        row_count=entry.row_count,
        payload=entry.payload,
        previous=head.chain,
    )
    plan.head = Head(head.node_id, position, time_ms, chain)
    plan.frames.append((position, frame))
    return frame
