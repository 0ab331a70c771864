"""Limits of asking other nodes, each with its reason."""

from dataclasses import dataclass
from typing import Final

# HS_ALIAS after HS_ALIAS: one is use, two are a merger, more are a mistake.
MAX_ALIASES: Final = 4

# Prefixes whose home is remembered: as many enterprises as a large province has under its secondary nodes.
MAX_PLACES: Final = 8_192

# Servers that connections and a breaker are kept for; one that was not asked the longest time makes room.
MAX_SERVERS: Final = 1_024

# The part of a TTL that is left when a copy that is asked for is fetched anew in the background, but no more than a minute.
REFRESH_SHARE: Final = 0.1
MAX_REFRESH_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """What a test may want to reach sooner. Seconds."""

    # From the first question of a walk to its end: clients of their own wait some ten seconds.
    total_s: float = 5.0
    # One question at one server: the other side of the country and a disk that is asleep.
    attempt_s: float = 2.0
    connect_s: float = 1.0
    # What has a stale copy to show waits for a fresh one no longer than anybody would notice.
    stale_wait_s: float = 0.2
    # A walk that failed is not tried again for the same identifier for so long.
    failure_s: float = 2.0
    # An idle connection: below the idle time-out of our own listener, so that we close first.
    idle_s: float = 60.0
    sweep_s: float = 5.0
    # Of one server: with a round trip of 10 ms they carry 1,600 questions a second.
    max_connections: int = 16
    # Questions to one server that wait for a connection; beyond it the time of an attempt would be over anyway.
    max_waiting: int = 2_048
    # Walks under way in one process, each with the memory of a record or two.
    max_walks: int = 1_024
