"""What response codes mean, and when to try again."""

import pytest

from adapters.upstream.epp.core.retry import RetryPolicy
from adapters.upstream.epp.core.verdict import Verdict, closes_session, ends_login, is_success, verdict_of
from adapters.upstream.epp.mapping import create_of, enterprise_of
from tests.support.epp import COMMANDS, SMALL


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (1000, Verdict.DONE),
        (1001, Verdict.PENDING),
        (1999, Verdict.PENDING),
        (2001, Verdict.REFUSED),
        (2002, Verdict.FAILED),
        (2200, Verdict.FAILED),
        (2201, Verdict.REFUSED),
        (2302, Verdict.EXISTS),
        (2303, Verdict.REFUSED),
        (2304, Verdict.FAILED),
        (2306, Verdict.REFUSED),
        (2400, Verdict.FAILED),
        (2502, Verdict.FAILED),
        (2999, Verdict.REFUSED),
        (0, Verdict.FAILED),
        (9999, Verdict.FAILED),
    ],
)
def test_a_code_is_judged_also_if_nobody_knows_it(code: int, verdict: Verdict) -> None:
    assert verdict_of(code) is verdict


def test_what_a_code_says_of_the_session() -> None:
    assert [code for code in (1000, 1500, 2002, 2200, 2400, 2501, 2502) if closes_session(code)] == [1500, 2501, 2502]
    assert [code for code in (1000, 2002, 2200, 2400) if ends_login(code)] == [2002, 2200]
    assert [code for code in (999, 1000, 1999, 2000) if is_success(code)] == [1000, 1999]


def test_delays_double_up_to_the_last_and_half_of_them_is_chance() -> None:
    policy = RetryPolicy(1, 300)
    assert [policy.delay_s(attempt, 1.0) for attempt in (1, 2, 3, 20, 10_000)] == [1, 2, 4, 300, 300]
    assert policy.delay_s(3, 0.0) == 2


def test_contents_become_objects() -> None:
    content = {"code": "91411000MA40XCDL1K", "name": "许昌变压器有限公司"}
    assert enterprise_of(content, "88.118") == SMALL
    other = enterprise_of({"code": "R-1", "name": "x", "details": {"address": "许昌市"}}, "88.118")
    assert (other.code_type, other.address) == ("3", "许昌市")
    assert create_of("registrant", content, "88.118", "") == SMALL
    prefix = {"prefix": "88.118.1001", "registrant": "R-1"}
    assert create_of("prefix", prefix, "88.118", "ent-7") == COMMANDS["create prefix"]
