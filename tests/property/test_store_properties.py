"""Whatever groups come, the RocksDB driver does what the one in memory does."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proto.keys import IDEMPOTENCY, RECORDS, space_prefix
from proto.model.change import START, Head, Memory, Position
from proto.packing import version_of
from proto.stream import NO_CHAIN, check_follows, parse_change
from proto.tables import frame_image
from registry.store.memory import MemoryStore
from registry.store.port import Entry, Store, Transaction
from registry.store.rocksdb import RocksdbStore

FIRST = Head("node-1", Position(1, 0), 0, NO_CHAIN)

names = st.sampled_from([space_prefix(RECORDS) + bytes([letter]) for letter in b"abcd"])
versions = st.integers(0, 3)
values = st.one_of(st.just(b""), st.builds(frame_image, st.integers(1, 3), st.binary(max_size=3)))
entries = st.one_of(st.none(), st.builds(Entry, st.just("acme"), st.just("r"), st.just(""), st.just(1), st.binary(max_size=5)))
memories = st.one_of(
    st.none(),
    st.tuples(
        st.sampled_from([space_prefix(IDEMPOTENCY) + bytes([letter]) for letter in b"xy"]),
        st.builds(Memory, st.just(b"d" * 32), st.just(START), st.binary(max_size=3), st.just(0)),
    ),
)
transactions = st.builds(
    Transaction,
    expect=st.lists(st.tuples(names, versions), max_size=2),
    holds=st.lists(st.tuples(names, values.filter(bool)), max_size=1),
    writes=st.lists(st.tuples(names, values), max_size=3),
    entry=entries,
    memory=memories,
)
steps = st.lists(st.tuples(st.lists(transactions, max_size=4), st.integers(0, 10)), max_size=8)


def state(store: Store) -> dict[bytes, bytes]:
    return dict(store.snapshot().rows)


@given(steps)
@settings(max_examples=25, suppress_health_check=[HealthCheck.filter_too_much])
def test_drivers_agree(steps: list[tuple[list[Transaction], int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        memory, rocksdb = MemoryStore(FIRST), RocksdbStore(Path(folder) / "store", FIRST)
        for group, now_ms in steps:
            assert rocksdb.apply(group, now_ms) == memory.apply(group, now_ms)
        assert rocksdb.head() == memory.head()
        assert state(rocksdb) == state(memory)
        assert rocksdb.log(START, 100) == memory.log(START, 100)
        rocksdb.close()
        again = RocksdbStore(Path(folder) / "store", FIRST)
        assert (again.head(), state(again)) == (memory.head(), state(memory))
        again.close()


@given(steps)
def test_the_log_is_a_chain_without_gaps_and_times_never_fall(steps: list[tuple[list[Transaction], int]]) -> None:
    store = MemoryStore(FIRST)
    for group, now_ms in steps:
        store.apply(group, now_ms)
    position, chain, time_ms = FIRST.position, FIRST.chain, 0
    for found, frame in store.log(START, 1_000):
        parsed = parse_change(frame)
        assert parsed is not None
        check_follows(parsed[0], position, chain)
        assert (parsed[0].position, parsed[0].time_ms >= time_ms) == (found, True)
        position, chain, time_ms = found, parsed[0].chain, parsed[0].time_ms
    assert (position, chain) == (store.head().position, store.head().chain)
    assert all(version_of(value) for value in state(store).values())
