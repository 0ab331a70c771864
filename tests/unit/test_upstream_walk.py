"""The walk from an identifier to its answer, driven by tables of what servers say: no sockets."""

import contextlib
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.model.answer import Source
from proto.model.identifier import parse_identifier
from proto.model.record import State
from proto.model.value import Value
from proto.wire.handle import codes
from proto.wire.handle.codes import ResponseCode
from proto.wire.handle.exchange import Response
from proto.wire.handle.trailer import LifeCycle
from resolver.upstream.copies import Kind
from resolver.upstream.failure import Failed, Why
from resolver.upstream.reach import Reach
from resolver.upstream.sites import Endpoint
from resolver.upstream.walk import MAX_QUESTIONS, NOWHERE, Ask, Finding, Place, Standing, Walk
from tests.support.foreign_node import packed, site, site_value

# Where all the servers of these tests are.
REACH = Reach(["10.0.0.0/8"])
NOW_S = 1_795_351_250
ROOT = Endpoint("10.0.0.1", 2641)
SECOND = Endpoint("10.0.0.2", 2641)
ENTERPRISE = Endpoint("10.0.0.3", 2641)
SERVICE = Endpoint("10.0.0.4", 2641)
ROOT_PLACE = Place(Standing.ROOT, endpoints=(ROOT,))
URL = Value(1, "URL", b"https://example.org/x")

Table = dict[tuple[Endpoint, str], Response | Failed]

NOT_HERE = Response(ResponseCode.NOT_RESPONSIBLE)
NOTHING = Response(ResponseCode.IDENTIFIER_NOT_FOUND)


def success(*values: Value, told: LifeCycle | None = None) -> Response:
    return Response(ResponseCode.SUCCESS, packed(*values), told=told)


def refer(*values: Value, service: str = "", code: int = ResponseCode.SERVICE_REFERRAL) -> Response:
    return Response(code, packed(*values), service)


def at(endpoint: Endpoint, kind: str = "HS_SITE") -> Value:
    return site_value(site(endpoint), kind=kind)


@dataclass
class Conversation:
    """A walk that has ended, and what it asked whom."""

    walk: Walk
    finding: Finding | None = None
    failed: Failed | None = None
    asks: list[Ask] = field(default_factory=list)

    @property
    def asked(self) -> list[tuple[Endpoint, str]]:
        return [(ask.endpoints[0], ask.question.identifier) for ask in self.asks]


def converse(identifier: str, table: Table, root: Place | None = ROOT_PLACE, start: Place | None = None) -> Conversation:
    """Walk through a table of (server, identifier) → what it says; a server is not responsible for what is not there."""
    conversation = Conversation(Walk(parse_identifier(identifier), root, start, 1, NOW_S, REACH, []))
    steps = conversation.walk.run()
    try:
        ask = next(steps)
        while True:
            conversation.asks.append(ask)
            said = table.get((ask.endpoints[0], ask.question.identifier), NOT_HERE)
            ask = steps.throw(said) if isinstance(said, Failed) else steps.send(said)
    except StopIteration as end:
        conversation.finding = end.value
    except Failed as failed:
        conversation.failed = failed
    return conversation


def found(conversation: Conversation) -> Finding:
    assert conversation.finding is not None, conversation.failed
    return conversation.finding


FOUND_AT: dict[str, tuple[Table, list[tuple[Endpoint, str]]]] = {
    "the root itself answers": ({(ROOT, "99.1.2/x"): success(URL)}, [(ROOT, "99.1.2/x")]),
    "a referral with sites": (
        {(ROOT, "99.1.2/x"): refer(at(SECOND)), (SECOND, "99.1.2/x"): success(URL)},
        [(ROOT, "99.1.2/x"), (SECOND, "99.1.2/x")],
    ),
    "a referral to a service": (
        {
            (ROOT, "99.1.2/x"): refer(service="99/SERVICE"),
            (ROOT, "99/SERVICE"): success(at(SECOND)),
            (SECOND, "99.1.2/x"): success(URL),
        },
        [(ROOT, "99.1.2/x"), (ROOT, "99/SERVICE"), (SECOND, "99.1.2/x")],
    ),
    "referrals over two levels": (
        {
            (ROOT, "99.1.2/x"): refer(at(SECOND)),
            (SECOND, "99.1.2/x"): refer(at(ENTERPRISE)),
            (ENTERPRISE, "99.1.2/x"): success(URL),
        },
        [(ROOT, "99.1.2/x"), (SECOND, "99.1.2/x"), (ENTERPRISE, "99.1.2/x")],
    ),
    "HS_SITE of the prefix": (
        {(ROOT, "0.NA/99.1.2"): success(at(SECOND)), (SECOND, "99.1.2/x"): success(URL)},
        [(ROOT, "99.1.2/x"), (ROOT, "0.NA/99.1.2"), (SECOND, "99.1.2/x")],
    ),
    "a root that knows nothing of the identifier but of its prefix": (
        {(ROOT, "99.1.2/x"): NOTHING, (ROOT, "0.NA/99.1.2"): success(at(SECOND)), (SECOND, "99.1.2/x"): success(URL)},
        [(ROOT, "99.1.2/x"), (ROOT, "0.NA/99.1.2"), (SECOND, "99.1.2/x")],
    ),
    "HS_SERV of the prefix": (
        {
            (ROOT, "0.NA/99.1.2"): success(Value(1, "HS_SERV", b"99/SERVICE")),
            (ROOT, "99/SERVICE"): success(at(SECOND)),
            (SECOND, "99.1.2/x"): success(URL),
        },
        [(ROOT, "99.1.2/x"), (ROOT, "0.NA/99.1.2"), (ROOT, "99/SERVICE"), (SECOND, "99.1.2/x")],
    ),
    "HS_SERV whose service identifier lives elsewhere": (
        {
            (ROOT, "0.NA/99.1.2"): success(Value(1, "HS_SERV", b"98/SERVICE")),
            (ROOT, "0.NA/98"): success(at(SERVICE)),
            (SERVICE, "98/SERVICE"): success(at(SECOND)),
            (SECOND, "99.1.2/x"): success(URL),
        },
        [
            (ROOT, "99.1.2/x"), (ROOT, "0.NA/99.1.2"), (ROOT, "98/SERVICE"), (ROOT, "0.NA/98"), (SERVICE, "98/SERVICE"),
            (SECOND, "99.1.2/x"),
        ],
    ),
    "a prefix referral": (
        {
            (ROOT, "0.NA/99.1.2"): refer(at(SECOND), code=ResponseCode.PREFIX_REFERRAL),
            (SECOND, "0.NA/99.1.2"): success(at(ENTERPRISE)),
            (ENTERPRISE, "99.1.2/x"): success(URL),
        },
        [(ROOT, "99.1.2/x"), (ROOT, "0.NA/99.1.2"), (SECOND, "0.NA/99.1.2"), (ENTERPRISE, "99.1.2/x")],
    ),
    "HS_SITE.PREFIX of what the prefix derives from": (
        {
            (ROOT, "0.NA/99.1"): success(at(SECOND, "HS_SITE.PREFIX")),
            (SECOND, "0.NA/99.1.2"): success(at(ENTERPRISE)),
            (ENTERPRISE, "99.1.2/x"): success(URL),
        },
        [
            (ROOT, "99.1.2/x"), (ROOT, "0.NA/99.1.2"), (ROOT, "0.NA/99.1"), (SECOND, "0.NA/99.1.2"), (ENTERPRISE, "99.1.2/x"),
        ],
    ),
    "HS_SERV.PREFIX of what the prefix derives from": (
        {
            (ROOT, "0.NA/99.1"): success(Value(1, "HS_SERV.PREFIX", b"99/SERVICE")),
            (ROOT, "99/SERVICE"): success(at(SECOND)),
            (SECOND, "0.NA/99.1.2"): success(at(ENTERPRISE)),
            (ENTERPRISE, "99.1.2/x"): success(URL),
        },
        [
            (ROOT, "99.1.2/x"), (ROOT, "0.NA/99.1.2"), (ROOT, "0.NA/99.1"), (ROOT, "99/SERVICE"), (SECOND, "0.NA/99.1.2"),
            (ENTERPRISE, "99.1.2/x"),
        ],
    ),
    "HS_SITE of what the prefix derives from": (
        {(ROOT, "0.NA/99.1"): success(at(SECOND)), (SECOND, "99.1.2/x"): success(URL)},
        [(ROOT, "99.1.2/x"), (ROOT, "0.NA/99.1.2"), (ROOT, "0.NA/99.1"), (SECOND, "99.1.2/x")],
    ),
    "HS_ALIAS of the prefix": (
        {
            (ROOT, "0.NA/99.1.2"): success(Value(1, "HS_ALIAS", b"0.NA/97")),
            (ROOT, "0.NA/97"): success(at(SECOND)),
            (SECOND, "99.1.2/x"): success(URL),
        },
        [(ROOT, "99.1.2/x"), (ROOT, "0.NA/99.1.2"), (ROOT, "0.NA/97"), (SECOND, "99.1.2/x")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", FOUND_AT)
def test_every_way_leads_to_the_record(way: str) -> None:
    table, asked = FOUND_AT[way]
    conversation = converse("99.1.2/x", table)
    assert found(conversation) == Finding(Kind.FOUND, values=packed(URL))
    assert conversation.asked == asked


def test_only_the_root_is_asked_to_resolve_further() -> None:
    table, _ = FOUND_AT["referrals over two levels"]
    flags = [bool(ask.question.flags & codes.RECURSIVE) for ask in converse("99.1.2/x", table).asks]
    assert flags == [True, False, False]


def test_a_prefix_whose_home_is_known_is_asked_there_at_once() -> None:
    home = Place(sites=(site(SECOND),))
    conversation = converse("99.1/x", {(SECOND, "99.1/x"): NOTHING}, start=home)
    assert found(conversation).kind is Kind.NOT_FOUND
    assert conversation.asked == [(SECOND, "99.1/x")]
    assert conversation.walk.learned is None


def test_a_prefix_that_has_moved_is_found_again() -> None:
    home = Place(sites=(site(SECOND),))
    table: Table = {(ROOT, "99.1/x"): refer(at(ENTERPRISE)), (ENTERPRISE, "99.1/x"): success(URL)}
    conversation = converse("99.1/x", table, start=home)
    assert found(conversation).kind is Kind.FOUND
    assert conversation.walk.learned == Place(sites=(site(ENTERPRISE),))


def test_a_home_that_does_not_answer_may_have_moved() -> None:
    home = Place(sites=(site(SECOND),))
    table: Table = {(SECOND, "99.1/x"): Failed(Why.TIMEOUT, "silent"), (ROOT, "99.1/x"): success(URL)}
    assert found(converse("99.1/x", table, start=home)).kind is Kind.FOUND


def test_a_delegate_that_does_not_answer_is_not_looked_for_elsewhere() -> None:
    home = Place(sites=(site(SECOND),))
    conversation = converse("99.1/x", {(SECOND, "99.1/x"): Failed(Why.TIMEOUT, "silent")}, root=None, start=home)
    assert conversation.failed == Failed(Why.TIMEOUT, "silent")


def test_what_nobody_knows_is_homed_nowhere_and_that_is_learned() -> None:
    conversation = converse("99.1/x", {})
    assert found(conversation).kind is Kind.NOT_HOMED
    assert conversation.asked == [(ROOT, "99.1/x"), (ROOT, "0.NA/99.1"), (ROOT, "0.NA/99")]
    assert conversation.walk.learned == NOWHERE
    again = converse("99.1/y", {}, start=NOWHERE)
    assert found(again).kind is Kind.NOT_HOMED
    assert not again.asks


def test_a_root_that_is_the_home_itself_is_learned() -> None:
    conversation = converse("99/x", {(ROOT, "99/x"): NOTHING, (ROOT, "0.NA/99"): NOTHING})
    assert found(conversation).kind is Kind.NOT_FOUND
    assert conversation.walk.learned == ROOT_PLACE


def test_the_record_of_a_prefix_says_nothing_about_where_the_prefix_lives() -> None:
    conversation = converse(
        "0.NA/99.1", {(ROOT, "0.NA/99.1"): refer(at(SECOND)), (SECOND, "0.NA/99.1"): success(at(ENTERPRISE))}
    )
    assert found(conversation).kind is Kind.FOUND
    assert conversation.walk.learned is None


def test_the_record_of_a_derived_prefix_is_found_where_its_parent_keeps_such() -> None:
    table: Table = {
        (ROOT, "0.NA/99.1"): success(at(SECOND, "HS_SITE.PREFIX"), at(SERVICE)),
        (SECOND, "0.NA/99.1.2"): success(at(ENTERPRISE)),
    }
    conversation = converse("0.NA/99.1.2", table)
    assert found(conversation).values == packed(at(ENTERPRISE))


OUTCOMES = {
    "values not found": (Response(ResponseCode.VALUES_NOT_FOUND), Finding(Kind.NO_VALUES)),
    "only values that need a key": (Response(ResponseCode.AUTHENTICATION_NEEDED), Finding(Kind.NO_VALUES)),
    "an identifier that it takes for none": (Response(ResponseCode.INVALID_IDENTIFIER), Finding(Kind.NOT_FOUND)),
    "suspended": (
        Response(ResponseCode.VALUES_NOT_FOUND, told=LifeCycle(State.SUSPENDED, 0, "")), Finding(Kind.SUSPENDED)
    ),
    "retired": (
        Response(ResponseCode.IDENTIFIER_NOT_FOUND, told=LifeCycle(State.RETIRED, 4, "")), Finding(Kind.RETIRED, version=4)
    ),
    "a record with its version": (
        success(URL, told=LifeCycle(State.ACTIVE, 3, "99.1/X")), Finding(Kind.FOUND, "99.1/X", 3, packed(URL))
    ),
    "a copy of another node": (
        success(URL, told=LifeCycle(State.ACTIVE, 3, "99.1/x", Source.STALE, 77)),
        Finding(Kind.FOUND, "99.1/x", 3, packed(URL), age_s=77, was_stale=True),
    ),
    "values that nobody may read": (success(Value(9, "KEY", b"secret", permissions=0x0C)), Finding(Kind.NO_VALUES)),
    "an alias": (
        success(Value(1, "HS_ALIAS", b"88.1/y")),
        Finding(Kind.FOUND, values=packed(Value(1, "HS_ALIAS", b"88.1/y")), alias="88.1/y"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_what_a_home_says_is_the_finding(outcome: str) -> None:
    response, finding = OUTCOMES[outcome]
    assert found(converse("99.1/x", {(SECOND, "99.1/x"): response}, start=Place(sites=(site(SECOND),)))) == finding


FAILURES: dict[str, tuple[Table, Why]] = {
    "a referral that names nobody": ({(ROOT, "99.1/x"): refer()}, Why.MALFORMED),
    "a referral to a service that has no site": (
        {(ROOT, "99.1/x"): refer(service="99/S"), (ROOT, "99/S"): success(URL)}, Why.MALFORMED
    ),
    "an alias of a prefix that is no identifier": (
        {(ROOT, "0.NA/99.1"): success(Value(1, "HS_ALIAS", b"/"))}, Why.MALFORMED
    ),
    "a service that is no identifier": ({(ROOT, "0.NA/99.1"): success(Value(1, "HS_SERV", b"x" * 9_000))}, Why.MALFORMED),
    "a referral to what is no identifier": ({(ROOT, "99.1/x"): refer(service="/")}, Why.MALFORMED),
    "a referral back": ({(ROOT, "99.1/x"): refer(at(ROOT))}, Why.LOOP),
    "referrals in a circle": (
        {
            (ROOT, "99.1/x"): refer(at(SECOND)),
            (SECOND, "99.1/x"): refer(at(ENTERPRISE)),
            (ENTERPRISE, "99.1/x"): refer(at(SECOND)),
        },
        Why.LOOP,
    ),
    "a service that is its own": (
        {(ROOT, "0.NA/99.1"): success(Value(1, "HS_SERV", b"99.1/S"))}, Why.LOOP
    ),
    "aliases of prefixes in a circle": (
        {
            (ROOT, "0.NA/99.1"): success(Value(1, "HS_ALIAS", b"0.NA/98")),
            (ROOT, "0.NA/98"): success(Value(1, "HS_ALIAS", b"0.NA/99.1")),
        },
        Why.LOOP,
    ),
    "too many hops": ({(ROOT, "99.1/x"): Response(ResponseCode.RECURSION_TOO_HIGH)}, Why.LOOP),
    "a code that is no answer": ({(ROOT, "99.1/x"): Response(ResponseCode.SESSION_TIMEOUT)}, Why.REFUSED),
    "a code that nobody knows": ({(ROOT, "99.1/x"): Response(9_999)}, Why.REFUSED),
    "a site without an interface that is spoken here": (
        {(ROOT, "99.1/x"): refer(site_value(site()))}, Why.UNREACHABLE
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", FAILURES)
def test_every_way_astray_ends(way: str) -> None:
    table, why = FAILURES[way]
    conversation = converse("99.1/x", table)
    assert conversation.failed is not None
    assert conversation.failed.why is why


def test_a_home_that_fails_and_that_the_root_still_names_is_what_has_failed() -> None:
    home = Place(sites=(site(ENTERPRISE),))
    table: Table = {
        (ROOT, "99.1/x"): refer(at(SECOND)),
        (SECOND, "99.1/x"): refer(at(ENTERPRISE)),
        (ENTERPRISE, "99.1/x"): Failed(Why.TIMEOUT, "silent"),
    }
    conversation = converse("99.1/x", table, start=home)
    assert conversation.asked == [(ENTERPRISE, "99.1/x"), (ROOT, "99.1/x"), (SECOND, "99.1/x")]
    assert conversation.failed == Failed(Why.TIMEOUT, "silent")


def test_referrals_to_ever_new_servers_end_too() -> None:
    walk = Walk(parse_identifier("99.1/x"), ROOT_PLACE, None, 1, NOW_S, REACH, [])
    steps = walk.run()
    next(steps)
    for number in range(1, MAX_QUESTIONS):
        steps.send(refer(at(Endpoint(f"10.1.0.{number}", 2641))))
    with pytest.raises(Failed) as caught:
        steps.send(refer(at(ENTERPRISE)))
    assert caught.value.why is Why.LOOP


def test_how_long_a_home_holds_is_what_its_site_says() -> None:
    table: Table = {(ROOT, "99.1/x"): refer(site_value(site(SECOND), ttl=120)), (SECOND, "99.1/x"): success(URL)}
    learned = converse("99.1/x", table).walk.learned
    assert learned is not None
    assert learned.ttl_s == 120


def test_the_trace_says_who_was_asked_for_what() -> None:
    table, _ = FOUND_AT["a referral with sites"]
    assert converse("99.1.2/x", table).walk.trace == [
        "99.1.2/x at 10.0.0.1:2641: service referral",
        "99.1.2/x: referred to another site",
        "99.1.2/x at 10.0.0.2:2641: success",
    ]


SAID: st.SearchStrategy[Response | Failed] = st.sampled_from([
    NOT_HERE, NOTHING, success(URL), success(at(ROOT)), success(at(SECOND)),
    success(at(ENTERPRISE, "HS_SITE.PREFIX")), success(Value(1, "HS_SERV", b"99/S")),
    success(Value(1, "HS_SERV.PREFIX", b"99.1/S")), success(Value(1, "HS_ALIAS", b"99.1/x")),
    success(Value(1, "HS_ALIAS", b"0.NA/99")), refer(), refer(at(ROOT)), refer(at(SECOND)), refer(at(ENTERPRISE)),
    refer(service="99/S"), refer(service="99.1/T"), Response(ResponseCode.VALUES_NOT_FOUND),
    Response(ResponseCode.TOO_BUSY), Response(77), Failed(Why.TIMEOUT, "silent"),
])  # fmt: skip
STARTS = st.sampled_from([None, NOWHERE, ROOT_PLACE, Place(sites=(site(SECOND),)), Place(sites=(site(),))])


@given(st.data(), st.sampled_from(["99.1/x", "0.NA/99.1", "99.1", "99/S"]), STARTS)
def test_whatever_servers_say_a_walk_ends(data: st.DataObject, identifier: str, start: Place | None) -> None:
    steps = Walk(parse_identifier(identifier), ROOT_PLACE, start, 1, NOW_S, REACH, []).run()
    asked = 0
    with contextlib.suppress(StopIteration, Failed):
        ask = next(steps)
        while True:
            asked += 1
            assert asked <= MAX_QUESTIONS
            assert ask.endpoints
            said = data.draw(SAID)
            ask = steps.throw(said) if isinstance(said, Failed) else steps.send(said)
