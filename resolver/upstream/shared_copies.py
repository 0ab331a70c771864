"""Copies that workers and machines share, in Redis. It saves questions to other nodes, and nothing depends on it.

Looking a copy up has a few milliseconds; a Redis that fails or does not answer is left alone for a while, like a server that is
asked. Nobody waits for a copy to be stored.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from proto.errors import Refusal
from proto.metrics import Metrics
from proto.ports import Clock
from resolver.upstream.breaker import Breaker
from resolver.upstream.copies import Copy, Terms
from resolver.upstream.packed_copy import MAX_COPY_BYTES, pack_copy, unpack_copy

log = logging.getLogger(__name__)

# Of one worker: look-ups beside one another share round trips of a tenth of a millisecond.
MAX_CONNECTIONS: Final = 8

# Copies that are being stored at once; what comes beyond is not stored.
MAX_STORING: Final = 256

# A copy is worth about as much as the question that it saves, which takes a few milliseconds to the next node.
LOOK_UP_S: Final = 0.05
STORE_S: Final = 1.0
CONNECT_S: Final = 0.5

_FORMAT: Final = "biaojie:copy:1:"


class SharedCopies:
    """`space` sets apart the copies of nodes that ask others. Every method takes failure for absence."""

    def __init__(
        self, url: str, space: str, terms: Terms, clock: Clock, metrics: Metrics, look_up_s: float = LOOK_UP_S
    ) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=STORE_S,
            socket_timeout=STORE_S,
            socket_connect_timeout=CONNECT_S,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = Redis.from_pool(pool)
        self._prefix = f"{_FORMAT}{space}:"
        self._terms = terms
        self._clock = clock
        self._look_up_s = look_up_s
        self._breaker = Breaker()
        self._counts = {
            outcome: metrics.shared_copies.labels(outcome) for outcome in ("found", "absent", "stored", "failed", "skipped")
        }
        self._storing: set[asyncio.Task[None]] = set()

    async def get(self, key: str) -> Copy | None:
        """The copy under a key, whatever its age; None if there is none, or nobody says."""
        if not self._breaker.admit(self._clock.monotonic()):
            self._counts["skipped"].inc()
            return None
        try:
            async with asyncio.timeout(self._look_up_s):
                # One byte more than a copy may have, so that a longer one is known for what it is.
                raw = await cast("Awaitable[bytes]", self._redis.getrange(self._prefix + key, 0, MAX_COPY_BYTES))
            copy = unpack_copy(raw) if raw else None
        except (RedisError, OSError, TimeoutError) as error:
            self._fail(error)
            return None
        except Refusal as refusal:
            self._breaker.succeed()
            self._counts["failed"].inc()
            log.warning("a shared copy cannot be read: %s", refusal.detail)
            return None
        except BaseException:
            self._breaker.abandon()
            raise
        self._breaker.succeed()
        self._counts["absent" if copy is None else "found"].inc()
        return copy

    def put(self, key: str, copy: Copy) -> None:
        """Store a copy, soon, for as long as it may be shown."""
        if self._breaker.is_open or len(self._storing) >= MAX_STORING:
            self._counts["skipped"].inc()
            return
        task = asyncio.create_task(self._store(key, copy))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def close(self) -> None:
        """Give up what is being stored, and close the connections."""
        for task in tuple(self._storing):
            task.cancel()
        await asyncio.gather(*self._storing, return_exceptions=True)
        await self._redis.aclose()

    async def _store(self, key: str, copy: Copy) -> None:
        lasts_ms = copy.until_ms - self._clock.now_ms() + (self._terms.stale_s * 1000 if self._terms.is_kept_stale(copy) else 0)
        if lasts_ms <= 0:
            return
        try:
            async with asyncio.timeout(STORE_S):
                await self._redis.set(self._prefix + key, pack_copy(copy), px=lasts_ms)
        except (RedisError, OSError, TimeoutError) as error:
            self._fail(error)
            return
        self._counts["stored"].inc()

    def _fail(self, error: Exception) -> None:
        was_open = self._breaker.is_open
        self._breaker.fail(self._clock.monotonic())
        self._counts["failed"].inc()
        if self._breaker.is_open and not was_open:
            log.warning("the shared cache does not answer and is left alone for a while: %s", error or type(error).__name__)
