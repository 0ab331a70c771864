"""What the door says about the node and about itself: alive, ready, and what it serves."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, Protocol

from proto.errors import Reason, Refusal
from registry.doors.rest.call import Call
from registry.doors.rest.limits import BUSY_RETRY_S
from registry.doors.rest.openapi import compose_document
from registry.doors.rest.reply import Reply, compose_json, reply_json
from registry.doors.rest.route import Answer, Route

_NO_STORE: Final = {"Cache-Control": "no-store"}


class Readiness(Protocol):
    """Whether the node can answer now."""

    @property
    def is_ready(self) -> bool: ...


class NodeResource:
    """Health, and the OpenAPI document of all routes, its own included."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._document = b""

    @property
    def routes(self) -> Sequence[Route]:
        ok = {200: Answer("It is.", "Health")}
        return (
            Route("GET", "/healthz", "isAlive", "node", "Whether the process works.", self.health, ok, is_open=True),
            Route("GET", "/readyz", "isReady", "node", "Whether it can answer now; 503 if not.", self.ready, ok, is_open=True),
            Route("GET", "/openapi.json", "describe", "node", "This document.", self.describe,
                  {200: Answer("OpenAPI 3.1.")}, is_open=True),
        )  # fmt: skip

    def describe_routes(self, routes: Sequence[Route]) -> None:
        """Make the document, once all routes are known."""
        self._document = compose_json(compose_document(routes))

    async def health(self, _call: Call) -> Reply:
        return reply_json({"status": "alive"}, headers=_NO_STORE)

    async def ready(self, _call: Call) -> Reply:
        if not self._readiness.is_ready:
            raise Refusal(Reason.NOT_READY, "the view is not ready", retry_after_s=BUSY_RETRY_S)
        return reply_json({"status": "ready"}, headers=_NO_STORE)

    async def describe(self, _call: Call) -> Reply:
        return Reply(HTTPStatus.OK, self._document, headers={"Cache-Control": "no-cache"})
