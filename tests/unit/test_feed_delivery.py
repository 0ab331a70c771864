"""What follows from a delivery: the backlog and its cursor, receipts, batch sizes, delays, signatures."""

import pytest

from adapters.city.core.backlog import Backlog, Entry
from adapters.city.core.event import Event
from adapters.city.core.pace import ISOLATE_AFTER, PROOFS, Pace, Suspicion
from adapters.city.core.receipt import Receipt, Verdict, settle, verdict_of
from adapters.city.core.retry import MAX_RETRY_AFTER_S, RetryPolicy, parse_retry_after
from adapters.city.core.signature import TOLERANCE_S, sign, verify
from adapters.city.transports.webhook import parse_results


def event(name: str, version: int = 1, size: int = 10) -> Event:
    return Event(f"{name}@{version}", ("record", name), version, b"x" * size)


def entries(*events: Event, before: str = "") -> list[Entry]:
    return [Entry(each, before) for each in events]


def test_the_cursor_stands_behind_what_is_settled_whole() -> None:
    backlog = Backlog("0")
    backlog.add(entries(event("a"), event("b"), before="0"), "2")
    backlog.add(entries(event("c"), before="2"), "9")
    a, b, c = backlog.first(10, 1000)
    assert [backlog.end_behind(each) for each in (a, b, c)] == ["0", "2", "9"]
    backlog.settle([b])
    assert backlog.cursor == "0"
    backlog.settle([a])
    assert backlog.cursor == "2"
    backlog.settle([c])
    assert (backlog.cursor, backlog.end, len(backlog), backlog.size_bytes) == ("9", "9", 0, 0)
    backlog.add([], "10")
    assert backlog.cursor == "10"


def test_a_batch_is_bounded_by_number_and_size_but_never_empty() -> None:
    backlog = Backlog("0")
    backlog.add(entries(event("a", size=500), event("b", size=30), event("c", size=30)), "1")
    assert len(backlog.first(10, 100)) == 1
    assert len(backlog.first(10, 530)) == 2
    assert len(backlog.first(2, 10_000)) == 2
    assert len(backlog.first(10, 560, each_bytes=1)) == 2
    backlog.settle(backlog.first(1, 1))
    assert [entry.event.key[1] for entry in backlog.first(10, 60)] == ["b", "c"]


def test_the_first_other_thing_has_nothing_of_itself_before_it() -> None:
    backlog = Backlog("0")
    backlog.add(entries(event("a"), event("a", 2), event("b"), event("b", 2)), "1")
    other = backlog.first_other(("record", "a"))
    assert other is not None
    assert other.event.id == "b@1"
    assert Backlog("0").first_other(("record", "a")) is None


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *[(status, Verdict.DELIVERED) for status in (200, 201, 202, 204)],
        *[(status, Verdict.REFUSED) for status in (400, 409, 413, 415, 422)],
        *[(status, Verdict.FAILED) for status in (302, 401, 403, 404, 408, 425, 429, 500, 502, 503, 504)],
    ],
)
def test_a_status_is_a_verdict(status: int, verdict: Verdict) -> None:
    assert verdict_of(status) is verdict


def test_an_older_image_is_not_delivered_behind_a_newer_one() -> None:
    batch = entries(event("a", 1), event("b", 1), event("a", 2), event("b", 2))
    taken = Receipt(Verdict.FAILED, single={"a@2": Verdict.DELIVERED, "b@1": Verdict.DELIVERED})
    settlement = settle(batch, taken)
    assert [entry.event.id for entry in settlement.delivered] == ["b@1", "a@2"]
    assert [entry.event.id for entry in settlement.superseded] == ["a@1"]
    assert [entry.event.id for entry in settlement.left] == ["b@2"]


@pytest.mark.parametrize("raw", [None, b"", b"[]", b"{}", b'{"results": 3}', b'{"results": [{}]}', b'{"results": [{"id": 1}]}'])
def test_results_that_cannot_be_read_are_a_failure_of_all(raw: bytes | None) -> None:
    receipt = parse_results(raw)
    assert (receipt.verdict, receipt.single) == (Verdict.FAILED, {})


def test_results_are_verdicts_by_id() -> None:
    receipt = parse_results(b'{"results": [{"id": "a", "status": 200}, {"id": "b", "status": 422, "detail": "no"}]}')
    assert [receipt.on(name) for name in ("a", "b", "c")] == [Verdict.DELIVERED, Verdict.REFUSED, Verdict.FAILED]
    assert receipt.detail == "422 no"


def test_a_refused_batch_is_halved_until_one_is_left_and_grows_again() -> None:
    pace, sizes = Pace(200), []
    while pace.size > 1:
        pace.refuse(pace.size)
        sizes.append(pace.size)
    assert sizes == [100, 50, 25, 12, 6, 3, 1]
    for _ in range(9):
        pace.succeed()
    assert pace.size == 200


def test_after_some_failures_events_go_one_by_one() -> None:
    pace = Pace(200)
    for _ in range(ISOLATE_AFTER):
        pace.fail()
        assert (pace.size, pace.is_isolating) == (200, False)
    pace.fail()
    assert (pace.size, pace.is_isolating) == (1, True)
    pace.succeed()
    assert (pace.size, pace.is_isolating, pace.attempts) == (2, False, 0)


def test_an_event_is_the_culprit_only_if_it_fails_again_and_again_right_after_others_were_taken() -> None:
    suspicion = Suspicion()
    assert not any(suspicion.fail("a") for _ in range(10))
    verdicts = []
    for _ in range(PROOFS):
        suspicion.take_other()
        verdicts.append(suspicion.fail("a"))
    assert verdicts == [False] * (PROOFS - 1) + [True]
    suspicion.take_other()
    assert not suspicion.fail("b")


def test_delays_double_up_to_the_last_and_half_of_them_is_chance() -> None:
    policy = RetryPolicy(0.5, 300)
    assert [policy.delay_s(attempt, None, 1.0) for attempt in (1, 2, 3, 20, 10_000)] == [0.5, 1, 2, 300, 300]
    assert policy.delay_s(3, None, 0.0) == 1
    assert policy.delay_s(1, 30, 0.5) == 30
    assert policy.delay_s(20, 30, 1.0) == 300
    assert policy.delay_s(1, 1e12, 0.5) == MAX_RETRY_AFTER_S


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("9" * 400, 999_999_999),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("١٢", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert parse_retry_after(text, 100) == seconds


def test_a_signature_holds_for_this_delivery_now_and_no_other() -> None:
    headers = sign(b"secret", "batch-1", 1_000, b"body")
    assert verify(b"secret", headers, b"body", 1_000 + TOLERANCE_S)
    assert not verify(b"secret", headers, b"body", 1_001 + TOLERANCE_S)
    assert not verify(b"other", headers, b"body", 1_000)
    assert not verify(b"secret", headers, b"bodY", 1_000)
    for name in headers:
        assert not verify(b"secret", {**headers, name: "1"}, b"body", 1_000)
        assert not verify(b"secret", {key: text for key, text in headers.items() if key != name}, b"body", 1_000)
    # A key is changed by signing with both for a while.
    both = {**headers, "webhook-signature": f"v1,AAAA {headers['webhook-signature']}"}
    assert verify(b"secret", both, b"body", 1_000)


def test_what_a_partly_failed_batch_asks_for_is_heeded_for_each_event_and_for_all() -> None:
    results = b"""{"results": [{"id": "a", "status": 200, "retry_after": 9}, {"id": "b", "status": 429, "retry_after": 60},
        {"id": "c", "status": 503, "retry_after": "Thu, 01 Jan 1970 00:02:00 GMT"},
        {"id": "d", "status": 503, "retry_after": "soon"}, {"id": "e", "status": 422, "retry_after": 9}]}"""
    receipt = parse_results(results, 30.0, 100.0)
    assert receipt.retry_after_s == 30.0
    assert receipt.later == {"b": 60.0, "c": 20.0}
    assert parse_results(b"{half", 30.0).retry_after_s == 30.0
