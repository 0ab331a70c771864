"""What the committer and its local readers say over the wake-up socket (`DATA/run/stream.sock`).

The socket only wakes: everything it speaks of is in files, and a reader that never connects still sees all of it, later.
Messages are of one size, so neither side buffers more than one:

    kind 4 | epoch 4 | sequence 8        (big-endian)
"""

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from proto.model.change import Position

_MESSAGE: Final = struct.Struct(">IIQ")
MESSAGE_BYTES: Final = _MESSAGE.size

SOCKET_NAME: Final = "stream.sock"

# How often a reader that has lost the committer tries to find it again. An attempt costs microseconds.
RETRY_S: Final = 0.1

# How long a committer that has just started leaves its doors closed, so that the readers that outlived the one before it
# are there again when the first write is acknowledged: three attempts of each.
GATHER_S: Final = 3 * RETRY_S


class Signal(IntEnum):
    """HEAD and SWITCH come from the committer; the others from a reader."""

    HEAD = 1
    """Changes up to here are durable and in the segments."""
    SWITCH = 2
    """A checkpoint at this position exists, and it is this reader's turn to move to it."""
    READY = 3
    """This reader answers from here on: acknowledgements wait for it."""
    APPLIED = 4
    """This reader shows everything up to here."""
    SWITCHED = 5
    """This reader answers from the checkpoint at this position (or has given up on it): the next may switch."""
    UNREADY = 6
    """This reader no longer answers: acknowledgements do not wait for it."""


class Message(NamedTuple):
    """One message."""

    signal: Signal
    position: Position


def compose_message(signal: Signal, position: Position) -> bytes:
    return _MESSAGE.pack(signal, *position)


def parse_messages(buffer: bytes) -> tuple[list[Message], bytes]:
    """The whole messages in `buffer` and what is left of it. Raises `ValueError` for an unknown signal."""
    whole = len(buffer) - len(buffer) % MESSAGE_BYTES
    messages = [
        Message(Signal(kind), Position(epoch, sequence)) for kind, epoch, sequence in _MESSAGE.iter_unpack(buffer[:whole])
    ]
    return messages, buffer[whole:]
