"""Checkpoints: when one is made, what it holds, and when an old one may go."""

import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto import keys
from proto.model.change import Head, Position
from proto.places import lease_name, position_name
from proto.stream import NO_CHAIN
from proto.tables import frame_image, unpack_head
from registry.commit import checkpoints
from registry.commit.checkpoints import Checkpoints, check_not_ahead, list_positions
from registry.store.port import Entry, Transaction, Unusable
from registry.store.rocksdb import RocksdbStore
from resolver.view.database import open_read_only
from tests.support.reader import StoppedClock


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RocksdbStore]:
    opened = RocksdbStore(tmp_path / "store", Head("node-1", Position(1, 0), 0, NO_CHAIN))
    yield opened
    opened.close()


class Made:
    """Checkpoints of a store, with a clock of their own and a list of those that were announced."""

    def __init__(self, folder: Path, store: RocksdbStore) -> None:
        self.folder = folder
        self.clock = StoppedClock()
        self.announced: list[Position] = []
        self._store = store
        self.checkpoints = self.open()

    def open(self) -> Checkpoints:
        metrics = build_metrics(CollectorRegistry())
        return Checkpoints(self.folder, self._store, self.clock, metrics, self.announced.append)

    def commit(self, entries: int = 1, size: int = 100) -> Position:
        sequence = self._store.head().position.sequence + 1
        write = (keys.record_key(f"88.118/{sequence}"), frame_image(1, b"x"))
        self._store.apply([Transaction(writes=[write], entry=Entry("acme", "r", "", 1, b"p"))], 1_000)
        self.checkpoints.count(entries, size)
        return self._store.head().position

    def look(self) -> None:
        """A second later, with all that is due done."""
        self.clock.now += 1_001
        self.checkpoints.tick()
        while self.checkpoints.is_busy:
            self.checkpoints.tick()

    @property
    def positions(self) -> list[Position]:
        return list_positions(self.folder)


@pytest.fixture
def made(tmp_path: Path, store: RocksdbStore) -> Made:
    return Made(tmp_path / "checkpoints", store)


def test_an_empty_store_has_one_at_once(made: Made) -> None:
    assert made.positions == [Position(1, 0)]
    assert (made.folder / lease_name(Position(1, 0))).exists()


@pytest.mark.parametrize(("entries", "size"), [(checkpoints.OVERLAY_ENTRIES, 1), (1, checkpoints.OVERLAY_BYTES)])
def test_enough_changes_make_one_due(made: Made, entries: int, size: int) -> None:
    made.commit(entries - 1, size - 1)
    made.look()
    assert made.announced == []
    position = made.commit(1, 1)
    made.look()
    assert made.announced == [position]
    assert made.positions[-1] == position


def test_it_holds_what_was_committed_and_says_where_it_ends(made: Made) -> None:
    position = made.commit(checkpoints.OVERLAY_ENTRIES)
    made.look()
    database = open_read_only(made.folder / position_name(position))
    image = database.get(keys.HEAD_KEY)
    assert image is not None
    assert unpack_head(image).position == position
    assert database.get(keys.record_key("88.118/1")) == frame_image(1, b"x")
    database.close()


def test_what_comes_while_it_is_being_made_is_in_it(made: Made) -> None:
    made.commit(checkpoints.OVERLAY_ENTRIES)
    made.checkpoints.tick()
    assert made.checkpoints.is_busy
    position = made.commit()
    made.look()
    assert made.announced == [position]


def test_time_makes_one_due_only_if_something_changed(made: Made) -> None:
    made.clock.now += int(checkpoints.OVERLAY_AGE_S * 1000)
    made.look()
    assert made.announced == []
    position = made.commit()
    made.look()
    assert made.announced == [position]


def test_one_that_was_deleted_is_made_again(made: Made) -> None:
    shutil.rmtree(made.folder / position_name(Position(1, 0)))
    made.look()
    assert made.positions == [Position(1, 0)]
    assert made.announced == [Position(1, 0)]


def test_an_old_one_goes_when_nobody_reads_it(made: Made) -> None:
    with (made.folder / lease_name(Position(1, 0))).open("rb") as lease:
        fcntl.flock(lease, fcntl.LOCK_SH)
        position = made.commit(checkpoints.OVERLAY_ENTRIES)
        made.look()
        made.look()
        assert made.positions == [Position(1, 0), position]
    made.look()
    assert made.positions == [position]
    assert not (made.folder / lease_name(Position(1, 0))).exists()


def test_the_newest_stays_though_nobody_reads_it(made: Made) -> None:
    made.look()
    assert made.positions == [Position(1, 0)]


def test_closing_makes_a_last_one(made: Made) -> None:
    position = made.commit()
    made.checkpoints.close()
    assert made.positions == [position]


def test_a_start_makes_one_if_the_store_has_gone_on(made: Made) -> None:
    position = made.commit()
    assert made.open().newest == position
    assert position in made.positions


def test_a_start_clears_up_what_was_left_half_made(made: Made) -> None:
    for name in (position_name(Position(1, 9)) + ".tmp", position_name(Position(1, 8)) + ".gone"):
        (made.folder / name).mkdir()
    made.open()
    assert sorted(path.name for path in made.folder.iterdir() if path.is_dir()) == [position_name(Position(1, 0))]


def test_an_overlay_weighs_what_came_after_its_checkpoint(made: Made) -> None:
    with (made.folder / lease_name(Position(1, 0))).open("rb") as lease:
        fcntl.flock(lease, fcntl.LOCK_SH)
        position = made.commit(checkpoints.MAX_OVERLAY_ENTRIES)
        made.look()
        assert not made.checkpoints.weighs_too_much(Position(1, 0))
        made.commit(1)
        assert made.checkpoints.weighs_too_much(Position(1, 0))
        assert not made.checkpoints.weighs_too_much(position)


def test_a_checkpoint_ahead_of_the_store_is_refused(made: Made) -> None:
    check_not_ahead(made.folder, Position(1, 0))
    made.commit()
    made.checkpoints.close()
    with pytest.raises(Unusable, match="ahead"):
        check_not_ahead(made.folder, Position(1, 0))
    check_not_ahead(made.folder.with_name("none"), Position(1, 0))
