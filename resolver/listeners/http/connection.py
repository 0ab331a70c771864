"""aiohttp's connection, with the limits and the manners that its users are expected to add.

The resolver's takes a connection over at the first request that is not plain (`plain_connection`); the registry's serves it
from its first byte. What is added to aiohttp's: a bound on connections; a bound on the time that a request's head may take;
errors of the parser as problems with the right status; requests that come together and are each answered, whatever comes
behind them; answers for clients that end their half first; and identifiers typed as they are: clients such as curl send a path
with Chinese in it as raw UTF-8, which the parser refuses, so in the request line such bytes are percent-encoded before it sees
them. (Of a request that comes before the one in front of it is answered, the head has the idle time, its path must be escaped,
and if it ends half-way nobody is told.)

aiohttp has no hooks for the last four. The attributes used here are those of the pinned release; the contract tests speak raw
bytes, and fail if another release differs.
"""

import asyncio
import logging
import re
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http import HttpVersion10, HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import ERROR, RequestHandler, _ErrInfo

from proto.errors import Reason, Refusal
from proto.metrics import Gauge
from proto.wire.http import head
from resolver.listeners.http.limits import (
    MAX_BODY_BYTES,
    MAX_HEADER_FIELD_BYTES,
    MAX_HEADERS,
    MAX_PIECES_A_TURN,
    MAX_REQUEST_LINE_BYTES,
    HttpLimits,
)
from resolver.listeners.http.occupancy import Occupancy
from resolver.listeners.http.reply import PROBLEM, Reply, refuse

log = logging.getLogger(__name__)

_NOT_ASCII: Final = re.compile(rb"[\x80-\xff]")
_TOO_MANY_HEADERS: Final = "Too many headers"
_HEAD_END: Final = b"\r\n\r\n"
_SEAM_BYTES: Final = len(_HEAD_END) - 1
_VERSIONS: Final = (HttpVersion10, HttpVersion11)

Count = Callable[[Refusal], None]


class ConnectionServer(web.Server):
    """Makes the connections of one listener, and knows how many are open."""

    def __init__(self, handle: Callable[[web.BaseRequest], Any], limits: HttpLimits, gauge: Gauge, count: Count) -> None:
        super().__init__(
            handle,
            request_factory=self._make,
            keepalive_timeout=limits.idle_s,
            access_log=None,
            max_line_size=MAX_REQUEST_LINE_BYTES,
            max_field_size=MAX_HEADER_FIELD_BYTES,
            max_headers=MAX_HEADERS,
            lingering_time=limits.linger_s,
            auto_decompress=False,
        )
        self.limits = limits
        self.occupancy = Occupancy(limits.max_connections, gauge)
        self.count = count

    def __call__(self) -> "Connection":
        return Connection(self, loop=self._loop, **self._kwargs)

    def _make(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        protocol.begin(payload)
        if message is ERROR:  # of a request that could not be read nobody knows the version
            message = ERROR._replace(version=HttpVersion11)
        return web.BaseRequest(message, payload, protocol, writer, task, self._loop, client_max_size=MAX_BODY_BYTES)


class Connection(RequestHandler):
    """One connection."""

    __slots__ = (
        "_body_left", "_head_due_s", "_head_timer", "_is_admitted", "_is_in_line", "_is_scheduled", "_is_upgrade", "_last",
        "_payload", "_rest", "_seam", "_server",
    )  # fmt: skip

    def __init__(self, server: ConnectionServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self._is_admitted = False
        self._is_in_line = False
        self._head_due_s: float | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._payload: Any = None  # the body of the request that is being answered
        self._rest = b""  # what the parser has not been given yet
        self._seam = b""  # the end of what it was given, as far as it may be the beginning of a head's end
        self._body_left = 0  # bytes of a body of announced length that have not come
        self._is_scheduled = False  # `_go_on` is about to be called
        self._is_upgrade = False  # the last request that was read asks for another protocol
        self._last: Any = None  # the body of the request after which nothing is read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of asyncio's kind without saying so.
        if admit(cast(asyncio.Transport, transport), self._server.occupancy, self._server.count):
            self._is_admitted = True
            super().connection_made(transport)

    def take_over(self, transport: asyncio.Transport, data: bytes, head_due_s: float | None) -> None:
        """Serve from here on, `data` first; if that is part of a head, it is to be whole by `head_due_s` (the loop's time)."""
        transport.set_protocol(self)
        self._is_admitted = True
        super().connection_made(transport)
        self._head_due_s = head_due_s
        self.data_received(data)
        self._head_due_s = None

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._is_admitted:
            self._is_admitted = False
            self._server.occupancy.leave()
            self._stop_head_timer()
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._is_admitted or not self._awaits_head():
            self._parse(data)
            return
        if self._head_timer is None:
            self._is_in_line = True
        if self._is_in_line:
            end = data.find(b"\n")
            self._is_in_line = end < 0
            if not data.isascii():
                data = _encode_line(data, len(data) if end < 0 else end)
        before = self._request_count
        self._parse(data)
        if self._request_count > before:
            self._stop_head_timer()
        elif self._head_timer is None:
            due_s = self._head_due_s or self._loop.time() + self._server.limits.head_s
            self._head_timer = self._loop.call_at(due_s, self.give_up)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks for it; aiohttp never keeps such a connection
        """A client that ends its half still gets its answers, or hears why what it sent is no request.

        Returns whether the connection stays open for that.
        """
        if not self._is_admitted or self.transport is None:
            return False
        if self._awaits_head():
            if self._head_timer is not None:
                self._stop_head_timer()
                self._hang_up(Refusal(Reason.MALFORMED_MESSAGE, "the request ended within its headers"))
            return False
        self._end_after_last("it broke off")
        return True

    def begin(self, payload: Any) -> None:
        """A request is about to be answered; `payload` is its body."""
        self._payload = payload

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What the parser could not read, as a problem; the connection ends after it."""
        if isinstance(exc, ConnectionError):
            raise exc  # the client has gone: nobody is there to be answered
        if request.writer.output_size > 0:
            raise ConnectionResetError("a reply broke off")
        log.debug("a request that cannot be read: %s", message)
        refusal, http_status = _refusal_of(exc, status)
        if refusal.reason is Reason.INTERNAL:
            log.error("a request failed", exc_info=exc)
        self._server.count(refusal)
        reply = refuse(refusal, http_status)
        response = web.Response(status=reply.status, body=reply.body, headers=reply.headers | _nameless_fields())
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Nothing has failed here if the body of a request that is answered already, and that nobody wants, is a bad one."""
        if isinstance(kw.get("exc_info"), web.RequestPayloadError):
            log.debug("the rest of a request cannot be read")
        else:
            super().log_exception(*args, **kw)

    def _parse(self, data: bytes) -> None:
        """Give the parser what has come: heads and bodies each by itself, and no more than it has room for.

        What it finds in one piece stands or falls together: the requests in front of one that cannot be read, and what stands
        behind one that closes the connection, or that asks for another protocol and will not get it (RFC 9110 7.8).
        """
        data = self._rest + data
        if self._is_scheduled:  # its turn comes, however soon there is room again
            self._rest = data
            self._pause_transport_reading()
            return
        if not data:
            super().data_received(b"")  # it goes on with what it has itself
        begin = pieces = 0
        while begin < len(data) and pieces < MAX_PIECES_A_TURN and self._has_room():
            end = self._end_of_piece(data, begin)
            self._parse_piece(data[begin:end])
            begin, pieces = end, pieces + 1
        self._rest = b"" if self._is_over() else data[begin:]
        if self._rest and pieces == MAX_PIECES_A_TURN and not self._is_scheduled:
            self._is_scheduled = True
            self._pause_transport_reading()
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """The next turn of what came in very many pieces."""
        self._is_scheduled = False
        if self.transport is not None:
            self.data_received(b"")
            if not (self._is_scheduled or self._reading_paused or self._buffer_paused):
                self._resume_transport_reading()

    def _has_room(self) -> bool:
        return not (self._is_over() or self._reading_paused) and len(self._messages) < self._max_msg_queue_size

    def _is_over(self) -> bool:
        """Whether the last request has been read: what follows it is nobody's (RFC 9112 9.6)."""
        return self._last is not None and self._last.is_eof()

    def _end_of_piece(self, data: bytes, begin: int) -> int:
        """Where the head or the body ends that `data` goes on with at `begin`; one in chunks is cut like a head: it ends so."""
        if self._body_left:
            end = min(begin + self._body_left, len(data))
            self._body_left -= end - begin
            return end
        around = self._seam + data[begin : begin + _SEAM_BYTES]
        if (found := around.find(_HEAD_END)) >= 0:
            end = begin + found + len(_HEAD_END) - len(self._seam)
        elif (found := data.find(_HEAD_END, begin)) >= 0:
            end = found + len(_HEAD_END)
        else:
            self._seam = (self._seam + data[max(begin, len(data) - _SEAM_BYTES) :])[-_SEAM_BYTES:]
            return len(data)
        self._seam = b""
        return end

    def _parse_piece(self, piece: bytes) -> None:
        """What cannot be read is a fault of the body that is being read, if there is one: then its request is answered so.

        The parser's own way is to queue the error behind that request, whose handler goes on waiting for its body.
        """
        count = self._request_count
        super().data_received(piece)
        if self._request_count == count:
            if self._is_upgrade:
                self._decline_upgrade()
            return
        message, payload = self._messages[-1]
        self._is_upgrade = isinstance(message, RawRequestMessage) and message.upgrade
        if self._is_upgrade:
            self._decline_upgrade()
        if isinstance(message, RawRequestMessage) and (why := _fault_of(message)):
            fault = BadHttpMessage(why)
            message, payload = self._messages[-1] = _ErrInfo(HTTPStatus.BAD_REQUEST, fault, why), EMPTY_PAYLOAD
        if isinstance(message, RawRequestMessage):
            self._body_left = 0 if payload.is_eof() or message.chunked else int(message.headers.get("Content-Length", 0))
            if message.should_close:
                self._last = payload
            return
        self._last = payload
        before = self._messages[-2][1] if len(self._messages) > 1 else self._payload
        if before is not None and not before.is_eof():
            self._messages.pop()
            self._end_after_last("it is not what was announced")

    def _decline_upgrade(self) -> None:
        """Have the parser go on with HTTP/1.1. It stops once behind such a request, and once more if its queue is full then."""
        if self._parser is not None:
            self._parser.set_upgraded(False)
            self._parser.feed_data(b"")
            self._parser.set_upgraded(False)
        self._upgraded = False

    def _end_after_last(self, why: str) -> None:
        """Close after the answer to the last request that has come; if its body is not whole, that is `why`."""
        if self._messages:
            message, self._payload = self._messages.pop()
            if isinstance(message, RawRequestMessage):
                message = message._replace(should_close=True)
            self._messages.append((message, self._payload))
        else:
            self.close()
        if not self._payload.is_eof():
            self._payload.set_exception(web.RequestPayloadError(why))
            self._payload.feed_eof()

    def _awaits_head(self) -> bool:
        """Whether what comes next is the head of a request: nothing is being answered, and nothing waits to be."""
        is_waiting = self._waiter is not None and not self._waiter.done()
        return not self._messages and (is_waiting or not self._request_count)

    def give_up(self) -> None:
        """The head takes too long."""
        self._stop_head_timer()
        self._hang_up(Refusal(Reason.TIMEOUT, "the request's headers did not come in time"), HTTPStatus.REQUEST_TIMEOUT)
        self.force_close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _hang_up(self, refusal: Refusal, status: HTTPStatus | None = None) -> None:
        """Answer without a request, and close."""
        self._server.count(refusal)
        if self.transport is not None:
            hang_up(self.transport, refuse(refusal, status))


def admit(transport: asyncio.Transport, occupancy: Occupancy, count: Count) -> bool:
    """Count a new connection in, or turn it away."""
    if occupancy.admit():
        return True
    refusal = Refusal(Reason.OVERLOADED, "too many connections", retry_after_s=1)
    count(refusal)
    hang_up(transport, refuse(refusal))
    return False


def hang_up(transport: asyncio.Transport, reply: Reply) -> None:
    """Say why a connection ends that has no request to be answered, and end it."""
    status = HTTPStatus(reply.status)
    fields = reply.headers | _nameless_fields() | {"Content-Length": str(len(reply.body)), "Connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    transport.write(f"HTTP/1.1 {status.value} {status.phrase}\r\n{lines}\r\n".encode() + reply.body)
    transport.close()


def _nameless_fields() -> dict[str, str]:
    """The header fields of a reply to what could not be read, and so had no name of its own."""
    request_id = secrets.token_hex(head.REQUEST_ID_BYTES)
    return {"Server": "biaojie", "X-Content-Type-Options": "nosniff", "Content-Type": PROBLEM, head.REQUEST_ID: request_id}


def _fault_of(message: RawRequestMessage) -> str:
    """What is wrong with a head that the parser lets pass; empty if nothing is."""
    if message.version not in _VERSIONS:
        return "of HTTP/1 there are versions 1.0 and 1.1"
    return "" if all(map(head.is_host, message.headers.getall("Host", ()))) else "the Host field names no host"


def _encode_line(data: bytes, end: int) -> bytes:
    return _NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], data[:end]) + data[end:]


def _refusal_of(exc: BaseException | None, status: int) -> tuple[Refusal, HTTPStatus]:
    """What aiohttp's own errors are in our vocabulary, and their status."""
    if isinstance(exc, LineTooLong):
        if exc.args[1] == MAX_REQUEST_LINE_BYTES:
            why = f"the request line is longer than {MAX_REQUEST_LINE_BYTES} bytes"
            return Refusal(Reason.MESSAGE_TOO_LARGE, why, "path"), HTTPStatus.REQUEST_URI_TOO_LONG
        why = f"a header is longer than {MAX_HEADER_FIELD_BYTES} bytes"
        return Refusal(Reason.MESSAGE_TOO_LARGE, why, "headers"), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    if isinstance(exc, HttpProcessingError):
        if exc.message.startswith(_TOO_MANY_HEADERS):
            why = f"more than {MAX_HEADERS} headers"
            return Refusal(Reason.MESSAGE_TOO_LARGE, why, "headers"), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        return Refusal(Reason.MALFORMED_MESSAGE, "the request is not HTTP/1.1"), HTTPStatus.BAD_REQUEST
    return Refusal(Reason.INTERNAL, "the node failed to answer; its log says why"), HTTPStatus(status)
