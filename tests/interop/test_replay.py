"""Recorded questions of stock clients, byte for byte, to a running node: what its answers mean is what was recorded."""

import pytest

from tests.interop.handle_replay import (
    GET_SITE_INFO,
    RESOLUTION,
    Exchange,
    ask_tcp,
    ask_udp,
    meaning,
    records,
    resolutions,
)
from tests.support.node import RunningNode

pytestmark = pytest.mark.slow

HOST = "127.0.0.1"
# What a client reads of a site says where it goes next: it must find every transport that it may choose.
UDP, TCP = 0, 1


def test_the_recordings_hold_what_they_are_for() -> None:
    codes = {meaning(each.question, each.answer).code for each in resolutions() if each.op == RESOLUTION}
    assert codes == {1, 100, 301, 402}
    assert len(records()["88.118.1/BIG"]) == 7, "an answer of several packets"
    assert len({each.name.partition("_")[0] for each in resolutions()}) == 2, "both stock clients"


@pytest.mark.parametrize("exchange", resolutions(), ids=lambda exchange: exchange.name)
def test_over_tcp(node: RunningNode, exchange: Exchange) -> None:
    (answer,) = ask_tcp(HOST, handle_port(node), exchange.question)
    check(exchange, answer)


@pytest.mark.parametrize("exchange", resolutions(), ids=lambda exchange: exchange.name)
def test_over_udp(node: RunningNode, exchange: Exchange) -> None:
    check(exchange, ask_udp(HOST, handle_port(node), exchange.question))


def test_all_of_them_over_one_connection_in_one_go(node: RunningNode) -> None:
    every = resolutions() * 20
    answers = ask_tcp(HOST, handle_port(node), *(each.question for each in every))
    for exchange, answer in zip(every, answers, strict=True):
        check(exchange, answer)


def test_each_worker_answers_them(node: RunningNode) -> None:
    # The kernel spreads connections over the workers by their source ports: so many never all reach the same one.
    for exchange in resolutions() * 3:
        (answer,) = ask_tcp(HOST, handle_port(node), exchange.question)
        check(exchange, answer)


def check(exchange: Exchange, answer: bytes) -> None:
    """The answer means what the recorded one means; the site is the node's own, reached by the same transports."""
    ours, recorded = meaning(exchange.question, answer), meaning(exchange.question, exchange.answer)
    if exchange.op == GET_SITE_INFO:
        assert (ours.op, ours.code, ours.request) == (recorded.op, recorded.code, recorded.request)
        assert {UDP, TCP} <= ours.transports
    else:
        assert ours == recorded


def handle_port(node: RunningNode) -> int:
    port: int = node.ports["resolver.handle_port"]
    return port
