"""The supervisor's port: metrics of the whole tree, health, readiness, and the state of every process.

A few lines of HTTP/1.1 instead of a framework: GET and HEAD of four paths, one request a connection. It imports
prometheus-client, which must come after the environment names the folder of the metrics (see `node.cli.serve`).
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from node.metrics import build_metrics, keep_figures_as
from proto.metrics import Metrics

logger = logging.getLogger(__name__)

# A scraper sends a few hundred bytes, at once.
MAX_REQUEST_BYTES: Final = 8_192
REQUEST_S: Final = 5.0
# Scrapers, probes and people: never many. More wait in the kernel's queue.
MAX_CONNECTIONS: Final = 32

# The supervisor's own name among the processes that count.
OWN_NAME: Final = "node"

_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"

Page = tuple[HTTPStatus, str, bytes]
Describe = Callable[[], Mapping[str, Any]]
"""The state of the tree; its member `ready` decides `/readyz`."""


class Observatory:
    """Serves the supervisor's port and counts what the supervisor itself does."""

    def __init__(self, describe: Describe) -> None:
        keep_figures_as(OWN_NAME)
        self.metrics: Metrics = build_metrics()
        self._describe = describe
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> None:
        self._server = await asyncio.start_server(self._serve, host, port, limit=MAX_REQUEST_BYTES, reuse_port=True)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def forget(self, process: str) -> None:
        """Leave out the gauges of a process that ended; what it counted stays counted."""
        mark_process_dead(process)  # type: ignore[no-untyped-call]  # prometheus-client leaves this function without types

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S), self._slots:
                method, path = _parse_request(await reader.readuntil(b"\r\n\r\n"))
                status, kind, body = await self._page(method, path)
                writer.write(_compose(status, kind, body, with_body=method != "HEAD"))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ConnectionError):
            logger.debug("a connection to the metrics port ended without an answer")
        finally:
            writer.close()

    async def _page(self, method: str, path: str) -> Page:
        if method not in ("GET", "HEAD"):
            return HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, b"only GET and HEAD\n"
        match path.partition("?")[0]:
            case "/metrics":
                return HTTPStatus.OK, CONTENT_TYPE_LATEST, await asyncio.to_thread(_collect)
            case "/healthz":
                return HTTPStatus.OK, _TEXT, b"ok\n"
            case "/readyz":
                is_ready = self._describe()["ready"]
                return (
                    (HTTPStatus.OK, _TEXT, b"ready\n") if is_ready else (HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"not ready\n")
                )
            case "/status":
                return HTTPStatus.OK, _JSON, json.dumps(self._describe(), ensure_ascii=False).encode()
        return HTTPStatus.NOT_FOUND, _TEXT, b"there are /metrics, /healthz, /readyz and /status\n"


def _collect() -> bytes:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus-client leaves it without types
    return generate_latest(registry)


def _parse_request(head: bytes) -> tuple[str, str]:
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    return (words[0], words[1]) if len(words) == 3 else ("", "")


def _compose(status: HTTPStatus, kind: str, body: bytes, *, with_body: bool) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (body if with_body else b"")
