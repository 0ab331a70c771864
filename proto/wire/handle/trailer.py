"""The life cycle of a record, behind the body of a reply to whoever asked for it (`codes.LIFE_CYCLE`).

The Handle protocol has no place for a record's state and version, and `biaojie resolve` shows the same whatever
protocol it speaks. A request that sets the flag gets this behind the standard body, counted in the body's length:

    format 1 (= 1) | state 1 | version 8 (0: not told) | registered spelling str (empty: not told)
    format 1 (= 2) | the same | source 1 (1 cached, 2 stale) | age 4

The second form is that of a copy, with the seconds since the record's home said so. Nobody else ever sees a trailer; and a
reader that does not know it would skip it as bytes after a well-formed body.
"""

import struct
from typing import Final, NamedTuple

from proto.limits import MAX_IDENTIFIER_BYTES
from proto.model.answer import Source
from proto.model.record import State
from proto.wire.handle.fields import FieldReader, compose_string, malformed

_FORMAT: Final = 1
_COPY_FORMAT: Final = 2
_HEAD: Final = struct.Struct(">BBQ")
_COPY: Final = struct.Struct(">BI")
_SOURCES: Final[dict[Source, int]] = {Source.CACHED: 1, Source.STALE: 2}
_SOURCE_OF: Final = {number: source for source, number in _SOURCES.items()}
_MAX_AGE_S: Final = 0xFFFF_FFFF


class LifeCycle(NamedTuple):
    """What a trailer says. `age_s` is in seconds; 0 for an authoritative answer."""

    state: State
    version: int
    identifier: str
    source: Source = Source.AUTHORITATIVE
    age_s: int = 0


def compose_trailer(life_cycle: LifeCycle) -> bytes:
    form = _FORMAT if life_cycle.source is Source.AUTHORITATIVE else _COPY_FORMAT
    front = _HEAD.pack(form, life_cycle.state, life_cycle.version) + compose_string(life_cycle.identifier.encode())
    if form == _FORMAT:
        return front
    return front + _COPY.pack(_SOURCES[life_cycle.source], min(life_cycle.age_s, _MAX_AGE_S))


def parse_trailer(rest: bytes) -> LifeCycle:
    """The trailer that follows a body. Raises `Refusal(MALFORMED_MESSAGE)`, also for a format of a later day."""
    reader = FieldReader(rest)
    form, state, version = _HEAD.unpack(reader.take(_HEAD.size))
    if form not in (_FORMAT, _COPY_FORMAT) or state not in tuple(State):
        raise malformed("a life-cycle trailer of an unknown format")
    identifier = reader.text()
    if len(identifier.encode()) > MAX_IDENTIFIER_BYTES:
        raise malformed("an identifier that is longer than any")
    if form == _FORMAT:
        return LifeCycle(State(state), version, identifier)
    source, age_s = _COPY.unpack(reader.take(_COPY.size))
    if source not in _SOURCE_OF:
        raise malformed("a life-cycle trailer of an unknown source")
    return LifeCycle(State(state), version, identifier, _SOURCE_OF[source], age_s)
