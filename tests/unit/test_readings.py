"""What the city is shown at a resolver: written down before it is shown, taken into the access log once, whoever dies."""

import asyncio
import errno
import os
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.access_line import TornLine, origin_of, parse_line
from proto.credentials import compose_token
from proto.errors import Reason
from proto.model.access import Access, Reading
from proto.model.account import GroupGrant, Role
from proto.model.answer import Answer, Found, Refused
from proto.model.change import Position
from proto.model.day import DAY_MS
from proto.model.query import Query
from proto.model.value import DEFAULT_PERMISSIONS, Value, derive_permissions
from registry.service import access_files as files_module
from registry.service import readings as desk_module
from registry.service import told as told_module
from registry.service.access import AccessLog
from registry.service.access_files import verify_access
from registry.service.readings import ReadingDesk
from registry.service.told import Told
from resolver import readings as module
from resolver.chain.order import build_chain
from resolver.chain.step import Resolve
from resolver.readings import Readings
from tests.support.reader import DictReader, StoppedClock
from tests.support.world import HOLDER, OPERATOR

CLOSED = derive_permissions(DEFAULT_PERMISSIONS, "test-lab")
NAME = "88.118.1001/A"
TOKENS = {name: compose_token(name, "secret") for name in ("platform", "other", "partner", "holder")}


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


class Node:
    """A worker's chain and the registry's log over one folder; either may be made anew, as after a kill."""

    def __init__(self, folder: Path, clock: StoppedClock) -> None:
        self.folder = folder
        self.clock = clock
        self.reader = DictReader()
        self.reader.put_prefix("88.118")
        self.reader.put_prefix("88.118.1001")
        values = [
            Value(1, "URL", b"https://example.com/a", 86_400),
            Value(2, "NOTE", b"for the laboratory", 86_400, permissions=CLOSED, audience="test-lab"),
        ]
        self.reader.put_record(NAME, *values, registrant=HOLDER)
        grant = (GroupGrant(HOLDER, "test-lab"),)
        for name in ("platform", "other"):
            self.reader.put_account(name, TOKENS[name], Role.CITY, groups=grant)
        self.reader.put_account("partner", TOKENS["partner"], Role.REGISTRANT, registrant="R-9", groups=grant)
        self.reader.put_account("holder", TOKENS["holder"], Role.REGISTRANT, registrant=HOLDER)
        self.readings, self.chain = self.start_worker()
        self.log, self.desk = self.start_registry()

    def start_worker(self) -> tuple[Readings, Resolve]:
        readings = Readings(self.folder / "readings", self.folder / "run/full", "worker-1", self.clock)
        metrics = build_metrics(CollectorRegistry())
        self.readings, self.chain = readings, build_chain(self.reader, self.clock, metrics, readings=readings)
        return self.readings, self.chain

    def start_registry(self) -> tuple[AccessLog, ReadingDesk]:
        self.log = AccessLog(self.folder / "access", self.clock)
        self.desk = ReadingDesk(self.log, self.folder / "readings", self.folder / "run/full", self.clock)
        return self.log, self.desk

    def ask(self, account: str = "platform", *types: str, request: str = "r-1") -> Answer:
        self.clock.now += 1
        answer = self.chain(Query(NAME, "http", types=types, credential=TOKENS.get(account, ""), request_id=request))
        assert isinstance(answer, Answer)
        return answer

    async def logged(self) -> list[Access]:
        """Everything in the log, the oldest first."""
        await self.desk.settle()
        page = await self.log.page(OPERATOR, "*", "", 1_000)
        assert not list(verify_access(self.folder / "access"))
        return [*reversed(page.items)]

    async def requests(self) -> list[str]:
        return [each.request_id for each in await self.logged()]

    def waiting(self) -> list[Path]:
        return sorted((self.folder / "readings").iterdir())


@pytest.fixture
def node(tmp_path: Path, clock: StoppedClock) -> Node:
    return Node(tmp_path, clock)


async def test_what_the_public_does_not_see_is_written_down_and_nothing_else(node: Node) -> None:
    for account in ("", "partner", "holder"):
        assert isinstance(node.ask(account), Found)
    assert isinstance(node.ask("platform", "URL"), Found)
    assert not (node.folder / "readings").exists()
    answer = node.ask()
    assert isinstance(answer, Found)
    assert len(answer.values) == 2
    now_ms = node.clock.now
    assert await node.logged() == [Access(now_ms, "platform", Reading.RESOLUTION, HOLDER, NAME, 1, "r-1", "http")]


async def test_every_reading_is_taken_once_whoever_begins_anew(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "READ_BYTES", 600)
    expected = []
    for number in range(40):
        node.ask(request=f"r-{number}")
        expected.append(f"r-{number}")
        if number % 5 == 1:
            await node.desk.take()
        if number % 7 == 2:
            await node.log.close()
            node.start_registry()
        if number % 11 == 3:
            # Killed: the kernel lets go of the lock, and nobody leaves the file.
            os.close(node.readings._descriptor or -1)
            node.start_worker()
        if number % 13 == 4:
            node.clock.now += DAY_MS
        if number % 17 == 5:
            await asyncio.sleep(0)
    assert await node.requests() == expected
    node.readings.close()
    await node.desk.take()
    assert node.waiting() == []
    node.start_registry()
    assert await node.requests() == expected


async def test_a_file_is_left_when_it_is_old_or_large_and_deleted_then(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.ask(request="r-1")
    await node.desk.take()
    assert len(node.waiting()) == 1
    node.clock.now += int(module.MAX_FILE_AGE_S * 1_000)
    node.readings.look()
    await node.desk.take()
    assert node.waiting() == []
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 300)
    for number in range(2, 8):
        node.ask(request=f"r-{number}")
    assert len(node.waiting()) > 2
    assert await node.requests() == [f"r-{number}" for number in range(1, 8)]
    assert len(node.waiting()) <= 1


async def test_half_a_line_of_a_killed_worker_was_never_shown(node: Node) -> None:
    node.ask(request="r-1")
    node.ask(request="r-2")
    os.close(node.readings._descriptor or -1)
    (path,) = node.waiting()
    path.write_bytes(path.read_bytes()[:-7])
    node.start_worker()
    node.ask(request="r-3")
    assert await node.requests() == ["r-1", "r-3"]
    assert path not in node.waiting()


@pytest.mark.parametrize("damage", [b"\0" * 300 + b"\n", b'{"at_ms":1}\n', b"[]\n", b"\xff\n", b"x" * 9_000])
async def test_damage_hides_nothing_that_is_whole(node: Node, damage: bytes) -> None:
    node.ask(request="r-1")
    (path,) = node.waiting()
    with path.open("ab") as file:
        file.write(damage)
    if damage.endswith(b"\n"):
        node.ask(request="r-2")
    assert await node.requests() == (["r-1", "r-2"] if damage.endswith(b"\n") else ["r-1"])
    node.readings.close()
    await node.desk.take()
    assert node.waiting() == []


async def test_what_cannot_be_written_down_is_not_shown(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    (node.folder / "readings").write_text("in the way")
    assert reason_of(node.ask()) is Reason.STORAGE_FULL
    assert isinstance(node.ask(""), Found)
    assert isinstance(node.ask("platform", "URL"), Found)
    (node.folder / "readings").unlink()
    assert isinstance(node.ask(), Found)

    def write(descriptor: int, data: bytes) -> int:
        return real_write(descriptor, data[:5])

    real_write = os.write
    monkeypatch.setattr(os, "write", write)
    assert reason_of(node.ask()) is Reason.STORAGE_FULL
    monkeypatch.undo()
    assert isinstance(node.ask(request="r-2"), Found)
    assert await node.requests() == ["r-1", "r-2"]


async def test_so_much_waits_for_a_registry_that_is_away_and_no_more(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 1_000)
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 5_000)
    shown = 0
    while isinstance(answer := node.ask(request=f"r-{shown}"), Found):
        shown += 1
        assert shown < 100
    assert reason_of(answer) is Reason.STORAGE_FULL
    assert len(await node.requests()) == shown
    assert isinstance(node.ask(), Found)


async def test_a_registry_that_is_away_for_long_finds_no_file_for_each_minute(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_FILES", 5)
    for number in range(30):
        node.ask(request=f"r-{number}")
        node.clock.now += int(module.MAX_FILE_AGE_S * 1_000)
        node.readings.look()
    assert len(node.waiting()) == 6
    assert await node.requests() == [f"r-{number}" for number in range(30)]


async def test_an_account_that_has_had_its_part_of_the_day_is_refused_alone(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_module, "MAX_DAY_BYTES", 8_192)
    shown = 0
    while isinstance(answer := node.ask(request=f"r-{shown}"), Found):
        shown += 1
        await node.desk.take()
        await node.desk._say_who_is_full()
        node.readings.look()
        assert shown < 100
    assert reason_of(answer) is Reason.QUOTA_EXCEEDED
    assert isinstance(node.ask("other"), Found)
    assert isinstance(node.ask("platform", "URL"), Found)
    # Whoever begins anew knows it still, and another day begins with nothing.
    node.start_worker()
    node.readings.look()
    assert reason_of(node.ask()) is Reason.QUOTA_EXCEEDED
    assert len(await node.requests()) == shown + 1
    node.clock.now += DAY_MS
    assert isinstance(node.ask(), Found)


async def test_what_feeds_have_told_is_a_line_for_each_and_is_there_for_who_asks(node: Node) -> None:
    node.log.tell("feeds", "industry", Position(1, 7), [Told(HOLDER, 3, ("88.118.1001",)), Told("R-2", 1)])
    node.log.tell("feeds", "industry", Position(1, 9), [Told(HOLDER, 2, ("88.118.1002", "88.118.1001"))])
    node.log.tell("feeds", "brain", Position(1, 8), [Told(HOLDER, 1, ("88.118.1001",))])
    found = {(each.way.split()[0], each.registrant): each for each in await node.logged()}
    assert {key: each.count for key, each in found.items()} == {
        ("industry", HOLDER): 5,
        ("industry", "R-2"): 1,
        ("brain", HOLDER): 1,
    }
    line = found["industry", HOLDER]
    assert (line.account, line.reading, line.subject) == ("feeds", Reading.DELIVERY, "88.118.1001 88.118.1002")
    assert line.way == f"industry up to {Position(1, 9).to_cursor()}"
    assert len(await node.logged()) == 3


async def test_what_feeds_have_told_waits_for_a_disk_that_is_full_in_so_many_lines(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told_module, "MAX_SUMS", 3)

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(files_module, "check_room", no_room)
    for number in range(8):
        node.log.tell("feeds", "industry", Position(1, number), [Told(f"R-{number}", 1)])
        with pytest.raises(OSError, match="full"):
            await node.log.keep_told()
    monkeypatch.undo()
    lines = await node.logged()
    assert len(lines) <= 4
    assert sum(each.count for each in lines) == 8
    assert "*" in {each.registrant for each in lines}


async def test_what_feeds_have_told_is_written_down_at_the_end(node: Node) -> None:
    node.log.tell("feeds", "industry", Position(1, 7), [Told(HOLDER, 3)])
    await node.log.close()
    node.start_registry()
    assert [each.count for each in await node.logged()] == [3]


@pytest.mark.parametrize("line", [b"", b"{}", b"null", b'{"reading":"theft"}', b"\xff"])
def test_a_line_that_is_none_is_told(line: bytes) -> None:
    with pytest.raises(TornLine):
        parse_line(line)


def test_a_line_with_a_wrong_origin_is_told() -> None:
    assert origin_of(b'{"from":"worker-1:7"}') == ("worker-1", 7)
    with pytest.raises(TornLine):
        origin_of(b'{"from":"worker-1"}')


def reason_of(answer: Answer) -> Reason:
    assert isinstance(answer, Refused)
    return answer.refusal.reason
