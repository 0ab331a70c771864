"""One exchange over aiohttp: request in, reply out, with what every reply carries.

    route → caller → body → context → handler → reply

What is refused before the body is there is refused for this time only; everything after is remembered under the idempotency
key, if there is one. Every reply names its request (`X-Request-Id`) and repeats a well-formed `traceparent`.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import ExitStack
from http import HTTPStatus
from typing import Final

from aiohttp import web

from proto.errors import Reason, Refusal
from proto.metrics import Counter
from proto.model.account import ANONYMOUS, Caller
from proto.request_id import REQUEST_ID
from proto.wire.http import head
from proto.wire.http.target import Target, parse_target
from registry.doors.rest.body import Budget, check_body, read_body, stream_body
from registry.doors.rest.call import Call
from registry.doors.rest.limits import MAX_BODIES_BYTES, MAX_POLLS, MAX_REQUESTS, RestLimits
from registry.doors.rest.reply import Reply, reply_refusal
from registry.doors.rest.route import Route, Router
from registry.service.context import Context, check_idempotency_key, digest_request
from registry.service.registry import Registry

log = logging.getLogger(__name__)

_COMMON: Final = {"Server": "biaojie", "X-Content-Type-Options": "nosniff"}

# What makes two requests the same, besides method, target and body.
_CONDITIONS: Final = ("If-Match", "If-None-Match")


class Exchange:
    """Answers requests by their routes."""

    def __init__(self, registry: Registry, routes: Sequence[Route], refused: Counter, limits: RestLimits) -> None:
        self._registry = registry
        self._router = Router(routes)
        self._refused = refused
        self._limits = limits
        self._requests = Budget(MAX_REQUESTS, "requests")
        self._polls = Budget(MAX_POLLS, "followers")
        self._bodies = Budget(MAX_BODIES_BYTES, "bodies")

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Raises `ConnectionError` if the client went, or does not read."""
        request_id = head.parse_request_id(request.headers) or secrets.token_hex(head.REQUEST_ID_BYTES)
        REQUEST_ID.set(request_id)
        target = parse_target(request.raw_path)
        try:
            return await self._answer(request, request_id, target)
        except Refusal as refusal:
            reply = self._refuse(target, refusal)
        except ConnectionError:
            raise
        except Exception:
            log.exception("a request failed", extra={"method": request.method, "path": target.path})
            reply = self._refuse(target, Refusal(Reason.INTERNAL, "the node failed to answer; its log says why"))
        if request.writer.output_size:
            # Half of a reply is out: the only way to say that the rest will not come is to end the connection.
            raise ConnectionResetError("a reply broke off")
        return await self._send(request, request_id, reply)

    def count(self, refusal: Refusal) -> None:
        """Count a refusal."""
        self._count_reason(refusal.reason)

    def _count_reason(self, reason: Reason) -> None:
        self._refused.labels(reason).inc()

    async def _answer(self, request: web.BaseRequest, request_id: str, target: Target) -> web.StreamResponse:
        route, path = self._router.find(request.method, target.path)
        with ExitStack() as held:
            held.enter_context((self._polls if route.waits else self._requests).take(1))
            caller = ANONYMOUS if route.is_open else self._registry.authenticate(head.parse_bearer(request.headers))
            call = await self._call(request, request_id, target, route, path, caller, held)
            return await self._send(request, request_id, await route.serve(call))

    async def _call(
        self,
        request: web.BaseRequest,
        request_id: str,
        target: Target,
        route: Route,
        path: Mapping[str, str],
        caller: Caller,
        held: ExitStack,
    ) -> Call:
        """The call, with its body read as the route wants it; what it holds is given back with `held`."""
        body, chunks = b"", None
        if route.body is not None:
            if caller.is_anonymous:
                # Whatever has a body writes. Strangers' bodies must not take the room that those of others need.
                raise Refusal(Reason.UNAUTHENTICATED, "to write an API key is needed", "authorization")
            check_body(request, route.body)
            if route.body.is_streamed:
                chunks = stream_body(request, route.body.limit, self._limits)
            else:
                held.enter_context(self._bodies.take(_weight(request, route.body.limit)))
                body = await read_body(request, route.body.limit, self._limits)
        key = request.headers.get("Idempotency-Key")
        digest = b""
        if key is not None:
            check_idempotency_key(key)
            conditions = (f"{name}: {request.headers.get(name, '')}".encode(errors="surrogateescape") for name in _CONDITIONS)
            digest = digest_request(
                request.method.encode(), request.raw_path.encode(errors="surrogateescape"), *conditions, body
            )
        context = Context(caller, request_id, head.parse_traceparent(request.headers), key or "", digest)
        return Call(route, target, path, request.headers, context, self._registry, body, chunks, self._count_reason)

    def _refuse(self, target: Target, refusal: Refusal) -> Reply:
        self.count(refusal)
        headers = {}
        if refusal.reason is Reason.UNSUPPORTED_OPERATION:
            headers["Allow"] = ", ".join(self._router.methods(target.path))
        # What waits too long behind us is a gateway's timeout; here it is the client that sends too slowly.
        status = HTTPStatus.REQUEST_TIMEOUT if refusal.reason is Reason.TIMEOUT and refusal.field == "body" else None
        return reply_refusal(refusal, status, headers)

    async def _send(self, request: web.BaseRequest, request_id: str, reply: Reply) -> web.StreamResponse:
        headers = _COMMON | reply.headers | {head.REQUEST_ID: request_id}
        traceparent = head.parse_traceparent(request.headers)
        if traceparent:
            headers[head.TRACEPARENT] = traceparent
        if reply.content_type:
            headers["Content-Type"] = reply.content_type
        if reply.chunks is None:
            response = web.Response(status=reply.status, body=reply.body, headers=headers)
            await self._in_time(request, response.prepare(request))
            await self._in_time(request, response.write_eof())
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


def _weight(request: web.BaseRequest, limit: int) -> int:
    """What a body may come to: as announced, or all that is allowed."""
    return limit if request.content_length is None else request.content_length
