"""Questions of one turn: each is answered as if it were alone, whether its reply is kept, stale, found, or to be asked for."""

import pytest
from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.keys import record_key
from proto.model.value import Value
from resolver.answer_cache import AnswerCache
from resolver.chain.order import build_chain
from resolver.chain.plain import PlainLookups
from resolver.listeners.dns import Zone, dialogue
from resolver.listeners.dns.dialogue import Dialogue, datagram_room
from resolver.listeners.dns.interiors import Interiors
from tests.support.dns import HOME, LARGE, WHOLE, ZONE, asked, furnish, question
from tests.support.reader import DictReader, StoppedClock

NAMES = (WHOLE, f"{HOME}/code-1", f"{HOME}/none", f"{HOME}/retired", f"{HOME}/s20-m-630", LARGE, HOME, "10.1000/182")
TURN = [
    *(asked(name, kind, edns=edns).to_wire() for name in NAMES for kind in ("NAPTR", "URI", "TXT") for edns in (True, False)),
    question("id.internal.", "NAPTR").to_wire(),
    b"no message",
]


class Inside:
    """What answers over UDP, with a cache of its own or none."""

    def __init__(self, reader: DictReader, answers: AnswerCache) -> None:
        self.answers = answers
        self.registry = CollectorRegistry()
        metrics, clock = build_metrics(self.registry), StoppedClock()
        self.dialogue = Dialogue(
            build_chain(reader, clock, metrics), "dns", metrics.refused, Zone(ZONE), reader, Interiors(reader, answers),
            answers.shelf("dns", metrics), datagram_room, clock.now_ms, PlainLookups(reader, clock, metrics, "dns"),
        )  # fmt: skip

    def ask(self, messages: list[bytes]) -> list[object]:
        """The replies to a turn, the general way where there is no other."""
        replies = self.dialogue.respond_plainly_to(messages)
        return [
            self.dialogue.respond_otherwise(raw) if reply is None else reply
            for raw, reply in zip(messages, replies, strict=True)
        ]

    def alone(self, messages: list[bytes]) -> list[object]:
        """The replies to each by itself."""
        return [self.ask([raw])[0] for raw in messages]

    def hits(self) -> float:
        return self.registry.get_sample_value("biaojie_answer_cache_hits_total") or 0


@pytest.fixture
def reader() -> DictReader:
    return furnish(DictReader())


def test_every_question_of_a_turn_is_answered_as_if_alone(reader: DictReader) -> None:
    inside, expected = Inside(reader, AnswerCache()), Inside(reader, AnswerCache(0)).alone(TURN)
    hits = []
    for _ in range(4):
        assert inside.ask(TURN + TURN) == expected + expected
        hits.append(inside.hits())
    assert hits[-1] - hits[-2] == hits[-2] - hits[-3] > len(TURN)
    inside.answers.forget_all()
    assert inside.ask(TURN + TURN) == expected + expected
    assert inside.ask(TURN) == expected


def test_a_record_that_changes_is_in_the_next_turn(reader: DictReader) -> None:
    inside = Inside(reader, AnswerCache())
    for turn in range(4):
        reader.put_record(WHOLE, Value(1, "URL", b"https://example.cn/%d" % turn))
        inside.answers.forget([record_key(WHOLE)])
        for _ in range(4):
            replies = inside.ask([asked(WHOLE, "NAPTR").to_wire(), asked(f"{HOME}/none", "NAPTR").to_wire()] * 2)
            told = [isinstance(reply, bytes) and b"example.cn/%d" % turn in reply for reply in replies]
            assert told == [True, False] * 2


def test_what_fails_together_is_answered_one_by_one(reader: DictReader, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Inside(reader, AnswerCache(0)).alone(TURN)
    monkeypatch.setattr(dialogue, "compose_turn", lambda *_: 1 // 0)
    inside = Inside(reader, AnswerCache())
    for _ in range(4):
        assert inside.ask(TURN) == expected
