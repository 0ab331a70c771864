"""An import as its client sees it: a file handed in once, a job watched to its end, a result fetched.

The job is the node's: whatever happens to the line, to the client or to the node, it goes on. So the client only has to find
it again: the newest job of this file, if it is not the one that was there before.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar
from urllib.parse import urlencode

from cryptography.hazmat.primitives.hashes import SM3, Hash

from node.client.rest import PIECE_BYTES, RefusedByServer, RestClient, Unreachable
from registry.service.imports.results import HEADER as RESULT_HEADER

# A node that restarts is back within seconds; one that is mended by people is worth waiting for a while.
OUTAGE_S: Final = 120.0
_FIRST_POLL_S: Final = 0.05
_LAST_POLL_S: Final = 0.2
_RETRY_S: Final = 0.5
_RESULT_BYTES: Final = 4 << 20

_ENDED: Final = ("finished", "failed")
_PASSING: Final = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.GATEWAY_TIMEOUT)

Job = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be imported, and how."""

    file: Path
    prefix: str
    template: str = ""
    dry_run: bool = False
    resume: bool = False


@dataclass(slots=True)
class Watcher:
    """What is told: bytes `sent` of how many, the `job` whenever it was looked at, `trouble` that is waited out."""

    sent: Callable[[int, int], None] = field(default=lambda _done, _size: None)
    job: Callable[[Job], None] = field(default=lambda _job: None)
    trouble: Callable[[str], None] = field(default=lambda _why: None)


class ImportClient:
    """Imports one file. Raises `RefusedByServer` for what will not pass, `Unreachable` once an outage has lasted `outage_s`."""

    def __init__(self, client: RestClient, wanted: Wanted, watcher: Watcher, outage_s: float = OUTAGE_S) -> None:
        self._client = client
        self._wanted = wanted
        self._watcher = watcher
        self._outage_s = outage_s
        self._has_answered = False

    def begin(self) -> Job:
        """The job of this file: the one that is resumed, or a new one. Raises `OSError` if the file cannot be read."""
        wanted = self._wanted
        digest = digest_file(wanted.file)
        before = self._patiently(lambda: self._find(digest))
        if wanted.resume and before is not None and before["state"] != "failed":
            return before
        known = before["id"] if before is not None else ""

        def hand_in() -> Job:
            found = self._find(digest)
            # After a line that broke: it arrived all the same.
            return found if found is not None and found["id"] != known else self._upload()

        return self._patiently(hand_in)

    def watch(self, job: Job) -> Job:
        """The job at its end."""
        wait_s = _FIRST_POLL_S
        while True:
            self._watcher.job(job)
            if job["state"] in _ENDED:
                return job
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, _LAST_POLL_S)
            job = self._patiently(partial(self._client.call, "GET", f"/api/v1/jobs/{job['id']}"))

    def fetch_result(self, job: Job, to: Path) -> None:
        """Write the job's result into a file, which is replaced once all is there. Raises `OSError`."""
        part = to.with_name(f"{to.name}.part")
        path, size = f"/api/v1/jobs/{job['id']}/result", job["result_bytes"]
        try:
            with part.open("wb") as result:
                if not size:
                    # The job ended before its first row.
                    result.write(RESULT_HEADER)
                while (at := result.tell()) < size:
                    result.write(self._patiently(partial(self._piece, path, at, size)))
            part.replace(to)
        finally:
            part.unlink(missing_ok=True)

    def _piece(self, path: str, at: int, size: int) -> bytes:
        end = min(at + _RESULT_BYTES, size) - 1
        status, raw = self._client.send("GET", path, None, {"Range": f"bytes={at}-{end}"})
        if status != HTTPStatus.PARTIAL_CONTENT or len(raw) != end + 1 - at:
            raise RefusedByServer(status, self._client.parse(status, raw) if status >= HTTPStatus.BAD_REQUEST else {})
        return raw

    def _find(self, digest: bytes) -> Job | None:
        wanted = self._wanted
        query = {
            "file_digest": digest.hex(),
            "prefix": wanted.prefix,
            "template": wanted.template,
            "dry_run": _flag(wanted.dry_run),
        }
        found = self._client.call("GET", "/api/v1/jobs", query=query)["jobs"]
        return found[0] if found else None

    def _upload(self) -> Job:
        wanted = self._wanted
        query = {"prefix": wanted.prefix, "file_name": wanted.file.name, "template": wanted.template}
        query |= {"dry_run": _flag(wanted.dry_run), "resume": _flag(wanted.resume)}
        target = f"/api/v1/jobs/import?{urlencode(query)}"
        with wanted.file.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
            status, raw = self._client.send("POST", target, _Sending(opened, size, self._watcher.sent), headers)
        answer = self._client.parse(status, raw)
        if status >= HTTPStatus.BAD_REQUEST:
            raise RefusedByServer(status, answer)
        return answer

    def _patiently(self, ask: Callable[[], T]) -> T:
        """What `ask` returns; a node that does not answer now is asked again, one that never did is not."""
        deadline = time.monotonic() + self._outage_s
        while True:
            try:
                found = ask()
                self._has_answered = True
                return found
            except (Unreachable, RefusedByServer) as trouble:
                passes = self._has_answered if isinstance(trouble, Unreachable) else trouble.status in _PASSING
                if not passes or time.monotonic() >= deadline:
                    raise
                self._watcher.trouble(str(trouble))
            time.sleep(_RETRY_S)


class _Sending:
    """A file on its way, which tells how much of it is gone."""

    def __init__(self, file: BinaryIO, size: int, sent: Callable[[int, int], None]) -> None:
        self._file = file
        self._size = size
        self._sent = sent

    def read(self, size: int) -> bytes:
        piece = self._file.read(size)
        self._sent(self._file.tell(), self._size)
        return piece


def digest_file(file: Path) -> bytes:
    """The SM3 digest by which the node knows a file."""
    digest = Hash(SM3())
    with file.open("rb") as opened:
        while piece := opened.read(PIECE_BYTES):
            digest.update(piece)
    return digest.finalize()


def outcome_counts(job: Mapping[str, Any]) -> dict[str, int]:
    """How many rows came to what."""
    return {name: job[f"{name}_rows"] for name in ("created", "replaced", "unchanged", "refused")}


def _flag(value: bool) -> str:
    return "true" if value else "false"
