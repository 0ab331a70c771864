"""The table of the DNS edge is complete: every reason and every answer has a response code, as CONTRACT says."""

from typing import get_args

import pytest

from proto.errors import Reason, Refusal
from proto.model.answer import Answer, Found, NotFound, Referral, Refused, Retired, Suspended, ValuesNotFound
from proto.model.value import Value
from proto.wire.dns.codes import Rcode, RRType
from proto.wire.handle.value import compose_value
from resolver.listeners.dns.replies import ANSWERS, REASON_CODES, Asked, render

ASKED = Asked(RRType.TXT, None, (b"id", b"internal"), 20, 40, 0)
URL = compose_value(Value(1, "URL", b"https://example.cn/"))
FACTS = ("88.118/A", "88.118/a", 7, (), "", "", 60)


def test_every_reason_has_a_code() -> None:
    assert set(REASON_CODES) == set(Reason)


def test_every_answer_is_rendered() -> None:
    assert set(ANSWERS) == set(get_args(Answer))


@pytest.mark.parametrize(
    ("answer", "rcode", "is_empty"),
    [
        (Found(*FACTS, values=(URL,)), Rcode.NOERROR, False),
        (ValuesNotFound(*FACTS), Rcode.NOERROR, True),
        (NotFound("88.118/a"), Rcode.NXDOMAIN, True),
        (Suspended("88.118/a", "identifier"), Rcode.NOERROR, True),
        (Retired("88.118/a", 3), Rcode.NXDOMAIN, True),
        (Referral("88.200.1/x", "88.200", ()), Rcode.NOERROR, True),
        (Refused("88.118/a", Refusal(Reason.NOT_HOMED)), Rcode.REFUSED, True),
        (Refused("88.118/a", Refusal(Reason.UNAUTHENTICATED)), Rcode.REFUSED, True),
        (Refused("88.118/a", Refusal(Reason.PERMISSION_DENIED)), Rcode.REFUSED, True),
        (Refused("88.118/a", Refusal(Reason.INVALID_IDENTIFIER)), Rcode.FORMERR, True),
        (Refused("88.118/a", Refusal(Reason.OVERLOADED)), Rcode.REFUSED, True),
        (Refused("88.118/a", Refusal(Reason.QUOTA_EXCEEDED)), Rcode.REFUSED, True),
        (Refused("88.118/a", Refusal(Reason.INTERNAL)), Rcode.SERVFAIL, True),
    ],
)
def test_answers_have_the_codes_of_the_contract(answer: Answer, rcode: Rcode, is_empty: bool) -> None:
    content = render(answer, ASKED)
    assert (content.rcode, not content.answers) == (rcode, is_empty)


@pytest.mark.parametrize("answer", [NotFound("88.118"), Retired("0.NA/88.118", 3)])
def test_a_name_with_names_below_it_is_never_denied(answer: Answer) -> None:
    assert render(answer, ASKED._replace(has_names_below=True)).rcode is Rcode.NOERROR
