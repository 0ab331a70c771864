"""The breaker of a server: when it is asked, and when not."""

from resolver.upstream.breaker import FAILURES, FIRST_PAUSE_S, LAST_PAUSE_S, Breaker


def opened(at_s: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        assert breaker.admit(at_s)
        breaker.fail(at_s)
    return breaker


def test_a_few_failures_in_a_row_open_it() -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker.fail(0)
        assert breaker.is_suspect
        assert not breaker.is_open
    breaker.fail(0)
    assert breaker.is_open
    assert not breaker.admit(FIRST_PAUSE_S - 0.01)


def test_an_answer_in_between_begins_the_count_anew() -> None:
    breaker = Breaker()
    for _ in range(3 * FAILURES):
        breaker.fail(0)
        breaker.succeed()
    assert not breaker.is_open
    assert not breaker.is_suspect


def test_after_its_pause_one_probe_goes_through() -> None:
    breaker = opened()
    assert breaker.admits(FIRST_PAUSE_S)
    assert breaker.admit(FIRST_PAUSE_S)
    assert not breaker.admits(FIRST_PAUSE_S)
    assert not breaker.admit(FIRST_PAUSE_S + 100)


def test_a_probe_that_is_answered_closes_it() -> None:
    breaker = opened()
    assert breaker.admit(FIRST_PAUSE_S)
    breaker.succeed()
    assert not breaker.is_open
    assert breaker.admit(FIRST_PAUSE_S)
    assert breaker.admit(FIRST_PAUSE_S)


def test_probes_that_fail_come_ever_more_rarely() -> None:
    breaker, now_s, pauses = opened(), 0.0, []
    for _ in range(8):
        begun_s = now_s
        while not breaker.admit(now_s):
            now_s += 0.5
        pauses.append(now_s - begun_s)
        breaker.fail(now_s)
    assert pauses == [FIRST_PAUSE_S, 2, 4, 8, 16, LAST_PAUSE_S, LAST_PAUSE_S, LAST_PAUSE_S]


def test_after_an_outage_the_first_pause_is_short_again() -> None:
    breaker = opened()
    for now_s in (1.0, 10.0, 100.0):
        assert breaker.admit(now_s)
        breaker.fail(now_s)
    assert breaker.admit(1_000)
    breaker.succeed()
    for _ in range(FAILURES):
        breaker.fail(2_000)
    assert breaker.admit(2_000 + FIRST_PAUSE_S)


def test_a_probe_that_nobody_waited_for_proves_nothing() -> None:
    breaker = opened()
    assert breaker.admit(FIRST_PAUSE_S)
    breaker.abandon()
    assert breaker.is_open
    assert breaker.admit(FIRST_PAUSE_S)


def test_failures_of_questions_that_were_under_way_when_it_opened_change_nothing() -> None:
    breaker = opened()
    for _ in range(20):
        breaker.fail(0.5)
    assert breaker.admit(0.5 + FIRST_PAUSE_S)
