"""The table of this edge: what each answer and each reason is as an HTTP status and as a Handle response code.

Statuses of reasons are both HTTP edges' (`proto.wire.http.status`), their codes those of the Handle protocol
(`proto.wire.handle.status`). No other place decides what an answer is. The Handle JSON API has one exception,
`HANDLE_API_STATUSES`.
"""

from http import HTTPStatus
from typing import Final, NamedTuple

from proto.errors import Reason
from proto.model.answer import Answer, Found, NotFound, Referral, Refused, Retired, Suspended, ValuesNotFound
from proto.model.identifier import PREFIX_OF_PREFIXES, fold_ascii
from proto.wire.handle.codes import ResponseCode
from proto.wire.handle.status import REASON_CODES
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

REASON_STATUSES: Final[dict[Reason, Status]] = {
    reason: Status(REASON_STATUS[reason], REASON_CODES[reason]) for reason in Reason
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
