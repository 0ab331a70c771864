"""What the registry and a planning process say to each other, over a socket that only these two hold.

    registry → process    Task        plan this
                          Answer      what the view says to its question
    process → registry    READY       it has begun: it may be given a task
                          Question    it needs to know something of the view
                          Chunk       the task's outcome
                          Refused     what planning refused as a whole
                          Failed      planning failed, by a mistake of the program

A process has one task at a time, so nothing needs a number. Each message is pickled behind its length: both ends are this
very program, and nobody else can write there.
"""

import pickle
import struct
from typing import Any, Final, NamedTuple

from proto.errors import Reason, Refusal
from proto.limits import MAX_CHANGE_BYTES
from proto.model.prefix import Prefix
from registry.service.imports.chunks import ChunkTask
from registry.service.imports.lines import MAX_ROW_BYTES

LENGTH: Final = struct.Struct(">I")

# A task with the longest of pieces, and the largest of chunks with its images beside the payload, are shorter; a longer
# message is not one of ours.
MAX_MESSAGE_BYTES: Final = 8 * (MAX_CHANGE_BYTES + MAX_ROW_BYTES)

READY: Final = "ready"


class Task(NamedTuple):
    """A chunk to plan, with what it surely asks for: the prefix of the import and its holder's image."""

    chunk: ChunkTask
    prefix: Prefix | None
    registrant: bytes | None


class Question(NamedTuple):
    """A method of `proto.ports.RecordReader` and its arguments."""

    method: str
    arguments: tuple[Any, ...]


class Answer(NamedTuple):
    """What the view says. `is_lost`: it cannot answer now, and the task is given up; nothing more is said of it."""

    value: Any
    is_lost: bool = False


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
