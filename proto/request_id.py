"""The request id in force: what a listener or door accepted or made for the request that this context works for.

Edges set it, logs read it; what is written takes it from its own arguments. Empty outside of any request.
"""

from contextvars import ContextVar
from typing import Final

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")

SEED_BYTES: Final = 8
"""Random bytes that `RequestIds` begins with: no two processes draw the same."""


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
        self._count += 1
        return f"{self._own}{self._count:016x}"
