"""The view over real files: what it shows, how it begins and moves, and what it does when files are not as they should be.

Length: one suite over one fixture; its parts share the writer that plays the committer.
"""

import asyncio
import contextlib
import fcntl
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from node.clock import SystemClock
from node.metrics import build_metrics
from proto import places
from proto.errors import Reason, Refusal
from proto.model.account import Account, Role
from proto.model.change import START, Position, Row, Table
from proto.model.prefix import PrefixState
from proto.packing import alias_target
from proto.ports import Claim, FollowingReader
from proto.tables import pack_account
from proto.v1 import stream_pb2
from proto.wake import SOCKET_NAME, Message, Signal, compose_message, parse_messages
from registry.store.port import Applied, Entry, Transaction
from resolver.view import overlay
from resolver.view.view import View
from tests.support.history import prefix_row, record_row
from tests.support.primary import SmallPrimary

WAIT_S = 10.0


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[SmallPrimary]:
    made = SmallPrimary(tmp_path)
    yield made
    made.close()


@contextlib.asynccontextmanager
async def opened(data: Path, on_readiness: Callable[[bool], None] = lambda _: None) -> AsyncIterator[View]:
    view = View(data, SystemClock(), build_metrics(CollectorRegistry()), on_readiness)
    try:
        async with asyncio.timeout(WAIT_S):
            await view.open()
        yield view
    finally:
        await view.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


def registered(primary: SmallPrimary, *names: str) -> Position:
    """Commit a record under each of these names, and publish."""
    position = primary.commit([record_row(name, 1) for name in names])
    primary.publish()
    return position


async def test_a_view_begins_with_the_checkpoint_and_all_that_came_after(primary: SmallPrimary) -> None:
    primary.commit([prefix_row("88.118")])
    first = registered(primary, "88.118.1/old", "88.118.1/changed")
    primary.checkpoint()
    last = primary.commit([record_row("88.118.1/new", 1), record_row("88.118.1/changed", 2)])
    primary.publish()
    async with opened(primary.data) as view:
        reader: FollowingReader = view
        assert reader.position == last > first
        for name in ("88.118.1/old", "88.118.1/new", "88.118.1/changed", "88.118.1/none"):
            key = b"\x01rh" + name.encode()
            assert reader.record(name) == primary.history.at(key, last.sequence)
        found = reader.records(["88.118.1/new", "88.118.1/none", "88.118.1/old", "88.118.1/new"])
        assert [image is not None for image in found] == [True, False, True, True]
        assert reader.records([]) == []


async def test_a_view_follows(primary: SmallPrimary) -> None:
    primary.checkpoint()
    async with opened(primary.data) as view:
        assert view.position == Position(1, 0)
        for number in range(10):
            position = registered(primary, f"88.118.1/{number}")
            assert await view.reach(position, WAIT_S)
            assert view.record(f"88.118.1/{number}") is not None
        assert not await view.reach(position._replace(sequence=99), 0.01)


async def test_a_change_of_many_rows_is_shown_all_at_once(primary: SmallPrimary) -> None:
    primary.checkpoint()
    names = [f"88.118.1/{number:04}" for number in range(2_000)]
    async with opened(primary.data) as view:
        primary.commit([record_row(name, 1, size=900) for name in names])
        seen: set[int] = set()

        async def look() -> None:
            while view.position.sequence < 1:
                seen.add(sum(view.record(name) is not None for name in names[::100]))
                await asyncio.sleep(0)

        looking = asyncio.create_task(look())
        await asyncio.sleep(0)
        primary.publish()
        assert await view.reach(Position(1, 1), WAIT_S)
        await looking
        assert seen == {0}
        assert None not in view.records(names)


async def test_aliases_follow_what_the_record_lists(primary: SmallPrimary) -> None:
    def pointer(view: View, name: str) -> str | None:
        image = view.record(name)
        return alias_target(image) if image else None

    primary.commit([prefix_row("88.118")])
    primary.checkpoint()
    async with opened(primary.data) as view:
        a, b = "88.118.1/a", "88.118.1/b"
        primary.commit(
            [record_row(a, 1, aliases=["88.118.1/X", "88.118.1/y"])], [Claim("88.118.1/x", a), Claim("88.118.1/y", a)]
        )
        primary.commit([record_row(b, 1)])
        primary.publish()
        assert await view.reach(primary.position, WAIT_S)
        assert [pointer(view, f"88.118.1/{name}") for name in "xy"] == [a, a], "the key is the folded one"
        primary.checkpoint()
        rows = [record_row(a, 2, aliases=["88.118.1/y"]), record_row(b, 2, aliases=["88.118.1/x"])]
        primary.commit(rows, [Claim("88.118.1/x", b)], [Claim("88.118.1/x", a)])
        primary.publish()
        assert await view.reach(primary.position, WAIT_S)
        assert [pointer(view, f"88.118.1/{name}") for name in "xy"] == [b, a], "an alias changed hands in one change"
        primary.commit([record_row(b, 3)], releases=[Claim("88.118.1/x", b)])
        primary.publish()
        assert await view.reach(primary.position, WAIT_S)
        assert view.record("88.118.1/x") is None
        primary.commit([record_row("88.118.1/x", 1)])
        primary.publish()
        assert await view.reach(primary.position, WAIT_S)
        assert [name for name, _ in view.scan("88.118.1", "", 10)] == [a, b, "88.118.1/x"], "pointers are no records"
    async with opened(primary.data) as fresh:
        assert [pointer(fresh, f"88.118.1/{name}") for name in "xy"] == [None, a]


async def test_tables_are_there_from_the_checkpoint_and_from_changes(primary: SmallPrimary) -> None:
    primary.commit([prefix_row("88.118"), prefix_row("88.118.1")])
    primary.checkpoint()
    account = Account("city", Role.CITY, "", bytes(32), (), enabled=True, version=1, created_ms=1, changed_ms=1)
    primary.commit([prefix_row("88.118.2", state=PrefixState.DRAFT), prefix_row("88.118.1", 2, PrefixState.SUSPENDED)])
    primary.commit(
        [Row(Table.ACCOUNT, "city", pack_account(account), 1), Row(Table.JOB, "j", b"\x01" + bytes(7) + b"\x01x", 1)]
    )
    primary.publish()
    async with opened(primary.data) as view:
        homes = {
            name: view.homing(name) for name in ("88.118", "88.118.1", "88.118.1.5", "88.118.2", "88.118.20", "88", "88.119")
        }
        names = {name: home.name if home else None for name, home in homes.items()}
        assert names == {
            "88.118": "88.118", "88.118.1": "88.118.1", "88.118.1.5": "88.118.1", "88.118.2": "88.118.2",
            "88.118.20": "88.118", "88": None, "88.119": None,
        }  # fmt: skip
        suspended, unknown = view.prefix("88.118.1"), view.prefix("88.118.1.5")
        assert suspended is not None
        assert suspended.state is PrefixState.SUSPENDED
        assert unknown is None
        assert view.account("city") == account
        assert view.account("nobody") is None
        assert set(view.images(Table.PREFIX)) == {"88.118", "88.118.1", "88.118.2"}
        assert view.image(Table.JOB, "j") == b"\x01" + bytes(7) + b"\x01x"
        assert view.image(Table.REGISTRANT, "e") is None
        view.images(Table.PREFIX).clear()
        assert view.prefix("88.118") is not None
        primary.commit([Row(Table.ACCOUNT, "city", b"", 0, 1), Row(Table.PREFIX, "88.118.2", b"", 0, 1)])
        primary.publish()
        assert await view.reach(primary.position, WAIT_S)
        assert view.account("city") is None
        assert view.homing("88.118.2") == view.prefix("88.118")
    async with opened(primary.data) as fresh:
        assert fresh.image(Table.JOB, "j") is not None


@pytest.mark.parametrize("page", [1, 3, 1_000])
async def test_scans_merge_what_changed_over_what_was(primary: SmallPrimary, page: int) -> None:
    primary.commit([record_row(f"88.118.{prefix}/{number:02}", 1) for prefix in (1, 10, 2) for number in range(0, 20, 2)])
    primary.publish()
    primary.checkpoint()
    primary.commit([record_row(f"88.118.1/{number:02}", 1) for number in range(1, 20, 4)])
    primary.commit([record_row(f"88.118.1/{number:02}", 2) for number in range(4, 20, 4)])
    primary.commit([Row(Table.RECORD, "88.118.1/08", b"", 0, 2)])
    primary.publish()
    async with opened(primary.data) as view:
        found: list[tuple[str, bytes]] = []
        while rows := view.scan("88.118.1", found[-1][0] if found else "", page):
            assert len(rows) <= page
            found += rows
        assert found == primary.history.records_below("88.118.1", view.position.sequence)
        assert "88.118.1/08" not in dict(found)
        assert view.scan("88.118.1", "", 0) == []
        assert view.scan("88.118", "", 10) == []
        assert view.scan("88.118.1", "88.118.1/zz", 10) == []


async def test_nothing_is_answered_before_the_view_is_ready(tmp_path: Path) -> None:
    view = View(tmp_path, SystemClock(), build_metrics(CollectorRegistry()))
    opening = asyncio.create_task(view.open())
    await asyncio.sleep(0.05)
    assert (view.is_ready, view.position) == (False, START)
    reads: list[Callable[[], object]] = [
        lambda: view.record("88.118/a"),
        lambda: view.records(["88.118/a"]),
        lambda: view.scan("88.118", "", 1),
        lambda: view.prefix("88.118"),
        lambda: view.homing("88.118"),
        lambda: view.account("city"),
        lambda: view.image(Table.JOB, "j"),
        lambda: view.images(Table.JOB),
    ]
    for read in reads:
        with pytest.raises(Refusal) as refused:
            read()
        assert refused.value.reason is Reason.NOT_READY
    waiting = asyncio.create_task(view.reach(Position(1, 1), WAIT_S))
    primary = SmallPrimary(tmp_path)
    primary.checkpoint()
    registered(primary, "88.118.1/a")
    assert await waiting
    await opening
    assert view.record("88.118.1/a") is not None
    await view.close()
    primary.close()


async def test_readiness_is_told_once_and_taken_back_on_closing(primary: SmallPrimary) -> None:
    primary.checkpoint()
    told: list[bool] = []
    async with opened(primary.data, told.append) as view:
        assert told == [True]
        assert view.is_ready
    assert told == [True, False]
    with pytest.raises(Refusal):
        view.record("88.118.1/a")


async def test_an_unusable_checkpoint_is_passed_over(primary: SmallPrimary) -> None:
    registered(primary, "88.118.1/a")
    primary.checkpoint()
    registered(primary, "88.118.1/b")
    newest = primary.data / places.CHECKPOINTS / places.position_name(primary.checkpoint())
    for broken in newest.glob("MANIFEST*"):
        broken.write_bytes(b"not a manifest")
    (primary.data / places.CHECKPOINTS / places.position_name(Position(1, 7))).mkdir()
    async with opened(primary.data) as view:
        assert view.position == Position(1, 2)
        assert view.record("88.118.1/b") is not None


async def test_a_checkpoint_under_a_wrong_name_is_never_used(primary: SmallPrimary) -> None:
    registered(primary, "88.118.1/a")
    honest = primary.data / places.CHECKPOINTS / places.position_name(primary.checkpoint())
    registered(primary, "88.118.1/b")
    shutil.copytree(honest, honest.with_name(places.position_name(Position(1, 2))))
    async with opened(primary.data) as view:
        assert view.record("88.118.1/b") is not None


async def test_a_leased_checkpoint_outlives_newer_ones_until_its_reader_goes(primary: SmallPrimary) -> None:
    old = primary.checkpoint()
    async with opened(primary.data):
        assert not primary.delete_checkpoint(old)
    assert primary.delete_checkpoint(old)


async def test_a_checkpoint_that_is_being_deleted_is_not_taken(primary: SmallPrimary) -> None:
    registered(primary, "88.118.1/a")
    primary.checkpoint()
    registered(primary, "88.118.1/b")
    lease = primary.data / places.CHECKPOINTS / places.lease_name(primary.checkpoint())
    with lease.open("ab") as deleting:
        fcntl.flock(deleting, fcntl.LOCK_EX)
        async with opened(primary.data) as view:
            assert view.record("88.118.1/b") is not None


async def test_a_checkpoint_folder_deleted_under_a_view_changes_no_answer(primary: SmallPrimary) -> None:
    names = [f"88.118.1/{number}" for number in range(500)]
    registered(primary, *names)
    base = primary.checkpoint()
    async with opened(primary.data) as view:
        assert primary.delete_checkpoint(base, by_force=True)
        assert None not in view.records(names)
        assert all(view.record(name) is not None for name in names)
        assert await view.reach(registered(primary, "88.118.1/more"), WAIT_S)
        assert len(view.scan("88.118.1", "", 1_000)) == 501
    primary.checkpoint()
    async with opened(primary.data) as restarted:
        assert len(restarted.scan("88.118.1", "", 1_000)) == 501


class Committer:
    """The other end of the wake-up socket, which says what a test tells it to."""

    def __init__(self, primary: SmallPrimary) -> None:
        self._path = primary.data / places.RUN / SOCKET_NAME
        self._primary = primary
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._serving: list[asyncio.Task[None] | None] = []
        self.heard: list[Message] = []

    async def __aenter__(self) -> "Committer":
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*filter(None, self._serving))
        self._path.unlink(missing_ok=True)

    def say(self, signal: Signal, position: Position) -> None:
        for writer in self._writers:
            if not writer.is_closing():
                writer.write(compose_message(signal, position))

    def last(self, signal: Signal) -> Position | None:
        return next((message.position for message in reversed(self.heard) if message.signal is signal), None)

    async def until_applied(self, position: Position) -> None:
        await until(lambda: self.last(Signal.APPLIED) == position)

    async def until_switched(self, position: Position) -> None:
        await until(lambda: self.last(Signal.SWITCHED) == position)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self._serving.append(asyncio.current_task())
        self.say(Signal.HEAD, self._primary.published)
        rest = b""
        while data := await reader.read(4_096):
            messages, rest = parse_messages(rest + data)
            for message in messages:
                self.heard.append(message)
                if message.signal is Signal.READY:
                    self.say(Signal.HEAD, self._primary.published)


async def test_a_ready_view_says_so_and_tells_what_it_shows(primary: SmallPrimary) -> None:
    base = primary.checkpoint()
    async with Committer(primary) as committer, opened(primary.data) as view:
        await until(lambda: committer.last(Signal.READY) == base == committer.last(Signal.SWITCHED))
        position = registered(primary, "88.118.1/a")
        committer.say(Signal.HEAD, position)
        await until(lambda: committer.last(Signal.APPLIED) == position)
        assert view.record("88.118.1/a") is not None
        await view.close()
        await until(lambda: committer.last(Signal.UNREADY) == position)


async def test_a_view_is_not_ready_before_it_shows_the_head_it_was_told(primary: SmallPrimary) -> None:
    primary.checkpoint()
    primary.commit([record_row("88.118.1/a", 1)])
    primary.published = primary.position
    async with Committer(primary) as committer:
        told: list[bool] = []
        view = View(primary.data, SystemClock(), build_metrics(CollectorRegistry()), told.append)
        opening = asyncio.create_task(view.open())
        await until(lambda: committer.last(Signal.READY) == Position(1, 0))
        await asyncio.sleep(0.2)
        assert told == []
        primary.publish()
        await opening
        assert view.record("88.118.1/a") is not None
        await view.close()


async def test_the_lag_is_measured(primary: SmallPrimary) -> None:
    figures = CollectorRegistry()

    def figure(name: str) -> float | None:
        return figures.get_sample_value(f"biaojie_{name}")

    primary.checkpoint()
    async with Committer(primary) as committer:
        view = View(primary.data, SystemClock(), build_metrics(figures))
        await view.open()
        registered(primary, "88.118.1/a", "88.118.1/b")
        position = primary.commit([record_row("88.118.1/c", 1)])
        committer.say(Signal.HEAD, position)
        await until(lambda: figure("view_lag_changes") == 1 and figure("overlay_entries") == 2)
        primary.publish()
        committer.say(Signal.HEAD, position)
        await until(lambda: figure("view_lag_changes") == 0 == figure("view_lag_seconds"))
        committer.say(Signal.SWITCH, primary.checkpoint())
        await until(lambda: figure("view_switches_total") == 1)
        await until(lambda: figure("overlay_entries") == 0)
        await view.close()


async def test_a_view_switches_when_it_is_its_turn(primary: SmallPrimary) -> None:
    first = primary.checkpoint()
    async with Committer(primary) as committer, opened(primary.data) as view:
        await until(lambda: committer.last(Signal.READY))
        for round_ in range(5):
            position = registered(primary, *(f"88.118.1/{round_}-{number}" for number in range(20)))
            assert primary.checkpoint() == position
            committer.say(Signal.SWITCH, position)
            await committer.until_switched(position)
            assert len(view.scan("88.118.1", "", 1_000)) == 20 * (round_ + 1)
        assert primary.delete_checkpoint(first), "the lease of the first checkpoint is given back"
        assert not primary.delete_checkpoint(position)


async def test_a_switch_ahead_of_the_view_waits_until_it_has_caught_up(primary: SmallPrimary) -> None:
    primary.checkpoint()
    async with Committer(primary) as committer, opened(primary.data) as view:
        await until(lambda: committer.last(Signal.READY))
        primary.commit([record_row("88.118.1/a", 1)])
        committer.say(Signal.SWITCH, primary.checkpoint())
        await asyncio.sleep(0.1)
        assert committer.last(Signal.SWITCHED) == Position(1, 0)
        primary.publish()
        committer.say(Signal.HEAD, primary.position)
        await until(lambda: committer.last(Signal.SWITCHED) == primary.position)
        assert view.record("88.118.1/a") is not None


@pytest.mark.parametrize("fault", ["missing", "broken"])
async def test_a_switch_that_cannot_be_made_is_given_up_and_answered(primary: SmallPrimary, fault: str) -> None:
    base = primary.checkpoint()
    async with Committer(primary) as committer, opened(primary.data) as view:
        await until(lambda: committer.last(Signal.READY))
        position = registered(primary, "88.118.1/a")
        committer.heard.clear()
        if fault == "broken":
            folder = primary.data / places.CHECKPOINTS / places.position_name(primary.checkpoint())
            (folder / "CURRENT").write_bytes(b"nothing\n")
        committer.say(Signal.HEAD, position)
        committer.say(Signal.SWITCH, position)
        await until(lambda: committer.last(Signal.SWITCHED) == base)
        assert view.record("88.118.1/a") is not None


async def test_a_view_comes_back_to_a_committer_that_comes_back(primary: SmallPrimary) -> None:
    primary.checkpoint()
    async with opened(primary.data) as view:
        for name in ("88.118.1/a", "88.118.1/b"):
            async with Committer(primary) as committer:
                await until(lambda: committer.last(Signal.READY))
                position = registered(primary, name)
                committer.say(Signal.HEAD, position)
                await committer.until_applied(position)
            alone = registered(primary, f"{name}-alone")
            assert await view.reach(alone, WAIT_S), "without a committer the files are enough"


async def test_a_committer_that_speaks_nonsense_does_no_harm(primary: SmallPrimary) -> None:
    primary.checkpoint()
    async with Committer(primary) as committer, opened(primary.data) as view:
        await until(lambda: committer.last(Signal.READY))
        for writer in committer._writers:
            writer.write(b"\xff" * 64)
        committer.heard.clear()
        await until(lambda: committer.last(Signal.READY))
        position = registered(primary, "88.118.1/a")
        committer.say(Signal.HEAD, position)
        assert await view.reach(position, WAIT_S)


async def test_a_socket_whose_path_is_too_long_is_found(tmp_path: Path) -> None:
    data = tmp_path / ("x" * 80) / ("y" * 80)
    data.mkdir(parents=True)
    primary = SmallPrimary(data)
    primary.checkpoint()
    short = tmp_path / "s"
    short.symlink_to(data / places.RUN)
    committer = Committer(primary)
    committer._path = short / SOCKET_NAME
    async with committer, opened(data):
        await until(lambda: committer.last(Signal.READY))
    primary.close()


async def test_a_torn_tail_is_waited_for_and_read_on_when_it_is_repaired(primary: SmallPrimary) -> None:
    primary.checkpoint()
    registered(primary, "88.118.1/a", "88.118.1/b")
    async with opened(primary.data) as view:
        position = primary.commit([record_row("88.118.1/c", 1)])
        primary.publish_half(0.6)
        assert not await view.reach(position, 0.2)
        primary.tear(5, bytes(300))
        assert not await view.reach(position, 0.3)
        assert view.is_ready
        async with opened(primary.data) as second:
            assert second.position == Position(1, 1)
            primary.repair()
            assert await second.reach(position, WAIT_S)
        assert await view.reach(position, WAIT_S)
        assert view.record("88.118.1/c") is not None


async def test_damage_in_the_middle_is_passed_by_a_newer_checkpoint(primary: SmallPrimary) -> None:
    primary.checkpoint()
    registered(primary, "88.118.1/a")
    async with opened(primary.data) as view:
        primary.commit([record_row("88.118.1/b", 1)])
        primary.publish()
        (segment,) = (primary.data / places.STREAM).iterdir()
        broken = bytearray(segment.read_bytes())
        broken[-30] ^= 1
        segment.write_bytes(broken)
        damaged = View(primary.data, SystemClock(), build_metrics(CollectorRegistry()))
        opening = asyncio.create_task(damaged.open())
        registered(primary, "88.118.1/c")
        shown = view.position
        assert shown in {Position(1, 1), Position(1, 2)}
        assert not await view.reach(Position(1, 3), 0.3) or shown == Position(1, 2)
        assert view.is_ready
        primary.checkpoint()
        last = registered(primary, "88.118.1/d")
        for reader in (view, damaged):
            assert await reader.reach(last, WAIT_S)
            assert all(reader.record(f"88.118.1/{name}") is not None for name in "abcd")
        await opening
        await damaged.close()


async def test_a_missing_segment_keeps_a_new_view_from_answering(primary: SmallPrimary) -> None:
    primary.checkpoint()
    for number in range(200):
        registered(primary, *(f"88.118.1/{number}-{row}" for row in range(5)))
    segments = sorted((primary.data / places.STREAM).iterdir())
    assert len(segments) > 2
    content = segments[1].read_bytes()
    segments[1].unlink()
    view = View(primary.data, SystemClock(), build_metrics(CollectorRegistry()))
    opening = asyncio.create_task(view.open())
    await asyncio.sleep(0.5)
    assert not view.is_ready, "changes are known to exist that it cannot show"
    segments[1].write_bytes(content)
    async with asyncio.timeout(WAIT_S):
        await opening
    assert view.position == primary.position
    await view.close()


async def test_an_overlay_that_is_full_moves_to_a_newer_checkpoint_or_stops(
    primary: SmallPrimary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "MAX_ENTRIES", 50)
    primary.checkpoint()
    async with opened(primary.data) as view:
        for number in range(60):
            registered(primary, f"88.118.1/{number}")
        await view.reach(Position(1, 50), WAIT_S)
        assert not await view.reach(Position(1, 51), 0.4)
        assert view.record("88.118.1/49") is not None
        assert view.record("88.118.1/50") is None, "it answers as of its position"
        primary.checkpoint()
        assert await view.reach(Position(1, 60), WAIT_S)
        last = registered(primary, "88.118.1/more")
        assert await view.reach(last, WAIT_S)
        assert len(view.scan("88.118.1", "", 100)) == 61


async def test_a_restored_history_replaces_the_one_it_fences(primary: SmallPrimary) -> None:
    registered(primary, "88.118.1/common")
    backup = primary.checkpoint()
    told: list[bool] = []
    async with opened(primary.data, told.append) as view:
        registered(primary, "88.118.1/lost")
        abandoned = primary.checkpoint()
        lost = registered(primary, "88.118.1/lost-too")
        assert await view.reach(lost, WAIT_S)
        primary.promote(backup)
        primary.commit([record_row("88.118.1/kept", 1)])
        primary.publish()
        assert primary.position == Position(2, 2)
        assert await view.reach(primary.position, WAIT_S)
        assert told == [True, False, True], "it answered nothing while it began again"
        names = [name for name, _ in view.scan("88.118.1", "", 10)]
        assert names == ["88.118.1/common", "88.118.1/kept"]
    assert abandoned > backup
    async with opened(primary.data) as fresh:
        assert fresh.position == Position(2, 2)
        assert fresh.record("88.118.1/lost") is None


async def test_too_many_waiting_reads_are_refused(primary: SmallPrimary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolver.view.waiting.MAX_WAITERS", 3)
    primary.checkpoint()
    async with opened(primary.data) as view:
        waiting = [asyncio.create_task(view.reach(Position(1, 1), WAIT_S)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as refused:
            await view.reach(Position(1, 1), WAIT_S)
        assert refused.value.reason is Reason.OVERLOADED
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        assert not await view.reach(Position(1, 1), 0.01), "a place is free again"
        registered(primary, "88.118.1/a")
        assert await asyncio.gather(*waiting[1:]) == [True, True]


async def test_a_row_of_a_later_program_is_not_passed_over(primary: SmallPrimary) -> None:
    primary.checkpoint()
    async with opened(primary.data) as view:
        payload = stream_pb2.ChangePayload(rows=[stream_pb2.RowImage(table=99, name="x", image=b"x", version=1)])
        entry = Entry("acme", "r-2", "", 1, payload.SerializeToString())
        (result,) = primary.store.apply([Transaction(entry=entry)], 0)
        assert isinstance(result, Applied)
        primary.unpublished.append((result.position, result.frame))
        last = registered(primary, "88.118.1/a")
        assert not await view.reach(last, 0.3)
        assert (view.position, view.record("88.118.1/a")) == (Position(1, 0), None)
        assert view.is_ready
