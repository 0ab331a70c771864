"""Carrying plans out: conflicts, old views, idempotency keys, and what is remembered."""

import asyncio

import pytest

from proto.errors import Reason, Refusal
from proto.model.account import ANONYMOUS
from proto.model.change import START, Position
from proto.model.record import State
from proto.model.value import Value
from proto.packing import PackedRecord
from registry.service.execute import MAX_ATTEMPTS, PASSING, Written
from registry.service.memory import AtomicRefusal, compose_outcome, parse_outcome
from registry.service.patch import Patch
from registry.service.plan import Draft, Outcome, RowOutcome
from registry.service.register import Mode
from tests.support.world import World, context, holder

ONE = "88.118.1001/A"
URL = Value(1, "URL", b"https://example.com/1")
TITLE = Value(2, "TITLE", b"t")
OTHER = Value(1, "URL", b"https://example.com/2")


@pytest.fixture
async def world() -> World:
    return await World().furnish()


async def register(world: World, *values: Value, expected: int | None = None, key: str = "") -> Written:
    draft = Draft(ONE, values or (URL,), expected_version=expected)
    return await world.registry.register(context(holder(), key, repr(draft).encode()), draft)


def stored(world: World) -> PackedRecord:
    raw = world.view.record(ONE.lower())
    assert raw is not None
    return PackedRecord(raw)


async def test_a_write_stands_at_the_position_it_names(world: World) -> None:
    written = await register(world)
    assert written.position == world.store.head().position
    assert written.time_ms == world.clock.now_ms()
    (change,) = world.stream.read(Position(1, written.position.sequence - 1), 10)
    assert (change.actor, change.request_id) == ("holder", "request-1")


async def test_what_is_unchanged_stands_where_the_view_is(world: World) -> None:
    first = await register(world)
    again = await register(world)
    assert (again.outcomes[0].outcome, again.position, again.time_ms) == (Outcome.UNCHANGED, first.position, 0)


async def test_a_write_that_comes_in_between_is_seen_and_built_upon(world: World) -> None:
    await register(world)

    def interfere() -> None:
        world.committer.before_commit = None
        patch = world.registry.patch(context(), ONE, Patch(set=(TITLE,)))
        with pytest.raises(StopIteration):
            patch.send(None)  # the store in memory never waits

    world.committer.before_commit = interfere
    written = await world.registry.patch(context(holder()), ONE, Patch(set=(OTHER,)))
    assert written.outcomes[0].version == 3
    assert {value.index for value in stored(world).unpack().values} == {1, 2}


async def test_what_was_expected_is_judged_again_after_a_conflict(world: World) -> None:
    await register(world)

    def interfere() -> None:
        world.committer.before_commit = None
        with pytest.raises(StopIteration):
            world.registry.suspend(context(), ONE).send(None)

    world.committer.before_commit = interfere
    with pytest.raises(Refusal) as refusal:
        await register(world, OTHER, expected=1)
    assert refusal.value.reason is Reason.VERSION_CONFLICT
    assert stored(world).state is State.SUSPENDED


async def test_a_crowd_is_not_waited_out_for_ever(world: World) -> None:
    await register(world)
    attempts = 0

    def crowd() -> None:
        nonlocal attempts
        attempts += 1
        world.committer.before_commit = None
        with pytest.raises(StopIteration):
            world.registry.patch(context(), ONE, Patch(set=(Value(9, "N", str(attempts).encode()),))).send(None)
        world.committer.before_commit = crowd

    world.committer.before_commit = crowd
    with pytest.raises(Refusal) as refusal:
        await register(world, OTHER)
    assert (refusal.value.reason, attempts) == (Reason.OVERLOADED, MAX_ATTEMPTS)
    assert refusal.value.retry_after_s


async def test_an_old_view_decides_nothing(world: World) -> None:
    # A to B and back to A: a view that still shows the first A must not call the second one unchanged.
    await register(world, URL)
    world.view.freeze()
    await register(world, OTHER)
    assert world.view.position < world.store.head().position
    written = await register(world, URL)
    assert (written.outcomes[0].outcome, written.outcomes[0].version) == (Outcome.REPLACED, 3)
    world.view.freeze()
    await world.registry.retire(context(holder()), ONE)
    assert world.view.position < world.store.head().position
    with pytest.raises(Refusal) as refusal:
        await world.registry.read(context(holder()), ONE)
    assert refusal.value.reason is Reason.RETIRED


async def test_a_read_waits_for_the_position_it_names(world: World) -> None:
    head = world.store.head().position
    ahead = Position(head.epoch, head.sequence + 1)
    reading = asyncio.create_task(world.registry.read(context(), ONE, ahead))
    await asyncio.sleep(0)
    await register(world)
    assert (await reading).version == 1


async def test_a_key_makes_a_retry_harmless(world: World) -> None:
    first = await register(world, key="k")
    count = len(world.committer.commands)
    again = await register(world, key="k")
    assert again == Written(first.outcomes, first.position, first.time_ms, replayed=True)
    assert len(world.committer.commands) == count


async def test_two_requests_with_one_key_at_once_are_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def recall_nothing(account: str, key: str, digest: bytes) -> None:
        """As if both had looked before either wrote."""

    monkeypatch.setattr(world.committer, "recall", recall_nothing)
    first = await register(world, key="k")
    second = await register(world, key="k")
    assert (second.replayed, second.outcomes, second.position) == (True, first.outcomes, first.position)


async def test_an_unchanged_outcome_is_remembered_too(world: World) -> None:
    await register(world)
    first = await register(world, key="k")
    await register(world, OTHER)
    again = await register(world, key="k")
    assert first.outcomes[0].outcome is again.outcomes[0].outcome is Outcome.UNCHANGED
    assert again.replayed
    assert again.position != START


async def test_a_refusal_is_remembered_with_all_that_it_says(world: World) -> None:
    refusals = []
    for _ in range(2):
        with pytest.raises(Refusal) as refusal:
            await register(world, Value(0, "URL", b""), key="k")
        refusals.append(refusal.value)
        await register(world)
    assert refusals[0] == refusals[1]
    with pytest.raises(Refusal) as mismatch:
        await register(world, URL, key="k")
    assert mismatch.value.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_a_key_is_ones_own(world: World) -> None:
    await register(world, key="k")
    other = Draft("88.118.1002/B", (URL,))
    written = await world.registry.register(context(holder("91411002MA45TEKA4M", "stranger"), "k", b"x"), other)
    assert not written.replayed


async def test_nobody_in_particular_has_no_keys(world: World) -> None:
    count = len(world.committer.commands)
    for _ in range(2):
        with pytest.raises(Refusal) as refusal:
            await world.registry.register(context(ANONYMOUS, "k"), Draft(ONE, (URL,)))
        assert refusal.value.reason is Reason.UNAUTHENTICATED
    assert len(world.committer.commands) == count


@pytest.mark.parametrize("reason", sorted(PASSING))
async def test_what_may_pass_by_itself_is_not_remembered(world: World, reason: Reason) -> None:
    def trouble() -> None:
        raise Refusal(reason, "for now")

    world.committer.before_commit = trouble
    with pytest.raises(Refusal):
        await register(world, key="k")
    world.committer.before_commit = None
    assert (await register(world, key="k")).outcomes[0].outcome is Outcome.CREATED


async def test_an_atomic_refusal_comes_back_with_every_row(world: World) -> None:
    drafts = [Draft(ONE, (URL,)), Draft("99.1/x", ())]
    told = []
    for _ in range(2):
        with pytest.raises(AtomicRefusal) as refusal:
            await world.registry.register_batch(context(holder(), "k"), drafts, Mode.ATOMIC)
        told.append(refusal.value)
    assert told[0] == told[1]
    assert [each.outcome for each in told[1].outcomes] == [Outcome.CREATED, Outcome.REFUSED]
    assert told[1].row == 1


async def test_a_change_that_is_too_large_is_refused_before_it_is_sent(world: World) -> None:
    drafts = [Draft(f"88.118.1001/{number}", (Value(1, "D", b"x" * 250_000),)) for number in range(17)]
    count = len(world.committer.commands)
    with pytest.raises(Refusal) as refusal:
        await world.registry.register_batch(context(holder()), drafts)
    assert refusal.value.reason is Reason.BATCH_TOO_LARGE
    assert len(world.committer.commands) == count


@pytest.mark.parametrize(
    ("outcomes", "refusal"),
    [
        (
            (RowOutcome("88.1/x", Outcome.CREATED, 1), RowOutcome("88.1/变", Outcome.UNCHANGED, 7, state=1, image=b"\0\xff")),
            None,
        ),
        ((RowOutcome("\ud800", Outcome.REFUSED, 0, Reason.INVALID_VALUE, "values[0]", "why"),), None),
        ((), Refusal(Reason.NOT_FOUND, "nothing", "identifier", 3)),
    ],
)
def test_what_is_remembered_is_what_was_said(outcomes: tuple[RowOutcome, ...], refusal: Refusal | None) -> None:
    raw = compose_outcome(outcomes, refusal)
    if refusal is None:
        assert parse_outcome(raw) == outcomes
        return
    with pytest.raises(Refusal) as raised:
        parse_outcome(raw)
    assert raised.value == refusal
