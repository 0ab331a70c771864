"""The sample: what the contract names is there, loaded once, whole, and the same everywhere."""

import asyncio
import json
from collections import Counter

import pytest

from proto.model.value import PRIVATE, PUBLIC
from proto.packing import PackedRecord
from proto.wire.handle.typed import parse_admin
from registry.service.context import Context
from registry.service.plan import Draft
from registry.service.sample.load import ENTERPRISES, load_sample
from registry.service.sample.products import products, showpieces
from tests.support.world import OPERATOR, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def loaded() -> World:
    """A world with the sample, for tests that only look."""
    world = World()
    assert asyncio.run(load_sample(world.registry))
    return world


def stored(world: World, prefix: str) -> list[str]:
    return [name for name, _ in world.view.scan(prefix, "", 100_000)]


def test_the_sample_is_what_the_contract_says(loaded: World) -> None:
    assert [name for name in ("88.118", "88.382", "88.118.1002") if loaded.view.prefix(name) is None] == []
    assert len(stored(loaded, "88.118.1001")) == 5_002
    assert len(stored(loaded, "88.382.91411000ma40xcdl1k")) == 5_000
    assert stored(loaded, "88.118.1002") == []
    for code, _, prefix in ENTERPRISES:
        held = loaded.view.prefix(prefix.lower())
        assert held is not None
        assert held.registrant == code


def test_sample_1_has_the_five_values_of_the_contract(loaded: World) -> None:
    packed = loaded.view.record("88.118.1001/sample-1")
    assert packed is not None
    values = {value.index: value for value in PackedRecord(packed).unpack().values}
    assert {index: value.type for index, value in values.items()} == {
        1: "URL", 2: "TITLE", 3: "META", 100: "HS_ADMIN", 900: "NOTE",
    }  # fmt: skip
    assert [index for index, value in values.items() if value.audience == PRIVATE] == [900]
    assert "变压器" in values[2].data.decode()
    assert json.loads(values[3].data)["vn_hv_kv"] == 20
    assert parse_admin(values[100].data).handle == "88.118.1001/ADMIN"


async def test_the_sample_is_loaded_once(world: World) -> None:
    assert await load_sample(world.registry)
    before = world.view.position
    assert not await load_sample(world.registry)
    await world.registry.retire(Context(OPERATOR, "r"), "88.118.1001/SAMPLE-1")
    assert not await load_sample(world.registry)
    assert world.view.position.sequence == before.sequence + 1


async def test_a_store_that_holds_something_is_left_alone(world: World) -> None:
    await world.furnish()
    before = world.view.position
    assert not await load_sample(world.registry)
    assert world.view.position == before


@pytest.mark.parametrize("survived", [1, 14])
async def test_a_load_that_was_cut_short_is_gone_on_with(world: World, survived: int) -> None:
    left = survived

    def kill() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise asyncio.CancelledError

    world.committer.before_commit = kill
    with pytest.raises(asyncio.CancelledError):
        await load_sample(world.registry)
    world.committer.before_commit = None
    assert await load_sample(world.registry)
    assert len(stored(world, "88.118.1001")) == 5_002
    packed = world.view.record(stored(world, "88.118.1001")[0])
    assert packed is not None
    assert PackedRecord(packed).version == 1


def test_products_are_distinct_and_the_same_every_time() -> None:
    def flat(drafts: list[Draft]) -> list[tuple[str, tuple[bytes, ...]]]:
        return [(draft.identifier, tuple(value.data for value in draft.values)) for draft in drafts]

    drafts = [*products(), *showpieces()]
    assert flat(drafts) == flat([*products(), *showpieces()])
    assert len({draft.identifier.lower() for draft in drafts}) == 10_002
    assert Counter(value.audience for draft in drafts for value in draft.values)[PUBLIC] > 50_000
    assert {draft.values[1].data.decode().split(" ")[0] for draft in drafts} == {
        "电力变压器", "三绕组电力变压器", "电力电缆", "架空导线",
    }  # fmt: skip
