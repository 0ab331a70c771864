"""Job: work that outlives the request that started it; today the import of a table of identifiers.

The cursor (`rows`, `file_offset`, `result_bytes` and the counts) is committed in the same change as the rows it
counts, so that a job killed at any moment goes on with the next row: every row once.
"""

from dataclasses import dataclass
from enum import IntEnum


class JobState(IntEnum):
    """Life of a job. FINISHED includes jobs with refused rows; FAILED means the job itself could not go on."""

    QUEUED = 0
    RUNNING = 1
    FINISHED = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Job:
    """An import job. Times are UTC milliseconds, sizes bytes; `file_digest` is the SM3 that names the uploaded blob.

    `template` is that of rows which name none; `message` says why the job failed.
    """

    id: str
    kind: str
    prefix: str
    account: str
    registrant: str
    file_name: str
    file_digest: bytes
    file_format: str
    encoding: str
    dry_run: bool
    state: JobState
    file_bytes: int
    request_id: str
    version: int
    created_ms: int
    changed_ms: int
    rows: int = 0
    file_offset: int = 0
    result_bytes: int = 0
    created: int = 0
    replaced: int = 0
    unchanged: int = 0
    refused: int = 0
    message: str = ""
    template: str = ""
