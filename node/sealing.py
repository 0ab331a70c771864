"""The keys that papers are sealed with, as they are configured: 64 hexadecimal digits each (`openssl rand -hex 32`)."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from node.kinds import NO_SECRET

if TYPE_CHECKING:
    from node.config import Config

# A sentence would be guessed, and no number of rounds helps a bad one: keys are made, not thought of.
_KEY: Final = re.compile(r"[0-9A-Fa-f]{64}")

# Of former keys: one a year is a lot, and each is needed only until the node was started once with its successor.
MAX_FORMER_KEYS: Final = 16


def seal_keys(config: "Config") -> tuple[bytes, tuple[bytes, ...]]:
    """The present key, empty if there is none, and the former ones."""
    former = tuple(bytes.fromhex(each) for each in _split(config.node.seal_keys_former))
    return bytes.fromhex(config.node.seal_key.strip()), former


def mistakes_in_keys(config: "Config") -> Iterator[str]:
    """What is wrong with the keys, without repeating one."""
    wanted = "64 hexadecimal digits are wanted, such as `openssl rand -hex 32` makes"
    key, former = config.node.seal_key.strip(), _split(config.node.seal_keys_former)
    if key and not _KEY.fullmatch(key):
        yield f"node.seal_key: {wanted}"
    if not all(_KEY.fullmatch(each) for each in former):
        yield f"node.seal_keys_former: of each, {wanted}"
    if len(former) > MAX_FORMER_KEYS:
        yield f"node.seal_keys_former: at most {MAX_FORMER_KEYS} keys are of use"
    if former and not key:
        yield "node.seal_keys_former: a former key is of use only beside the present one, node.seal_key"


def without_keys(config: "Config") -> "Config":
    """The same configuration for who opens no seals."""
    return replace(config, node=replace(config.node, seal_key=NO_SECRET, seal_keys_former=NO_SECRET))


def _split(said: str) -> list[str]:
    return said.replace(",", " ").split()
