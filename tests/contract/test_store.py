"""What every store driver promises (`registry.store.port`): one suite, run against each of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proto import keys
from proto.model.change import START, Head, Memory, Position, Row, Table
from proto.stream import NO_CHAIN, check_follows, compose_payload, parse_change, parse_payload
from proto.tables import frame_image, unpack_memory
from registry.store.memory import MemoryStore
from registry.store.port import Applied, Entry, Mismatch, Store, StoreFailed, Transaction
from registry.store.rocksdb import RocksdbStore

FIRST = Head("node-1", Position(1, 0), 1_000, NO_CHAIN)
DRIVERS: dict[str, Callable[[Path], Store]] = {
    "memory": lambda folder: MemoryStore(FIRST),
    "rocksdb": lambda folder: RocksdbStore(folder / "store", FIRST),
}


@pytest.fixture(params=sorted(DRIVERS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = DRIVERS[request.param](tmp_path)
    yield opened
    opened.close()


def key(name: str, space: bytes = keys.RECORDS) -> bytes:
    return keys.space_prefix(space) + name.encode()


def value(version: int, body: bytes = b"x") -> bytes:
    return frame_image(version, body)


def entry(name: str = "a") -> Entry:
    return Entry("acme", f"r-{name}", "", 1, compose_payload([Row(Table.RECORD, name, b"image", 1)]))


def put(name: str, version: int, body: bytes = b"x") -> Transaction:
    """The `version`th write of a key."""
    return Transaction(expect=[(key(name), version - 1)], writes=[(key(name), value(version, body))], entry=entry(name))


def applied(results: list[Applied | Mismatch]) -> list[Applied]:
    assert all(isinstance(result, Applied) for result in results), results
    return [result for result in results if isinstance(result, Applied)]


def state(store: Store) -> dict[bytes, bytes]:
    return dict(store.snapshot().rows)


def test_an_empty_store_stands_before_its_first_change(store: Store) -> None:
    assert store.head() == FIRST
    assert store.log(START, 10) == []
    assert store.get([key("a")]) == [None]
    assert state(store) == {}


def test_what_is_applied_is_there_with_its_version(store: Store) -> None:
    store.apply([put("a", 1, b"first")], 2_000)
    store.apply([put("a", 2, b"second"), put("b", 1)], 2_000)
    assert store.get([key("b"), key("none"), key("a")]) == [(1, value(1)), None, (2, value(2, b"second"))]


def test_sequences_are_gap_free_and_changes_are_chained(store: Store) -> None:
    for number in range(1, 6):
        store.apply([put(f"k{number}", 1), put(f"m{number}", 1)], 2_000 + number)
    position, chain = FIRST.position, FIRST.chain
    for found, frame in store.log(START, 100):
        parsed = parse_change(frame)
        assert parsed is not None
        change, end = parsed
        assert end == len(frame)
        check_follows(change, position, chain)
        assert change.position == found
        assert change.node_id == "node-1"
        position, chain = change.position, change.chain
    assert position == Position(1, 10)
    assert store.head() == Head("node-1", position, 2_005, chain)


def test_the_log_says_who_and_what(store: Store) -> None:
    payload = compose_payload([Row(Table.RECORD, "a", b"image", 3, 2, 1, 0)])
    said = Entry("acme", "r-9", "00-trace-01", 1, payload)
    [result] = applied(store.apply([Transaction(writes=[(key("a"), value(1))], entry=said)], 2_000))
    [(position, frame)] = store.log(START, 10)
    assert (position, frame) == (result.position, result.frame)
    parsed = parse_change(frame)
    assert parsed is not None
    change = parsed[0]
    assert (change.actor, change.request_id, change.traceparent, change.row_count) == ("acme", "r-9", "00-trace-01", 1)
    assert (change.time_ms, parse_payload(change.payload)) == (2_000, parse_payload(payload))


def test_a_mismatch_writes_nothing_and_leaves_no_gap(store: Store) -> None:
    store.apply([put("a", 1)], 2_000)
    before, head = state(store), store.head()
    wrong = Transaction(
        expect=[(key("new"), 0), (key("a"), 7)],
        writes=[(key("new"), value(1)), (key("a"), value(8))],
        entry=entry(),
        memory=(key("key", keys.IDEMPOTENCY), Memory(b"d" * 32, START, b"outcome", 0)),
    )
    assert store.apply([wrong], 2_000) == [Mismatch(Position(1, 1), 1, key("a"), 7, 1)]
    assert (state(store), store.head()) == (before, head)
    [result] = applied(store.apply([put("a", 2)], 2_000))
    assert result.position == Position(1, 2)
    assert len(store.log(START, 10)) == 2


def test_something_where_nothing_is_expected_is_a_mismatch(store: Store) -> None:
    store.apply([put("a", 1)], 2_000)
    assert store.apply([put("a", 1)], 2_000) == [Mismatch(Position(1, 1), 0, key("a"), 0, 1)]


def test_transactions_of_a_group_see_those_before_them(store: Store) -> None:
    results = store.apply([put("a", 1), put("a", 2), put("a", 2), put("b", 2), put("a", 3), put("b", 1)], 2_000)
    assert [type(result) for result in results] == [Applied, Applied, Mismatch, Mismatch, Applied, Applied]
    assert [result.position.sequence for result in results] == [1, 2, 2, 2, 3, 4]
    assert store.get([key("a"), key("b")]) == [(3, value(3)), (1, value(1))]
    assert [position.sequence for position, _ in store.log(START, 10)] == [1, 2, 3, 4]


def test_a_mismatched_transaction_is_not_seen_by_those_after_it(store: Store) -> None:
    torn = Transaction(expect=[(key("a"), 0), (key("z"), 1)], writes=[(key("a"), value(1))], entry=entry())
    results = store.apply([torn, put("a", 1)], 2_000)
    assert [type(result) for result in results] == [Mismatch, Applied]


def test_an_exact_value_can_be_demanded(store: Store) -> None:
    store.apply([put("alias", 1, b"target")], 2_000)
    takes = Transaction(holds=[(key("alias"), value(1, b"target"))], writes=[(key("alias"), b"")], entry=entry())
    other = Transaction(holds=[(key("alias"), value(1, b"other"))], writes=[(key("alias"), b"")], entry=entry())
    results = store.apply([other, takes, takes], 2_000)
    assert results[0] == Mismatch(Position(1, 1), 0, key("alias"), 1, 1)
    assert isinstance(results[1], Applied)
    assert results[2] == Mismatch(Position(1, 2), 0, key("alias"), 1, 0)
    assert store.get([key("alias")]) == [None]


def test_an_empty_value_removes_its_key(store: Store) -> None:
    store.apply([put("a", 1)], 2_000)
    gone = Transaction(expect=[(key("a"), 1)], writes=[(key("a"), b"")], entry=entry())
    store.apply([gone, put("a", 1, b"again")], 2_000)
    assert store.get([key("a")]) == [(1, value(1, b"again"))]
    store.apply([gone], 2_000)
    assert (store.get([key("a")]), state(store)) == ([None], {})


def test_a_transaction_without_an_entry_writes_and_takes_no_sequence(store: Store) -> None:
    store.apply([put("a", 1)], 2_000)
    quiet = Transaction(writes=[(key("q"), value(1))])
    [result] = applied(store.apply([quiet], 3_000))
    assert (result.position, result.frame) == (Position(1, 1), b"")
    assert store.get([key("q")]) == [(1, value(1))]
    assert [position.sequence for position, _ in store.log(START, 10)] == [1]
    assert store.head().position == Position(1, 1)


def test_a_memory_names_the_position_of_its_transaction(store: Store) -> None:
    remembered, refused = key("remembered", keys.IDEMPOTENCY), key("refused", keys.IDEMPOTENCY)
    loud = Transaction(
        expect=[(remembered, 0)],
        writes=[(key("a"), value(1))],
        entry=entry(),
        memory=(remembered, Memory(b"d" * 32, START, b"done", 0)),
    )
    quiet = Transaction(expect=[(refused, 0)], memory=(refused, Memory(b"e" * 32, START, b"no", 0)))
    results = store.apply([put("z", 1), loud, quiet, loud], 2_000)
    assert [type(result) for result in results] == [Applied, Applied, Applied, Mismatch]
    found = store.get([remembered, refused])
    assert found[0] is not None
    assert found[1] is not None
    assert unpack_memory(found[0][1]) == Memory(b"d" * 32, Position(1, 2), b"done", 2_000)
    assert unpack_memory(found[1][1]) == Memory(b"e" * 32, START, b"no", 2_000)


def test_time_never_runs_backwards(store: Store) -> None:
    times = [result.time_ms for now in (5_000, 4_000, 6_000) for result in applied(store.apply([put(f"k{now}", 1)], now))]
    assert times == [5_000, 5_000, 6_000]
    assert store.head().time_ms == 6_000


def test_a_scan_stays_below_its_prefix_and_goes_on_where_it_stopped(store: Store) -> None:
    names = ["88.1/a", "88.1/b", "88.1/c", "88.10/a", "88.2/a"]
    store.apply([put(name, 1) for name in names], 2_000)
    store.apply([Transaction(writes=[(key("88.1/t", keys.PREFIXES), value(1))])], 2_000)
    below = key("88.1/")
    assert [found for found, _ in store.scan(below, b"", 10)] == [key(name) for name in names[:3]]
    assert store.scan(below, b"", 1) == [(key("88.1/a"), value(1))]
    assert [found for found, _ in store.scan(below, key("88.1/a"), 10)] == [key("88.1/b"), key("88.1/c")]
    assert store.scan(below, key("88.1/c"), 10) == []
    assert store.scan(below, b"", 0) == []


def test_the_log_is_read_on_from_any_position_and_can_be_trimmed(store: Store) -> None:
    store.apply([put(f"k{number}", 1) for number in range(5)], 2_000)
    assert [position.sequence for position, _ in store.log(Position(1, 2), 2)] == [3, 4]
    store.trim_log(Position(1, 3))
    assert [position.sequence for position, _ in store.log(START, 10)] == [4, 5]
    store.apply([put("more", 1)], 2_000)
    assert [position.sequence for position, _ in store.log(START, 10)] == [4, 5, 6]
    store.trim_log(Position(1, 3))
    store.trim_log(Position(1, 6))
    assert store.log(START, 10) == []
    assert store.head().position == Position(1, 6)


def test_a_range_can_be_dropped(store: Store) -> None:
    days = {day: keys.idempotency_key(day, "acme", "k") for day in (9, 10, 11)}
    store.apply([Transaction(writes=[(found, value(1)) for found in days.values()])], 2_000)
    store.apply([put("a", 1)], 2_000)
    store.drop(keys.idempotency_bucket(0), keys.idempotency_bucket(11))
    assert set(state(store)) == {days[11], key("a")}


def test_a_snapshot_and_the_log_after_it_are_the_state(store: Store) -> None:
    store.apply([put("a", 1), put("b", 1)], 2_000)
    snapshot = store.snapshot()
    store.apply([put("a", 2), put("c", 1)], 2_000)
    store.apply([Transaction(expect=[(key("b"), 1)], writes=[(key("b"), b"")], entry=entry("b"))], 2_000)
    assert snapshot.position == Position(1, 2)
    assert dict(snapshot.rows) == {key("a"): value(1), key("b"): value(1)}
    later = [frame for _, frame in store.log(snapshot.position, 10)]
    names = [parse_payload(parsed[0].payload)[0].name for frame in later if (parsed := parse_change(frame))]
    assert names == ["a", "c", "b"]
    assert state(store) == {key("a"): value(2), key("c"): value(1)}


def test_a_group_of_mismatches_changes_nothing(store: Store) -> None:
    assert [type(result) for result in store.apply([put("a", 2), put("b", 3)], 2_000)] == [Mismatch, Mismatch]
    assert (store.head(), state(store), store.log(START, 10)) == (FIRST, {}, [])
    assert store.apply([], 2_000) == []


def test_reopening_changes_nothing(store: Store) -> None:
    store.apply([put("a", 1), put("b", 1)], 2_000)
    before = (store.head(), state(store), store.log(START, 10))
    store.reopen()
    assert (store.head(), state(store), store.log(START, 10)) == before
    [result] = applied(store.apply([put("a", 2)], 1_000))
    assert (result.position, result.time_ms) == (Position(1, 3), 2_000)


def test_a_large_group_is_applied_whole(store: Store) -> None:
    group = [
        Transaction(
            expect=[(key(f"{batch}/{row}"), 0) for row in range(500)],
            writes=[(key(f"{batch}/{row}"), value(1, b"v" * 300)) for row in range(500)],
            entry=entry(),
        )
        for batch in range(4)
    ]
    assert [result.position.sequence for result in applied(store.apply(group, 2_000))] == [1, 2, 3, 4]
    assert len(state(store)) == 2_000


def test_rocksdb_keeps_everything_over_a_close(tmp_path: Path) -> None:
    store = RocksdbStore(tmp_path / "store", FIRST)
    store.apply([put("a", 1), put("b", 1)], 2_000)
    before = (store.head(), state(store), store.log(START, 10))
    store.close()
    again = RocksdbStore(tmp_path / "store", Head("another", Position(9, 0), 0, NO_CHAIN))
    assert (again.head(), state(again), again.log(START, 10)) == before
    again.close()


def test_a_closed_rocksdb_refuses_by_name(tmp_path: Path) -> None:
    store = RocksdbStore(tmp_path / "store", FIRST)
    store.close()
    with pytest.raises(StoreFailed, match="closed"):
        store.apply([put("a", 1)], 2_000)
    with pytest.raises(StoreFailed):
        store.get([key("a")])
