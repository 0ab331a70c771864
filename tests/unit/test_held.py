"""The account of what calls hold."""

import pytest

from proto.errors import Reason, Refusal
from proto.wire.grpc.held import Held


def test_what_is_put_is_given_back() -> None:
    held = Held()
    puts = [("a", 5), ("a", 3), ("b", 7)]
    for connection, size in puts:
        held.put(connection, size)
    assert held.total == 15
    for connection, size in puts:
        held.give_back(connection, size)
    assert held.total == 0


def test_a_connection_holds_no_more_than_its_share_and_others_have_theirs() -> None:
    held = Held(max_bytes_per_connection=10)
    held.put("a", 5)
    held.put("a", 5)
    with pytest.raises(Refusal) as refused:
        held.put("a", 1)
    assert (refused.value.reason, refused.value.retry_after_s) == (Reason.OVERLOADED, 1.0)
    held.put("b", 5)
    held.give_back("a", 5)
    held.put("a", 5)


def test_a_message_larger_than_a_share_may_go_alone() -> None:
    held = Held(max_bytes_per_connection=10)
    held.put("a", 50)
    with pytest.raises(Refusal):
        held.put("a", 1)
    held.give_back("a", 50)
    held.put("a", 1)


def test_all_connections_together_have_a_limit() -> None:
    held = Held(max_bytes=10)
    held.put("a", 5)
    held.put("b", 5)
    with pytest.raises(Refusal) as refused:
        held.put("c", 1)
    assert refused.value.reason is Reason.OVERLOADED
    assert held.total == 10
