"""The request id in force: what a listener or door accepted or made for the request that this context works for.

Edges set it, logs read it; what is written takes it from its own arguments. Empty outside of any request.
"""

from contextvars import ContextVar
from typing import Final

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")

SEED_BYTES: Final = 8
"""Random bytes that `RequestIds` begins with: no two processes draw the same."""


def compose_id(own: str, number: int) -> str:
    """What `RequestIds` makes of what its process drew, and a count."""
    return f"{own}{number:016x}"


class RequestIds:
    """Ids for requests that bring none: what this process drew once, and a count. Nobody else's, and no secret.

    Drawing random bytes for each would be a system call for each.
    """

    __slots__ = ("_count", "_own")

    def __init__(self, seed: bytes) -> None:
        self._own = seed.hex()
        self._count = 0

    def new(self) -> str:
        """32 hexadecimal digits, as many as a W3C trace id has."""
        own, number = self.reserve(1)
        return compose_id(own, number)

    def reserve(self, count: int) -> tuple[str, int]:
        """The same for many: what `compose_id` makes them of, the number being that of the first."""
        first = self._count + 1
        self._count += count
        return self._own, first
