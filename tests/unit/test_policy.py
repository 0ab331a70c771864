"""Who may do what: the whole table, role by role, written down a second time."""

import pytest

from proto.errors import Reason, Refusal
from proto.model.account import Caller, GroupGrant, Role
from proto.model.answer import Found
from proto.model.query import Query
from proto.model.record import Record, State
from proto.model.value import Value
from proto.wire.handle.value import parse_value
from registry.policy.rules import EVERY_REGISTRANT, TABLE, Action, Reach, Standing, enter, judge, require, standing
from registry.policy.sight import groups_open, visible_record
from resolver.service import Service
from tests.support.reader import DictReader, StoppedClock
from tests.support.world import EVERYBODY, HOLDER, OPERATOR, OTHER, city, holder

# What nobody, the city, the upstream's account, another registrant, the holder, the operator may: - nothing, s shared, w whole.
EXPECTED = {
    Action.READ: "ssssww",
    Action.LIST: "-s--ww",
    Action.REGISTER: "----ww",
    Action.RETIRE: "----ww",
    Action.SUSPEND: "----ww",
    Action.FOLLOW: "-s--ww",
    Action.READ_PREFIX: "-sw-ww",
    Action.ADMINISTER_PREFIX: "-----w",
    Action.READ_REGISTRANT: "-sw-ww",
    Action.ADMINISTER_REGISTRANT: "-----w",
    Action.READ_PAPERS: "--w-ww",
    Action.ADMINISTER_PAPERS: "-----w",
    Action.READ_ACCOUNT: "----ww",
    Action.ADMINISTER_ACCOUNT: "-----w",
    Action.ROTATE_OWN_KEY: "-wwwww",
    Action.GRANT: "----ww",
    Action.RUN_JOB: "----ww",
    Action.READ_JOB: "----ww",
    Action.RUN_FEED: "-w---w",
    Action.ADMINISTER_FEED: "-----w",
    Action.RUN_SOURCE: "----ww",
    Action.LIFT_BRAKE: "-----w",
    Action.READ_FILING: "-sw-ww",
    Action.RUN_FILING: "--w--w",
    Action.ADMINISTER_FILING: "-----w",
    Action.READ_STATISTICS: "-sw-ww",
    Action.READ_ACCESS: "----ww",
}
LETTERS = {"-": Reach.NOTHING, "s": Reach.SHARED, "w": Reach.WHOLE}
WHO = dict(zip(("anonymous", "city", "upstream", "stranger", "holder", "operator"), Standing, strict=True))


def test_every_action_has_a_row_for_everybody() -> None:
    assert set(TABLE) == set(Action) == set(EXPECTED)
    assert all(len(row) == len(Standing) for row in TABLE.values())


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("action", Action)
def test_the_table_says(action: Action, who: str) -> None:
    caller, expected = EVERYBODY[who], LETTERS[EXPECTED[action][WHO[who]]]
    assert standing(caller, HOLDER) is WHO[who]
    assert judge(caller, action, HOLDER) is expected
    if expected:
        assert require(caller, action, HOLDER) is expected
        return
    with pytest.raises(Refusal) as refused:
        require(caller, action, HOLDER)
    assert refused.value.reason is (Reason.UNAUTHENTICATED if who == "anonymous" else Reason.PERMISSION_DENIED)


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("registrant", ["", EVERY_REGISTRANT, OTHER])
def test_nothing_of_the_node_of_all_or_of_others_is_a_registrants_own(action: Action, registrant: str) -> None:
    assert judge(holder(), action, registrant) is TABLE[action][Standing.STRANGER]


def test_an_account_without_a_registrant_holds_nothing() -> None:
    assert standing(Caller("odd", Role.REGISTRANT, ""), "") is Standing.STRANGER


def test_who_may_never_do_something_is_turned_away_before_anything_is_read() -> None:
    enter(holder(), Action.REGISTER)
    with pytest.raises(Refusal, match="may not create or change prefixes"):
        enter(holder(), Action.ADMINISTER_PREFIX)
    with pytest.raises(Refusal, match="API key"):
        enter(EVERYBODY["anonymous"], Action.REGISTER)


RECORD = Record(
    "88.118.1001/A",
    3,
    State.ACTIVE,
    (
        Value(1, "URL", b"https://example.com"),
        Value(2, "PRICE", b"1", audience="dealers", permissions=12),
        Value(3, "TEST", b"2", audience="inspectors", permissions=12),
        Value(4, "NOTE", b"3", audience="private", permissions=12),
    ),
    HOLDER,
    1,
    2,
)


@pytest.mark.parametrize(
    ("caller", "indexes"),
    [
        (EVERYBODY["anonymous"], {1}),
        (city(), {1}),
        (city(GroupGrant(HOLDER, "dealers")), {1, 2}),
        (city(GroupGrant(OTHER, "dealers")), {1}),
        (city(GroupGrant(HOLDER, "private")), {1}),
        (holder(OTHER), {1}),
        (holder(), {1, 2, 3, 4}),
        (OPERATOR, {1, 2, 3, 4}),
    ],
)
def test_a_caller_sees_what_is_public_what_its_groups_open_and_what_is_its_own(caller: Caller, indexes: set[int]) -> None:
    seen = visible_record(RECORD, caller, judge(caller, Action.READ, HOLDER))
    assert {value.index for value in seen.values} == indexes


@pytest.mark.parametrize(
    "caller", [*EVERYBODY.values(), city(GroupGrant(HOLDER, "dealers")), city(GroupGrant(OTHER, "dealers"))]
)
def test_the_resolver_shows_the_same_as_the_registry(caller: Caller) -> None:
    reader = DictReader()
    reader.put_prefix("88.118.1001", registrant=HOLDER)
    reader.put_record(RECORD.identifier, *RECORD.values, registrant=HOLDER)
    answer = Service(reader, StoppedClock()).resolve(Query(RECORD.identifier, "http", caller=caller))
    assert isinstance(answer, Found)
    resolved = {parse_value(packed)[0].index for packed in answer.values}
    seen = visible_record(RECORD, caller, judge(caller, Action.READ, HOLDER))
    assert resolved == {value.index for value in seen.values}


def test_a_group_called_private_opens_nothing_that_is_private() -> None:
    # The grant itself is refused where grants are made; this is what stands behind it.
    assert groups_open(city(GroupGrant(HOLDER, "private")), HOLDER) == frozenset()
