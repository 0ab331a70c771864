"""Bytes that calls hold: how many, of each connection and of all. Pure counting.

A gRPC library takes in what it is sent, and keeps a finished reply until the client's flow control lets it out, for ever if
need be; one connection has many calls. Without a bound, a client that asks and never reads makes the node hold all that it
asked for.
"""

from typing import Final

from proto.errors import Reason, Refusal

# Smaller messages need not be put: all calls of one connection together come to 4 MiB of them, and ordinary questions are
# answered whatever others do.
SMALL_MESSAGE_BYTES: Final = 16 * 1024

# Four of the largest answers: a client that reads has no more of them waiting.
MAX_HELD_BYTES_PER_CONNECTION: Final = 16 * 1024 * 1024

# Of one process. Beyond, large messages are refused to everybody until some have gone.
MAX_HELD_BYTES: Final = 256 * 1024 * 1024

RETRY_S: Final = 1.0


class Held:
    """The account of one server. A connection is named by the address of its client."""

    def __init__(self, max_bytes_per_connection: int = MAX_HELD_BYTES_PER_CONNECTION, max_bytes: int = MAX_HELD_BYTES) -> None:
        self._max_bytes_per_connection = max_bytes_per_connection
        self._max_bytes = max_bytes
        self._total = 0
        self._by_connection: dict[str, int] = {}

    @property
    def total(self) -> int:
        """All bytes that are held."""
        return self._total

    def put(self, connection: str, size: int) -> None:
        """Account for a message until it is given back. Raises `Refusal(OVERLOADED)` if it would be too much."""
        held = self._by_connection.get(connection, 0)
        if held and held + size > self._max_bytes_per_connection:
            why = f"calls of this connection hold {held} bytes: read their answers, or ask for less at once"
            raise Refusal(Reason.OVERLOADED, why, retry_after_s=RETRY_S)
        if self._total + size > self._max_bytes:
            raise Refusal(Reason.OVERLOADED, "too many large messages wait for their clients", retry_after_s=RETRY_S)
        self._by_connection[connection] = held + size
        self._total += size

    def give_back(self, connection: str, size: int) -> None:
        """A message has gone."""
        self._total -= size
        left = self._by_connection[connection] - size
        if left:
            self._by_connection[connection] = left
        else:
            del self._by_connection[connection]
