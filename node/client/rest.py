"""A small client of the registry's REST for the command line: JSON in, JSON out, refusals as the server words them.

One connection for a command. Proxies of the environment are not asked: a registry is reached directly.
"""

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final, Self
from urllib.parse import urlencode, urlsplit

# How long a registry may take over one small request: it waits for a disk, not for people.
TIMEOUT_S: Final = 60.0
# The largest answer is a page of records; beyond this it is none of ours.
MAX_ANSWER_BYTES: Final = 64 << 20
# A piece of an answer that is not held as a whole, and of a file on its way.
PIECE_BYTES: Final = 256 << 10


class Unreachable(Exception):
    """No answer came, or what came was not one of a registry; the message is for people."""


class RefusedByServer(Exception):
    """The registry refused: `status` and `problem` (RFC 9457) as it sent them."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        reason = self.problem.get("reason") or self.problem.get("title") or f"HTTP status {self.status}"
        field = f" ({self.problem['field']})" if self.problem.get("field") else ""
        detail = f": {self.problem['detail']}" if self.problem.get("detail") else ""
        return f"refused: {reason}{field}{detail}"


class RestClient:
    """Speaks to one registry with one token. A context manager: it keeps a connection."""

    def __init__(self, url: str, token: str = "", timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        self.url = url.rstrip("/")
        self._base = parts.path.rstrip("/")
        self._token = token
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            self._connection = http.client.HTTPSConnection(
                parts.netloc, timeout=timeout_s, context=context, blocksize=PIECE_BYTES
            )
        else:
            self._connection = http.client.HTTPConnection(parts.netloc, timeout=timeout_s, blocksize=PIECE_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def call(self, method: str, path: str, document: Any = None, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Send one request; `path` is percent-encoded already. Returns the answer's document (empty if it has none).

        Raises `RefusedByServer`, `Unreachable`.
        """
        headers = {"Accept": "application/json"}
        body = None
        if document is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(document, ensure_ascii=False).encode()
        target = f"{path}?{urlencode(query)}" if query else path
        status, raw = self.send(method, target, body, headers)
        answer = self.parse(status, raw)
        if status >= HTTPStatus.BAD_REQUEST:
            raise RefusedByServer(status, answer)
        return answer

    def send(self, method: str, target: str, body: Any, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Send one request (`body`: bytes or an open file) and read its whole answer. Raises `Unreachable`."""
        with self._speaking():
            response = self._request(method, target, body, headers)
            raw = response.read(MAX_ANSWER_BYTES + 1)
        if len(raw) > MAX_ANSWER_BYTES:
            self._connection.close()
            raise Unreachable(f"the answer of {self.url} is larger than {MAX_ANSWER_BYTES} bytes")
        return response.status, raw

    def stream(self, path: str, query: Mapping[str, str]) -> Iterator[bytes]:
        """The pieces of an answer of any size to a GET; one that breaks off is `Unreachable`.

        Raises `RefusedByServer`, `Unreachable`.
        """
        with self._speaking():
            response = self._request("GET", f"{path}?{urlencode(query)}", None, {})
            raw = response.read(MAX_ANSWER_BYTES) if response.status >= HTTPStatus.BAD_REQUEST else b""
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise RefusedByServer(response.status, self.parse(response.status, raw))
        with self._speaking():
            while piece := response.read(PIECE_BYTES):
                yield piece

    def _request(self, method: str, target: str, body: Any, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        authorised = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            self._connection.request(method, self._base + target, body, {**headers, **authorised})
        except (BrokenPipeError, ConnectionResetError):
            # Whoever refuses a long body need not read it: the answer may lie there already.
            if body is None:
                raise
        return self._connection.getresponse()

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """What goes wrong on the line makes the registry `Unreachable`; the next request then has a line of its own."""
        try:
            yield
        except OSError as error:
            self._connection.close()
            raise Unreachable(f"no registry answers at {self.url}: {error.strerror or error}") from None
        except http.client.IncompleteRead:
            self._connection.close()
            raise Unreachable(f"the answer of {self.url} broke off") from None
        except http.client.HTTPException as error:
            self._connection.close()
            raise Unreachable(f"what answers at {self.url} is not a registry: {type(error).__name__}") from None

    def parse(self, status: int, raw: bytes) -> dict[str, Any]:
        """The document in an answer, empty if it has no body. Raises `Unreachable` if it is none."""
        try:
            answer = json.loads(raw) if raw else {}
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Unreachable(f"what answers at {self.url} is not a registry (HTTP status {status}, no JSON object)")
        return answer
