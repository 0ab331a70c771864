"""From a command to a transaction of the store, and from the store's results to what the command's sender is told. Pure.

An idempotency key is an expectation like any other: under none of its possible keys may anything be. So a repeated command
meets a mismatch, even one in the same group, and is answered from what is remembered.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from proto.errors import Reason, Refusal
from proto.keys import idempotency_key, record_key, row_key
from proto.limits import IDEMPOTENCY_DAYS, MAX_CHANGE_BYTES, MAX_CHANGE_ROWS
from proto.model.change import START, Memory
from proto.packing import pack_alias, version_of
from proto.ports import Command, Committed, Conflict
from proto.stream import compose_payload
from registry.store.port import Entry, Mismatch, Transaction

DAY_MS: Final = 86_400_000

_ALIAS_VERSION: Final = version_of(pack_alias(""))

# Account, request id and trace context together: they stand in the header of a change, which has 4,096 bytes for everything.
_MAX_NAMES_BYTES: Final = 2_048

# What a waiting command weighs besides its rows: futures, tuples, names.
_OVERHEAD_BYTES: Final = 1_024


class Prepared(NamedTuple):
    """A command as a transaction. `remembered` counts the expectations that stand before those of the rows."""

    transaction: Transaction
    remembered: int
    size: int


def idempotency_keys(account: str, key: str, today: int) -> list[bytes]:
    """Every key under which the outcome of an idempotency key may be found; the first is the one to write."""
    return [idempotency_key(today - back, account, key) for back in range(IDEMPOTENCY_DAYS + 1)]


def prepare(command: Command, today: int) -> Prepared:
    """Translate a command; `today` is the day (since 1970, UTC) under which its outcome is remembered.

    Raises `Refusal(BATCH_TOO_LARGE, DUPLICATE_IDENTIFIER, INVALID_ARGUMENT)` for a command that no state of the store could
    accept: what passes here cannot fail in the writer's thread.
    """
    _check_names(command)
    if len(command.rows) > MAX_CHANGE_ROWS:
        raise Refusal(Reason.BATCH_TOO_LARGE, f"{len(command.rows)} rows; a change has at most {MAX_CHANGE_ROWS}")
    expect: list[tuple[bytes, int]] = []
    writes: list[tuple[bytes, bytes]] = []
    memory = None
    if command.idempotency_key:
        names = idempotency_keys(command.account, command.idempotency_key, today)
        expect += [(name, 0) for name in names]
        memory = (names[0], Memory(command.body_digest, START, command.outcome, 0))
    remembered = len(expect)
    for row in command.rows:
        key = row_key(row.table, row.name)
        if row.image and not version_of(row.image) == row.version == row.prior_version + 1:
            raise Refusal(Reason.INVALID_ARGUMENT, f"the image of {row.name!r} is not the version after {row.prior_version}")
        expect.append((key, row.prior_version))
        writes.append((key, row.image))
    holds = _aliases(command, expect, writes) if command.claims or command.releases else ()
    if len(writes) > 1 and len({key for key, _ in writes}) != len(writes):
        raise Refusal(Reason.DUPLICATE_IDENTIFIER, "a command names an identifier twice")
    if not writes:
        if memory is None:
            raise Refusal(Reason.INVALID_ARGUMENT, "a command without rows and without an idempotency key says nothing")
        return Prepared(Transaction(expect, memory=memory), remembered, _OVERHEAD_BYTES + len(command.outcome))
    payload = command.payload or compose_payload(command.rows)
    if len(payload) > MAX_CHANGE_BYTES:
        raise Refusal(Reason.BATCH_TOO_LARGE, f"{len(payload)} bytes; a change has at most {MAX_CHANGE_BYTES}")
    entry = Entry(command.account, command.request_id, command.traceparent, len(command.rows), payload)
    transaction = Transaction(expect, holds, writes, entry, memory)
    return Prepared(transaction, remembered, _OVERHEAD_BYTES + 2 * len(payload))


def conflict_of(mismatch: Mismatch, prepared: Prepared, rows: int) -> Conflict:
    """What a mismatch of a row or an alias is to the command's sender."""
    place = mismatch.place - prepared.remembered
    is_row = 0 <= place < rows
    return Conflict(mismatch.position, mismatch.key, mismatch.expected, mismatch.found, place if is_row else None)


def replay(memory: Memory, body_digest: bytes) -> Committed:
    """The first outcome again, at `START` if it was a refusal. Raises `Refusal(IDEMPOTENCY_MISMATCH)` for another body."""
    if memory.body_digest != body_digest:
        raise Refusal(Reason.IDEMPOTENCY_MISMATCH, "this key was used with another body", field="Idempotency-Key")
    return Committed(memory.position, memory.time_ms, memory.outcome, replayed=True)


def _check_names(command: Command) -> None:
    try:
        size = len(f"{command.account}{command.request_id}{command.traceparent}".encode())
    except UnicodeEncodeError:
        raise Refusal(Reason.INVALID_ARGUMENT, "account, request id or trace context is not valid Unicode") from None
    if size > _MAX_NAMES_BYTES:
        raise Refusal(Reason.INVALID_ARGUMENT, f"account, request id and trace context are {size} bytes long")


def _aliases(
    command: Command, expect: list[tuple[bytes, int]], writes: list[tuple[bytes, bytes]]
) -> Sequence[tuple[bytes, bytes]]:
    """Add what the command's aliases need; a pointer that is released must be the very one. An alias may change hands."""
    released = {claim.alias: claim.target for claim in command.releases}
    claimed = {claim.alias: claim.target for claim in command.claims}
    holds = [(record_key(alias), pack_alias(target)) for alias, target in released.items()]
    expect += [(record_key(alias), 0) for alias in claimed if alias not in released]
    writes += [(record_key(alias), b"") for alias in released if alias not in claimed]
    writes += [(record_key(alias), pack_alias(target)) for alias, target in claimed.items()]
    return holds
