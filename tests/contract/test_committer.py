"""What the port of the committer promises to doors, by a whole primary on a real folder."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from proto.errors import Reason, Refusal
from proto.keys import record_key
from proto.limits import IDEMPOTENCY_DAYS, MAX_CHANGE_ROWS
from proto.model.change import START, Position
from proto.ports import Claim, Command, Committed, Conflict
from registry.commit.primary import Primary
from registry.commit.transaction import DAY_MS
from tests.support.commits import PREFIX, batch, findings, hold_prefix, register, running_primary
from tests.support.history import record_row
from tests.support.reader import StoppedClock


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def primary(data: Path) -> AsyncIterator[Primary]:
    async with running_primary(data) as opened:
        yield opened


async def test_commands_get_positions_without_gaps(primary: Primary) -> None:
    committed = [await primary.committer.commit(register(f"a-{number}")) for number in range(3)]
    assert [done.position for done in committed] == [Position(1, 1), Position(1, 2), Position(1, 3)]
    assert primary.head.position == Position(1, 3)


async def test_commands_at_once_share_syncs_and_all_arrive(data: Path) -> None:
    registry = CollectorRegistry()
    async with running_primary(data, registry=registry) as primary:
        await primary.committer.commit(hold_prefix())
        many = await asyncio.gather(*(primary.committer.commit(register(f"a-{number}")) for number in range(500)))
        assert sorted(done.position.sequence for done in many) == list(range(2, 502))
        groups = registry.get_sample_value("biaojie_commit_groups_total")
        assert groups is not None
        assert groups < 100
        assert registry.get_sample_value("biaojie_commits_total", {"outcome": "committed"}) == 501
        assert registry.get_sample_value("biaojie_commit_rows_total") == 501
        assert registry.get_sample_value("biaojie_log_head") == 501
    assert findings(data) == []


async def test_a_conflict_names_what_was_expected_and_found(primary: Primary) -> None:
    first = await primary.committer.commit(register("a"))
    with pytest.raises(Conflict) as conflict:
        await primary.committer.commit(register("a"))
    assert conflict.value == Conflict(first.position, record_key(f"{PREFIX}/a"), 0, 1, row=0)
    assert primary.head.position == first.position


async def test_the_row_of_a_batch_that_conflicts_is_counted_from_zero(primary: Primary) -> None:
    await primary.committer.commit(register("b"))
    rows = [record_row(f"{PREFIX}/{suffix}", 1) for suffix in "abc"]
    with pytest.raises(Conflict) as conflict:
        await primary.committer.commit(batch(rows))
    assert (conflict.value.row, conflict.value.key) == (1, record_key(f"{PREFIX}/b"))


async def test_of_two_writers_at_once_one_conflicts(primary: Primary) -> None:
    results = await asyncio.gather(
        *(primary.committer.commit(register("a", account=f"account-{number}")) for number in range(8)), return_exceptions=True
    )
    assert sum(isinstance(result, Committed) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 7


async def test_an_alias_is_claimed_once_and_can_be_released_and_change_hands(primary: Primary, data: Path) -> None:
    alias = f"{PREFIX}/code"
    await primary.committer.commit(hold_prefix())
    await primary.committer.commit(register("a", aliases=[alias]))
    with pytest.raises(Conflict) as conflict:
        await primary.committer.commit(register("b", aliases=[alias]))
    assert (conflict.value.row, conflict.value.key) == (None, record_key(alias))
    moved = Command(
        "acme", "r-move",
        [record_row(f"{PREFIX}/a", 2), record_row(f"{PREFIX}/b", 1, aliases=[alias])],
        claims=[Claim(alias, f"{PREFIX}/b")], releases=[Claim(alias, f"{PREFIX}/a")],
    )  # fmt: skip
    await primary.committer.commit(moved)
    await primary.close()
    assert findings(data) == []


async def test_a_release_of_what_another_holds_is_a_conflict(primary: Primary) -> None:
    alias = f"{PREFIX}/code"
    await primary.committer.commit(register("a", aliases=[alias]))
    await primary.committer.commit(register("b"))
    stolen = Command("acme", "r-steal", [record_row(f"{PREFIX}/b", 2)], releases=[Claim(alias, f"{PREFIX}/b")])
    with pytest.raises(Conflict) as conflict:
        await primary.committer.commit(stolen)
    assert (conflict.value.row, conflict.value.key) == (None, record_key(alias))


async def test_a_repeated_key_gives_the_first_outcome_again(primary: Primary) -> None:
    first = await primary.committer.commit(register("a", key="k-1"))
    again = await primary.committer.commit(register("a", key="k-1"))
    assert again == Committed(first.position, first.time_ms, b"a", replayed=True)
    assert await primary.committer.recall("acme", "k-1", b"b" * 32) == again
    assert primary.head.position == first.position


async def test_a_key_repeated_at_once_is_committed_once(primary: Primary) -> None:
    results = await asyncio.gather(*(primary.committer.commit(register("a", key="k-1")) for _ in range(16)))
    assert [result.replayed for result in results].count(False) == 1
    assert len({result.position for result in results}) == 1


async def test_a_key_with_another_body_is_refused(primary: Primary) -> None:
    await primary.committer.commit(register("a", key="k-1"))
    with pytest.raises(Refusal) as refused:
        await primary.committer.commit(register("b", key="k-1", body=b"c" * 32))
    assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH
    with pytest.raises(Refusal) as refused:
        await primary.committer.recall("acme", "k-1", b"c" * 32)
    assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_keys_belong_to_accounts(primary: Primary) -> None:
    await primary.committer.commit(register("a", key="k-1"))
    assert await primary.committer.recall("other", "k-1", b"b" * 32) is None
    other = await primary.committer.commit(register("b", key="k-1", account="other", body=b"c" * 32))
    assert not other.replayed


async def test_a_refusal_is_remembered_without_a_change(primary: Primary) -> None:
    refused = Command("acme", "r-1", (), idempotency_key="k-2", body_digest=b"d" * 32, outcome=b"no")
    assert not (await primary.committer.commit(refused)).replayed
    assert primary.head.position == Position(1, 0)
    again = await primary.committer.commit(refused)
    assert (again.replayed, again.outcome, again.position) == (True, b"no", START)


async def test_keys_are_kept_for_their_days_and_then_forgotten(data: Path) -> None:
    clock = StoppedClock()
    async with running_primary(data, clock) as primary:
        first = await primary.committer.commit(register("a", key="k-1"))
        clock.now += IDEMPOTENCY_DAYS * DAY_MS
        again = await primary.committer.commit(register("a", key="k-1"))
        assert (again.replayed, again.position) == (True, first.position)
        clock.now += DAY_MS
        assert await primary.committer.recall("acme", "k-1", b"b" * 32) is None
        assert not (await primary.committer.commit(register("a", 2, key="k-1"))).replayed


async def test_a_clock_that_is_set_back_forgets_no_key_and_turns_no_time_back(data: Path) -> None:
    clock = StoppedClock()
    async with running_primary(data, clock) as primary:
        first = await primary.committer.commit(register("a", key="k-1"))
        clock.now -= 2 * DAY_MS
        assert (await primary.committer.commit(register("a", key="k-1"))).replayed
        assert (await primary.committer.commit(register("b"))).time_ms == first.time_ms


async def test_what_no_store_could_accept_is_refused_by_name(primary: Primary) -> None:
    wrong = {
        Reason.BATCH_TOO_LARGE: batch([record_row(f"{PREFIX}/{number}", 1) for number in range(MAX_CHANGE_ROWS + 1)]),
        Reason.DUPLICATE_IDENTIFIER: batch([record_row(f"{PREFIX}/a", 1), record_row(f"{PREFIX}/a", 1)]),
        Reason.INVALID_ARGUMENT: Command("acme", "r-1", ()),
    }
    for reason, command in wrong.items():
        with pytest.raises(Refusal) as refused:
            await primary.committer.commit(command)
        assert refused.value.reason is reason
    large = batch([record_row(f"{PREFIX}/{number}", 1, size=100_000) for number in range(50)])
    with pytest.raises(Refusal) as refused:
        await primary.committer.commit(large)
    assert refused.value.reason is Reason.BATCH_TOO_LARGE


@pytest.mark.parametrize("request_id", ["r" * 5_000, "\udc80"])
async def test_names_that_fit_no_header_are_refused_and_harm_nobody(primary: Primary, request_id: str) -> None:
    with pytest.raises(Refusal) as refused:
        await primary.committer.commit(Command("acme", request_id, [record_row(f"{PREFIX}/a", 1)]))
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    await primary.committer.commit(register("a"))


async def test_every_command_is_counted_once(data: Path) -> None:
    registry = CollectorRegistry()
    async with running_primary(data, registry=registry) as primary:
        await primary.committer.commit(register("a", key="k"))
        await primary.committer.commit(register("a", key="k"))
        await primary.committer.recall("acme", "k", b"b" * 32)
        await primary.committer.commit(Command("acme", "r", (), idempotency_key="no", body_digest=b"d", outcome=b"no"))
        with pytest.raises(Conflict):
            await primary.committer.commit(register("a"))
        with pytest.raises(Refusal):
            await primary.committer.commit(Command("acme", "r-1", ()))
    kinds = ("committed", "replayed", "conflict", "refused", "failed")
    counted = [registry.get_sample_value("biaojie_commits_total", {"outcome": kind}) for kind in kinds]
    assert counted == [1, 1, 1, 2, 0]


async def test_a_sender_that_goes_away_does_not_take_its_command_back(primary: Primary) -> None:
    gone = asyncio.create_task(primary.committer.commit(register("a")))
    await asyncio.sleep(0)
    gone.cancel()
    later = await primary.committer.commit(register("b"))
    assert later.position == Position(1, 2)


async def test_everything_is_there_after_a_restart(data: Path) -> None:
    async with running_primary(data) as primary:
        await primary.committer.commit(hold_prefix())
        first = await primary.committer.commit(register("a", key="k-1"))
        head = primary.head
    assert findings(data) == []
    async with running_primary(data) as primary:
        assert primary.head == head
        assert (await primary.committer.commit(register("a", key="k-1"))).position == first.position
        assert (await primary.committer.commit(register("a", 2))).position == Position(1, 3)
    assert findings(data) == []


async def test_a_closed_committer_refuses(data: Path) -> None:
    async with running_primary(data) as primary:
        await primary.committer.commit(register("a"))
    with pytest.raises(Refusal) as refused:
        await primary.committer.commit(register("b"))
    assert refused.value.reason is Reason.NOT_READY
