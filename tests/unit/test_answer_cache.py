"""The answer cache: what it keeps, what it lets go, and that a scan puts nothing out. Never stale: see the property tests."""

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.errors import Reason, Refusal
from proto.keys import record_key
from proto.model.account import Caller, Role
from proto.model.answer import Answer, Found, NotFound, Refused, Retired, Source, Suspended, ValuesNotFound
from proto.model.change import Position
from proto.model.query import Query
from proto.model.value import Value
from proto.wire.handle.value import compose_value
from resolver import answer_cache
from resolver.answer_cache import ENTRY_BYTES, MAX_REPLY_BYTES, AnswerCache, Shelf

NAME = "88.118/x"
KEY = b"h/x"
FACTS = (NAME, NAME, 3, (), "", "R")
FOUND = Found(*FACTS, ttl_s=86_400, values=(compose_value(Value(1, "URL", b"u")),))
# Room for so many replies of a hundred bytes, each resting on the one record that its key of seven bytes is the name of.
ROOM = 100
REPLY_BYTES = 100
ROOM_BYTES = ROOM * (REPLY_BYTES + 7 + len(record_key("h000000")) + ENTRY_BYTES)


class Kept:
    """A cache with a shelf, and its counts."""

    def __init__(self, max_bytes: int = ROOM_BYTES, **more: Any) -> None:
        self.scrape = CollectorRegistry()
        self.cache = AnswerCache(max_bytes, **more)
        self.shelf: Shelf[str] = self.cache.shelf("http", build_metrics(self.scrape))

    def offer(self, key: bytes = KEY, answer: Answer = FOUND, *reads: str, size: int = REPLY_BYTES, times: int = 2) -> None:
        for _ in range(times):
            self.shelf.keep(key, question(*(reads or (NAME,))), answer, f"reply to {key!r}", size)

    def look(self, key: bytes = KEY) -> str | None:
        """As a listener does: a reply that is not there is made and offered."""
        found = self.shelf.get(key)
        if found is None:
            self.offer(key, FOUND, key.decode(), times=1)
        return found

    def hits(self) -> float:
        return self.scrape.get_sample_value("biaojie_answer_cache_hits_total") or 0

    def counted(self, outcome: str) -> float:
        labels = {"protocol": "http", "outcome": outcome, "scheme": "handle"}
        return self.scrape.get_sample_value("biaojie_resolve_requests_total", labels) or 0


@pytest.fixture
def kept() -> Kept:
    return Kept()


def question(*reads: str) -> Query:
    return Query(NAME, "http", reads=list(reads))


def many(start: int, count: int) -> Iterator[bytes]:
    return (b"h%06d" % number for number in range(start, start + count))


COPIED = Found(*FACTS, ttl_s=60, source=Source.CACHED, age_s=4, values=FOUND.values)


def offer_copy(kept: Kept, answer: Answer = COPIED, holds_ms: int = 400, **more: Any) -> None:
    for _ in range(2):
        query = Query(NAME, "http", reads=None, holds_ms=holds_ms, **more)
        kept.shelf.keep(KEY, query, answer, "reply", REPLY_BYTES)


def test_an_answer_of_another_node_is_kept_until_its_age_changes() -> None:
    seconds = [10.0]
    kept = Kept(keeps_copies=True, monotonic=lambda: seconds[0])
    offer_copy(kept)
    seconds[0] = 10.399
    assert kept.shelf.get(KEY) == "reply"
    seconds[0] = 10.4
    assert kept.shelf.get(KEY) is None
    assert (kept.cache.size, kept.hits()) == (0, 1)


def test_a_change_of_the_prefixes_ends_the_answers_of_other_nodes() -> None:
    kept = Kept(keeps_copies=True)
    offer_copy(kept, holds_ms=1_000_000)
    assert kept.shelf.get(KEY) == "reply"
    kept.cache.forget_all()
    assert kept.shelf.get(KEY) is None


def test_where_some_may_not_have_answers_of_other_nodes_none_is_kept(kept: Kept) -> None:
    offer_copy(kept, holds_ms=1_000_000)
    assert kept.shelf.get(KEY) is None


@pytest.mark.parametrize("answer", [Refused(NAME, Refusal(Reason.UPSTREAM_FAILED)), COPIED])
def test_an_answer_that_holds_for_no_time_or_is_none_is_not_kept(answer: Answer) -> None:
    kept = Kept(keeps_copies=True)
    offer_copy(kept, answer, holds_ms=0 if answer is COPIED else 1_000_000)
    assert kept.shelf.get(KEY) is None


def test_an_answer_of_another_node_to_somebody_in_particular_is_not_kept() -> None:
    kept = Kept(keeps_copies=True)
    offer_copy(kept, holds_ms=1_000_000, credential="key")
    assert kept.shelf.get(KEY) is None


def test_a_question_is_answered_from_the_cache_from_its_third_time_on(kept: Kept) -> None:
    assert [kept.look(), kept.look(), kept.look()] == [None, None, f"reply to {KEY!r}"]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (FOUND, "found"),
        (ValuesNotFound(*FACTS, ttl_s=0), "values_not_found"),
        (NotFound(NAME), "not_found"),
        (Suspended(NAME, "prefix"), "suspended"),
        (Retired(NAME, 4), "retired"),
    ],
)
def test_a_hit_is_counted_as_the_answer_it_is(kept: Kept, answer: Answer, outcome: str) -> None:
    kept.offer(KEY, answer)
    assert kept.shelf.get(KEY) is not None
    assert (kept.counted(outcome), kept.hits()) == (1, 1)


def test_the_questions_of_a_turn_find_what_each_would_find_alone_and_are_counted_the_same() -> None:
    keys = [b"h/a", b"h/none", b"h/b", b"h/b", b"h/lost", b"h/a", b"h/old"]

    def looked_up(at_once: bool) -> tuple[object, ...]:
        kept = Kept(monotonic=lambda: 0.0)
        kept.cache.put(b"h/old", Found, [], "old", 3)
        kept.cache.forget_all()
        for key, kind, until_s in ((b"h/a", Found, None), (b"h/b", NotFound, None), (b"h/lost", Found, 0.0)):
            kept.cache.put(key, kind, [], key.decode(), 3, until_s, kept.cache.tallies.counter("88.118", kind))
        found = kept.shelf.get_turn(keys) if at_once else [kept.shelf.get(key) for key in keys]
        return found, kept.hits(), kept.counted("found"), kept.counted("not_found"), kept.cache.tallies.take(), kept.cache.size

    assert looked_up(at_once=True) == looked_up(at_once=False)
    assert looked_up(at_once=True)[:4] == (["h/a", None, "h/b", "h/b", None, "h/a", None], 4, 2, 2)


def test_what_is_not_there_is_not_counted(kept: Kept) -> None:
    assert kept.shelf.get(KEY) is None
    assert (kept.counted("found"), kept.hits()) == (0, 0)


@pytest.mark.parametrize(
    "query",
    [
        Query(NAME, "http", reads=[NAME], credential="key"),
        Query(NAME, "http", reads=[NAME], caller=Caller("operator", Role.OPERATOR)),
        Query(NAME, "http", reads=[NAME], after=Position(1, 1)),
        Query(NAME, "http", reads=[NAME], explain=[]),
        Query(NAME, "http"),
    ],
)
def test_what_is_for_one_asker_alone_is_not_kept(kept: Kept, query: Query) -> None:
    for _ in range(3):
        kept.shelf.keep(KEY, query, FOUND, "reply", REPLY_BYTES)
    assert kept.shelf.get(KEY) is None


@pytest.mark.parametrize(
    "answer",
    [
        Refused(NAME, Refusal(Reason.NOT_HOMED)),
        Found(*FACTS, ttl_s=5, values=(compose_value(Value(1, "URL", b"u", ttl=2_000_000_000, ttl_absolute=True)),)),
        Found(*FACTS, ttl_s=5, source=Source.CACHED),
        Found(*FACTS, ttl_s=5, source=Source.STALE),
    ],
)
def test_what_becomes_untrue_by_itself_is_not_kept(kept: Kept, answer: Answer) -> None:
    kept.offer(KEY, answer, times=3)
    assert kept.shelf.get(KEY) is None


def test_a_large_reply_is_not_kept(kept: Kept) -> None:
    kept.offer(size=MAX_REPLY_BYTES + 1)
    assert kept.shelf.get(KEY) is None


def test_a_changed_record_takes_all_replies_with_it_that_rest_on_it(kept: Kept) -> None:
    kept.offer(b"h1", FOUND, "88.118/x")
    kept.offer(b"n1", FOUND, "88.118/alias", "88.118/x")
    kept.offer(b"h2", FOUND, "88.118/other")
    kept.cache.forget([record_key("88.118/x")])
    assert [kept.shelf.get(key) is None for key in (b"h1", b"n1", b"h2")] == [True, True, False]
    kept.cache.forget([record_key("88.118/alias"), record_key("88.118/x"), record_key("88.118/nothing")])
    assert kept.shelf.get(b"h2") is not None


def test_a_reply_rests_on_a_record_once_however_often_it_was_read(kept: Kept) -> None:
    kept.offer(KEY, FOUND, NAME, NAME)
    kept.cache.forget([record_key(NAME), record_key(NAME)])
    assert kept.shelf.get(KEY) is None


def test_a_new_generation_ends_everything(kept: Kept) -> None:
    kept.offer()
    kept.cache.forget_all()
    assert kept.shelf.get(KEY) is None
    kept.offer()
    assert kept.shelf.get(KEY) is not None


def test_the_size_is_that_of_what_is_kept_and_bounded(kept: Kept) -> None:
    for key in many(0, 3 * ROOM):
        kept.offer(key, FOUND, key.decode(), times=3)
        assert kept.cache.size <= ROOM_BYTES
    assert len(kept.cache.entries) == ROOM
    kept.cache.forget(record_key(key.decode()) for key in many(0, 3 * ROOM))
    assert (kept.cache.size, len(kept.cache.entries)) == (0, 0)


def test_long_names_take_the_room_that_they_take() -> None:
    kept = Kept(max_bytes=100_000)
    for key in many(0, 100):
        kept.offer(key, NotFound(NAME), f"{key.decode()}{'x' * 2_000}", times=3)
    assert 30 < len(kept.cache.entries) < 40


def test_without_room_nothing_is_kept() -> None:
    kept = Kept(max_bytes=0)
    kept.offer(times=3)
    assert (kept.shelf.get(KEY), kept.cache.size) == (None, 0)


def test_what_puts_another_out_has_to_be_asked_for_once_more(kept: Kept) -> None:
    for key in many(0, ROOM):
        kept.offer(key, FOUND, key.decode(), times=3)
    before = [*kept.cache.entries]
    kept.offer(KEY, times=2)
    assert (kept.shelf.get(KEY), [*kept.cache.entries]) == (None, before)
    kept.offer(KEY, times=1)
    assert (kept.shelf.get(KEY) is None, len(kept.cache.entries)) == (False, ROOM)


def test_a_scan_puts_nothing_out(kept: Kept) -> None:
    hot = list(many(0, ROOM))
    for _ in range(3):
        for key in hot:
            kept.look(key)
    for key in many(1_000, 50 * ROOM):
        kept.look(key)
    assert all(kept.shelf.get(key) for key in hot)


def test_what_is_asked_for_outlives_what_is_not(kept: Kept) -> None:
    hot, cold = list(many(0, ROOM // 2)), list(many(1_000, ROOM // 2))
    for key in (*hot, *cold):
        kept.offer(key, FOUND, key.decode(), times=3)
    for start in range(0, 10 * ROOM, ROOM // 4):
        for key in hot:
            assert kept.look(key)
        for key in many(10_000 + start, ROOM // 4):
            kept.offer(key, FOUND, key.decode(), times=3)
    assert not any(kept.shelf.get(key) for key in cold)


def test_when_everything_is_asked_for_something_goes_all_the_same(kept: Kept) -> None:
    keys = list(many(0, ROOM))
    for key in keys:
        kept.offer(key, FOUND, key.decode(), times=3)
        assert kept.look(key)
    kept.offer(KEY, times=3)
    assert kept.look() is not None
    assert len(kept.cache.entries) <= ROOM


def test_the_cache_tells_what_it_holds_and_what_made_room(kept: Kept) -> None:
    metrics = build_metrics(scrape := CollectorRegistry())

    def told() -> tuple[float | None, float | None]:
        kept.cache.report(metrics)
        return (
            scrape.get_sample_value("biaojie_answer_cache_bytes"),
            scrape.get_sample_value("biaojie_answer_cache_evictions_total"),
        )

    assert told() == (0, 0)
    for key in many(0, ROOM + 3):
        kept.offer(key, FOUND, key.decode(), times=3)
    held = len(kept.cache.entries)
    assert told() == (kept.cache.size, ROOM + 3 - held)
    kept.cache.forget([record_key(next(iter(many(ROOM + 2, 1))).decode())])  # a change is no eviction
    assert len(kept.cache.entries) == held - 1
    assert told() == (kept.cache.size, ROOM + 3 - held)


def test_a_question_that_comes_back_after_very_long_is_new(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_cache, "SIGHT_KEYS", 10)
    kept.look(KEY)
    for key in many(0, 21):
        kept.look(key)
    assert kept.look(KEY) is None
    assert kept.look(KEY) is None
    assert kept.look(KEY) is not None


def test_what_is_found_for_a_turn_is_what_each_would_have_found_and_counted_the_same(kept: Kept) -> None:
    absent = NotFound(NAME)
    kept.offer(KEY)
    kept.offer(b"h/absent", absent)
    found = [f"reply to {key!r}" if key else None for key in (KEY, b"", b"h/absent", KEY)]
    assert kept.shelf.get_turn([KEY, b"h/other", b"h/absent", KEY]) == found
    assert (kept.hits(), kept.counted("found"), kept.counted("not_found")) == (3, 2, 1)
    kept.cache.forget_all()
    assert kept.shelf.get_turn([KEY, KEY]) == [None, None]
    assert kept.shelf.get_turn([]) == []
    assert kept.hits() == 3
