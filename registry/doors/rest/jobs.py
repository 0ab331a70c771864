"""Import jobs over REST: a table is handed in as the body, and the job that it becomes can be watched from anywhere."""

import os
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from proto.errors import Reason, Refusal
from proto.model.job import Job
from registry.doors.rest.byte_range import NOT_SATISFIABLE, WHOLE, parse_range
from registry.doors.rest.call import Call, parse_limit
from registry.doors.rest.documents import job_document
from registry.doors.rest.parameters import AFTER_NAME, LIMIT, REGISTRANT, name_of, page
from registry.doors.rest.render import render_page
from registry.doors.rest.reply import Reply, reply_json, reply_refusal
from registry.doors.rest.route import NDJSON, Answer, Body, Parameter, Route
from registry.service.imports.blobs import MAX_UPLOAD_BYTES
from registry.service.imports.jobs import ImportJobs, ImportRequest
from registry.service.imports.runner import UNFINISHED
from registry.service.imports.tables import TableFormat
from registry.service.imports.threads import in_thread
from registry.service.listing import Page

IMPORT: Final = "/api/v1/jobs/import"
ALL: Final = "/api/v1/jobs"
ONE: Final = "/api/v1/jobs/{job}"
RESULT: Final = "/api/v1/jobs/{job}/result"

CSV: Final = "text/csv"
PROBLEM_TYPE: Final = "application/problem+json"
_FORMATS: Final = {CSV: TableFormat.CSV, NDJSON: TableFormat.NDJSON}
# The last is what curl calls any body that it is not told about.
_CONTENT_TYPES: Final = (CSV, NDJSON, "application/octet-stream", "text/plain", "application/x-www-form-urlencoded")

# A piece of a result on its way: read in a thread, sent before the next is read.
_PIECE_BYTES: Final = 256 * 1024
_DIGEST_CHARS: Final = 64

_TEXT: Final = {"type": "string"}
_FLAG: Final = {"type": "boolean", "default": False}
_JOB: Final = name_of("job", "The job's id.")
_PREFIX: Final = Parameter("prefix", "query", "The prefix that every row lies below.", _TEXT, is_required=True)
_DRY_RUN: Final = Parameter("dry_run", "query", "Check every row and register nothing.", _FLAG)
_TEMPLATE: Final = Parameter("template", "query", "The template of rows that name none.", _TEXT)
_SUBMIT: Final = (
    _PREFIX,
    Parameter("file_name", "query", "The table's name; its extension says the format: csv, ndjson.", _TEXT),
    _DRY_RUN,
    Parameter("resume", "query", "Go on with the job begun with the same file, prefix, template and mode, if any.", _FLAG),
    _TEMPLATE,
)
_FIND: Final = (
    REGISTRANT,
    AFTER_NAME,
    LIMIT,
    Parameter("file_digest", "query", "Only the newest own job with the file of this SM3 digest (hexadecimal).", _TEXT),
    Parameter("prefix", "query", "With `file_digest`: its prefix.", _TEXT),
    _DRY_RUN,
    _TEMPLATE,
)
_RANGE: Final = Parameter("Range", "header", "A part of it, as `bytes=0-999`.", _TEXT)


class JobResource:
    """Handing in tables, watching jobs, fetching results."""

    def __init__(self, jobs: ImportJobs) -> None:
        self._jobs = jobs

    @property
    def routes(self) -> Sequence[Route]:
        body = Body(MAX_UPLOAD_BYTES, content_types=_CONTENT_TYPES, charsets=(), is_streamed=True)
        taken = {
            202: Answer("Taken in; it is being worked on.", "Job", headers=("Location",)),
            200: Answer("The job that this file was resumed with is at its end already.", "Job", headers=("Location",)),
        }
        result = {
            200: Answer("One line for every finished row.", content_type=CSV, headers=("Accept-Ranges",)),
            206: Answer("The part asked for.", content_type=CSV, headers=("Content-Range",)),
            416: Answer("There is not so much of it (yet).", "Problem", PROBLEM_TYPE, headers=("Content-Range",)),
        }
        return (
            Route("POST", IMPORT, "importTable", "jobs", "Import a table (CSV, NDJSON; UTF-8, GB 18030).", self.submit, taken,
                  _SUBMIT, body),
            Route("GET", ALL, "listJobs", "jobs", "Jobs, newest first.", self.list, page("JobPage"), _FIND),
            Route("GET", RESULT, "readResult", "jobs", "What became of each row.", self.result, result, (_JOB, _RANGE)),
            Route("GET", ONE, "readJob", "jobs", "A job, and how far it has got.", self.get,
                  {200: Answer("As it is.", "Job")}, (_JOB,)),
        )  # fmt: skip

    async def submit(self, call: Call) -> Reply:
        query = call.query()
        content_type = call.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        request = ImportRequest(
            query.get("prefix", ""),
            query.get("file_name", ""),
            _FORMATS.get(content_type),
            _flag(query, "dry_run"),
            _flag(query, "resume"),
            query.get("template", ""),
        )
        if call.chunks is None:
            raise Refusal(Reason.INTERNAL, "the route does not stream its body")
        job = await self._jobs.submit(call.context, request, call.chunks)
        status = HTTPStatus.ACCEPTED if job.state in UNFINISHED else HTTPStatus.OK
        headers = {"Location": f"{ALL}/{job.id}", "Cache-Control": "no-store"}
        return reply_json(self._document(job), status, headers)

    async def list(self, call: Call) -> Reply:
        query = call.query()
        if "file_digest" in query:
            key = _digest(query["file_digest"]), query.get("prefix", ""), _flag(query, "dry_run"), query.get("template", "")
            job = self._jobs.find(call.context, *key)
            return await render_page("jobs", Page((job,) if job is not None else ()), self._document)
        found = self._jobs.list_jobs(call.context, call.whose(query), query.get("after", ""), parse_limit(query))
        return await render_page("jobs", found, self._document)

    async def get(self, call: Call) -> Reply:
        return reply_json(self._document(self._jobs.show(call.context, call.path["job"])))

    async def result(self, call: Call) -> Reply:
        job = self._jobs.show(call.context, call.path["job"])
        wanted = parse_range(call.headers.get("Range", ""), job.result_bytes)
        headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, no-cache", "Vary": "Authorization"}
        if wanted is NOT_SATISFIABLE:
            headers["Content-Range"] = f"bytes */{job.result_bytes}"
            refusal = Refusal(Reason.INVALID_ARGUMENT, f"there are {job.result_bytes} bytes of it", "Range")
            return reply_refusal(refusal, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers)
        status, start, end = HTTPStatus.OK, 0, job.result_bytes
        if wanted is not WHOLE:
            status, (start, end) = HTTPStatus.PARTIAL_CONTENT, wanted
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{job.result_bytes}"
        name = quote(f"{job.file_name or job.id}.result.csv", safe="")
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
        headers["Content-Length"] = str(end - start)
        chunks = _pieces(self._jobs.result_path(job), start, end)
        return Reply(status, content_type=f"{CSV}; charset=utf-8", headers=headers, chunks=chunks)

    def _document(self, job: Job) -> dict[str, Any]:
        hindrance = self._jobs.hindrance(job)
        return {**job_document(job), **({"hindrance": hindrance} if hindrance else {})}


async def _pieces(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    """The bytes of a result from `start` to `end`."""
    if start == end:
        return
    file = await in_thread(os.open, path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while start < end:
            piece = await in_thread(os.pread, file, min(_PIECE_BYTES, end - start), start)
            if not piece:
                raise Refusal(Reason.STORE_FAILED, "the result is shorter than what was counted")
            start += len(piece)
            yield piece
    finally:
        os.close(file)


def _flag(query: dict[str, str], name: str) -> bool:
    text = query.get(name, "false").lower()
    if text not in ("true", "false", "1", "0", ""):
        raise Refusal(Reason.INVALID_ARGUMENT, "true or false is wanted", name)
    return text in ("true", "1", "")


def _digest(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text) if len(text) == _DIGEST_CHARS else b""
    except ValueError:
        digest = b""
    if not digest:
        raise Refusal(Reason.INVALID_ARGUMENT, f"{_DIGEST_CHARS} hexadecimal digits are wanted", "file_digest")
    return digest
