"""The REST door on a real port, and a client that holds every answer against the door's own OpenAPI document."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp
from jsonschema import Draft202012Validator
from prometheus_client import CollectorRegistry
from yarl import URL

from node.metrics import build_metrics
from proto.errors import Reason
from registry.doors.rest.door import RestDoor
from registry.doors.rest.limits import RestLimits
from registry.doors.rest.openapi import compose_document
from registry.doors.rest.pages import PagesBeside
from registry.doors.rest.route import Router
from registry.service.registry import Registry
from resolver.listeners.http.connection import ConnectionServer
from resolver.listeners.http.limits import HttpLimits


@dataclass(slots=True)
class Got:
    """An answer: its status, headers, bytes, and the document in them."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    document: dict[str, Any] = field(default_factory=dict)


class Ready:
    """A `Readiness` that a test switches."""

    is_ready = True


class RestNode:
    """An asynchronous context: the door, open on a free port; `tokens` are API keys by what a test calls their bearers."""

    def __init__(
        self,
        registry: Registry,
        limits: RestLimits | None = None,
        http: HttpLimits | None = None,
        *more: Any,
        pages: PagesBeside | None = None,
    ) -> None:
        self.scrape = CollectorRegistry()
        self.readiness = Ready()
        self.tokens: dict[str, str] = {}
        self.limits = http or HttpLimits()
        self.door = RestDoor(
            registry,
            self.readiness,
            build_metrics(self.scrape),
            lambda handle, gauge, count: ConnectionServer(handle, self.limits, gauge, count),
            more,
            limits,
            pages,
        )
        self._router = Router(self.door.routes)

    async def __aenter__(self) -> Self:
        self.port = await self.door.open("127.0.0.1", 0)
        self.session = aiohttp.ClientSession(auto_decompress=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()
        await self.door.close(1.0)

    async def __call__(
        self,
        method: str,
        path: str,
        document: Any = None,
        *,
        by: str = "operator",
        data: bytes | None = None,
        **headers: str,
    ) -> Got:
        """Send one request as somebody; `path` is sent as it is. Checks what comes back against the OpenAPI document."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if by in self.tokens:
            sent.setdefault("Authorization", f"Bearer {self.tokens[by]}")
        if document is not None:
            data = json.dumps(document, ensure_ascii=False).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        url = URL(f"http://127.0.0.1:{self.port}{path}", encoded=True)
        async with self.session.request(method, url, data=data, headers=sent) as answer:
            body = await answer.read()
            is_json = "/json" in answer.headers.get("Content-Type", "").replace("+", "/") and body
            got = Got(answer.status, answer.headers, body, json.loads(body) if is_json else {})
        self._check(method, path, got, document)
        return got

    def refused(self, reason: Reason) -> float:
        """How often this reason was counted."""
        return self.scrape.get_sample_value("biaojie_refused_total", {"reason": reason}) or 0.0

    @cached_property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document."""
        found: dict[str, Any] = json.loads(json.dumps(compose_document(self.door.routes)))
        return found

    def _check(self, method: str, path: str, got: Got, sent: Any) -> None:
        assert got.headers["X-Request-Id"]
        if got.status >= HTTPStatus.BAD_REQUEST:
            assert got.headers["Content-Type"] == "application/problem+json; charset=utf-8"
            assert got.document["status"] == got.status
            self._validate("Problem", got.document)
            return
        route, _ = self._router.find(method, path.partition("?")[0])
        operation = self.document["paths"][route.path][route.method.lower()]
        assert str(got.status) in operation["responses"], f"{method} {path} is not said to answer {got.status}"
        if route.body is not None and route.body.schema:
            self._validate(route.body.schema, sent)
        answer = route.answers[got.status]
        for name in answer.headers:
            assert name in got.headers or name in ("Location", "Idempotency-Replayed"), name
        if answer.schema and method != "HEAD":
            self._validate(answer.schema, got.document)

    def _validate(self, schema: str, document: Any) -> None:
        whole = {"$ref": f"#/components/schemas/{schema}", "components": self.document["components"]}
        Draft202012Validator(whole).validate(document)
