"""Redis Streams: each event an entry with the fields `id` and `event`, the oldest entries trimmed beyond `max_length`.

Beside the stream lies a mark (`STREAM:feed`): how many events were delivered, and the cursor behind them. It is written with
the entries, in one script, so it is lost as they are. A server that was flushed, or came back with an older snapshot, has a
mark that is behind the feed's own count; then the feed goes back to the mark's cursor, or to the beginning, and the stream is
rebuilt.
"""

import json
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from adapters.city.core.event import Event
from adapters.city.core.places import RedisPlace
from adapters.city.core.receipt import Receipt, Verdict
from adapters.city.core.reconciliation import Bucket, BucketKey, Group, Holding
from adapters.city.transports.told import held, slices, sums_of
from adapters.city.transports.transport import UNCOMMITTED_S, Batch, Unknowable
from proto.model.change import START

# KEYS: stream, mark. ARGV: delivered before, delivered after, cursor after, length, and all events: of each the length of its
# id, the id, the length of the event, the event. One long argument is packed at once, where each of a thousand short ones costs
# a microsecond; the script's `struct` takes the parts out (`c0`: as many bytes as the number before says).
_SCRIPT: Final = """
local delivered = tonumber(redis.call('HGET', KEYS[2], 'delivered') or '-1')
if delivered < tonumber(ARGV[1]) and tonumber(ARGV[1]) > 0 then
  return redis.call('HGET', KEYS[2], 'cursor') or ''
end
local events, place, id, event = ARGV[5], 1
while place <= #events do
  id, event, place = struct.unpack('>I4c0I4c0', events, place)
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], '*', 'id', id, 'event', event)
end
redis.call('HSET', KEYS[2], 'delivered', ARGV[2], 'cursor', ARGV[3])
return 1
"""
_TAKEN: Final = 1
_SIZE: Final = struct.Struct(">I").pack

# Entries read at once.
_PAGE: Final = 1_000


class RedisTransport:
    """Appends to one stream; `head` begins each event."""

    uncommitted_s = UNCOMMITTED_S

    def __init__(self, head: bytes, place: RedisPlace) -> None:
        self._head = head
        self._place = place
        self._mark = f"{place.stream}:feed"
        # Trying again is the engine's matter, which knows what it may try again.
        self._client: Redis = Redis.from_url(
            place.url,
            socket_timeout=place.timeout_s,
            socket_connect_timeout=place.timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        self._script = self._client.register_script(_SCRIPT)

    async def deliver(self, batch: Batch) -> Receipt:
        told = batch.delivered + len(batch.events)
        packed = _pack(self._head, batch.events)
        arguments: list[Any] = [batch.delivered, told, batch.end, self._place.max_length, packed]
        try:
            answer = await self._script(keys=[self._place.stream, self._mark], args=arguments)
        except (RedisError, OSError, TimeoutError) as error:
            return Receipt(Verdict.FAILED, _why(error))
        if answer == _TAKEN:
            return Receipt(Verdict.DELIVERED)
        return Receipt(Verdict.FAILED, "the stream has lost what it was told", missing_after=_cursor(answer))

    async def missing_after(self, delivered: int) -> str | None:
        try:
            marked, cursor = await self._client.hmget(self._mark, "delivered", "cursor")
        except (RedisError, OSError, TimeoutError):
            return None  # It is away, which the next delivery will say.
        if delivered == 0 or (marked is not None and int(marked) >= delivered):
            return None
        return _cursor(cursor)

    async def begin_after(self, delivered: int, cursor: str) -> bool:
        try:
            await self._client.hset(self._mark, mapping={"delivered": delivered, "cursor": cursor})
        except (RedisError, OSError, TimeoutError):
            return False
        return True

    async def sums(self, wanted: Mapping[BucketKey, int] | None) -> AsyncIterator[tuple[BucketKey, Bucket]]:
        """What the stream tells from its first entry on; what was trimmed is missing from it."""
        digits = {key[:2]: count for key, count in wanted.items()} if wanted is not None else None
        async for newest in slices(self._read, await self._length()):
            for key, bucket in sums_of(newest, digits).items():
                yield key, bucket

    async def things(
        self, wanted: frozenset[BucketKey], digits: Mapping[Group, int]
    ) -> AsyncIterator[tuple[BucketKey, Holding]]:
        async for newest in slices(self._read, await self._length()):
            for key, holding in held(newest, digits):
                if key in wanted:
                    yield key, holding

    async def _length(self) -> int:
        try:
            return int(await self._client.xlen(self._place.stream))
        except (RedisError, OSError, TimeoutError) as error:
            raise Unknowable(_why(error)) from None

    async def _read(self) -> AsyncIterator[dict[str, Any]]:
        """The events of the stream. Raises `Unknowable`."""
        after = "-"
        while True:
            try:
                entries: Any = await self._client.xrange(self._place.stream, min=after, count=_PAGE)
            except (RedisError, OSError, TimeoutError) as error:
                raise Unknowable(_why(error)) from None
            for _, fields in entries:
                yield json.loads(fields[b"event"])
            if len(entries) < _PAGE:
                return
            after = f"({entries[-1][0].decode()}"

    def content(self, data: Mapping[str, Any]) -> object:
        return data

    async def repair(self, events: Sequence[Event]) -> Receipt:
        try:
            async with self._client.pipeline() as pipeline:
                for event in events:
                    entry: Any = {"id": event.id, "event": self._head + event.rest}
                    pipeline.xadd(self._place.stream, entry, maxlen=self._place.max_length, approximate=True)
                await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            return Receipt(Verdict.FAILED, _why(error))
        return Receipt(Verdict.DELIVERED)

    async def close(self) -> None:
        await self._client.aclose()


def _pack(head: bytes, events: Sequence[Event]) -> bytes:
    """Events as the script takes them."""
    parts: list[bytes] = []
    for event in events:
        rest = event.rest
        parts += (_SIZE(len(event.id)), event.id.encode(), _SIZE(len(head) + len(rest)), head, rest)
    return b"".join(parts)


def _cursor(answer: object) -> str:
    return answer.decode() if isinstance(answer, bytes) and answer else START.to_cursor()


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
