"""Handing a prefix over and taking it back: who may, what can be followed, and what can be written meanwhile."""

import pytest

from proto.errors import Reason, Refusal
from proto.model.account import Caller
from proto.model.prefix import Delegation
from proto.model.value import Value
from proto.tables import pack_prefix, unpack_prefix
from proto.wire.handle.typed import InterfaceInfo, Purpose, ServerInfo, SiteInfo, Transport, compose_site
from registry.service.delegation import MAX_SITES, check_delegation
from registry.service.plan import Draft, Outcome
from resolver.upstream.sites import Endpoint
from tests.support.foreign_node import site
from tests.support.world import EVERYBODY, HOLDER, OPERATOR, World, context, holder

SITE = compose_site(site(Endpoint("10.0.0.7", 2641)))
THERE = Delegation((SITE,), "https://node.example:8443")
PREFIX = "88.118.1001"


@pytest.fixture
async def world() -> World:
    return await World().furnish()


def refusal_of(delegation: Delegation) -> Refusal:
    with pytest.raises(Refusal) as caught:
        check_delegation(delegation)
    assert caught.value.reason is Reason.INVALID_ARGUMENT
    return caught.value


def site_with(*faces: InterfaceInfo) -> bytes:
    return compose_site(SiteInfo((2, 0), 1, True, False, 2, b"", (), (ServerInfo(1, "10.0.0.7", b"", faces),)))


async def test_a_prefix_is_handed_over_and_taken_back(world: World) -> None:
    done = await world.registry.set_delegation(context(), PREFIX, THERE)
    assert done.outcomes[0].outcome is Outcome.REPLACED
    shown = await world.registry.show_prefix(context(), PREFIX)
    assert (shown.delegation, shown.version, shown.is_delegated) == (THERE, 2, True)
    again = await world.registry.set_delegation(context(), PREFIX, THERE)
    assert again.outcomes[0].outcome is Outcome.UNCHANGED
    await world.registry.set_delegation(context(), PREFIX, None, expected_version=2)
    shown = await world.registry.show_prefix(context(), PREFIX)
    assert (shown.delegation, shown.version, shown.is_delegated) == (None, 3, False)


@pytest.mark.parametrize("who", [who for who in EVERYBODY if who != "operator"])
async def test_only_the_operator_hands_prefixes_over(world: World, who: str) -> None:
    with pytest.raises(Refusal) as caught:
        await world.registry.set_delegation(context(EVERYBODY[who]), PREFIX, THERE)
    assert caught.value.reason is (Reason.UNAUTHENTICATED if who == "anonymous" else Reason.PERMISSION_DENIED)


async def test_a_version_that_was_not_expected_is_refused(world: World) -> None:
    with pytest.raises(Refusal) as caught:
        await world.registry.set_delegation(context(), PREFIX, THERE, expected_version=9)
    assert caught.value.reason is Reason.VERSION_CONFLICT


async def test_a_prefix_that_is_not_there_is_not_handed_over(world: World) -> None:
    with pytest.raises(Refusal) as caught:
        await world.registry.set_delegation(context(), "88.118.9", THERE)
    assert caught.value.reason is Reason.NOT_FOUND


@pytest.mark.parametrize(
    ("delegation", "field"),
    [
        (Delegation(()), "sites"),
        (Delegation((SITE,) * (MAX_SITES + 1)), "sites"),
        (Delegation((SITE, b"\0\1")), "sites[1]"),
        (Delegation((compose_site(site()),)), "sites[0]"),
        (Delegation((site_with(InterfaceInfo(Purpose.ADMIN, Transport.TCP, 2641)),)), "sites[0]"),
        (Delegation((site_with(InterfaceInfo(Purpose.QUERY, Transport.HTTP, 8000)),)), "sites[0]"),
        (Delegation((SITE + bytes(40_000),)), "sites"),
        (Delegation((SITE,), "ftp://node.example"), "url"),
        (Delegation((SITE,), "node.example"), "url"),
        (Delegation((SITE,), "http://node.example:x"), "url"),
        (Delegation((SITE,), "http://node.example/\r\nX: y"), "url"),
        (Delegation((SITE,), "http://node example"), "url"),
        (Delegation((SITE,), "http://node..example"), "url"),
        (Delegation((SITE,), "http://node.example/?a=b"), "url"),
        (Delegation((SITE,), "http://node.example/#top"), "url"),
        (Delegation((SITE,), "http://user:word@node.example/"), "url"),
        (Delegation((site_with(InterfaceInfo(Purpose.QUERY, Transport.TCP, 0)),)), "sites[0]"),
        (Delegation((site_with(InterfaceInfo(Purpose.QUERY, Transport.TCP, 70_000)),)), "sites[0]"),
        (Delegation((SITE,), "http://node.example/" + "a" * 3_000), "url"),
    ],
)
def test_what_no_client_could_follow_is_refused_by_its_member(delegation: Delegation, field: str) -> None:
    assert refusal_of(delegation).field == field


@pytest.mark.parametrize("caller", [OPERATOR, holder()])
async def test_below_a_delegated_prefix_nothing_is_written_here(world: World, caller: Caller) -> None:
    draft = Draft(f"{PREFIX}/x", (Value(1, "URL", b"u"),))
    await world.registry.register(context(caller), draft)
    await world.registry.set_delegation(context(), PREFIX, THERE)
    for name in ("x", "y"):
        with pytest.raises(Refusal) as caught:
            await world.registry.register(context(caller), Draft(f"{PREFIX}/{name}", (Value(1, "URL", b"v"),)))
        assert caught.value.reason is Reason.INVALID_STATE
    for change in (world.registry.retire, world.registry.suspend):
        with pytest.raises(Refusal) as caught:
            await change(context(caller), f"{PREFIX}/x")
        assert caught.value.reason is Reason.INVALID_STATE
    batch = await world.registry.register_batch(context(caller), [draft])
    assert batch.outcomes[0].reason is Reason.INVALID_STATE


async def test_no_alias_is_claimed_in_a_delegated_prefix(world: World) -> None:
    await world.registry.create_prefix(context(), "88.118.1003", HOLDER)
    await world.registry.set_delegation(context(), "88.118.1003", THERE)
    with pytest.raises(Refusal) as caught:
        await world.registry.register(context(), Draft(f"{PREFIX}/x", (), aliases=("88.118.1003/alias",)))
    assert caught.value.reason is Reason.INVALID_STATE


async def test_the_name_of_a_delegated_prefix_is_still_registered_here(world: World) -> None:
    await world.registry.set_delegation(context(), PREFIX, THERE)
    done = await world.registry.register(context(), Draft(f"0.NA/{PREFIX}", (Value(1, "DESC", b"d"),)))
    assert done.outcomes[0].outcome is Outcome.CREATED


async def test_what_was_registered_before_is_there_again_afterwards(world: World) -> None:
    await world.registry.register(context(), Draft(f"{PREFIX}/x", (Value(1, "URL", b"u"),)))
    await world.registry.set_delegation(context(), PREFIX, THERE)
    await world.registry.set_delegation(context(), PREFIX, None)
    assert (await world.registry.read(context(), f"{PREFIX}/x")).version == 1


async def test_a_delegation_survives_being_stored(world: World) -> None:
    await world.registry.set_delegation(context(), PREFIX, THERE)
    prefix = await world.registry.show_prefix(context(), PREFIX)
    assert unpack_prefix(pack_prefix(prefix)) == prefix
