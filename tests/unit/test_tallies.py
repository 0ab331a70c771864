"""Resolutions by prefix: counted the same on every way to an answer, handed on by files, and kept once."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.errors import Reason, Refusal
from proto.model.answer import Found
from proto.model.change import START, Position, Table
from proto.model.day import DAY_MS, day_of
from proto.model.query import Query
from proto.model.resolutions import BEFORE, TAKEN, Count
from proto.model.value import Value
from proto.ports import Command, Committed
from proto.tables import unpack_resolutions
from proto.tally import Tally, TornTally, compose_tally, parse_tally
from registry.service import tallies as desk_module
from registry.service.tallies import KEPT_DAYS, OTHERS, TallyDesk
from resolver import tallies as file_module
from resolver.answer_cache import AnswerCache
from resolver.chain.order import build_chain
from resolver.chain.plain import ABSENT, PlainLookups
from resolver.tallies import Tallies, TallyFile
from tests.support.reader import NOW_MS, DictReader, StoppedClock
from tests.support.world import World, context

TODAY = day_of(NOW_MS)
TALLY = Tally(TODAY, {"88.118.1001": Count(3, 1), "88.118": Count(0, 2)})


@pytest.fixture
async def world() -> World:
    return await World().furnish()


@pytest.fixture
def tallies() -> Tallies:
    return Tallies()


def begin(tallies: Tallies, folder: Path, clock: StoppedClock | None = None) -> TallyFile:
    return TallyFile(tallies, folder, "worker-1", clock or StoppedClock())


def count(tallies: Tallies, found: int = 1, missed: int = 0, prefix: str = "88.118.1001") -> None:
    tallies.found[prefix].n += found
    tallies.missed[prefix].n += missed


def test_a_tally_comes_back_as_it_was_and_never_before_it_is_whole() -> None:
    frame = compose_tally(TALLY)
    for cut in range(len(frame)):
        assert parse_tally(frame[:cut]) is None
    assert parse_tally(b"before" + frame + b"after", 6) == (TALLY, 6 + len(frame))


@pytest.mark.parametrize("place", [0, 4, 8, -1])
def test_a_tally_that_was_changed_is_not_taken(place: int) -> None:
    frame = bytearray(compose_tally(TALLY))
    frame[place] ^= 0xFF
    with pytest.raises(TornTally):
        parse_tally(bytes(frame))


async def test_every_way_to_an_answer_counts_the_same(tallies: Tallies) -> None:
    reader = DictReader()
    reader.put_prefix("88.118")
    reader.put_prefix("88.118.1001")
    reader.put_record("88.118.1001/A", Value(1, "URL", b"https://example.com/a", 86_400))
    clock, metrics = StoppedClock(), build_metrics(CollectorRegistry())
    chain = build_chain(reader, clock, metrics, tallies=tallies)
    plain = PlainLookups(reader, clock, metrics, "http", tallies)
    shelf = AnswerCache(tallies=tallies).shelf("http", metrics)

    query = Query("88.118.1001/A", "http", reads=[])
    answer = chain(query)
    assert isinstance(answer, Found)
    assert plain.look_up("88.118.1001/a") is not None
    assert len([record for record in plain.look_up_many(["88.118.1001/A", "88.118.1001/none"]) if record]) == 1
    assert plain.look_up("88.118.1001/none") == ABSENT
    assert tallies.take() == {"88.118.1001": Count(3, 2)}

    for _ in range(2):
        shelf.keep(b"key", query, answer, b"reply", 5)
    assert tallies.take() == {}
    assert [shelf.get(b"key"), shelf.get(b"key")] == [b"reply", b"reply"]
    assert tallies.take() == {"88.118.1001": Count(2, 0)}

    missed = Query("88.118.1001/none", "http", reads=[])
    nothing = chain(missed)
    for _ in range(2):
        shelf.keep(b"none", missed, nothing, b"404", 3)  # type: ignore[arg-type] # it is there at once
    assert shelf.get(b"none") == b"404"
    # What is below a prefix that is not in the table is of the one it derives from; what is not homed here is nobody's.
    chain(Query("88.118.9999/x", "http"))
    chain(Query("10.1/x", "http"))
    assert tallies.take() == {"88.118.1001": Count(0, 2), "88.118": Count(0, 1)}


def test_nothing_is_written_while_nothing_is_counted(tallies: Tallies, tmp_path: Path) -> None:
    file = begin(tallies, tmp_path / "tallies")
    file.report()
    file.close()
    assert not (tmp_path / "tallies").exists()


def test_what_cannot_be_handed_on_is_kept(tallies: Tallies, tmp_path: Path) -> None:
    folder = tmp_path / "tallies"
    folder.write_text("in the way")
    file = begin(tallies, folder)
    count(tallies, 2, 1)
    file.report()
    folder.unlink()
    count(tallies, 3)
    file.report()
    (path,) = folder.iterdir()
    assert parse_tally(path.read_bytes()) == (Tally(TODAY, {"88.118.1001": Count(5, 1)}), path.stat().st_size)


def test_a_tally_that_was_cut_short_leaves_nothing_behind(
    tallies: Tallies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, write = begin(tallies, tmp_path / "tallies"), os.write
    count(tallies)
    file.report()
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    count(tallies)
    file.report()
    monkeypatch.undo()
    count(tallies)
    file.report()
    assert all_of(tmp_path / "tallies") == {"88.118.1001": Count(3, 0)}


def test_files_do_not_fill_the_disk(tallies: Tallies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_module, "MAX_FILE_BYTES", 100)
    monkeypatch.setattr(file_module, "MAX_WAITING_BYTES", 300)
    file = begin(tallies, tmp_path)
    for _ in range(50):
        count(tallies)
        file.report()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 300 + 100 + 100
    waiting = tallies.take()["88.118.1001"]
    assert all_of(tmp_path)["88.118.1001"].plus(waiting) == Count(50, 0)


async def test_tallies_are_kept_once_and_their_files_go(world: World, tallies: Tallies, tmp_path: Path) -> None:
    file = begin(tallies, tmp_path, world.clock)
    desk = TallyDesk(world.registry.executor, tmp_path)
    count(tallies, 3, 1)
    file.report()
    await desk.settle()
    assert desk.total() == {"88.118.1001": Count(3, 1)}
    assert len(os.listdir(tmp_path)) == 1, "it is still being written"
    count(tallies, 2)
    file.report()
    await desk.settle()
    count(tallies)
    file.close()
    await desk.settle()
    await desk.settle()
    assert desk.day(TODAY) == desk.total() == {"88.118.1001": Count(6, 1)}
    assert not os.listdir(tmp_path)
    # Whoever comes next finds the same, and nothing to do.
    again = TallyDesk(world.registry.executor, tmp_path)
    commands = len(world.committer.commands)
    await again.settle()
    assert again.total() == {"88.118.1001": Count(6, 1)}
    assert len(world.committer.commands) == commands


async def test_what_a_worker_counts_by_a_clock_that_is_ahead_is_of_today(
    world: World, tallies: Tallies, tmp_path: Path
) -> None:
    clock = StoppedClock(world.clock.now + 3_650 * DAY_MS)
    file = begin(tallies, tmp_path, clock)
    desk = TallyDesk(world.registry.executor, tmp_path)
    for _ in range(2):
        count(tallies, 3)
        file.report()
        await desk.settle()
        clock.now += DAY_MS
    assert desk.day(TODAY) == desk.total() == {"88.118.1001": Count(6, 0)}
    assert world.view.images(Table.RESOLUTIONS).keys() - {BEFORE, TAKEN} == {TODAY}


async def test_figures_are_of_now_although_little_is_committed(world: World, tallies: Tallies, tmp_path: Path) -> None:
    file = begin(tallies, tmp_path, world.clock)
    desk = TallyDesk(world.registry.executor, tmp_path)
    count(tallies)
    file.report()
    await desk.settle()
    commands = len(world.committer.commands)
    count(tallies)
    file.report()
    await desk._look()
    assert desk.total() == {"88.118.1001": Count(2, 0)}
    assert not desk._is_due()
    world.clock.now += DAY_MS
    assert desk._is_due(), "the day is over"
    assert len(world.committer.commands) == commands


async def test_a_commit_that_nobody_heard_of_again_counts_once(world: World, tallies: Tallies, tmp_path: Path) -> None:
    class Deaf:
        """Loses the first acknowledgement."""

        def __init__(self) -> None:
            self.is_deaf = True

        async def commit(self, command: Command) -> Committed:
            committed = await world.committer.commit(command)
            if self.is_deaf:
                self.is_deaf = False
                raise Refusal(Reason.STORE_FAILED, "what became of this will be known")
            return committed

        async def recall(self, *of: object) -> None:
            return None

    file = begin(tallies, tmp_path, world.clock)
    world.registry.executor._committer = Deaf()
    desk = TallyDesk(world.registry.executor, tmp_path)
    count(tallies, 5)
    file.report()
    with pytest.raises(Refusal, match="known"):
        await desk.settle()
    count(tallies, 1)
    file.report()
    with pytest.raises(Refusal, match="has been counted"):
        await desk.settle()
    await desk.settle()
    assert desk.total() == {"88.118.1001": Count(6, 0)}


async def test_a_torn_end_is_waited_for_and_damage_given_up(world: World, tmp_path: Path) -> None:
    desk = TallyDesk(world.registry.executor, tmp_path)
    torn, damaged = tmp_path / f"worker-1-{NOW_MS:012x}-a", tmp_path / f"worker-2-{NOW_MS:012x}-b"
    frame = compose_tally(TALLY)
    torn.write_bytes(frame + frame[:9])
    damaged.write_bytes(frame + b"\xff" * 100 + frame)
    await desk.settle()
    assert desk.total()["88.118.1001"] == Count(6, 2)
    # Nobody holds a lock on them: there is nothing more to come.
    assert not os.listdir(tmp_path)


async def test_old_days_become_one_sum(world: World, tallies: Tallies, tmp_path: Path) -> None:
    file = begin(tallies, tmp_path, world.clock)
    desk = TallyDesk(world.registry.executor, tmp_path)
    for _ in range(KEPT_DAYS + 3):
        count(tallies)
        file.report()
        await desk.settle()
        world.clock.now += DAY_MS
    rows = {name: unpack_resolutions(image) for name, image in world.view.images(Table.RESOLUTIONS).items()}
    assert len(rows.keys() - {BEFORE, TAKEN}) == KEPT_DAYS + 1
    assert rows[BEFORE].prefixes == {"88.118.1001": Count(2, 0)}
    assert desk.total() == {"88.118.1001": Count(KEPT_DAYS + 3, 0)}


async def test_prefixes_beyond_the_limit_are_counted_together(
    world: World, tallies: Tallies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "MAX_PREFIXES_OF_A_DAY", 2)
    for number in range(5):
        count(tallies, prefix=f"88.118.{number}")
    begin(tallies, tmp_path, world.clock).close()
    desk = TallyDesk(world.registry.executor, tmp_path)
    await desk.settle()
    assert sum(each.found for each in desk.total().values()) == 5
    assert len(desk.total()) == 3
    assert OTHERS in desk.total()


async def test_who_follows_changes_is_told_no_counts(world: World, tallies: Tallies, tmp_path: Path) -> None:
    count(tallies)
    begin(tallies, tmp_path, world.clock).close()
    await TallyDesk(world.registry.executor, tmp_path).settle()
    page = await world.registry.changes(context(), START)
    assert all(row.table is not Table.RESOLUTIONS for change in page.changes for row in change.rows)
    assert page.cursor == world.view.position != Position(1, 0)


def all_of(folder: Path) -> Mapping[str, Count]:
    """Everything that lies in the files of a folder."""
    total: dict[str, Count] = {}
    for path in folder.iterdir():
        data, at = path.read_bytes(), 0
        while (found := parse_tally(data, at)) is not None:
            tally, at = found
            for prefix, each in tally.prefixes.items():
                total[prefix] = total.get(prefix, Count(0, 0)).plus(each)
        assert at == len(data)
    return total
