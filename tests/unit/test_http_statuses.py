"""The table of the HTTP edge is complete, is the agreed one, and says the same codes as the Handle edge."""

import pytest

from proto.errors import Reason, Refusal
from proto.model.answer import Answer, Found, NotFound, Referral, Refused, Retired, Suspended, ValuesNotFound
from resolver.listeners.http.statuses import ANSWER_STATUSES, HANDLE_API_STATUSES, REASON_STATUSES, status_of

RECORD = ("a", "A", 1, (), "", "")


def refused(reason: Reason) -> Refused:
    return Refused("a", Refusal(reason))


def test_every_reason_and_every_answer_has_its_row() -> None:
    assert set(REASON_STATUSES) == set(HANDLE_API_STATUSES) == set(Reason)
    assert set(ANSWER_STATUSES) | {Refused} == set(Answer.__args__)


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (Found(*RECORD, ttl_s=1), 200, 1),
        (ValuesNotFound(*RECORD, ttl_s=0), 200, 200),
        (NotFound("a"), 404, 100),
        (Suspended("a", "prefix"), 403, 200),
        (Retired("a", 1), 410, 100),
        (Referral("88.1/x", "88.1", ()), 303, 302),
        (Referral("0.na/88.1.2", "88.1", ()), 303, 303),
        (Referral("88.1.2", "88.1", ()), 303, 303),
        (refused(Reason.NOT_HOMED), 404, 301),
        (refused(Reason.UNAUTHENTICATED), 401, 402),
        (refused(Reason.PERMISSION_DENIED), 403, 400),
        (refused(Reason.INVALID_IDENTIFIER), 400, 102),
        (refused(Reason.MALFORMED_MESSAGE), 400, 4),
        (refused(Reason.OVERLOADED), 503, 3),
        (refused(Reason.QUOTA_EXCEEDED), 429, 3),
    ],
)
def test_rows_are_the_agreed_ones(answer: Answer, status: int, code: int) -> None:
    assert status_of(answer) == (status, code)


def test_the_handle_json_api_differs_in_one_row_as_stock_servers_do() -> None:
    differing = {reason for reason in Reason if HANDLE_API_STATUSES[reason] != REASON_STATUSES[reason]}
    assert differing == {Reason.NOT_HOMED}
    assert status_of(refused(Reason.NOT_HOMED), HANDLE_API_STATUSES) == (400, 301)
