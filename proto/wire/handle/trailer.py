"""The life cycle of a record, behind the body of a reply to whoever asked for it (`codes.LIFE_CYCLE`).

The Handle protocol has no place for a record's state and version, and `biaojie resolve` shows the same whatever
protocol it speaks. A request that sets the flag gets this behind the standard body, counted in the body's length:

    format 1 (= 1) | state 1 | version 8 (0: not told) | registered spelling str (empty: not told)

Nobody else ever sees it; and a reader that does not know it would skip it as bytes after a well-formed body.
"""

import struct
from typing import Final, NamedTuple

from proto.model.record import State
from proto.wire.handle.fields import FieldReader, compose_string, malformed

_FORMAT: Final = 1
_HEAD: Final = struct.Struct(">BBQ")


class LifeCycle(NamedTuple):
    """What a trailer says."""

    state: State
    version: int
    identifier: str


def compose_trailer(life_cycle: LifeCycle) -> bytes:
    head = _HEAD.pack(_FORMAT, life_cycle.state, life_cycle.version)
    return head + compose_string(life_cycle.identifier.encode())


def parse_trailer(rest: bytes) -> LifeCycle:
    """The trailer that follows a body. Raises `Refusal(MALFORMED_MESSAGE)`, also for a format of a later day."""
    reader = FieldReader(rest)
    form, state, version = _HEAD.unpack(reader.take(_HEAD.size))
    if form != _FORMAT or state not in tuple(State):
        raise malformed("a life-cycle trailer of an unknown format")
    return LifeCycle(State(state), version, reader.text())
