"""Change: one committed command; its place in the one order of everything is its `Position`.

`sequence` is gap-free within an epoch; a restore or a promotion starts a higher epoch, so positions compare as pairs.
Outside the node a position is an opaque cursor. Rows are after-images: what each named thing is now, whole, together
with what it was (`prior_version`, `prior_state`), so that a follower needs no other source and a feed sees what left
its filter. Index keys are never in a change: they are derived, and may change.
"""

import base64
import binascii
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from proto.errors import Reason, Refusal
from proto.frozen import frozen

_CURSOR: Final = struct.Struct(">BIQ")
_CURSOR_FORMAT: Final = 1
MAX_CURSOR_CHARS: Final = 64


class Position(NamedTuple):
    """(epoch, sequence): where a change stands. `Position(0, 0)` is before everything."""

    epoch: int
    sequence: int

    def to_cursor(self) -> str:
        """The opaque form shown outside."""
        return base64.urlsafe_b64encode(_CURSOR.pack(_CURSOR_FORMAT, *self)).rstrip(b"=").decode()


START: Final = Position(0, 0)


def parse_cursor(text: str, field: str = "after") -> Position:
    """The position behind a cursor. Raises `Refusal(INVALID_ARGUMENT)` for anything this node did not hand out."""
    try:
        if len(text) > MAX_CURSOR_CHARS:
            raise ValueError
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        form, epoch, sequence = _CURSOR.unpack(raw)
        if form != _CURSOR_FORMAT:
            raise ValueError
    except (ValueError, binascii.Error, struct.error):
        raise Refusal(Reason.INVALID_ARGUMENT, "not a cursor of this node", field) from None
    return Position(epoch, sequence)


class Table(IntEnum):
    """What a row is an image of. The number is part of the stored format."""

    RECORD = 1
    PREFIX = 2
    REGISTRANT = 3
    ACCOUNT = 4
    JOB = 5
    FEED = 6
    LETTER = 7
    FILING = 8
    SOURCE = 9
    RESOLUTIONS = 10
    NOTICE = 11


@frozen
class Row:
    """One after-image. `name` is normalised; `image` is the packed form (`proto.packing`), empty if deleted.

    The change is accepted only if the stored version is `prior_version` (0: does not exist).
    """

    table: Table
    name: str
    image: bytes
    version: int
    prior_version: int = 0
    state: int = 0
    prior_state: int = 0


@frozen
class Change:
    """A committed command as the stream carries it.

    `payload` is the serialised rows (`biaojie.v1.ChangePayload`), `payload_digest` its SM3; `chain` is the SM3 of this
    header, which names `previous`, the chain hash of the change before it.
    """

    node_id: str
    position: Position
    time_ms: int
    actor: str
    request_id: str
    traceparent: str
    row_count: int
    payload: bytes
    payload_digest: bytes
    previous: bytes
    chain: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """Where a store's stream stands: the last change, its time and its chain hash, and whose stream it is."""

    node_id: str
    position: Position
    time_ms: int
    chain: bytes


@dataclass(frozen=True, slots=True)
class Memory:
    """What an idempotency key remembers: the digest of the body it came with, and what became of the command.

    `position` is `START` if the command wrote no rows (a refusal is remembered too).
    """

    body_digest: bytes
    position: Position
    outcome: bytes
    time_ms: int
