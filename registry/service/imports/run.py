"""One job on its way: from its cursor to the end of its table, chunk by chunk.

A run begins with a commit of the job's row alone. It is a fence: if a commit of an earlier run, whose outcome nobody
learned, did go through, the fence meets a conflict and nothing is touched; if it did not, it never will. Only behind the
fence may the result file be written at the cursor.
"""

import asyncio
from collections import Counter
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
from registry.service.imports.chunks import CHUNK_ROWS, Planner, names_in
from registry.service.imports.encoding import Encoding
from registry.service.imports.results import HEADER, ResultFile, ResultLine, compose_lines, result_path
from registry.service.imports.rows import TableRow
from registry.service.imports.source import RowSource, find_encoding, open_source
from registry.service.imports.tables import TableFormat
from registry.service.imports.threads import in_thread
from registry.service.plan import Draft, Outcome, Plan, RowOutcome


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


class Run:
    """Carries one job on. Use once: `advance` ends with the job or with an exception, after which another run may begin."""

    def __init__(self, job: Job, place: Workplace) -> None:
        self.job = job
        self._place = place
        self._waiting: list[TableRow] = []

    async def advance(self) -> None:
        """Work to the end of the table. `self.job` is the job as last committed.

        Raises `Hopeless`; `Conflict` and passing `Refusal`s (OVERLOADED, STORAGE_FULL, ...), `OSError`: what was not
        committed is to be done again by another run.
        """
        caller = self._caller()
        source = await self._open()
        results = None
        try:
            await self._save(replace(self.job, state=JobState.RUNNING, encoding=self._encoding))
            results = await self._open_results()
            await self._work(source, results, Planner(self._place.reader, caller, self.job.prefix))
        finally:
            source.close()
            if results is not None:
                results.close()
        await self._save(replace(self.job, state=JobState.FINISHED))

    def _caller(self) -> Caller:
        account: Account | None = self._place.reader.account(self.job.account)
        if account is None or not account.enabled:
            raise Hopeless(f"account {self.job.account} is closed")
        return caller_of(account)

    async def _open(self) -> RowSource:
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

    async def _work(self, source: RowSource, results: ResultFile, planner: Planner) -> None:
        """Plan and commit chunk after chunk; while one is committed, the next is read and planned."""
        committing: asyncio.Task[None] | None = None
        held: set[str] | None = set()
        try:
            while await self._read(source):
                plan = await planner.plan(self._waiting, self._place.clock.now_ms(), held) if held is not None else Plan()
                if committing is not None:
                    await committing
                if not plan.outcomes:
                    committing, held = None, set()
                    continue
                done, self._waiting = self._waiting[: len(plan.outcomes)], self._waiting[len(plan.outcomes) :]
                committing, held = asyncio.create_task(self._commit(done, plan, source, results)), names_in(done, plan)
            if committing is not None:
                await committing
        finally:
            await _give_up(committing)

    async def _read(self, source: RowSource) -> bool:
        """Fill up what is waiting; False if nothing is: at the end of the table."""
        self._waiting += await source.take(CHUNK_ROWS - len(self._waiting))
        return bool(self._waiting)

    async def _commit(self, done: list[TableRow], plan: Plan, source: RowSource, results: ResultFile) -> None:
        """Write down what became of the rows, then commit them together with the cursor behind them."""
        job = self.job
        lines = [
            _line(job.rows + place, row, outcome, source)
            for place, (row, outcome) in enumerate(zip(done, plan.outcomes, strict=True), 1)
        ]
        result_bytes = await in_thread(results.write, job.result_bytes, compose_lines(lines))
        counts = Counter(outcome.outcome for outcome in plan.outcomes)
        after = replace(
            job,
            rows=job.rows + len(done),
            file_offset=done[-1].end,
            result_bytes=result_bytes,
            created=job.created + counts[Outcome.CREATED],
            replaced=job.replaced + counts[Outcome.REPLACED],
            unchanged=job.unchanged + counts[Outcome.UNCHANGED],
            refused=job.refused + counts[Outcome.REFUSED],
        )
        await self._save(after, Plan() if job.dry_run else plan)
        self._count(plan, counts)

    async def _save(self, job: Job, plan: Plan | None = None) -> None:
        """Commit the job's row, with the rows of a plan, and wait until the view shows them."""
        plan = plan or Plan()
        before, place = self.job, self._place
        after = replace(job, version=before.version + 1, changed_ms=max(place.clock.now_ms(), before.changed_ms))
        rows = [*plan.rows, job_row(before, after)]
        command = Command(
            account=job.account,
            request_id=job.request_id,
            rows=rows,
            claims=plan.claims,
            releases=plan.releases,
            payload=compose_payload(rows),
        )
        committed = await place.committer.commit(command)
        self.job = after
        if not await place.reader.reach(committed.position, FRESHNESS_WAIT_S):
            raise Refusal(Reason.NOT_READY, "the registry does not show its newest changes yet")

    def _count(self, plan: Plan, counts: Counter[Outcome]) -> None:
        for outcome, count in counts.items():
            self._place.metrics.import_rows.labels(outcome).inc(count)
        for reason, count in Counter(each.reason for each in plan.outcomes if each.reason is not None).items():
            self._place.metrics.refused.labels(reason).inc(count)


async def _give_up(task: "asyncio.Task[None] | None") -> None:
    """Wait for the end of a task whose outcome nobody wants any more."""
    if task is not None and not task.done():
        task.cancel()
        await asyncio.wait((task,))


def job_row(before: Job | None, after: Job) -> Row:
    """The change of a job's row; without `before` it is new."""
    prior_version, prior_state = (before.version, before.state) if before is not None else (0, 0)
    return Row(Table.JOB, after.id, pack_job(after), after.version, prior_version, after.state, prior_state)


# What is shown of a row's own text; a record's identifier is never longer.
_SHOWN_CHARS: Final = 2_048


def _line(number: int, row: TableRow, outcome: RowOutcome, source: RowSource) -> ResultLine:
    field = outcome.field
    if field and isinstance(row.item, Draft):
        field = source.table.field_name(row.item, field)
    message = outcome.detail or (str(outcome.reason) if outcome.reason is not None else "")
    return ResultLine(number, outcome.identifier[:_SHOWN_CHARS], outcome.outcome, field, message)
