"""The one table from reasons and answers to gRPC status codes (grpc/statuscodes.md of the gRPC project).

The status says what a client should do next: mend the request (INVALID_ARGUMENT), mend the state (FAILED_PRECONDITION), read
again and decide (ABORTED), slow down (RESOURCE_EXHAUSTED), try again as it is (UNAVAILABLE).
"""

from enum import IntEnum
from typing import Final

from proto.errors import Reason
from proto.model.answer import Answer, Found, NotFound, Referral, Refused, Retired, Suspended, ValuesNotFound


class Status(IntEnum):
    """The canonical codes, by number, so that no module needs a gRPC library to name one."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


REASON_STATUS: Final[dict[Reason, Status]] = {
    Reason.MALFORMED_MESSAGE: Status.INVALID_ARGUMENT,
    Reason.INVALID_ENCODING: Status.INVALID_ARGUMENT,
    Reason.INVALID_ARGUMENT: Status.INVALID_ARGUMENT,
    Reason.INVALID_IDENTIFIER: Status.INVALID_ARGUMENT,
    Reason.AMBIGUOUS_IDENTIFIER: Status.INVALID_ARGUMENT,
    Reason.INVALID_VALUE: Status.INVALID_ARGUMENT,
    Reason.DUPLICATE_INDEX: Status.INVALID_ARGUMENT,
    Reason.DUPLICATE_IDENTIFIER: Status.INVALID_ARGUMENT,
    Reason.INVALID_IDEMPOTENCY_KEY: Status.INVALID_ARGUMENT,
    Reason.UNSUPPORTED_CONTENT_TYPE: Status.INVALID_ARGUMENT,
    Reason.UNSUPPORTED_OPERATION: Status.UNIMPLEMENTED,
    # As gRPC itself ends a call whose message passes the receiver's limit.
    Reason.MESSAGE_TOO_LARGE: Status.RESOURCE_EXHAUSTED,
    Reason.VALUE_TOO_LARGE: Status.INVALID_ARGUMENT,
    Reason.RECORD_TOO_LARGE: Status.INVALID_ARGUMENT,
    Reason.TOO_MANY_VALUES: Status.INVALID_ARGUMENT,
    Reason.BATCH_TOO_LARGE: Status.INVALID_ARGUMENT,
    Reason.UNKNOWN_PREFIX: Status.NOT_FOUND,
    Reason.NOT_HOMED: Status.NOT_FOUND,
    Reason.PREFIX_NOT_APPROVED: Status.FAILED_PRECONDITION,
    Reason.PREFIX_SUSPENDED: Status.FAILED_PRECONDITION,
    Reason.NOT_FOUND: Status.NOT_FOUND,
    Reason.ALREADY_EXISTS: Status.ALREADY_EXISTS,
    Reason.RETIRED: Status.NOT_FOUND,
    Reason.SUSPENDED: Status.FAILED_PRECONDITION,
    Reason.VERSION_CONFLICT: Status.ABORTED,
    Reason.INVALID_STATE: Status.FAILED_PRECONDITION,
    Reason.ALIAS_TAKEN: Status.ALREADY_EXISTS,
    Reason.IDEMPOTENCY_MISMATCH: Status.INVALID_ARGUMENT,
    Reason.UNAUTHENTICATED: Status.UNAUTHENTICATED,
    Reason.PERMISSION_DENIED: Status.PERMISSION_DENIED,
    Reason.QUOTA_EXCEEDED: Status.RESOURCE_EXHAUSTED,
    Reason.OVERLOADED: Status.RESOURCE_EXHAUSTED,
    Reason.STORAGE_FULL: Status.RESOURCE_EXHAUSTED,
    Reason.STORE_FAILED: Status.UNAVAILABLE,
    Reason.NOT_READY: Status.UNAVAILABLE,
    Reason.TIMEOUT: Status.DEADLINE_EXCEEDED,
    Reason.UPSTREAM_FAILED: Status.UNAVAILABLE,
    Reason.TOO_MANY_HOPS: Status.FAILED_PRECONDITION,
    Reason.FORBIDDEN_ADDRESS: Status.FAILED_PRECONDITION,
    Reason.INTERNAL: Status.INTERNAL,
}

ANSWER_STATUS: Final[dict[type[Answer], Status]] = {
    Found: Status.OK,
    ValuesNotFound: Status.OK,
    NotFound: Status.NOT_FOUND,
    Suspended: Status.FAILED_PRECONDITION,
    Retired: Status.NOT_FOUND,
    Referral: Status.FAILED_PRECONDITION,
}
"""Every answer but `Refused`, whose status is its reason's."""

ANSWER_NAME: Final[dict[type[Answer], str]] = {
    NotFound: "NOT_FOUND",
    Suspended: "SUSPENDED",
    Retired: "RETIRED",
    Referral: "REFERRAL",
}
"""What `biaojie-reason` says of the answers that are neither found nor refused."""


def status_of(answer: Answer) -> Status:
    """The status with which a call ends that came to `answer`."""
    if isinstance(answer, Refused):
        return REASON_STATUS[answer.refusal.reason]
    return ANSWER_STATUS[type(answer)]


def reason_name(reason: Reason) -> str:
    """What `biaojie-reason` says of a refusal: `NOT_HOMED`."""
    return reason.upper()
