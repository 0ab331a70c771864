"""The interface of a step, and how steps become one function.

A step gets the query and what follows it; it answers itself, or passes the query on and may look at the answer that
comes back. Nearly every answer is there at once, so a result is an answer *or* something to await: only a step that
really waits (for a view to catch up, for another node) makes a query asynchronous.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from proto.model.answer import Answer
from proto.model.query import Query

Result = Answer | Awaitable[Answer]
Resolve = Callable[[Query], Result]


class Step(Protocol):
    """One link of the chain."""

    def resolve(self, query: Query, following: Resolve) -> Result:
        """Answer `query`, or let `following` do it."""


def link(steps: Sequence[Step], last: Resolve) -> Resolve:
    """One function out of the steps, first to last, ending in `last`."""
    resolve = last
    for step in reversed(steps):
        resolve = _bind(step, resolve)
    return resolve


def then(result: Result, look: Callable[[Answer], Answer]) -> Result:
    """Apply `look` to the answer, now or when it comes."""
    if inspect.isawaitable(result):
        return _later(result, look)
    return look(result)


def abandon(results: Iterable[object]) -> None:
    """Let results go that will not be awaited after all; those that were are done."""
    for result in results:
        if inspect.iscoroutine(result):
            result.close()


def _bind(step: Step, following: Resolve) -> Resolve:
    def resolve(query: Query) -> Result:
        return step.resolve(query, following)

    return resolve


async def _later(result: Awaitable[Answer], look: Callable[[Answer], Answer]) -> Answer:
    return look(await result)
