"""The chain: what each step adds, and that nothing but answers leaves it."""

import asyncio
import inspect
from collections.abc import Awaitable

import pytest
from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.credentials import compose_token
from proto.errors import Reason, Refusal
from proto.model.account import Role
from proto.model.answer import OUTCOMES, Answer, Found, NotFound, Refused
from proto.model.change import Position
from proto.model.query import Query
from proto.model.value import Value
from resolver.chain.freshness import FreshnessStep
from resolver.chain.metrics import MetricsStep
from resolver.chain.order import build_chain
from resolver.chain.recursion import Recursion
from resolver.chain.step import Resolve, Result, Step, link, then
from tests.support.reader import DictReader, StoppedClock

TOKEN = compose_token("maker", "s3cret")


class Counts:
    """A registry of metrics, and what it has counted."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.metrics = build_metrics(self._registry)

    def requests(self, protocol: str, outcome: str) -> float:
        labels = {"protocol": protocol, "outcome": outcome, "scheme": "handle"}
        return self._registry.get_sample_value("biaojie_resolve_requests_total", labels) or 0

    def refused(self, reason: Reason) -> float:
        return self._registry.get_sample_value("biaojie_refused_total", {"reason": reason}) or 0

    def timed(self, protocol: str) -> float:
        return self._registry.get_sample_value("biaojie_resolve_seconds_count", {"protocol": protocol}) or 0


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def reader() -> DictReader:
    reader = DictReader()
    reader.put_prefix("88.118")
    reader.put_record(
        "88.118/x", Value(1, "URL", b"u"), Value(2, "NOTE", b"n", permissions=12, audience="private"), registrant="R"
    )
    reader.put_account("maker", TOKEN, Role.REGISTRANT, "R")
    return reader


@pytest.fixture
def resolve(reader: DictReader, counts: Counts) -> Resolve:
    return build_chain(reader, StoppedClock(), counts.metrics)


def now(result: Result) -> Answer:
    assert not inspect.isawaitable(result)
    return result


def reason_of(answer: Answer) -> Reason:
    assert isinstance(answer, Refused)
    return answer.refusal.reason


def test_a_plain_question_is_answered_without_waiting_and_counted(resolve: Resolve, counts: Counts) -> None:
    assert isinstance(now(resolve(Query("88.118/x", "http"))), Found)
    assert isinstance(now(resolve(Query("88.118/y", "grpc"))), NotFound)
    assert (counts.requests("http", "found"), counts.requests("grpc", "not_found"), counts.timed("http")) == (1, 1, 1)


@pytest.mark.parametrize(
    ("identifier", "reason"),
    [("10.1/x", Reason.NOT_HOMED), ("", Reason.INVALID_IDENTIFIER), ("a\nb", Reason.INVALID_IDENTIFIER)],
)
def test_what_is_raised_behind_comes_out_as_refused_and_is_counted(
    resolve: Resolve, counts: Counts, identifier: str, reason: Reason
) -> None:
    answer = now(resolve(Query(identifier, "http")))
    assert isinstance(answer, Refused)
    assert (answer.asked, reason_of(answer)) == (identifier, reason)
    assert (counts.refused(reason), counts.requests("http", "refused")) == (1, 1)


def test_a_token_makes_the_caller(resolve: Resolve) -> None:
    answer = now(resolve(Query("88.118/x", "http", credential=TOKEN)))
    assert isinstance(answer, Found)
    assert len(answer.values) == 2


@pytest.mark.parametrize(
    "token", ["nonsense", compose_token("maker", "wrong"), compose_token("nobody", "s3cret"), "配电", TOKEN + "x", "x" * 5000]
)
def test_a_wrong_token_is_refused_and_never_taken_for_nobodys(resolve: Resolve, token: str) -> None:
    assert reason_of(now(resolve(Query("88.118/x", "http", credential=token)))) is Reason.UNAUTHENTICATED


def test_a_disabled_account_opens_nothing(resolve: Resolve, reader: DictReader) -> None:
    reader.disable("maker")
    assert reason_of(now(resolve(Query("88.118/x", "http", credential=TOKEN)))) is Reason.UNAUTHENTICATED


def test_a_position_already_shown_needs_no_waiting(resolve: Resolve, reader: DictReader) -> None:
    assert isinstance(now(resolve(Query("88.118/x", "http", after=reader.position))), Found)


async def test_a_query_waits_for_its_position(resolve: Resolve, reader: DictReader, counts: Counts) -> None:
    after = Position(1, reader.position.sequence + 1)
    result = resolve(Query("88.118/new", "http", after=after))
    assert inspect.isawaitable(result)
    waiting = asyncio.ensure_future(result)
    await asyncio.sleep(0)
    assert not waiting.done()
    reader.put_record("88.118/new", Value(1, "URL", b"u"))
    assert isinstance(await waiting, Found)
    assert counts.requests("http", "found") == 1


async def test_a_position_that_does_not_come_is_refused_as_not_ready(reader: DictReader, counts: Counts) -> None:
    steps: list[Step] = [MetricsStep(counts.metrics, StoppedClock()), FreshnessStep(reader, wait_s=0.01)]
    result = link(steps, lambda query: NotFound(query.identifier))(Query("88.118/x", "http", after=Position(9, 9)))
    assert inspect.isawaitable(result)
    answer = await result
    assert isinstance(answer, Refused)
    assert (answer.refusal.reason, answer.refusal.field, answer.refusal.retry_after_s) == (Reason.NOT_READY, "after", 0.01)
    assert counts.refused(Reason.NOT_READY) == 1


def failing(query: Query) -> Answer:
    raise ZeroDivisionError(query.identifier)


async def failing_later(query: Query) -> Answer:
    raise ZeroDivisionError(query.identifier)


async def refusing_later(query: Query) -> Answer:
    raise Refusal(Reason.OVERLOADED)


def test_a_fault_is_logged_and_answered_without_its_inside(counts: Counts, caplog: pytest.LogCaptureFixture) -> None:
    answer = now(link([MetricsStep(counts.metrics, StoppedClock())], failing)(Query("88.118/x", "http", request_id="r-1")))
    assert reason_of(answer) is Reason.INTERNAL
    assert "ZeroDivision" not in str(answer)
    assert "ZeroDivisionError" in caplog.text
    assert caplog.records[0].__dict__["request_id"] == "r-1"


@pytest.mark.parametrize(("last", "reason"), [(failing_later, Reason.INTERNAL), (refusing_later, Reason.OVERLOADED)])
async def test_what_is_raised_later_is_an_answer_too(counts: Counts, last: Resolve, reason: Reason) -> None:
    result = link([MetricsStep(counts.metrics, StoppedClock())], last)(Query("88.118/x", "http"))
    assert inspect.isawaitable(result)
    assert reason_of(await result) is reason
    assert counts.refused(reason) == 1


def test_every_answer_has_an_outcome() -> None:
    assert set(OUTCOMES) == set(Answer.__args__)
    assert len(set(OUTCOMES.values())) == len(OUTCOMES)


async def test_then_looks_at_an_answer_now_or_when_it_comes() -> None:
    seen: list[Answer] = []

    def look(answer: Answer) -> Answer:
        seen.append(answer)
        return answer

    async def later() -> Answer:
        return NotFound("b")

    assert then(NotFound("a"), look) == NotFound("a")
    waiting = then(later(), look)
    assert isinstance(waiting, Awaitable)
    assert await waiting == NotFound("b")
    assert seen == [NotFound("a"), NotFound("b")]


@pytest.mark.parametrize(
    ("networks", "host", "serves_all"),
    [
        (["127.0.0.0/8"], "127.0.0.1", True),
        (["127.0.0.0/8", "::1/128"], "::1", True),
        (["127.0.0.0/8"], "::1", False),
        (["10.0.0.0/8"], "127.0.0.1", False),
        (["127.0.0.0/8"], "0.0.0.0", False),
        (["0.0.0.0/0"], "0.0.0.0", False),
        (["0.0.0.0/0", "::/0"], "0.0.0.0", True),
        (["0.0.0.0/0", "::/0"], "node.example", True),
        (["127.0.0.0/8"], "localhost", False),
        ([], "127.0.0.1", False),
    ],
)
def test_whether_everybody_who_can_ask_may_have_answers_of_others(networks: list[str], host: str, serves_all: bool) -> None:
    assert Recursion(networks, True).serves_all_at(host) is serves_all
