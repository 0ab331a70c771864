"""What all connections of a listener ask in one turn of the event loop, answered together.

Nearly always a connection brings one plain question and nothing stands before it. Those of one turn wait for its end, which is
less than a millisecond, and are then answered one step for all of them after the other: a look-up, or a reply, that stands
alone between other work finds the processor's caches filled with everything else. What cannot be answered so goes back to its
connection, which answers it as whatever else comes.

Whatever else happens to a connection meanwhile (more comes, its client ends its half or takes nothing, it is to retire)
happens behind the question that waits: the connection takes it back (`drop`) and works on it first.

One client alone has nobody to wait for: whoever was the only one to ask in the last turn is answered at once, until another
asks.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

logger = logging.getLogger(__name__)

# Plain questions are a tenth of it. What is longer is worked on by its connection, so that a turn holds little whoever asks.
MAX_GATHERED_BYTES: Final = 2_048

# Each by itself meets it again, and tells its client.
_FAILED: Final = "what came in one turn could not be answered together"
_BROKEN: Final = "a connection failed at its answer, and is closed"

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")
_A = TypeVar("_A", contravariant=True)
_B = TypeVar("_B", contravariant=True)


class Asker(Protocol[_A, _B]):
    """A connection."""

    def take(self, asked: _A, answered: _B | None, /) -> None:
        """What its question came to; None: it has to be answered otherwise."""

    def abort(self) -> None:
        """Close now, whatever is under way."""


class Turn(Generic[Asked, Answered]):
    """Of one listener. `answer` gives what each of at most `most` questions came to, in order."""

    __slots__ = ("_answer", "_lone", "_most", "_waiting")

    def __init__(self, answer: Callable[[list[Asked]], Sequence[Answered | None]], most: int) -> None:
        self._answer = answer
        self._most = most
        self._waiting: dict[Asker[Asked, Answered], Asked] = {}
        self._lone: Asker[Asked, Answered] | None = None  # who alone asked in the last turn

    def add(self, asker: Asker[Asked, Answered], asked: Asked) -> None:
        """Answer at the end of this turn, or now if nobody else asks; one question of an asker at a time."""
        if asker is self._lone and not self._waiting:
            self._tell([asker], [asked])
            return
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._end)
        self._waiting[asker] = asked

    def drop(self, asker: Asker[Asked, Answered]) -> Asked:
        """Do not answer what an asker has added and not got back, but give it back now."""
        self._lone = None
        return self._waiting.pop(asker)

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, {}
        askers, questions = [*waiting], [*waiting.values()]
        self._lone = askers[0] if len(askers) == 1 else None
        for start in range(0, len(questions), self._most):
            self._tell(askers[start : start + self._most], questions[start : start + self._most])

    def _tell(self, askers: list[Asker[Asked, Answered]], questions: list[Asked]) -> None:
        answers: Sequence[Answered | None]
        try:
            answers = self._answer(questions)
        except Exception:
            logger.exception(_FAILED)
            answers = [None] * len(questions)
        for asker, asked, answered in zip(askers, questions, answers, strict=True):
            try:
                asker.take(asked, answered)
            except Exception:
                logger.exception(_BROKEN)
                asker.abort()
