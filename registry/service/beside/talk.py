"""How the registry and a process beside it speak: over a socket that only these two hold.

Each message is pickled behind its length: both ends are this very program, and nobody else can write there.
"""

import pickle
import struct
from typing import Any, Final, NamedTuple

from proto.errors import Reason, Refusal

LENGTH: Final = struct.Struct(">I")

# The largest that is said is a page of changes: 8 MiB as they are stored, in JSON up to some times that; a chunk of an
# import is a third of it. A longer message is not one of ours.
MAX_MESSAGE_BYTES: Final = 128 * 1024 * 1024

READY: Final = "ready"
"""What a process says first: it may be given work."""


class Refused(NamedTuple):
    """A `Refusal`, taken apart."""

    reason: Reason
    detail: str
    field: str

    def refusal(self) -> Refusal:
        return Refusal(self.reason, self.detail, self.field)


class Failed(NamedTuple):
    """An exception, as its traceback tells it."""

    trace: str


def compose(message: object) -> bytes:
    """A message as it is sent."""
    raw = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(raw)) + raw


def size_of(head: bytes) -> int:
    """How many bytes follow a message's head. Raises `ValueError` if that cannot be."""
    (size,) = LENGTH.unpack(head)
    if size > MAX_MESSAGE_BYTES:
        raise ValueError(f"a message of {size} bytes")
    return int(size)


def parse(raw: bytes) -> Any:
    """The message behind its length."""
    return pickle.loads(raw)  # noqa: S301 - of our own process: see above
