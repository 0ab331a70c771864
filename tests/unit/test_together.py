"""Batches: what is read ahead is used only while it is true, and what is wrong with one question is that one's alone."""

import inspect
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.errors import Reason, Refusal
from proto.model.answer import Answer, Found, NotFound, Refused
from proto.model.change import Position
from proto.model.query import Query
from proto.model.value import Value
from resolver.chain.order import build_chain
from resolver.chain.plain import PlainLookups
from resolver.chain.step import Result
from resolver.chain.together import ResolveMany, one_by_one, resolve_together
from tests.support.reader import DictReader, StoppedClock

URL = Value(1, "URL", b"u")


class Bench:
    """A reader with one record, and the ways to ask it for many."""

    def __init__(self, reader: DictReader | None = None) -> None:
        self.reader = reader or DictReader()
        self.reader.put_prefix("88.118")
        self.reader.put_record("88.118/x", URL)
        metrics = build_metrics(CollectorRegistry())
        resolve = build_chain(self.reader, StoppedClock(), metrics)
        self.together: ResolveMany = resolve_together(resolve, self.reader)
        self.singly: ResolveMany = one_by_one(resolve)
        self.plain = PlainLookups(self.reader, StoppedClock(), metrics, "grpc")


class Unready(DictReader):
    """A reader that cannot read: its view is being rebuilt."""

    def records(self, normalised: Sequence[str]) -> list[bytes | None]:
        raise Refusal(Reason.NOT_READY, "catching up")

    def record(self, normalised: str) -> bytes | None:
        raise Refusal(Reason.NOT_READY, "catching up")


def now(result: Result) -> Answer:
    assert not inspect.isawaitable(result)
    return result


async def test_a_question_that_waits_is_answered_from_what_is_there_then() -> None:
    bench = Bench()
    after = Position(1, bench.reader.position.sequence + 1)
    waiting, other = bench.together([Query("88.118/new", "grpc", after=after), Query("88.118/new", "grpc")])
    assert isinstance(now(other), NotFound)
    assert inspect.isawaitable(waiting)
    bench.reader.put_record("88.118/new", URL)
    assert isinstance(await waiting, Found)


def test_what_was_read_for_one_batch_is_not_used_for_another() -> None:
    bench = Bench()
    queries = [Query("88.118/new", "grpc")]
    assert isinstance(now(bench.together(queries)[0]), NotFound)
    bench.reader.put_record("88.118/new", URL)
    assert isinstance(now(bench.singly(queries)[0]), Found)


def test_a_reader_that_cannot_read_is_every_questions_answer() -> None:
    bench = Bench(Unready())
    answers = [now(result) for result in bench.together([Query("88.118/x", "grpc"), Query("10.1/x", "grpc")])]
    reasons = [answer.refusal.reason for answer in answers if isinstance(answer, Refused)]
    assert reasons == [Reason.NOT_READY, Reason.NOT_HOMED]
    assert bench.plain.look_up("88.118/x") is None
    assert bench.plain.look_up_many(["88.118/x", "10.1/x"]) == [None, None]


def test_a_record_that_cannot_be_read_costs_no_other_its_answer() -> None:
    bench = Bench()
    bench.reader._records["88.118/torn"] = b"\x01torn"
    torn, whole = bench.together([Query("88.118/torn", "grpc"), Query("88.118/x", "grpc")])
    refused = now(torn)
    assert isinstance(refused, Refused)
    assert refused.refusal.reason is Reason.INTERNAL
    assert isinstance(now(whole), Found)
    assert bench.plain.look_up("88.118/torn") is None
    assert bench.plain.look_up_many(["88.118/torn", "88.118/x"])[0] is None


def test_an_empty_batch_has_no_results() -> None:
    bench = Bench()
    assert bench.together([]) == bench.singly([]) == []
    assert bench.plain.look_up_many([]) == []
