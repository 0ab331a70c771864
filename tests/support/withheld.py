"""Answers that come late: what a listener does meanwhile with those that are there."""

import asyncio
from collections.abc import Awaitable

from proto.model.answer import Answer, NotFound
from proto.model.query import Query


class Withheld:
    """A resolver whose answers come when the test says so."""

    def __init__(self) -> None:
        self.waiting: dict[str, asyncio.Future[Answer]] = {}
        self.asked: list[str] = []

    def __call__(self, query: Query) -> Answer | Awaitable[Answer]:
        self.asked.append(query.identifier)
        if "later" not in query.identifier:
            return NotFound(query.identifier)
        self.waiting[query.identifier] = asyncio.get_running_loop().create_future()
        return self.waiting[query.identifier]

    def release(self, identifier: str) -> None:
        self.waiting.pop(identifier).set_result(NotFound(identifier))
