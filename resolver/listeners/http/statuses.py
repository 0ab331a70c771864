"""The table of this edge: what each answer and each reason is as an HTTP status and as a Handle response code.

Statuses of reasons are both HTTP edges' (`proto.wire.http.status`). No other place decides what an answer is. The Handle JSON
API has one exception, `HANDLE_API_STATUSES`.
"""

from http import HTTPStatus
from typing import Final, NamedTuple

from proto.errors import Reason
from proto.model.answer import Answer, Found, NotFound, Referral, Refused, Retired, Suspended, ValuesNotFound
from proto.model.identifier import PREFIX_OF_PREFIXES, fold_ascii
from proto.wire.handle.codes import ResponseCode
from proto.wire.http.status import REASON_STATUS


class Status(NamedTuple):
    """An HTTP status and the `responseCode` in the body."""

    http: HTTPStatus
    code: ResponseCode


ANSWER_STATUSES: Final[dict[type[Answer], Status]] = {
    Found: Status(HTTPStatus.OK, ResponseCode.SUCCESS),
    ValuesNotFound: Status(HTTPStatus.OK, ResponseCode.VALUES_NOT_FOUND),
    NotFound: Status(HTTPStatus.NOT_FOUND, ResponseCode.IDENTIFIER_NOT_FOUND),
    Suspended: Status(HTTPStatus.FORBIDDEN, ResponseCode.VALUES_NOT_FOUND),
    Retired: Status(HTTPStatus.GONE, ResponseCode.IDENTIFIER_NOT_FOUND),
    Referral: Status(HTTPStatus.SEE_OTHER, ResponseCode.SERVICE_REFERRAL),
}

_REASON_CODES: Final[dict[Reason, ResponseCode]] = {
    Reason.MALFORMED_MESSAGE: ResponseCode.PROTOCOL_ERROR,
    Reason.INVALID_ENCODING: ResponseCode.PROTOCOL_ERROR,
    Reason.INVALID_ARGUMENT: ResponseCode.PROTOCOL_ERROR,
    Reason.INVALID_IDENTIFIER: ResponseCode.INVALID_IDENTIFIER,
    Reason.AMBIGUOUS_IDENTIFIER: ResponseCode.INVALID_IDENTIFIER,
    Reason.INVALID_VALUE: ResponseCode.INVALID_VALUE,
    Reason.DUPLICATE_INDEX: ResponseCode.INVALID_VALUE,
    Reason.DUPLICATE_IDENTIFIER: ResponseCode.PROTOCOL_ERROR,
    Reason.INVALID_IDEMPOTENCY_KEY: ResponseCode.PROTOCOL_ERROR,
    Reason.UNSUPPORTED_CONTENT_TYPE: ResponseCode.PROTOCOL_ERROR,
    Reason.UNSUPPORTED_OPERATION: ResponseCode.OPERATION_NOT_SUPPORTED,
    Reason.MESSAGE_TOO_LARGE: ResponseCode.PROTOCOL_ERROR,
    Reason.VALUE_TOO_LARGE: ResponseCode.INVALID_VALUE,
    Reason.RECORD_TOO_LARGE: ResponseCode.INVALID_VALUE,
    Reason.TOO_MANY_VALUES: ResponseCode.INVALID_VALUE,
    Reason.BATCH_TOO_LARGE: ResponseCode.PROTOCOL_ERROR,
    Reason.UNKNOWN_PREFIX: ResponseCode.NOT_RESPONSIBLE,
    Reason.NOT_HOMED: ResponseCode.NOT_RESPONSIBLE,
    Reason.PREFIX_NOT_APPROVED: ResponseCode.NOT_RESPONSIBLE,
    Reason.PREFIX_SUSPENDED: ResponseCode.VALUES_NOT_FOUND,
    Reason.NOT_FOUND: ResponseCode.IDENTIFIER_NOT_FOUND,
    Reason.ALREADY_EXISTS: ResponseCode.IDENTIFIER_EXISTS,
    Reason.RETIRED: ResponseCode.IDENTIFIER_EXISTS,
    Reason.SUSPENDED: ResponseCode.VALUES_NOT_FOUND,
    Reason.VERSION_CONFLICT: ResponseCode.ERROR,
    Reason.INVALID_STATE: ResponseCode.ERROR,
    Reason.ALIAS_TAKEN: ResponseCode.IDENTIFIER_EXISTS,
    Reason.IDEMPOTENCY_MISMATCH: ResponseCode.ERROR,
    Reason.UNAUTHENTICATED: ResponseCode.AUTHENTICATION_NEEDED,
    Reason.PERMISSION_DENIED: ResponseCode.INVALID_ADMIN,
    Reason.QUOTA_EXCEEDED: ResponseCode.TOO_BUSY,
    Reason.OVERLOADED: ResponseCode.TOO_BUSY,
    Reason.STORAGE_FULL: ResponseCode.SERVER_READ_ONLY,
    Reason.STORE_FAILED: ResponseCode.ERROR,
    Reason.NOT_READY: ResponseCode.TOO_BUSY,
    Reason.TIMEOUT: ResponseCode.TOO_BUSY,
    Reason.UPSTREAM_FAILED: ResponseCode.TOO_BUSY,
    Reason.TOO_MANY_HOPS: ResponseCode.RECURSION_TOO_HIGH,
    # Not ERROR: a node that asks this one would take it for ill, because of what somebody has registered elsewhere.
    Reason.FORBIDDEN_ADDRESS: ResponseCode.NOT_RESPONSIBLE,
    Reason.INTERNAL: ResponseCode.ERROR,
}

REASON_STATUSES: Final[dict[Reason, Status]] = {
    reason: Status(REASON_STATUS[reason], _REASON_CODES[reason]) for reason in Reason
}

# Stock servers answer 400 for what they are not responsible for, and their clients know it.
HANDLE_API_STATUSES: Final[dict[Reason, Status]] = REASON_STATUSES | {
    Reason.NOT_HOMED: Status(HTTPStatus.BAD_REQUEST, ResponseCode.NOT_RESPONSIBLE)
}


def status_of(answer: Answer, reasons: dict[Reason, Status] = REASON_STATUSES) -> Status:
    """The status of an answer; `reasons` is the table of the API it is for."""
    if isinstance(answer, Refused):
        return reasons[answer.refusal.reason]
    status = ANSWER_STATUSES[type(answer)]
    if isinstance(answer, Referral) and _names_prefix(answer.asked):
        return Status(status.http, ResponseCode.PREFIX_REFERRAL)
    return status


def _names_prefix(asked: str) -> bool:
    return "/" not in asked or fold_ascii(asked).startswith(f"{PREFIX_OF_PREFIXES}/")
