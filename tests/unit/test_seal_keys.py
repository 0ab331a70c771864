"""Keys of seals as they are configured, and who is told of them."""

import pytest

from node.config import build_config, mistakes_between
from node.control import Assignment, parse_assignment
from node.kinds import Secret
from node.sealing import MAX_FORMER_KEYS, seal_keys
from node.supervisor import config_for
from tests.support.papers import KEY, OTHER_KEY


def test_keys_are_read_however_they_are_parted() -> None:
    said = {
        "node.seal_key": Secret(f" {KEY.hex().upper()}\n"),
        "node.seal_keys_former": Secret(f"{OTHER_KEY.hex()},\n{KEY.hex()}"),
    }
    config = build_config(said)
    assert list(mistakes_between(config)) == []
    assert seal_keys(config) == (KEY, (OTHER_KEY, KEY))
    assert seal_keys(build_config({})) == (b"", ())


@pytest.mark.parametrize(
    ("key", "former"),
    [("k" * 64, ""), (KEY.hex()[:-1], ""), (KEY.hex(), "x"), (KEY.hex(), f"{OTHER_KEY.hex()} " * (MAX_FORMER_KEYS + 1))],
)
def test_what_is_no_key_is_a_mistake_that_repeats_none(key: str, former: str) -> None:
    said = {"node.seal_key": Secret(key), "node.seal_keys_former": Secret(former)}
    (mistake,) = mistakes_between(build_config(said))
    assert mistake.startswith("node.seal_key")
    assert key not in mistake
    assert OTHER_KEY.hex() not in mistake


@pytest.mark.parametrize(("name", "is_told"), [("registry", True), ("worker-1", False), ("adapters", False)])
def test_the_registry_alone_is_told_the_keys(name: str, is_told: bool) -> None:
    said = {"node.seal_key": Secret(KEY.hex()), "node.seal_keys_former": Secret(OTHER_KEY.hex())}
    message = Assignment(name, config_for(name, build_config(said)), {}).compose()
    assert (KEY.hex() in message.decode()) is is_told
    assert (OTHER_KEY.hex() in message.decode()) is is_told
    key, _ = seal_keys(parse_assignment(message).config)
    assert key == (KEY if is_told else b"")
