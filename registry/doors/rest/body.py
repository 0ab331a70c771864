"""Request bodies: read within a size, a time and a common budget, whole or piece by piece."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from proto.errors import Reason, Refusal
from registry.doors.rest.limits import BUSY_RETRY_S, RestLimits
from registry.doors.rest.route import Body

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Budget:
    """How much of something may be held at once."""

    def __init__(self, limit: int, what: str) -> None:
        self._limit = limit
        self._what = what
        self._taken = 0

    @contextmanager
    def take(self, amount: int) -> Iterator[None]:
        """Raises `Refusal(OVERLOADED)` if there is not so much left."""
        if self._taken + amount > self._limit:
            raise Refusal(Reason.OVERLOADED, f"the node works on {self._what} enough", retry_after_s=BUSY_RETRY_S)
        self._taken += amount
        try:
            yield
        finally:
            self._taken -= amount


def check_body(request: web.BaseRequest, body: Body) -> None:
    """Raise `Refusal` (UNSUPPORTED_CONTENT_TYPE, MESSAGE_TOO_LARGE) for what the headers say of a body that is not wanted."""
    charset = (request.charset or "").lower()
    if request.content_type not in body.content_types or (charset and body.charsets and charset not in body.charsets):
        wanted = " or ".join(body.content_types) + (f" in {' or '.join(body.charsets)}" if body.charsets else "")
        raise Refusal(Reason.UNSUPPORTED_CONTENT_TYPE, f"{wanted} is wanted", "Content-Type")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Refusal(Reason.UNSUPPORTED_CONTENT_TYPE, "encoded bodies are not read", "Content-Encoding")
    if (request.content_length or 0) > body.limit:
        raise _too_large(body.limit)


async def read_body(request: web.BaseRequest, limit: int, limits: RestLimits) -> bytes:
    """The whole body. Raises `Refusal`: MESSAGE_TOO_LARGE, TIMEOUT, MALFORMED_MESSAGE if it breaks off."""
    pieces = bytearray()
    try:
        async with asyncio.timeout(limits.body_s):
            await _invite(request)
            while chunk := await request.content.readany():
                pieces += chunk
                if len(pieces) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        raise Refusal(Reason.TIMEOUT, f"the body did not come within {limits.body_s:g} s", "body") from None
    except (web.RequestPayloadError, ConnectionError) as error:
        raise _broken(error) from None
    return bytes(pieces)


async def stream_body(request: web.BaseRequest, limit: int, limits: RestLimits) -> AsyncIterator[bytes]:
    """The body piece by piece, each within a time. Raises `Refusal` as `read_body` does."""
    size = 0
    await _invite(request)
    while True:
        try:
            async with asyncio.timeout(limits.body_s):
                chunk = await request.content.readany()
        except TimeoutError:
            raise Refusal(Reason.TIMEOUT, f"nothing of the body came for {limits.body_s:g} s", "body") from None
        except (web.RequestPayloadError, ConnectionError) as error:
            raise _broken(error) from None
        if not chunk:
            return
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        yield chunk


async def _invite(request: web.BaseRequest) -> None:
    """Tell a client that waits to be asked (`Expect: 100-continue`) to send its body."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(_CONTINUE)
        request.writer.output_size = 0


def _too_large(limit: int) -> Refusal:
    return Refusal(Reason.MESSAGE_TOO_LARGE, f"the body is longer than {limit} bytes", "body")


def _broken(error: Exception) -> Refusal:
    return Refusal(Reason.MALFORMED_MESSAGE, f"the body cannot be read: {error}", "body")
