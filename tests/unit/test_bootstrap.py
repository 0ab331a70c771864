"""The first start of a node, the second one, and starts that were cut short."""

import asyncio
from pathlib import Path

import pytest

from proto.model.account import Role
from proto.model.prefix import PrefixState
from registry.service.bootstrap import FEEDS_ACCOUNT, OPERATOR_ACCOUNT, bootstrap
from tests.support.world import World, context


def begin(world: World, file: Path, *homed: str) -> str:
    asyncio.run(bootstrap(world.registry.executor, homed or ("88.118", "88.382"), {OPERATOR_ACCOUNT: file}))
    return file.read_text().strip() if file.exists() else ""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "operator-token"


def test_a_first_start_seeds_homes_and_lets_the_operator_in(file: Path) -> None:
    world = World()
    token = begin(world, file, "88.118", "88.382", "88.118")
    assert file.stat().st_mode & 0o777 == 0o600
    caller = world.registry.authenticate(token)
    assert (caller.account, caller.role) == (OPERATOR_ACCOUNT, Role.OPERATOR)
    for name in ("88.118", "88.382"):
        home = world.view.prefix(name)
        assert home is not None
        assert (home.state, home.registrant) == (PrefixState.APPROVED, "")
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_second_start_changes_nothing(file: Path) -> None:
    world = World()
    token = begin(world, file)
    head = world.store.head()
    assert begin(world, file, "99.1") == token
    assert world.store.head() == head


def test_a_start_cut_short_after_the_file_goes_on_with_its_key(file: Path) -> None:
    token = begin(World(), file)
    after_the_crash = World()
    assert begin(after_the_crash, file) == token
    assert after_the_crash.registry.authenticate(token).role is Role.OPERATOR


def test_a_file_that_is_gone_stays_gone_and_its_key_stays_good(file: Path) -> None:
    world = World()
    token = begin(world, file)
    file.unlink()
    assert begin(world, file) == ""
    assert world.registry.authenticate(token)


def test_a_key_that_was_changed_is_not_changed_back(file: Path) -> None:
    world = World()
    old = begin(world, file)
    operator = context(world.registry.authenticate(old))
    new = asyncio.run(world.registry.rotate_key(operator, OPERATOR_ACCOUNT)).token
    begin(world, file)
    assert world.registry.authenticate(new)


def test_an_empty_file_asks_for_a_new_key(file: Path) -> None:
    world = World()
    old = begin(world, file)
    file.write_text("\n")
    new = begin(world, file)
    assert new != old
    assert world.registry.authenticate(new).role is Role.OPERATOR
    with pytest.raises(Exception, match="not a valid key"):
        world.registry.authenticate(old)


def test_feeds_have_an_account_of_the_city_once_they_are_wanted(file: Path) -> None:
    world, feeds_file = World(), file.with_name("feeds-token")
    operator = begin(world, file)
    for _ in range(2):
        asyncio.run(bootstrap(world.registry.executor, (), {OPERATOR_ACCOUNT: file, FEEDS_ACCOUNT: feeds_file}))
        caller = world.registry.authenticate(feeds_file.read_text().strip())
        assert (caller.account, caller.role) == (FEEDS_ACCOUNT, Role.CITY)
    assert world.registry.authenticate(operator).role is Role.OPERATOR


@pytest.mark.parametrize("content", ["my password", "bj_somebody_secret", "ключ"])
def test_a_file_with_something_else_is_said_to_be_so(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(ValueError, match=r"operator|ascii"):
        begin(World(), file)
    assert file.read_text() == content
