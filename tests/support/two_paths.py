"""The same bytes to two HTTP listeners over one reader: one answers plain requests as such, the other leaves all to aiohttp."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from resolver.listeners.http.limits import HttpLimits
from resolver.listeners.http.lookups import LOOKUPS
from tests.support.http import Served

STATUS_LINE = re.compile(rb"HTTP/\d\.\d (\d{3}) [A-Z][A-Za-z -]+\r\n")
_NAMED_BY_REQUEST = re.compile(rb"(?<=\r\nX-Request-Id: )[0-9a-f]{32}(?=\r\n)")
_DATE = re.compile(rb"(?<=\r\nDate: )[^\r]+")


@dataclass
class TwoPaths:
    """`plain` and `other`; both are open."""

    plain: Served
    other: Served

    async def say(self, *pieces: bytes, ends: bool = False) -> tuple[bytes, bytes]:
        """What each path says to a conversation, but for dates and the ids that it made."""
        said = await asyncio.gather(self.plain.talk(*pieces, ends=ends), self.other.talk(*pieces, ends=ends))
        return without_chance(said[0]), without_chance(said[1])


@asynccontextmanager
async def two_paths(limits: HttpLimits | None = None) -> AsyncIterator[TwoPaths]:
    plain = Served(limits=limits or HttpLimits())
    other = Served(reader=plain.reader, limits=limits or HttpLimits())
    plain.listener.plain_lookups = LOOKUPS
    other.listener.plain_lookups = ()
    plain.reader.watcher = plain.answers
    async with plain, other:
        yield TwoPaths(plain, other)


def without_chance(said: bytes) -> bytes:
    return _DATE.sub(b"-", _NAMED_BY_REQUEST.sub(b"-", said))


def statuses(said: bytes) -> list[int]:
    """The statuses of all answers, in order, whatever their bodies are."""
    return [int(found) for found in STATUS_LINE.findall(said)]


def differ(plain: Sequence[int], other: Sequence[int]) -> str:
    """How two sequences of statuses differ; empty if they agree.

    One thing aiohttp does is a matter of chance, because it is one what is answered by when: it tells nobody of a head that
    breaks off behind a request that is not answered yet. Both paths end in aiohttp, the plain one later. Nothing else may
    differ.
    """
    longer, shorter = sorted((list(plain), list(other)), key=len, reverse=True)
    if longer == shorter or longer == [*shorter, 400]:
        return ""
    return f"plain {list(plain)}, aiohttp {list(other)}"
