"""One exchange over aiohttp: request in, reply out, with what every reply carries.

Every reply names its request (`X-Request-Id`) and repeats a well-formed `traceparent`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from functools import partial
from http import HTTPStatus
from typing import Final

from aiohttp import web

from proto.errors import Reason, Refusal
from proto.metrics import Counter
from proto.request_id import REQUEST_ID, RequestIds
from proto.wire.http import head
from proto.wire.http.target import parse_target
from resolver.listeners.http.api import Call, Route
from resolver.listeners.http.limits import MAX_BODY_BYTES, HttpLimits
from resolver.listeners.http.reply import Reply, answer_condition, fields_of, refuse

log = logging.getLogger(__name__)

# A browser may keep what a preflight said for a day.
PREFLIGHT_S: Final = 86_400

_PREFLIGHT: Final = {
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-None-Match, X-Request-Id, traceparent",
    "Access-Control-Max-Age": str(PREFLIGHT_S),
}


class Exchange:
    """Finds the route of each request and sends what it replies. `refused` counts what never reaches the chain."""

    def __init__(self, routes: Iterable[Route], refused: Counter, limits: HttpLimits, ids: RequestIds) -> None:
        self._exact = {route.path: route for route in routes if not route.takes_rest}
        self._below = [route for route in routes if route.takes_rest]
        self._refused = refused
        self._limits = limits
        self._ids = ids

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Raises `ConnectionError` if the client went, or does not read."""
        request_id = head.parse_request_id(request.headers) or self._ids.new()
        REQUEST_ID.set(request_id)
        target = parse_target(request.raw_path)
        try:
            route, rest = self._find(target.path)
            serve = route.methods.get(request.method)
            if serve is None:
                return await self._send(request, request_id, self._answer_method(request.method, route))
            read_body = partial(self._read_body, request)
            accept = ", ".join(request.headers.getall("Accept", ()))
            call = Call(rest, target, request.headers, accept, request_id, request.remote or "", read_body, self.count)
            with route.slots.take():
                reply = await serve(call)
                reply = answer_condition(reply, request.headers.get("If-None-Match", ""))
                return await self._send(request, request_id, reply)
        except Refusal as refusal:
            # What waits too long behind us is an answer; a refusal of that kind is of a client that sends too slowly.
            status = HTTPStatus.REQUEST_TIMEOUT if refusal.reason is Reason.TIMEOUT else None
            reply = self._refuse(refusal, status)
        except ConnectionError:
            raise
        except Exception:
            log.exception("a request failed", extra={"path": target.path})
            reply = self._refuse(Refusal(Reason.INTERNAL, "the node failed to answer; its log says why"))
        if request.writer.output_size:
            # Half of a reply is out: the only way to say that the rest will not come is to end the connection.
            raise ConnectionResetError("a reply broke off")
        return await self._send(request, request_id, reply)

    def count(self, refusal: Refusal) -> None:
        """Count a refusal that never reached the chain."""
        self._refused.labels(refusal.reason).inc()

    def _find(self, path: str) -> tuple[Route, str]:
        """The route of a path and what of the path is below it. Raises `Refusal(NOT_FOUND)`."""
        exact = self._exact.get(path)
        if exact is not None:
            return exact, ""
        for route in self._below:
            if path.startswith(route.path):
                return route, path[len(route.path) :]
        raise Refusal(Reason.NOT_FOUND, "nothing is served at this path", "path")

    def _answer_method(self, method: str, route: Route) -> Reply:
        """OPTIONS says what is allowed; any other method that the route does not have is refused."""
        allowed = ", ".join((*route.methods, "OPTIONS"))
        if method == "OPTIONS":
            return Reply(
                HTTPStatus.NO_CONTENT,
                content_type="",
                headers={"Allow": allowed, "Access-Control-Allow-Methods": allowed, **_PREFLIGHT},
            )
        refusal = Refusal(Reason.UNSUPPORTED_OPERATION, f"{method} is not served here", "method")
        return self._refuse(refusal, Allow=allowed)

    def _refuse(self, refusal: Refusal, status: HTTPStatus | None = None, **headers: str) -> Reply:
        self.count(refusal)
        return refuse(refusal, status, **headers)

    async def _read_body(self, request: web.BaseRequest) -> bytes:
        """The body, which must be JSON and not encoded further.

        Raises `Refusal`: UNSUPPORTED_CONTENT_TYPE, MESSAGE_TOO_LARGE, MALFORMED_MESSAGE, TIMEOUT.
        """
        if request.content_type != "application/json" or (request.charset or "utf-8").lower() != "utf-8":
            raise Refusal(Reason.UNSUPPORTED_CONTENT_TYPE, "application/json in UTF-8 is wanted", "content-type")
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise Refusal(Reason.UNSUPPORTED_CONTENT_TYPE, "encoded bodies are not read", "content-encoding")
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise _too_large()
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        try:
            async with asyncio.timeout(self._limits.body_s):
                return await request.read()
        except TimeoutError:
            raise Refusal(Reason.TIMEOUT, f"the body did not come within {self._limits.body_s:g} s", "body") from None
        except web.HTTPRequestEntityTooLarge:
            raise _too_large() from None
        except (web.RequestPayloadError, ConnectionError) as error:
            raise Refusal(Reason.MALFORMED_MESSAGE, f"the body cannot be read: {error}", "body") from None

    async def _send(self, request: web.BaseRequest, request_id: str, reply: Reply) -> web.StreamResponse:
        headers = fields_of(reply)
        headers[head.REQUEST_ID] = request_id
        traceparent = head.parse_traceparent(request.headers)
        if traceparent:
            headers[head.TRACEPARENT] = traceparent
        if reply.chunks is None:
            response = web.Response(status=reply.status, body=reply.body, headers=headers)
            await self._in_time(request, _send_whole(request, response))
            return response
        stream = web.StreamResponse(status=reply.status, headers=headers)
        await self._in_time(request, stream.prepare(request))
        async for chunk in reply.chunks:
            await self._in_time(request, stream.write(chunk))
        await self._in_time(request, stream.write_eof())
        return stream

    async def _in_time(self, request: web.BaseRequest, sending: Awaitable[object]) -> None:
        """Send one piece. A client that does not take it in time loses its connection at once, unread bytes and all."""
        try:
            async with asyncio.timeout(self._limits.send_s):
                await sending
        except TimeoutError:
            self.count(Refusal(Reason.TIMEOUT))
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the client does not read") from None


async def _send_whole(request: web.BaseRequest, response: web.Response) -> None:
    await response.prepare(request)
    await response.write_eof()


def _too_large() -> Refusal:
    return Refusal(Reason.MESSAGE_TOO_LARGE, f"the body is longer than {MAX_BODY_BYTES} bytes", "body")
