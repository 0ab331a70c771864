"""CONTRACT's table for HTTP: what each answer and each reason is as a status and as a Handle response code.

There is no other place that decides a status of an answer. The Handle JSON API has one exception, `HANDLE_API_STATUSES`.
"""

from http import HTTPStatus
from typing import Final, NamedTuple

from proto.errors import Reason
from proto.model.answer import Answer, Found, NotFound, Referral, Refused, Retired, Suspended, ValuesNotFound
from proto.model.identifier import PREFIX_OF_PREFIXES, fold_ascii
from proto.wire.handle.codes import ResponseCode


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

REASON_STATUSES: Final[dict[Reason, Status]] = {
    Reason.MALFORMED_MESSAGE: Status(HTTPStatus.BAD_REQUEST, ResponseCode.PROTOCOL_ERROR),
    Reason.INVALID_ENCODING: Status(HTTPStatus.BAD_REQUEST, ResponseCode.PROTOCOL_ERROR),
    Reason.INVALID_ARGUMENT: Status(HTTPStatus.BAD_REQUEST, ResponseCode.PROTOCOL_ERROR),
    Reason.INVALID_IDENTIFIER: Status(HTTPStatus.BAD_REQUEST, ResponseCode.INVALID_IDENTIFIER),
    Reason.AMBIGUOUS_IDENTIFIER: Status(HTTPStatus.BAD_REQUEST, ResponseCode.INVALID_IDENTIFIER),
    Reason.INVALID_VALUE: Status(HTTPStatus.BAD_REQUEST, ResponseCode.INVALID_VALUE),
    Reason.DUPLICATE_INDEX: Status(HTTPStatus.BAD_REQUEST, ResponseCode.INVALID_VALUE),
    Reason.DUPLICATE_IDENTIFIER: Status(HTTPStatus.BAD_REQUEST, ResponseCode.PROTOCOL_ERROR),
    Reason.INVALID_IDEMPOTENCY_KEY: Status(HTTPStatus.BAD_REQUEST, ResponseCode.PROTOCOL_ERROR),
    Reason.UNSUPPORTED_CONTENT_TYPE: Status(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, ResponseCode.PROTOCOL_ERROR),
    Reason.UNSUPPORTED_OPERATION: Status(HTTPStatus.METHOD_NOT_ALLOWED, ResponseCode.OPERATION_NOT_SUPPORTED),
    Reason.MESSAGE_TOO_LARGE: Status(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, ResponseCode.PROTOCOL_ERROR),
    Reason.VALUE_TOO_LARGE: Status(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, ResponseCode.INVALID_VALUE),
    Reason.RECORD_TOO_LARGE: Status(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, ResponseCode.INVALID_VALUE),
    Reason.TOO_MANY_VALUES: Status(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, ResponseCode.INVALID_VALUE),
    Reason.BATCH_TOO_LARGE: Status(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, ResponseCode.PROTOCOL_ERROR),
    Reason.UNKNOWN_PREFIX: Status(HTTPStatus.NOT_FOUND, ResponseCode.NOT_RESPONSIBLE),
    Reason.NOT_HOMED: Status(HTTPStatus.NOT_FOUND, ResponseCode.NOT_RESPONSIBLE),
    Reason.PREFIX_NOT_APPROVED: Status(HTTPStatus.FORBIDDEN, ResponseCode.NOT_RESPONSIBLE),
    Reason.PREFIX_SUSPENDED: Status(HTTPStatus.FORBIDDEN, ResponseCode.VALUES_NOT_FOUND),
    Reason.NOT_FOUND: Status(HTTPStatus.NOT_FOUND, ResponseCode.IDENTIFIER_NOT_FOUND),
    Reason.ALREADY_EXISTS: Status(HTTPStatus.CONFLICT, ResponseCode.IDENTIFIER_EXISTS),
    Reason.RETIRED: Status(HTTPStatus.GONE, ResponseCode.IDENTIFIER_EXISTS),
    Reason.SUSPENDED: Status(HTTPStatus.FORBIDDEN, ResponseCode.VALUES_NOT_FOUND),
    Reason.VERSION_CONFLICT: Status(HTTPStatus.PRECONDITION_FAILED, ResponseCode.ERROR),
    Reason.INVALID_STATE: Status(HTTPStatus.CONFLICT, ResponseCode.ERROR),
    Reason.ALIAS_TAKEN: Status(HTTPStatus.CONFLICT, ResponseCode.IDENTIFIER_EXISTS),
    Reason.IDEMPOTENCY_MISMATCH: Status(HTTPStatus.UNPROCESSABLE_ENTITY, ResponseCode.ERROR),
    Reason.UNAUTHENTICATED: Status(HTTPStatus.UNAUTHORIZED, ResponseCode.AUTHENTICATION_NEEDED),
    Reason.PERMISSION_DENIED: Status(HTTPStatus.FORBIDDEN, ResponseCode.INVALID_ADMIN),
    Reason.QUOTA_EXCEEDED: Status(HTTPStatus.TOO_MANY_REQUESTS, ResponseCode.TOO_BUSY),
    Reason.OVERLOADED: Status(HTTPStatus.SERVICE_UNAVAILABLE, ResponseCode.TOO_BUSY),
    Reason.STORAGE_FULL: Status(HTTPStatus.INSUFFICIENT_STORAGE, ResponseCode.SERVER_READ_ONLY),
    Reason.STORE_FAILED: Status(HTTPStatus.SERVICE_UNAVAILABLE, ResponseCode.ERROR),
    Reason.NOT_READY: Status(HTTPStatus.SERVICE_UNAVAILABLE, ResponseCode.TOO_BUSY),
    Reason.TIMEOUT: Status(HTTPStatus.GATEWAY_TIMEOUT, ResponseCode.TOO_BUSY),
    Reason.INTERNAL: Status(HTTPStatus.INTERNAL_SERVER_ERROR, ResponseCode.ERROR),
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
