"""The access log: whole lines in one chain, newest first, and nothing shown that is not written down."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from proto.errors import Reason, Refusal
from proto.model.access import Access, Reading
from proto.model.account import Caller, Role
from proto.model.day import DAY_MS
from registry.service import access_files as module
from registry.service.access import AccessLog
from registry.service.access_files import KEPT_DAYS, LAST, AccessFiles, Place, verify_access
from registry.service.bootstrap import FEEDS_ACCOUNT
from registry.service.context import Context
from tests.support.reader import NOW_MS, StoppedClock
from tests.support.world import EVERYBODY, HOLDER, OPERATOR, OTHER, holder

CITY = Context(Caller("platform", Role.CITY), "request-7")


def access(number: int, registrant: str = HOLDER) -> Access:
    return Access(NOW_MS + number, "platform", Reading.IDENTIFIER, registrant, f"88.118.1001/变-{number}", 1, f"r-{number}")


def write(files: AccessFiles, *numbers: int, registrant: str = HOLDER, days: int = 0) -> None:
    files.append([access(number, registrant) for number in numbers], NOW_MS + days * DAY_MS)


def numbers(files: AccessFiles, registrants: frozenset[str] | None = None, limit: int = 1_000) -> list[int]:
    """Of all readings, page by page."""
    found: list[int] = []
    place: Place | None = LAST
    while place is not None:
        page = files.read(registrants, place, limit)
        found += [each.at_ms - NOW_MS for each in page.accesses]
        place = page.next
    return found


def holds(folder: Path) -> bool:
    return not list(verify_access(folder))


@pytest.mark.parametrize("block", [1, 7, 100, 4_096])
@pytest.mark.parametrize("limit", [1, 3, 1_000])
def test_readings_come_back_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, limit: int) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", block)
    files = AccessFiles(tmp_path)
    write(files, 1, 2)
    write(files, 3, registrant=OTHER)
    write(files, 4, 5, days=1)
    write(files, 6, registrant="*", days=1)
    assert numbers(files, limit=limit) == [6, 5, 4, 3, 2, 1]
    assert numbers(files, frozenset({OTHER, "*"}), limit) == [6, 3]
    assert files.read(None, LAST, 1).accesses == [access(6, "*")]
    assert holds(tmp_path)


def test_only_so_much_is_looked_at_for_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LOOKED_AT_BYTES", 300)
    files = AccessFiles(tmp_path)
    write(files, 0, registrant=OTHER)
    write(files, *range(1, 20))
    first = files.read(frozenset({OTHER}), LAST, 10)
    assert not first.accesses
    assert first.next is not None
    assert numbers(files, frozenset({OTHER})) == [0]


def test_whoever_comes_next_goes_on_with_the_chain(tmp_path: Path) -> None:
    for day in range(3):
        for number in range(2):
            files = AccessFiles(tmp_path)
            write(files, 2 * day + number, days=day)
            files.close()
    assert numbers(AccessFiles(tmp_path)) == [5, 4, 3, 2, 1, 0]
    assert holds(tmp_path)


def test_a_clock_that_is_set_back_opens_no_day_that_is_over(tmp_path: Path) -> None:
    files = AccessFiles(tmp_path)
    write(files, 1, days=1)
    write(files, 2, days=0)
    files.close()
    again = AccessFiles(tmp_path)
    write(again, 3, days=0)
    assert len(os.listdir(tmp_path)) == 1
    assert numbers(again) == [3, 2, 1]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_end_is_cut_and_nothing_before_it(tmp_path: Path, cut: int) -> None:
    files = AccessFiles(tmp_path)
    write(files, 1)
    write(files, 2)
    files.close()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-cut])
    assert holds(tmp_path)
    again = AccessFiles(tmp_path)
    assert numbers(again) == [1]
    write(again, 3)
    assert numbers(again) == [3, 1]
    assert holds(tmp_path)


@pytest.mark.parametrize("harm", [b'"', b'","reading":', b'"account":"'])
def test_a_damaged_line_stops_neither_reading_nor_what_others_have_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: bytes
) -> None:
    files = AccessFiles(tmp_path)
    write(files, 1, 2, 3)
    files.close()
    (path,) = tmp_path.iterdir()
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(harm, b"?" * len(harm))
    path.write_bytes(b"".join(lines))
    monkeypatch.setattr(module, "MAX_DAY_BYTES", path.stat().st_size + 6 * len(lines[1]))
    again = AccessFiles(tmp_path)
    write(again, 4)
    assert numbers(again)[0] == 4
    assert again.append([access(number) for number in range(5, 9)], NOW_MS) == {"platform"}
    assert not holds(tmp_path)


@pytest.mark.parametrize("harm", ["a byte", "a line", "the first file", "the order"])
def test_what_was_changed_is_found(tmp_path: Path, harm: str) -> None:
    files = AccessFiles(tmp_path)
    for day in range(3):
        write(files, 1, 2, 3, days=day)
    files.close()
    first, middle, last = sorted(tmp_path.iterdir())
    lines = middle.read_bytes().splitlines(keepends=True)
    if harm == "a byte":
        middle.write_bytes(b"".join(lines).replace(b"r-2", b"r-9"))
    elif harm == "a line":
        middle.write_bytes(b"".join(lines[:2] + lines[3:]))
    elif harm == "the order":
        middle.write_bytes(b"".join([lines[0], lines[2], lines[1], lines[3]]))
    else:
        middle.unlink()
    assert not holds(tmp_path)
    # The oldest may go: it is no longer kept.
    if harm == "the first file":
        last.unlink()
        assert holds(tmp_path)
    assert first.exists()


def test_old_days_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEPT_DAYS > 180
    monkeypatch.setattr(module, "KEPT_DAYS", 4)
    files = AccessFiles(tmp_path)
    for day in range(5):
        write(files, day, days=day)
    assert numbers(files) == [4, 3, 2, 1, 0]
    write(files, 5, days=5)
    assert numbers(files) == [5, 4, 3, 2, 1]
    assert holds(tmp_path)


def test_a_clock_that_is_years_ahead_for_a_moment_makes_nothing_go(tmp_path: Path) -> None:
    files = AccessFiles(tmp_path)
    for day in range(3):
        write(files, day, days=day)
    write(files, 7, days=3_650)
    write(files, 8, days=3)
    files.close()
    again = AccessFiles(tmp_path)
    write(again, 9, days=3)
    assert numbers(again) == [9, 8, 7, 2, 1, 0]
    assert holds(tmp_path)


def test_what_fails_in_the_middle_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = AccessFiles(tmp_path)
    write(files, 1)

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "it failed")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(OSError, match="it failed"):
        write(files, 2)
    monkeypatch.undo()
    write(files, 3)
    assert numbers(files) == [3, 1]
    assert holds(tmp_path)


@pytest.mark.parametrize("left", [0, 1, 20, 80])
def test_a_day_that_was_only_begun_goes_on_with_the_chain(tmp_path: Path, left: int) -> None:
    """Killed, or out of room, in the middle of the first line of a new file: the one before says where the chain is."""
    files = AccessFiles(tmp_path)
    write(files, 1)
    write(files, 2, days=1)
    files.close()
    last = sorted(tmp_path.iterdir())[-1]
    last.write_bytes(last.read_bytes()[:left])
    assert holds(tmp_path)
    again = AccessFiles(tmp_path)
    write(again, 3, days=1)
    write(again, 4, days=2)
    assert numbers(again) == [4, 3, 1]
    assert holds(tmp_path)


def test_a_new_day_that_cannot_be_begun_is_begun_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = AccessFiles(tmp_path)
    write(files, 1)

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "it is full")

    monkeypatch.setattr(os, "fdatasync", fail)
    for days in (1, 2):
        with pytest.raises(OSError, match="it is full"):
            write(files, 2, days=days)
    monkeypatch.undo()
    write(files, 3, days=3)
    assert numbers(files) == [3, 1]
    assert holds(tmp_path)


async def test_the_city_is_written_down_and_nobody_else(tmp_path: Path) -> None:
    log = AccessLog(tmp_path, StoppedClock())
    for caller in (*(each for name, each in EVERYBODY.items() if name != "city"), Caller(FEEDS_ACCOUNT, Role.CITY)):
        await log.note(Context(caller), Reading.IDENTIFIER, (HOLDER,))
    assert not os.listdir(tmp_path)
    await log.note(CITY, Reading.IDENTIFIERS, [HOLDER, OTHER, HOLDER], "88.118.1001")
    await log.note(CITY, Reading.IDENTIFIERS, [])
    page = await log.page(OPERATOR, "*", "", 10)
    assert [(each.registrant, each.count, each.account, each.subject, each.request_id) for each in page.items] == [
        (OTHER, 1, "platform", "88.118.1001", "request-7"),
        (HOLDER, 2, "platform", "88.118.1001", "request-7"),
    ]
    await log.close()


async def test_a_registrant_sees_its_own_and_what_is_everybodys(tmp_path: Path) -> None:
    log = AccessLog(tmp_path, StoppedClock())
    for whose in (HOLDER, OTHER, "*", ""):
        await log.note(CITY, Reading.STATISTICS, (whose,))
    seen = await log.page(holder(), HOLDER, "", 10)
    assert [each.registrant for each in seen.items] == ["*", HOLDER]
    for caller, whose in ((holder(), OTHER), (holder(), "*"), (CITY.caller, HOLDER), (CITY.caller, "*")):
        with pytest.raises(Refusal) as refused:
            await log.page(caller, whose, "", 10)
        assert refused.value.reason is Reason.PERMISSION_DENIED
    for cursor in ("x", "%", "é", "a" * 100):
        with pytest.raises(Refusal) as refused:
            await log.page(OPERATOR, "*", cursor, 10)
        assert refused.value.field == "after"
    await log.close()


async def test_readings_at_once_share_what_they_wait_for_and_all_are_there(tmp_path: Path) -> None:
    log = AccessLog(tmp_path, StoppedClock())
    await asyncio.gather(*(log.note(CITY, Reading.IDENTIFIER, (HOLDER,), f"n-{number}") for number in range(200)))
    page = await log.page(OPERATOR, HOLDER, "", 1_000)
    assert {each.subject for each in page.items} == {f"n-{number}" for number in range(200)}
    assert holds(tmp_path)
    await log.close()


async def test_one_that_goes_away_takes_no_other_with_it(tmp_path: Path) -> None:
    log = AccessLog(tmp_path, StoppedClock())
    leaving = asyncio.create_task(log.note(CITY, Reading.IDENTIFIER, (HOLDER,), "leaving"))
    staying = asyncio.create_task(log.note(CITY, Reading.IDENTIFIER, (HOLDER,), "staying"))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    page = await log.page(OPERATOR, HOLDER, "", 10)
    assert {each.subject for each in page.items} == {"leaving", "staying"}
    await log.close()


async def test_what_cannot_be_written_down_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AccessLog(tmp_path / "access", StoppedClock())
    (tmp_path / "access").write_text("in the way")
    with pytest.raises(Refusal) as refused:
        await log.note(CITY, Reading.IDENTIFIER, (HOLDER,))
    assert refused.value.reason is Reason.STORE_FAILED
    (tmp_path / "access").unlink()
    monkeypatch.setattr(module, "check_room", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(Refusal) as refused:
        await log.note(CITY, Reading.IDENTIFIER, (HOLDER,))
    assert refused.value.reason is Reason.STORAGE_FULL
    monkeypatch.undo()
    await log.note(CITY, Reading.IDENTIFIER, (HOLDER,))
    await log.close()


async def read_until_refused(log: AccessLog, city: Context) -> int:
    """How often an account is let read."""
    for read in range(1_000):
        [refused] = await asyncio.gather(log.note(city, Reading.IDENTIFIER, (HOLDER,)), return_exceptions=True)
        if refused is not None:
            assert isinstance(refused, Refusal)
            assert refused.reason is Reason.QUOTA_EXCEEDED
            return read
    raise AssertionError("it is never refused")


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


@pytest.mark.parametrize("restarts", [False, True])
async def test_an_account_that_reads_without_end_is_refused_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarts: bool
) -> None:
    monkeypatch.setattr(module, "MAX_DAY_BYTES", limit := 16_384)
    clock = StoppedClock()
    log = AccessLog(tmp_path, clock)
    came_to = []
    for account in ("first", "second", "third"):
        city = Context(Caller(account, Role.CITY))
        came_to.append(await read_until_refused(log, city))
        if restarts:
            await log.close()
            log = AccessLog(tmp_path, clock)
        # Another one reads at the same moment, in the same writing.
        both = (log.note(each, Reading.IDENTIFIER, (HOLDER,)) for each in (city, CITY))
        assert [type(result) for result in await asyncio.gather(*both, return_exceptions=True)] == [Refusal, type(None)]
    # Each gets half of what the others have left, so the next one always gets something.
    assert came_to[0] > came_to[1] > came_to[2] > 3
    assert size_of(tmp_path) <= limit
    assert holds(tmp_path)
    # Another day begins with nothing.
    clock.now += DAY_MS
    await log.note(Context(Caller("first", Role.CITY)), Reading.IDENTIFIER, (HOLDER,))
    await log.close()
