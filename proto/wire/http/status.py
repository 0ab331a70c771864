"""The one table from reasons to HTTP statuses (RFC 9110 15), and refusals as problems (RFC 9457)."""

from http import HTTPStatus
from typing import Any, Final

from proto.errors import Reason, Refusal

REASON_STATUS: Final[dict[Reason, HTTPStatus]] = {
    Reason.MALFORMED_MESSAGE: HTTPStatus.BAD_REQUEST,
    Reason.INVALID_ENCODING: HTTPStatus.BAD_REQUEST,
    Reason.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    Reason.INVALID_IDENTIFIER: HTTPStatus.BAD_REQUEST,
    Reason.AMBIGUOUS_IDENTIFIER: HTTPStatus.BAD_REQUEST,
    Reason.INVALID_VALUE: HTTPStatus.BAD_REQUEST,
    Reason.DUPLICATE_INDEX: HTTPStatus.BAD_REQUEST,
    Reason.DUPLICATE_IDENTIFIER: HTTPStatus.BAD_REQUEST,
    Reason.INVALID_IDEMPOTENCY_KEY: HTTPStatus.BAD_REQUEST,
    Reason.UNSUPPORTED_CONTENT_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    Reason.UNSUPPORTED_OPERATION: HTTPStatus.METHOD_NOT_ALLOWED,
    Reason.MESSAGE_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Reason.VALUE_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Reason.RECORD_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Reason.TOO_MANY_VALUES: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Reason.BATCH_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Reason.UNKNOWN_PREFIX: HTTPStatus.NOT_FOUND,
    Reason.NOT_HOMED: HTTPStatus.NOT_FOUND,
    Reason.PREFIX_NOT_APPROVED: HTTPStatus.FORBIDDEN,
    Reason.PREFIX_SUSPENDED: HTTPStatus.FORBIDDEN,
    Reason.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Reason.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    Reason.RETIRED: HTTPStatus.GONE,
    Reason.SUSPENDED: HTTPStatus.FORBIDDEN,
    Reason.VERSION_CONFLICT: HTTPStatus.PRECONDITION_FAILED,
    Reason.INVALID_STATE: HTTPStatus.CONFLICT,
    Reason.ALIAS_TAKEN: HTTPStatus.CONFLICT,
    Reason.IDEMPOTENCY_MISMATCH: HTTPStatus.UNPROCESSABLE_ENTITY,
    Reason.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Reason.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    Reason.QUOTA_EXCEEDED: HTTPStatus.TOO_MANY_REQUESTS,
    Reason.OVERLOADED: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.STORAGE_FULL: HTTPStatus.INSUFFICIENT_STORAGE,
    Reason.STORE_FAILED: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.NOT_READY: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
    Reason.UPSTREAM_FAILED: HTTPStatus.BAD_GATEWAY,
    Reason.TOO_MANY_HOPS: HTTPStatus.LOOP_DETECTED,
    Reason.FORBIDDEN_ADDRESS: HTTPStatus.BAD_GATEWAY,
    Reason.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_REASON_URN: Final = "urn:biaojie:reason:"


def problem_document(status: HTTPStatus, reason: str, detail: str = "", where: str = "") -> dict[str, Any]:
    """The members of a problem; `reason` is a name of `proto.errors.Reason` or of an answer."""
    document: dict[str, Any] = {
        "type": f"{_REASON_URN}{reason}",
        "title": status.phrase,
        "status": status.value,
        "reason": reason,
    }
    if detail:
        document["detail"] = detail
    if where:
        document["field"] = where
    return document


def problem_headers(refusal: Refusal) -> dict[str, str]:
    """What a refusal says beside its body."""
    headers = {"Cache-Control": "no-store"}
    if refusal.reason is Reason.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = 'Bearer realm="biaojie"'
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(refusal.retry_after_s)))
    return headers
