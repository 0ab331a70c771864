"""Recorded questions of stock clients over real sockets: what the answers mean is what was recorded."""

import asyncio

import pytest

from tests.contract.handle.conftest import Served
from tests.interop.handle_replay import GET_SITE_INFO, Exchange, ask_tcp, ask_udp, meaning, resolutions


def same_meaning(exchange: Exchange, answer: bytes) -> bool:
    ours, recorded = meaning(exchange.question, answer), meaning(exchange.question, exchange.answer)
    if exchange.op == GET_SITE_INFO:
        # The node's own site, whatever that is: at least the transport that the recorded client went on to use.
        return (ours.op, ours.code, ours.request) == (recorded.op, recorded.code, recorded.request) and 1 in ours.transports
    return ours == recorded


@pytest.mark.parametrize("exchange", resolutions(), ids=lambda exchange: exchange.name)
async def test_over_tcp(served: Served, exchange: Exchange) -> None:
    (answer,) = await asyncio.to_thread(ask_tcp, served.host, served.port, exchange.question)
    assert same_meaning(exchange, answer)


@pytest.mark.parametrize("exchange", resolutions(), ids=lambda exchange: exchange.name)
async def test_over_udp(served: Served, exchange: Exchange) -> None:
    answer = await asyncio.to_thread(ask_udp, served.host, served.port, exchange.question)
    assert same_meaning(exchange, answer)


async def test_all_of_them_over_one_connection_in_one_go(served: Served) -> None:
    answers = await asyncio.to_thread(ask_tcp, served.host, served.port, *(each.question for each in resolutions()))
    assert all(same_meaning(exchange, answer) for exchange, answer in zip(resolutions(), answers, strict=True))
