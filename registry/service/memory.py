"""What an idempotency key remembers of a command: its outcomes, or why it was refused. Compressed JSON, versioned.

format 1: 0x01 | deflated {"outcomes": [...], "refusal": {...} or null}
"""

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from proto.errors import Reason, Refusal
from registry.service.plan import Outcome, RowOutcome

_FORMAT: Final = b"\x01"

# A batch's outcomes repeat themselves: the fastest level already makes them a tenth.
_LEVEL: Final = 1


@dataclass(slots=True)
class AtomicRefusal(Refusal):
    """Nothing of an atomic batch was written: `row` is the first refused row, `outcomes` what each would have come to."""

    outcomes: tuple[RowOutcome, ...] = ()


def compose_outcome(outcomes: Sequence[RowOutcome], refusal: Refusal | None = None) -> bytes:
    """The bytes to remember."""
    if isinstance(refusal, AtomicRefusal):
        outcomes = refusal.outcomes
    document = {
        "outcomes": [_document(each) for each in outcomes],
        "refusal": refusal and [refusal.reason, refusal.detail, refusal.field, refusal.row],
    }
    # Escaped, because a refused row may repeat text that is no valid Unicode.
    text = json.dumps(document, separators=(",", ":"))
    return _FORMAT + zlib.compress(text.encode(), _LEVEL)


def parse_outcome(raw: bytes) -> tuple[RowOutcome, ...]:
    """The remembered outcomes. Raises the remembered `Refusal`, if that is what was remembered."""
    document = json.loads(zlib.decompress(raw[len(_FORMAT) :]))
    outcomes = tuple(_outcome(each) for each in document["outcomes"])
    if document["refusal"] is None:
        return outcomes
    reason, detail, field, row = document["refusal"]
    if outcomes:
        raise AtomicRefusal(Reason(reason), detail, field, row, None, outcomes)
    raise Refusal(Reason(reason), detail, field, row)


def _document(outcome: RowOutcome) -> list[Any]:
    image = base64.b64encode(outcome.image).decode()
    reason = outcome.reason or ""
    return [
        outcome.identifier, outcome.outcome, outcome.version, reason, outcome.field, outcome.detail, outcome.state, image
    ]  # fmt: skip


def _outcome(parts: list[Any]) -> RowOutcome:
    identifier, outcome, version, reason, field, detail, state, image = parts
    return RowOutcome(
        identifier,
        Outcome(outcome),
        version,
        Reason(reason) if reason else None,
        field,
        detail,
        state,
        base64.b64decode(image),
    )
