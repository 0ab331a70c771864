"""The supervisor's port: metrics of the whole tree, health, readiness, and the state of every process.

A few lines of HTTP/1.1 instead of a framework: GET and HEAD of four paths, one request a connection. It imports
prometheus-client, which must come after the environment names the folder of the metrics (see `node.cli.serve`).
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from node.metrics import build_metrics, keep_figures_as
from proto.errors import Reason, Refusal
from proto.metrics import Metrics
from proto.wire.http.status import REASON_STATUS, problem_document

logger = logging.getLogger(__name__)

# A scraper sends a few hundred bytes, at once.
MAX_REQUEST_BYTES: Final = 8_192
REQUEST_S: Final = 5.0
# The whole of a connection: its turn, the request, the page being taken.
CONNECTION_S: Final = 15.0
# Scrapers, probes and people: never many. More wait in the kernel's queue.
MAX_CONNECTIONS: Final = 32

# The supervisor's own name among the processes that count.
OWN_NAME: Final = "node"

_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"
_PROBLEM: Final = "application/problem+json; charset=utf-8"

# Here it is the head of a request that is too large or too slow, not what stands behind it.
_STATUS: Final = {
    Reason.MESSAGE_TOO_LARGE: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    Reason.TIMEOUT: HTTPStatus.REQUEST_TIMEOUT,
}


class Page(NamedTuple):
    """What is answered: its status, content type and body."""

    status: HTTPStatus
    kind: str
    body: bytes


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
            async with asyncio.timeout(CONNECTION_S), self._slots:
                method, page = await self._answer(reader)
                writer.write(_compose(page, with_body=method != "HEAD"))
                await writer.drain()
                if page.status is HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
                    # To close with bytes of the client's unread would destroy what was just written.
                    writer.write_eof()
                    while await reader.read(MAX_REQUEST_BYTES):
                        pass
        except (TimeoutError, ConnectionError):
            logger.debug("a connection to the metrics port ended without an answer, or before it was taken")
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[str, Page]:
        """The method of the one request, empty if it cannot be read, and its page. Raises `ConnectionError` if none comes."""
        method = ""
        try:
            method, path = await _read_request(reader)
            return method, await self._page(method, path)
        except Refusal as refusal:
            self.metrics.refused.labels(refusal.reason).inc()
            return method, _problem(refusal)

    async def _page(self, method: str, path: str) -> Page:
        if method not in ("GET", "HEAD"):
            raise Refusal(Reason.UNSUPPORTED_OPERATION, "only GET and HEAD are served here", "method")
        match path.partition("?")[0]:
            case "/metrics":
                return Page(HTTPStatus.OK, CONTENT_TYPE_LATEST, await asyncio.to_thread(_collect))
            case "/healthz":
                return Page(HTTPStatus.OK, _TEXT, b"ok\n")
            case "/readyz" if self._describe()["ready"]:
                return Page(HTTPStatus.OK, _TEXT, b"ready\n")
            case "/readyz":
                return Page(HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"not ready\n")
            case "/status":
                return Page(HTTPStatus.OK, _JSON, json.dumps(self._describe(), ensure_ascii=False).encode())
        raise Refusal(Reason.NOT_FOUND, "there are /metrics, /healthz, /readyz and /status", "path")


def _collect() -> bytes:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus-client leaves it without types
    return generate_latest(registry)


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str]:
    """Method and target. Raises `Refusal` for what is no request, `ConnectionError` if the client goes without one."""
    try:
        async with asyncio.timeout(REQUEST_S):
            head = await reader.readuntil(b"\r\n\r\n")
    except TimeoutError:
        raise Refusal(Reason.TIMEOUT, f"the request did not come within {REQUEST_S:g} s") from None
    except asyncio.LimitOverrunError:
        raise Refusal(Reason.MESSAGE_TOO_LARGE, f"a request is at most {MAX_REQUEST_BYTES} bytes", "headers") from None
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            raise ConnectionResetError("nothing was asked") from None
        raise Refusal(Reason.MALFORMED_MESSAGE, "the request ended within its headers") from None
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Refusal(Reason.MALFORMED_MESSAGE, "the request is not HTTP/1.1")
    return words[0], words[1]


def _problem(refusal: Refusal) -> Page:
    status = _STATUS.get(refusal.reason, REASON_STATUS[refusal.reason])
    document = problem_document(status, refusal.reason, refusal.detail, refusal.field)
    return Page(status, _PROBLEM, json.dumps(document, ensure_ascii=False).encode())


def _compose(page: Page, *, with_body: bool) -> bytes:
    head = (
        f"HTTP/1.1 {page.status.value} {page.status.phrase}\r\nContent-Type: {page.kind}\r\n"
        f"Content-Length: {len(page.body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (page.body if with_body else b"")
