"""What the registry and a planning process say to each other.

    registry → process    Task        plan this
                          Answer      what the view says to its question
    process → registry    READY       it has begun: it may be given a task
                          Question    it needs to know something of the view
                          Chunk       the task's outcome
                          Refused     what planning refused as a whole
                          Failed      planning failed, by a mistake of the program

A process has one task at a time, so nothing needs a number. How it is said stands in `registry.service.beside.talk`.
"""

from typing import Any, NamedTuple

from proto.model.prefix import Prefix
from registry.service.imports.chunks import ChunkTask


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
