"""One job on its way: from its cursor to the end of its table, chunk by chunk.

A run begins with a commit of the job's row alone. It is a fence: if a commit of an earlier run, whose outcome nobody
learned, did go through, the fence meets a conflict and nothing is touched; if it did not, it never will, because an account's
commands are judged in the order in which they came. Only behind the fence may the result file be written at the cursor.

Chunks are planned ahead (`lookahead`) and committed in order, the next while the one before is on its way: each expects the
version of the job's row that the one before it leaves, so none is ever committed without those before it.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from proto.errors import Reason, Refusal
from proto.limits import FRESHNESS_WAIT_S
from proto.metrics import Metrics
from proto.model.account import Account, Caller, caller_of
from proto.model.change import Row, Table
from proto.model.job import Job, JobState
from proto.ports import Clock, Command, Committer, FollowingReader
from proto.stream import compose_payload
from proto.tables import pack_job
from registry.service.imports.blobs import BlobFolder
from registry.service.imports.chunks import Chunk, ChunkTask
from registry.service.imports.encoding import Encoding
from registry.service.imports.lookahead import Lookahead, give_up
from registry.service.imports.pieces import Piece
from registry.service.imports.planners import ChunkPlanner, PlanningFailed
from registry.service.imports.results import HEADER, ResultFile, number_lines, result_path
from registry.service.imports.source import TableSource, find_encoding, open_source
from registry.service.imports.tables import TableFormat
from registry.service.imports.threads import in_thread
from registry.service.plan import Outcome

# Chunks of one job that are queued or being committed: the second keeps the committer busy while the first becomes visible.
COMMITS_IN_FLIGHT: Final = 2


class Hopeless(Exception):
    """The job cannot go on, now or later; the message says why, for people."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """What every run works with."""

    reader: FollowingReader
    committer: Committer
    clock: Clock
    metrics: Metrics
    data: Path
    blobs: BlobFolder
    planner: ChunkPlanner


class Run:
    """Carries one job on. Use once: `advance` ends with the job or with an exception, after which another run may begin."""

    def __init__(self, job: Job, place: Workplace) -> None:
        self.job = job
        self._place = place
        self._commits: deque[asyncio.Task[None]] = deque()

    async def advance(self) -> None:
        """Work to the end of the table. `self.job` is the job as last committed.

        Raises `Hopeless`; `Conflict` and passing `Refusal`s (OVERLOADED, STORAGE_FULL, ...), `OSError`: what was not
        committed is to be done again by another run.
        """
        caller = self._caller()
        source = await self._open()
        results = None
        try:
            await self._move(replace(self.job, state=JobState.RUNNING, encoding=self._encoding))
            results = await self._open_results()
            await self._work(source, results, caller)
        finally:
            source.close()
            if results is not None:
                results.close()
        await self._move(replace(self.job, state=JobState.FINISHED))

    def _caller(self) -> Caller:
        account: Account | None = self._place.reader.account(self.job.account)
        if account is None or not account.enabled:
            raise Hopeless(f"account {self.job.account} is closed")
        return caller_of(account)

    async def _open(self) -> TableSource:
        job, path = self.job, self._place.blobs.path(self.job.file_digest)
        try:
            self._encoding = Encoding(job.encoding) if job.encoding else await find_encoding(path)
            form = TableFormat(job.file_format)
            return await open_source(path, form, self._encoding, job.file_offset, job.template)
        except FileNotFoundError:
            raise Hopeless("the uploaded file is gone: send it again") from None
        except Refusal as refusal:
            raise Hopeless(refusal.detail) from None

    async def _open_results(self) -> ResultFile:
        try:
            path = result_path(self._place.data, self.job.id)
            results = await in_thread(ResultFile, path, self.job.result_bytes)
        except FileNotFoundError:
            raise Hopeless("the result file is gone: what became of the first rows is not known any more") from None
        self.job = replace(self.job, result_bytes=self.job.result_bytes or len(HEADER))
        return results

    async def _work(self, source: TableSource, results: ResultFile, caller: Caller) -> None:
        """Take chunk after chunk, write down what became of its rows, and commit it with the cursor behind it."""
        clock, prefix = self._place.clock, self.job.prefix

        def task_of(piece: Piece) -> ChunkTask:
            return ChunkTask(source.frame, piece, caller, prefix, clock.now_ms())

        ahead = Lookahead(source, self._place.planner, task_of, self._settle, is_rehearsal=self.job.dry_run)
        job, number = self.job, 0
        try:
            while (chunk := await ahead.take()) is not None:
                result_bytes = await in_thread(results.write, job.result_bytes, number_lines(job.rows + 1, chunk.lines))
                await self._settle(COMMITS_IN_FLIGHT - 1)
                before, job = job, self._after(job, chunk, result_bytes)
                number += 1
                self._commits.append(asyncio.create_task(self._commit(before, job, chunk, number, ahead)))
            await self._settle()
        except PlanningFailed as failed:
            raise Hopeless(str(failed)) from None
        finally:
            await ahead.close()
            await give_up(self._commits)

    async def _settle(self, count: int = 0) -> None:
        """Wait until no more than `count` chunks are on their way; whatever failed of them is raised."""
        while self._commits and (len(self._commits) > count or self._commits[0].done()):
            await self._commits.popleft()

    def _after(self, job: Job, chunk: Chunk, result_bytes: int) -> Job:
        """The job behind a chunk."""
        outcomes = chunk.outcomes
        return replace(
            job,
            rows=job.rows + len(chunk.lines),
            file_offset=chunk.end,
            result_bytes=result_bytes,
            created=job.created + outcomes[Outcome.CREATED],
            replaced=job.replaced + outcomes[Outcome.REPLACED],
            unchanged=job.unchanged + outcomes[Outcome.UNCHANGED],
            refused=job.refused + outcomes[Outcome.REFUSED],
            version=job.version + 1,
            changed_ms=max(self._place.clock.now_ms(), job.changed_ms),
        )

    async def _commit(self, before: Job, after: Job, chunk: Chunk, number: int, ahead: Lookahead) -> None:
        await self._save(before, after, chunk if not after.dry_run else None)
        ahead.show(number)
        for outcome, count in chunk.outcomes.items():
            self._place.metrics.import_rows.labels(outcome).inc(count)
        for reason, count in chunk.reasons.items():
            self._place.metrics.refused.labels(reason).inc(count)

    async def _move(self, job: Job) -> None:
        """Commit the job's row alone."""
        before = self.job
        changed_ms = max(self._place.clock.now_ms(), before.changed_ms)
        await self._save(before, replace(job, version=before.version + 1, changed_ms=changed_ms))

    async def _save(self, before: Job, after: Job, chunk: Chunk | None = None) -> None:
        """Commit the job's row, with the rows of a chunk, and wait until the view shows them."""
        own = [job_row(before, after)]
        command = Command(
            account=after.account,
            request_id=after.request_id,
            rows=[*chunk.rows, *own] if chunk is not None else own,
            claims=chunk.claims if chunk is not None else (),
            releases=chunk.releases if chunk is not None else (),
            payload=(chunk.payload if chunk is not None else b"") + compose_payload(own),
        )
        committed = await self._place.committer.commit(command)
        self.job = after
        if not await self._place.reader.reach(committed.position, FRESHNESS_WAIT_S):
            raise Refusal(Reason.NOT_READY, "the registry does not show its newest changes yet")


def job_row(before: Job | None, after: Job) -> Row:
    """The change of a job's row; without `before` it is new."""
    prior_version, prior_state = (before.version, before.state) if before is not None else (0, 0)
    return Row(Table.JOB, after.id, pack_job(after), after.version, prior_version, after.state, prior_state)
