"""Plans: what a batch of drafts comes to, row by row, and what is committed for it."""

from dataclasses import replace
from typing import Any

import pytest

from proto.errors import Reason, Refusal
from proto.limits import MAX_ALIASES, MAX_BATCH_ROWS, MAX_RECORD_BYTES
from proto.model.account import ANONYMOUS, Caller
from proto.model.change import Table
from proto.model.identifier import SuffixRule
from proto.model.prefix import PrefixState
from proto.model.record import Record, State
from proto.model.value import PUBLIC_READ, Value
from proto.packing import PackedRecord
from proto.ports import Claim
from proto.tables import unpack_prefix
from registry.service.plan import ABSENT, ANY_VERSION, Draft, Outcome, Plan, RowOutcome, plan_registrations, refused
from registry.service.register import plan_all_or_nothing
from tests.support.reader import NOW_MS
from tests.support.world import HOLDER, OPERATOR, World, city, context, holder

NOW_S = NOW_MS // 1000
URL = Value(1, "URL", b"https://example.com/1")
TITLE = Value(2, "TITLE", "变压器".encode())


def draft(name: str = "A", *values: Value, **more: Any) -> Draft:
    return Draft(f"88.118.1001/{name}", values or (URL,), **more)


@pytest.fixture
async def world() -> World:
    return await World().furnish()


def plan(world: World, *drafts: Draft | RowOutcome, by: Caller | None = None, now_ms: int = NOW_MS) -> Plan:
    return plan_registrations(world.view, by or holder(), drafts, now_ms)


def why(outcome: RowOutcome) -> tuple[Reason | None, str]:
    return outcome.reason, outcome.field


async def register(world: World, *drafts: Draft, by: Caller = OPERATOR) -> None:
    written = await world.registry.register_batch(context(by), drafts)
    assert all(each.outcome is not Outcome.REFUSED for each in written.outcomes), written


def stored(world: World, name: str) -> Record:
    raw = world.view.record(f"88.118.1001/{name.lower()}")
    assert raw is not None
    return PackedRecord(raw).unpack()


async def test_a_new_identifier_is_packed_whole_with_what_it_expects(world: World) -> None:
    planned = plan(world, draft("Ab-1", URL, TITLE, template="t"))
    assert planned.outcomes == [RowOutcome("88.118.1001/Ab-1", Outcome.CREATED, 1)]
    row, mark = planned.rows
    assert (row.table, row.name, row.version, row.prior_version) == (Table.RECORD, "88.118.1001/ab-1", 1, 0)
    record = PackedRecord(row.image).unpack()
    values = (replace(URL, timestamp=NOW_S), replace(TITLE, timestamp=NOW_S))
    assert record == Record("88.118.1001/Ab-1", 1, State.ACTIVE, values, HOLDER, NOW_MS, NOW_MS, "t")
    assert (mark.table, unpack_prefix(mark.image).in_use, mark.prior_version) == (Table.PREFIX, True, 1)


async def test_a_prefix_is_marked_as_used_once(world: World) -> None:
    assert [row.table for row in plan(world, draft("A"), draft("B")).rows] == [Table.RECORD, Table.RECORD, Table.PREFIX]
    await register(world, draft("A"))
    assert [row.table for row in plan(world, draft("B")).rows] == [Table.RECORD]


async def test_the_same_again_is_no_change_whatever_the_time_the_order_and_the_case(world: World) -> None:
    await register(world, draft("A", URL, TITLE))
    planned = plan(world, Draft("88.118.1001/a", (TITLE, URL)), now_ms=NOW_MS + 5_000)
    assert planned.rows == []
    assert planned.outcomes == [RowOutcome("88.118.1001/a", Outcome.UNCHANGED, 1)]


@pytest.mark.parametrize(
    "other",
    [
        draft("A", replace(URL, data=b"x")),
        draft("A", replace(URL, type="URN")),
        draft("A", replace(URL, ttl=1)),
        draft("A", replace(URL, index=9)),
        draft("A", replace(URL, audience="dealers")),
        draft("A", replace(URL, timestamp=7)),
        draft("A", URL, TITLE),
        draft("A", URL, template="t"),
        draft("A", URL, aliases=("88.118.1001/B",)),
    ],
)
async def test_anything_else_is_a_new_version(world: World, other: Draft) -> None:
    await register(world, draft("A"))
    before = stored(world, "A")
    planned = plan(world, other, now_ms=NOW_MS + 5_000)
    (row,) = planned.rows
    assert (row.version, row.prior_version) == (2, 1)
    after = PackedRecord(row.image).unpack()
    assert (after.created_ms, after.changed_ms, after.identifier) == (NOW_MS, NOW_MS + 5_000, before.identifier)


async def test_a_value_keeps_its_time_while_it_is_as_it_was(world: World) -> None:
    await register(world, draft("A", URL, TITLE))
    planned = plan(world, draft("A", URL, replace(TITLE, data=b"new")), now_ms=NOW_MS + 9_000)
    times = {value.index: value.timestamp for value in PackedRecord(planned.rows[0].image).unpack().values}
    assert times == {1: NOW_S, 2: NOW_S + 9}


async def test_time_never_runs_backwards_in_a_record(world: World) -> None:
    await register(world, draft("A"))
    planned = plan(world, draft("A", TITLE), now_ms=NOW_MS - 60_000)
    assert PackedRecord(planned.rows[0].image).changed_ms == NOW_MS


async def test_the_public_read_bit_follows_the_audience_whatever_a_door_says(world: World) -> None:
    planned = plan(world, draft("A", replace(URL, permissions=0), replace(TITLE, audience="private", permissions=15)))
    permissions = {value.index: value.permissions for value in PackedRecord(planned.rows[0].image).unpack().values}
    assert permissions == {1: PUBLIC_READ, 2: 12}


@pytest.mark.parametrize(
    ("stored_version", "expected", "fits"),
    [
        (0, None, True), (0, ABSENT, True), (0, ANY_VERSION, False), (0, 1, False),
        (1, None, True), (1, ABSENT, False), (1, ANY_VERSION, True), (1, 1, True), (1, 2, False),
    ],
)  # fmt: skip
async def test_an_expected_version_holds_or_the_row_is_refused(
    world: World, stored_version: int, expected: int | None, fits: bool
) -> None:
    if stored_version:
        await register(world, draft("A"))
    (outcome,) = plan(world, draft("A", TITLE, expected_version=expected)).outcomes
    assert (outcome.outcome is not Outcome.REFUSED) == fits
    assert fits or why(outcome) == (Reason.VERSION_CONFLICT, "expected_version")


async def test_only_if_absent_replaces_nothing(world: World) -> None:
    await register(world, draft("A"))
    outcomes = plan(world, draft("A", TITLE, only_if_absent=True), draft("B", only_if_absent=True)).outcomes
    assert [each.reason for each in outcomes] == [Reason.ALREADY_EXISTS, None]


async def test_a_suspended_record_may_be_mended_and_stays_suspended(world: World) -> None:
    await register(world, draft("A"))
    await world.registry.suspend(context(), "88.118.1001/A")
    (outcome,) = plan(world, draft("A", TITLE)).outcomes
    assert (outcome.outcome, outcome.state) == (Outcome.REPLACED, State.SUSPENDED)


async def test_a_tombstone_is_not_registered_again_by_anybody(world: World) -> None:
    await register(world, draft("A"))
    await world.registry.retire(context(), "88.118.1001/A")
    for caller in (holder(), OPERATOR):
        assert why(plan(world, draft("A", expected_version=2), by=caller).outcomes[0]) == (Reason.RETIRED, "identifier")


@pytest.mark.parametrize(
    ("bad", "reason", "field"),
    [
        (Draft("", ()), Reason.INVALID_IDENTIFIER, "identifier"),
        (Draft("88.118.1001/\x07", ()), Reason.INVALID_IDENTIFIER, "identifier"),
        (Draft("88.118.1001/\ud800", ()), Reason.INVALID_IDENTIFIER, "identifier"),
        (Draft("99.1/x", ()), Reason.NOT_HOMED, "identifier"),
        (Draft("88.118.77/x", ()), Reason.UNKNOWN_PREFIX, "identifier"),
        (Draft("88.118.1002/x", ()), Reason.PERMISSION_DENIED, "identifier"),
        (Draft("88.118/x", ()), Reason.PERMISSION_DENIED, "identifier"),
        (draft("x", URL, URL), Reason.DUPLICATE_INDEX, "values[1].index"),
        (draft("x", replace(URL, index=0)), Reason.INVALID_VALUE, "values[0].index"),
        (draft("x", replace(URL, type=" URL")), Reason.INVALID_VALUE, "values[0].type"),
        (draft("x", replace(URL, type="URL.")), Reason.INVALID_VALUE, "values[0].type"),
        (draft("x", replace(URL, audience="")), Reason.INVALID_VALUE, "values[0].audience"),
        (draft("x", replace(URL, data=b"x" * (MAX_RECORD_BYTES + 1))), Reason.VALUE_TOO_LARGE, "values[0].data"),
        (draft("x", replace(URL, data=b"x" * MAX_RECORD_BYTES)), Reason.RECORD_TOO_LARGE, "values"),
        (draft("x", template="\n"), Reason.INVALID_ARGUMENT, "template"),
        (draft("x", template="\ud800"), Reason.INVALID_ARGUMENT, "template"),
        (draft("x", aliases=tuple(f"88.118.1001/{n}" for n in range(MAX_ALIASES + 1))), Reason.INVALID_ARGUMENT, "aliases"),
    ],
)
async def test_a_row_that_cannot_be_is_refused_and_hinders_no_other(
    world: World, bad: Draft, reason: Reason, field: str
) -> None:
    planned = plan(world, draft("A"), bad, draft("B"))
    first, wrong, last = planned.outcomes
    assert why(wrong) == (reason, field)
    assert wrong.detail
    assert (first.outcome, last.outcome) == (Outcome.CREATED, Outcome.CREATED)
    assert [row.name for row in planned.rows if row.table is Table.RECORD] == ["88.118.1001/a", "88.118.1001/b"]


@pytest.mark.parametrize("state", [each for each in PrefixState if each is not PrefixState.APPROVED])
async def test_only_below_an_approved_prefix_is_registered(world: World, state: PrefixState) -> None:
    steps = {
        PrefixState.DRAFT: (PrefixState.DRAFT,),
        PrefixState.SUBMITTED: (PrefixState.SUBMITTED,),
        PrefixState.REJECTED: (PrefixState.SUBMITTED, PrefixState.REJECTED),
        PrefixState.SUSPENDED: (PrefixState.APPROVED, PrefixState.SUSPENDED),
    }[state]
    await world.registry.create_prefix(context(), "88.118.5", HOLDER, state=steps[0])
    for step in steps[1:]:
        await world.registry.move_prefix(context(), "88.118.5", step)
    (outcome,) = plan(world, Draft("88.118.5/x", ()), by=OPERATOR).outcomes
    suspended = state is PrefixState.SUSPENDED
    assert outcome.reason is (Reason.PREFIX_SUSPENDED if suspended else Reason.PREFIX_NOT_APPROVED)


async def test_a_row_that_a_door_could_not_read_keeps_its_place(world: World) -> None:
    unread = refused("88.118.1001/?", Refusal(Reason.INVALID_VALUE, "no", "values[3]"))
    planned = plan(world, draft("A"), unread, draft("B"))
    assert planned.outcomes[1] is unread
    assert [each.outcome for each in planned.outcomes] == [Outcome.CREATED, Outcome.REFUSED, Outcome.CREATED]


async def test_of_two_spellings_of_one_identifier_the_second_is_refused(world: World) -> None:
    first, second = plan(world, draft("Ab"), draft("aB")).outcomes
    assert first.outcome is Outcome.CREATED
    assert why(second) == (Reason.DUPLICATE_IDENTIFIER, "identifier")


async def test_exact_suffixes_stay_apart(world: World) -> None:
    await world.registry.create_prefix(context(), "88.118.6", HOLDER, SuffixRule.EXACT)
    planned = plan(world, Draft("88.118.6/Ab", ()), Draft("88.118.6/aB", ()))
    assert [row.name for row in planned.rows if row.table is Table.RECORD] == ["88.118.6/Ab", "88.118.6/aB"]


async def test_who_may_not_register_at_all_gets_no_plan(world: World) -> None:
    with pytest.raises(Refusal) as nobody:
        plan(world, draft("A"), by=ANONYMOUS)
    assert nobody.value.reason is Reason.UNAUTHENTICATED
    with pytest.raises(Refusal) as denied:
        plan(world, draft("A"), by=city())
    assert denied.value.reason is Reason.PERMISSION_DENIED


async def test_a_batch_has_a_limit(world: World) -> None:
    with pytest.raises(Refusal) as refusal:
        plan(world, *[draft(str(number), TITLE) for number in range(MAX_BATCH_ROWS + 1)])
    assert refusal.value.reason is Reason.BATCH_TOO_LARGE
    full = plan(world, *[draft(str(number), TITLE) for number in range(MAX_BATCH_ROWS)])
    assert len(full.rows) == MAX_BATCH_ROWS + 1


async def test_all_or_nothing_names_the_first_row_that_is_refused(world: World) -> None:
    with pytest.raises(Refusal) as refusal:
        plan_all_or_nothing(world.view, holder(), [draft("A"), Draft("99.1/x", ()), Draft("88.118.1002/x", ())], NOW_MS)
    assert (refusal.value.reason, refusal.value.row) == (Reason.NOT_HOMED, 1)


# Aliases


def alias(name: str) -> str:
    return f"88.118.1001/{name}"


async def test_aliases_are_claimed_and_released_as_the_list_changes(world: World) -> None:
    planned = plan(world, draft("A", aliases=(alias("One"), alias("Two"))))
    target = "88.118.1001/a"
    assert planned.claims == [Claim("88.118.1001/one", target), Claim("88.118.1001/two", target)]
    await register(world, draft("A", aliases=(alias("One"), alias("Two"))))
    planned = plan(world, draft("A", aliases=(alias("TWO"), alias("Three"))))
    assert planned.claims == [Claim("88.118.1001/three", target)]
    assert planned.releases == [Claim("88.118.1001/one", target)]
    assert PackedRecord(planned.rows[0].image).aliases == (alias("TWO"), alias("Three"))


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (alias("taken"), Reason.ALIAS_TAKEN),
        (alias("other"), Reason.ALIAS_TAKEN),
        (alias("retired"), Reason.ALIAS_TAKEN),
        (alias("in-batch"), Reason.ALIAS_TAKEN),
        (alias("claimed-in-batch"), Reason.ALIAS_TAKEN),
        (alias("A"), Reason.INVALID_ARGUMENT),
        ("0.NA/88.118.1001", Reason.INVALID_ARGUMENT),
        ("88.118.1002/x", Reason.PERMISSION_DENIED),
        ("88.118/x", Reason.PERMISSION_DENIED),
        ("99.1/x", Reason.NOT_HOMED),
        ("", Reason.INVALID_IDENTIFIER),
    ],
)
async def test_an_alias_is_free_and_in_ones_own_space(world: World, wanted: str, reason: Reason) -> None:
    await register(world, draft("other", aliases=(alias("taken"),)), draft("retired"))
    await world.registry.retire(context(), alias("retired"))
    outcomes = plan(world, draft("in-batch"), draft("Z", aliases=(alias("claimed-in-batch"),)), draft("A", aliases=(wanted,)))
    assert why(outcomes.outcomes[2]) == (reason, "aliases[0]")
    assert [claim.alias for claim in outcomes.claims] == ["88.118.1001/claimed-in-batch"]


async def test_the_operator_cannot_give_a_record_an_alias_in_anothers_space_either(world: World) -> None:
    (outcome,) = plan(world, draft("A", aliases=("88.118.1002/x",)), by=OPERATOR).outcomes
    assert why(outcome) == (Reason.PERMISSION_DENIED, "aliases[0]")


async def test_a_refused_row_claims_nothing(world: World) -> None:
    big = replace(URL, data=b"x" * MAX_RECORD_BYTES)
    first, second = plan(world, draft("A", big, aliases=(alias("x"),)), draft("B", aliases=(alias("x"),))).outcomes
    assert first.reason is Reason.RECORD_TOO_LARGE
    assert second.outcome is Outcome.CREATED


async def test_an_alias_is_no_place_to_register(world: World) -> None:
    await register(world, draft("A", aliases=(alias("B"),)))
    assert why(plan(world, draft("B")).outcomes[0]) == (Reason.ALIAS_TAKEN, "identifier")
    for verb in (world.registry.retire, world.registry.suspend, world.registry.resume):
        with pytest.raises(Refusal) as refusal:
            await verb(context(), alias("B"))
        assert refusal.value.reason is Reason.ALIAS_TAKEN


async def test_an_alias_alone_fixes_how_suffixes_compare(world: World) -> None:
    await world.registry.create_prefix(context(), "88.118.6", HOLDER)
    await register(world, draft("A", aliases=("88.118.6/x",)))
    with pytest.raises(Refusal) as refusal:
        await world.registry.set_suffix_rule(context(), "88.118.6", SuffixRule.EXACT)
    assert refusal.value.reason is Reason.INVALID_STATE


async def test_the_name_of_a_prefix_fixes_nothing(world: World) -> None:
    await world.registry.create_prefix(context(), "88.118.6", HOLDER)
    planned = plan(world, Draft("88.118.6", (URL,)))
    assert [(row.table, row.name) for row in planned.rows] == [(Table.RECORD, "0.na/88.118.6")]
    assert PackedRecord(planned.rows[0].image).identifier == "0.NA/88.118.6"
