"""Who works on which job when, and what happens when one cannot go on.

At most `RUNNING_JOBS` are carried on at once; among those that wait, the account with the fewest running comes first. What
passes by itself (a full disk, an overloaded committer, a conflict with somebody else's write) is waited out; only what will
not pass ends a job.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from proto.errors import Reason, Refusal
from proto.limits import FRESHNESS_WAIT_S
from proto.model.change import START, Position, Table
from proto.model.job import Job, JobState
from proto.ports import Command, Conflict
from proto.request_id import REQUEST_ID
from proto.stream import compose_payload
from proto.tables import unpack_job
from registry.service.execute import PASSING
from registry.service.imports.blobs import is_full
from registry.service.imports.run import Hopeless, Run, Workplace, job_row

log = logging.getLogger(__name__)

# More would only share the same writer; two, so that a small job need not wait for a large one.
RUNNING_JOBS: Final = 2

# A job that cannot go on now tries again, at growing distances: the disk may be full for hours.
FIRST_RETRY_S: Final = 0.1
LAST_RETRY_S: Final = 10.0

UNFINISHED: Final = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class _Ending:
    """Why a run ended before its job did. `why` is a reason that passes; `message` one that does not."""

    why: str
    message: str = ""
    position: Position = START


class JobRunner:
    """Carries jobs on, one task each; `on_end` is called with each that has ended."""

    def __init__(self, place: Workplace, on_end: Callable[[Job], None]) -> None:
        self._place = place
        self._on_end = on_end
        self._queue: list[Job] = []
        self._running: dict[str, tuple[Job, asyncio.Task[None]]] = {}
        self._hindrances: dict[str, str] = {}
        self._is_open = False

    @property
    def load(self) -> int:
        """How many jobs run or wait."""
        return len(self._queue) + len(self._running)

    def start(self, jobs: Iterable[Job]) -> None:
        """Begin to work, with these."""
        self._is_open = True
        self._queue.extend(jobs)
        self._schedule()

    async def close(self) -> None:
        """Stop at once. Nothing is lost: whoever starts next goes on behind the last commit."""
        self._is_open = False
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def add(self, job: Job) -> None:
        """Work on a job as soon as there is room."""
        self._queue.append(job)
        self._schedule()

    def hindrance(self, job_id: str) -> str:
        """Why a running job does not get on at the moment (the name of a reason); empty if it does."""
        return self._hindrances.get(job_id, "")

    def _schedule(self) -> None:
        while self._is_open and self._queue and len(self._running) < RUNNING_JOBS:
            busy = Counter(job.account for job, _ in self._running.values())
            job = min(self._queue, key=lambda waiting: busy[waiting.account])
            self._queue.remove(job)
            self._running[job.id] = job, asyncio.create_task(self._carry(job), name=f"import {job.id}")

    async def _carry(self, job: Job) -> None:
        """Work on one job until it is at its end."""
        REQUEST_ID.set(job.request_id)
        try:
            await self._persist(job)
        finally:
            del self._running[job.id]
            self._hindrances.pop(job.id, None)
            self._schedule()
            self._on_end(job)

    async def _persist(self, job: Job) -> None:
        delay_s = FIRST_RETRY_S
        while job.state in UNFINISHED:
            run = Run(job, self._place)
            ending = await self._advance(run)
            if ending is None or (ending.message and await self._fail(run.job, ending.message)):
                return
            delay_s = FIRST_RETRY_S if run.job.rows > job.rows else min(2 * delay_s, LAST_RETRY_S)
            self._note(run.job, ending.why)
            job = await self._look_again(run.job, ending.position, delay_s)

    async def _advance(self, run: Run) -> _Ending | None:
        """Let a run go as far as it gets; None if that is the end of its job."""
        try:
            await run.advance()
        except Conflict as conflict:
            return _Ending(Reason.VERSION_CONFLICT, position=conflict.position)
        except Hopeless as hopeless:
            return _Ending(Reason.STORE_FAILED, str(hopeless))
        except Refusal as refusal:
            return _Ending(refusal.reason, "" if refusal.reason in PASSING else str(refusal))
        except OSError as error:
            return _Ending(Reason.STORAGE_FULL, "" if is_full(error) else str(error))
        except Exception:
            log.exception("a run of a job broke off")
            return _Ending(Reason.INTERNAL, f"internal error; its trace is in the log, request {run.job.request_id}")
        self._place.metrics.jobs.labels("finished").inc()
        log.info("a job is finished", extra={"job": run.job.id, "rows": run.job.rows, "refused_rows": run.job.refused})
        return None

    def _note(self, job: Job, why: str) -> None:
        if self._hindrances.get(job.id) != why:
            log.warning("a job waits", extra={"job": job.id, "rows": job.rows, "why": why})
        self._hindrances[job.id] = why

    async def _look_again(self, job: Job, position: Position, delay_s: float) -> Job:
        """Wait, and return the job as the store has it then."""
        while True:
            await asyncio.sleep(delay_s)
            try:
                await self._place.reader.reach(position, FRESHNESS_WAIT_S)
                image = self._place.reader.image(Table.JOB, job.id)
            except Refusal as refusal:
                log.warning("a job waits for the view", extra={"job": job.id, "why": refusal.reason})
            else:
                return unpack_job(image) if image is not None else job

    async def _fail(self, job: Job, message: str) -> bool:
        """Put an end to a job; False if that could not be committed now."""
        after = replace(
            job, state=JobState.FAILED, message=message, version=job.version + 1, changed_ms=self._place.clock.now_ms()
        )
        rows = [job_row(job, after)]
        try:
            await self._place.committer.commit(Command(job.account, job.request_id, rows, payload=compose_payload(rows)))
        except (Refusal, Conflict) as error:
            log.warning("the failure of a job could not be committed", extra={"job": job.id, "why": str(error)})
            return False
        self._place.metrics.jobs.labels("failed").inc()
        log.warning("a job failed", extra={"job": job.id, "why": message})
        return True
