"""Import jobs: the use cases.

A job is a row of the store from the moment its file is taken in; whoever dies, the next start goes on with every job that
is not at its end (`registry.service.imports.runner`).
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from proto import places
from proto.errors import Reason, Refusal
from proto.limits import DEFAULT_PAGE, FRESHNESS_WAIT_S, MAX_PAGE
from proto.metrics import Metrics
from proto.model.account import Caller
from proto.model.change import Row, Table
from proto.model.identifier import parse_prefix
from proto.model.job import Job, JobState
from proto.ports import Command, Committer, Conflict
from proto.stream import compose_payload
from proto.tables import unpack_job
from registry.policy.rules import EVERY_REGISTRANT, Action, Reach, enter, judge, require
from registry.service.context import Context
from registry.service.execute import Executor
from registry.service.ground import check_registrant, check_state, find_prefix
from registry.service.imports.blobs import BlobFolder
from registry.service.imports.planners import ChunkPlanner, LocalPlanner
from registry.service.imports.results import result_path
from registry.service.imports.run import Workplace, job_row
from registry.service.imports.runner import UNFINISHED, JobRunner
from registry.service.imports.tables import TableFormat, format_of, guess_format
from registry.service.imports.threads import in_thread
from registry.service.listing import Page
from registry.service.plan import check_template

log = logging.getLogger(__name__)

# Each waiting job holds a file of up to `MAX_UPLOAD_BYTES`.
MAX_UNFINISHED_JOBS: Final = 64
CROWDED_RETRY_S: Final = 30.0

# The table of jobs is held in memory by every process: the oldest finished ones make room.
MAX_JOBS: Final = 1_000

MAX_FILE_NAME_CHARS: Final = 255
IMPORT: Final = "import"
_ID_BYTES: Final = 6
# Blank lines before the first row are few.
_GUESS_BYTES: Final = 4_096

# The same images are looked at again and again.
_unpack: Final = lru_cache(2 * MAX_JOBS)(unpack_job)


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What a table is to be imported as.

    The extension of `file_name` says its format; without a name `file_format` does, and without that the file itself.
    `resume`: go on with the job that was begun with the same file, if there is one.
    """

    prefix: str
    file_name: str = ""
    file_format: TableFormat | None = None
    dry_run: bool = False
    resume: bool = False
    template: str = ""


class FileKey(NamedTuple):
    """What makes two imports the same: `--resume` finds a job by it."""

    file_digest: bytes
    prefix: str
    account: str
    dry_run: bool
    template: str


def key_of(job: Job) -> FileKey:
    """The key of a job."""
    return FileKey(job.file_digest, job.prefix, job.account, job.dry_run, job.template)


def new_job_id(now_ms: int) -> str:
    """An identifier for a job: they sort by time, and nobody guesses one."""
    return f"{now_ms:012x}-{secrets.token_hex(_ID_BYTES)}"


class ImportJobs:
    """The desk at which imports are handed in and asked for. One per node, in the process that writes."""

    def __init__(
        self, executor: Executor, committer: Committer, metrics: Metrics, data: Path, planner: ChunkPlanner | None = None
    ) -> None:
        """Chunks are planned by `planner`; without one, in this process."""
        self._executor = executor
        self._committer = committer
        self._data = data
        self._reader = executor.reader
        self._clock = executor.clock
        self._blobs = BlobFolder(data / places.BLOBS)
        planner = planner or LocalPlanner(self._reader)
        place = Workplace(self._reader, committer, self._clock, metrics, data, self._blobs, planner)
        self._runner = JobRunner(place, self._discard_file)
        self._entering = asyncio.Lock()
        self._uploads = 0
        self._doubtful: set[bytes] = set()
        self._is_open = False

    async def start(self) -> None:
        """Go on with every job that is not at its end. Raises `Refusal(NOT_READY)`."""
        await self._executor.catch_up()
        unfinished = [job for job in self._jobs() if job.state in UNFINISHED]
        removed = await asyncio.to_thread(self._blobs.sweep, {job.file_digest for job in unfinished})
        if unfinished or removed:
            log.info("jobs to go on with", extra={"jobs": len(unfinished), "files_removed": removed})
        self._is_open = True
        self._runner.start(unfinished)

    async def close(self) -> None:
        """Take nothing in any more, and stop working; the next start goes on."""
        self._is_open = False
        await self._runner.close()

    # Use cases

    async def submit(self, context: Context, request: ImportRequest, body: AsyncIterable[bytes]) -> Job:
        """Take a table in; returns the job (or the one that is gone on with), which is then worked on.

        Raises `Refusal`: what the policy says, INVALID_ARGUMENT, UNSUPPORTED_CONTENT_TYPE, UNKNOWN_PREFIX, NOT_HOMED,
        PREFIX_SUSPENDED, PREFIX_NOT_APPROVED, MESSAGE_TOO_LARGE, STORAGE_FULL, OVERLOADED, NOT_READY.
        """
        job = self._draft_job(context, request)
        self._uploads += 1
        try:
            blob = await self._blobs.store(body)
            self._doubtful.add(blob.digest)
            form = job.file_format or await in_thread(self._guess_format, blob.digest)
            job = replace(job, file_digest=blob.digest, file_bytes=blob.size, file_format=form)
            # One after the other: of two that bring the same file to resume, the second finds the first one's job.
            async with self._entering:
                await self._executor.catch_up()
                begun = self._newest(key_of(job)) if request.resume else None
                if begun is None:
                    return await self._enter(context, None, job)
                if begun.state is not JobState.FAILED:
                    return begun
                again = replace(begun, state=JobState.QUEUED, message="", version=begun.version + 1)
                return await self._enter(context, begun, again)
        finally:
            self._uploads -= 1
            self._discard_files()

    def find(self, context: Context, file_digest: bytes, prefix: str, dry_run: bool = False, template: str = "") -> Job | None:
        """The newest job of the caller's account with this file, prefix, template and mode."""
        enter(context.caller, Action.READ_JOB)
        return self._newest(FileKey(file_digest, parse_prefix(prefix), context.caller.account, dry_run, template))

    def show(self, context: Context, job_id: str) -> Job:
        """One job. Raises `Refusal`: NOT_FOUND, also for a job that the caller may not see."""
        enter(context.caller, Action.READ_JOB)
        image = self._reader.image(Table.JOB, job_id)
        job = _unpack(image) if image is not None else None
        if job is None or not _may_see(context.caller, job):
            raise Refusal(Reason.NOT_FOUND, f"there is no job {job_id[:MAX_FILE_NAME_CHARS]}", "job")
        return job

    def list_jobs(self, context: Context, registrant: str, after: str = "", limit: int = DEFAULT_PAGE) -> Page[Job]:
        """The jobs of one registrant (`EVERY_REGISTRANT` for those who may see all), newest first, from a cursor on."""
        require(context.caller, Action.READ_JOB, registrant)
        limit = min(max(limit, 1), MAX_PAGE)
        jobs = [
            job
            for job in reversed(self._jobs())
            if registrant in (job.registrant, EVERY_REGISTRANT) and (not after or job.id < after)
        ]
        return Page(tuple(jobs[:limit]), jobs[limit - 1].id if len(jobs) > limit else "")

    def result_path(self, job: Job) -> Path:
        """Where the result of a job lies; its first `job.result_bytes` bytes are valid."""
        return result_path(self._data, job.id)

    def hindrance(self, job: Job) -> str:
        """Why a running job does not get on at the moment; empty if it does."""
        return self._runner.hindrance(job.id)

    # Taking in

    def _draft_job(self, context: Context, request: ImportRequest) -> Job:
        """Everything about the job that can be said, and refused, before its file is read."""
        caller = context.caller
        enter(caller, Action.RUN_JOB)
        prefix = find_prefix(self._reader, parse_prefix(request.prefix))
        require(caller, Action.RUN_JOB, prefix.registrant)
        check_state(prefix.state, f"prefix {prefix.name}")
        check_registrant(self._reader, prefix.registrant)
        check_template(request.template)
        if len(request.file_name) > MAX_FILE_NAME_CHARS or not request.file_name.isprintable():
            raise Refusal(Reason.INVALID_ARGUMENT, f"up to {MAX_FILE_NAME_CHARS} printable characters", "file_name")
        form = format_of(request.file_name) if request.file_name else request.file_format
        if not self._is_open:
            raise Refusal(Reason.NOT_READY, "the node is starting or stopping", retry_after_s=1)
        if self._uploads + self._runner.load >= MAX_UNFINISHED_JOBS:
            raise Refusal(Reason.OVERLOADED, "too many imports are waiting", retry_after_s=CROWDED_RETRY_S)
        now_ms = self._clock.now_ms()
        return Job(
            id=new_job_id(now_ms),
            kind=IMPORT,
            prefix=prefix.name,
            account=caller.account,
            registrant=prefix.registrant,
            file_name=request.file_name,
            file_digest=b"",
            file_format=form or "",
            encoding="",
            dry_run=request.dry_run,
            state=JobState.QUEUED,
            file_bytes=0,
            request_id=context.request_id,
            version=1,
            created_ms=now_ms,
            changed_ms=now_ms,
            template=request.template,
        )

    async def _enter(self, context: Context, before: Job | None, job: Job) -> Job:
        """Commit a job to be worked on; the oldest finished ones go. Raises `Refusal`."""
        rows = [job_row(before, job)]
        surplus = self._surplus(before)
        rows += [Row(Table.JOB, old.id, b"", old.version + 1, old.version, 0, old.state) for old in surplus]
        command = Command(
            context.caller.account, context.request_id, rows, traceparent=context.traceparent, payload=compose_payload(rows)
        )
        try:
            committed = await self._committer.commit(command)
        except Conflict:
            raise Refusal(Reason.OVERLOADED, "the table of jobs is changing: try again", retry_after_s=1) from None
        for old in surplus:
            result_path(self._data, old.id).unlink(missing_ok=True)
        await self._reader.reach(committed.position, FRESHNESS_WAIT_S)
        self._runner.add(job)
        return job

    def _guess_format(self, digest: bytes) -> TableFormat:
        with self._blobs.path(digest).open("rb") as file:
            return guess_format(file.read(_GUESS_BYTES))

    def _newest(self, key: FileKey) -> Job | None:
        return next((job for job in reversed(self._jobs()) if key_of(job) == key), None)

    def _surplus(self, before: Job | None) -> list[Job]:
        """The oldest finished jobs, as many as are too many with one more; not the one that begins again."""
        jobs = self._jobs()
        finished = [job for job in jobs if job.state not in UNFINISHED and (before is None or job.id != before.id)]
        return finished[: max(0, len(jobs) + 1 - MAX_JOBS)]

    def _jobs(self) -> list[Job]:
        """All jobs, oldest first."""
        images = self._reader.images(Table.JOB)
        return [_unpack(images[name]) for name in sorted(images)]

    def _discard_file(self, job: Job) -> None:
        """A job is at its end: nobody may need its file any more."""
        self._doubtful.add(job.file_digest)
        self._discard_files()

    def _discard_files(self) -> None:
        """Remove files that no job needs; not while one is being taken in, which may be the same file."""
        if self._uploads or not self._is_open:
            return
        try:
            needed = {job.file_digest for job in self._jobs() if job.state in UNFINISHED}
        except Refusal as refusal:
            log.info("files of finished jobs stay for now", extra={"why": refusal.reason})
            return
        for digest in self._doubtful - needed:
            self._blobs.remove(digest)
        self._doubtful.clear()


def _may_see(caller: Caller, job: Job) -> bool:
    return judge(caller, Action.READ_JOB, job.registrant) is not Reach.NOTHING
