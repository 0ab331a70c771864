"""The table of the Handle edge: every reason and every answer has a code that stock clients know, as CONTRACT says."""

from typing import get_args

import pytest

from proto.errors import Reason, Refusal
from proto.model.answer import Answer, Found, NotFound, Referral, Refused, Retired, Suspended, ValuesNotFound
from proto.model.record import State
from proto.model.value import Value
from proto.wire.handle import codes
from proto.wire.handle.codes import ResponseCode
from proto.wire.handle.resolution import (
    parse_error_body,
    parse_referral_body,
    parse_resolution_body,
)
from proto.wire.handle.status import REASON_CODES
from proto.wire.handle.trailer import LifeCycle, parse_trailer
from proto.wire.handle.value import compose_value
from resolver.listeners.handle.replies import ANSWERS, Reply, refuse, render

URL = compose_value(Value(1, "URL", b"https://x"))
SITE = compose_value(Value(1, "HS_SITE", b"site"))
FOUND = Found("a/B", "a/b", 7, (), "", "", 60, values=(URL,))
ALIAS = Found("x/y", "a/b", 7, ("x/y",), "", "", 60, via_alias=True, values=(URL,))
NOTHING = ValuesNotFound("a/B", "a/b", 7, (), "", "", 0)


def body_of(reply: Reply) -> bytes:
    return b"".join(reply.body)


def test_every_reason_has_a_code() -> None:
    assert set(REASON_CODES) == set(Reason)
    assert not {ResponseCode.REQUEST, ResponseCode.SUCCESS} & set(REASON_CODES.values())


def test_every_answer_is_rendered() -> None:
    assert set(ANSWERS) == set(get_args(Answer))


@pytest.mark.parametrize(
    ("answer", "flags", "code"),
    [
        (FOUND, 0, 1),
        (ALIAS, 0, 1),
        (NOTHING, 0, 200),
        (NotFound("a/b"), 0, 100),
        (Suspended("a/b", "identifier"), 0, 200),
        (Retired("a/b", 3), 0, 100),
        (Referral("88.200.1/x", "88.200", (SITE,)), 0, 302),
        (Referral("0.NA/88.200.1", "88.200", (SITE,)), 0, 303),
        (Referral("88.200.1", "88.200", (SITE,)), 0, 303),
        (Referral("88.200.1/x", "88.200", (SITE,)), codes.DO_NOT_REFER, 301),
        (Refused("a/b", Refusal(Reason.NOT_HOMED)), 0, 301),
        (Refused("a/b", Refusal(Reason.UNAUTHENTICATED)), 0, 402),
        (Refused("a/b", Refusal(Reason.PERMISSION_DENIED)), 0, 400),
        (Refused("a/b", Refusal(Reason.MALFORMED_MESSAGE)), 0, 4),
        (Refused("a/b", Refusal(Reason.INVALID_IDENTIFIER)), 0, 102),
        (Refused("a/b", Refusal(Reason.OVERLOADED)), 0, 3),
        (Refused("a/b", Refusal(Reason.QUOTA_EXCEEDED)), 0, 3),
        (Refused("a/b", Refusal(Reason.RETIRED)), 0, 101),
    ],
)
def test_answers_have_the_codes_of_the_contract(answer: Answer, flags: int, code: int) -> None:
    assert render(answer, flags).code == code


def test_found_echoes_the_asked_spelling_and_for_an_alias_the_records_own() -> None:
    assert parse_resolution_body(body_of(render(FOUND, 0))) == ("a/B", (URL,), b"")
    assert parse_resolution_body(body_of(render(ALIAS, 0))) == ("a/b", (URL,), b"")


def test_a_referral_names_sites_or_the_prefix() -> None:
    with_sites = render(Referral("88.200.1/x", "88.200", (SITE,)), 0)
    assert parse_referral_body(body_of(with_sites)) == ("", (SITE,))
    without = render(Referral("88.200.1/x", "88.200", ()), 0)
    assert parse_referral_body(body_of(without)) == ("0.NA/88.200", ())


def test_errors_carry_the_reason_and_not_found_is_as_bare_as_a_stock_servers() -> None:
    assert parse_error_body(body_of(refuse(Reason.NOT_HOMED, "not here"))).message == "not here"
    assert body_of(render(NotFound("a/b"), 0)) == bytes(4)
    assert body_of(render(NOTHING, 0)) == bytes(4)
    assert "suspended" in parse_error_body(body_of(render(Suspended("a/b", "prefix"), 0))).message


@pytest.mark.parametrize(
    ("answer", "life_cycle"),
    [
        (FOUND, LifeCycle(State.ACTIVE, 7, "a/b")),
        (NOTHING, LifeCycle(State.ACTIVE, 7, "a/b")),
        (Suspended("a/b", "identifier"), LifeCycle(State.SUSPENDED, 0, "")),
        (Retired("a/b", 3), LifeCycle(State.RETIRED, 3, "")),
    ],
)
def test_who_asks_for_the_life_cycle_gets_it_behind_the_very_same_body(answer: Answer, life_cycle: LifeCycle) -> None:
    plain, told = render(answer, codes.PUBLIC_ONLY), render(answer, codes.PUBLIC_ONLY | codes.LIFE_CYCLE)
    assert (told.code, told.flags) == (plain.code, codes.LIFE_CYCLE)
    assert body_of(told).startswith(body_of(plain))
    assert parse_trailer(body_of(told)[len(body_of(plain)) :]) == life_cycle
    assert plain.flags == 0


@pytest.mark.parametrize("answer", [NotFound("a/b"), Refused("a/b", Refusal(Reason.NOT_HOMED)), Referral("a/b", "a", ())])
def test_answers_without_a_record_have_no_life_cycle(answer: Answer) -> None:
    assert render(answer, codes.LIFE_CYCLE) == render(answer, 0)
