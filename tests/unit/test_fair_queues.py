"""Queues of commands: turns, limits, waking, closing."""

import threading

import pytest

from proto.errors import Reason, Refusal
from registry.commit.queues import FairQueues

ENDLESS = 10**9


def filled(**waiting: int) -> FairQueues[str]:
    """So many items of one byte for each account, put in account by account."""
    queues: FairQueues[str] = FairQueues()
    for account, count in waiting.items():
        for number in range(count):
            queues.put(account, f"{account}{number}", 1)
    return queues


def test_accounts_take_turns() -> None:
    queues = filled(a=3, b=1, c=2)
    assert queues.take(10, ENDLESS, 0) == ["a0", "b0", "c0", "a1", "c1", "a2"]


def test_who_comes_late_waits_for_one_turn_of_the_others_not_for_their_queues() -> None:
    queues = filled(importer=100)
    queues.take(10, ENDLESS, 0)
    queues.put("single", "single0", 1)
    assert "single0" in queues.take(2, ENDLESS, 0)


def test_turns_go_on_from_one_group_to_the_next() -> None:
    queues = filled(a=4, b=4)
    groups = [queues.take(3, ENDLESS, 0) for _ in range(3)]
    assert groups == [["a0", "b0", "a1"], ["b1", "a2", "b2"], ["a3", "b3"]]


def test_a_group_ends_before_it_is_too_large_but_has_at_least_one() -> None:
    queues: FairQueues[str] = FairQueues()
    for name, size in (("large", 100), ("small", 5), ("other", 6)):
        queues.put(name, name, size)
    assert queues.take(10, 10, 0) == ["large"]
    assert queues.take(10, 10, 0) == ["small"]
    assert queues.take(10, 10, 0) == ["other"]


def refusal_of(queues: FairQueues[str], account: str, size: int = 1) -> Refusal:
    with pytest.raises(Refusal) as refused:
        queues.put(account, "x", size)
    return refused.value


def test_past_a_limit_an_account_is_refused_by_name_and_others_are_not() -> None:
    queues: FairQueues[str] = FairQueues(account_commands=2, account_bytes=10, total_bytes=100)
    queues.put("many", "x", 1)
    queues.put("many", "x", 1)
    refused = refusal_of(queues, "many")
    assert refused.reason is Reason.OVERLOADED
    assert refused.retry_after_s
    queues.put("large", "x", 8)
    assert refusal_of(queues, "large", 8).reason is Reason.OVERLOADED
    queues.put("other", "x", 8)


def test_all_together_are_limited_too_and_room_comes_back() -> None:
    queues: FairQueues[str] = FairQueues(account_bytes=60, total_bytes=100)
    queues.put("a", "x", 60)
    assert refusal_of(queues, "b", 60).reason is Reason.OVERLOADED
    queues.take(1, ENDLESS, 0)
    queues.put("b", "x", 60)


def test_something_larger_than_the_limit_goes_through_alone() -> None:
    queues: FairQueues[str] = FairQueues(account_bytes=10, total_bytes=10)
    queues.put("a", "x", 50)
    assert queues.take(1, 10, 0) == ["x"]


def test_after_closing_nothing_comes_in_and_the_rest_goes_out() -> None:
    queues = filled(a=1)
    queues.close()
    assert refusal_of(queues, "b").reason is Reason.NOT_READY
    assert not queues.is_done
    assert queues.take(10, ENDLESS, 60) == ["a0"]
    assert queues.is_done
    assert queues.take(10, ENDLESS, 60) == []


@pytest.mark.parametrize("wake", [FairQueues.ring, FairQueues.close])
def test_who_waits_is_woken(wake: object) -> None:
    queues: FairQueues[str] = FairQueues()
    taken: list[list[str]] = []
    waiter = threading.Thread(target=lambda: taken.append(queues.take(1, ENDLESS, 60)))
    waiter.start()
    queues.put("a", "x", 1)
    queues.ring() if wake is FairQueues.ring else queues.close()
    waiter.join(30)
    assert taken == [["x"]]


def test_many_putters_lose_nothing_and_keep_their_own_order() -> None:
    queues: FairQueues[tuple[str, int]] = FairQueues()

    def put(account: str) -> None:
        for number in range(500):
            queues.put(account, (account, number), 1)
            queues.ring()

    putters = [threading.Thread(target=put, args=(name,)) for name in "abcd"]
    for putter in putters:
        putter.start()
    taken: list[tuple[str, int]] = []
    while len(taken) < 2_000:
        taken += queues.take(64, ENDLESS, 30)
    for putter in putters:
        putter.join()
    for name in "abcd":
        assert [number for account, number in taken if account == name] == list(range(500))
