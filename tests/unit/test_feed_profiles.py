"""Profiles: every mistake is named, by its key, and secrets do not show."""

from typing import Any

import pytest

from adapters.city.core.profile import ProfileMistakes, parse_profile
from tests.support.rows import make_profile

WEBHOOK = {"kind": "webhook", "url": "https://platform.example/events"}


def reveal(said: str) -> str:
    if said == "env:MISSING":
        raise ValueError("the environment has no MISSING")
    return said


@pytest.mark.parametrize(
    ("document", "mistake"),
    [
        ({}, "name: it is missing"),
        ({"name": "Platform"}, "name: "),
        ({"name": "x", "colour": "red"}, "colour: unknown key"),
        ({"name": "x", "select": []}, "select: a section is wanted"),
        ({"name": "x", "select": {"kinds": ["account"]}}, "select.kinds: "),
        ({"name": "x", "select": {"prefixes": "88.118"}}, "select.prefixes: a list"),
        ({"name": "x", "select": {"prefixes": ["88..118"]}}, "select.prefixes: "),
        ({"name": "x", "select": {"prefixes": ["88.ABC"]}}, "as it is stored: 88.abc"),
        ({"name": "x", "select": {"states": ["lost"]}}, "select.states: "),
        ({"name": "x", "select": {"share": ["none"]}}, "不予共享"),
        ({"name": "x", "select": {"share": ["secret"]}}, "select.share: "),
        ({"name": "x", "shape": {"fields": ["values."]}}, "shape.fields: "),
        ({"name": "x", "transport": {"kind": "pigeon", "url": "https://x/"}}, "transport.kind: "),
        ({"name": "x", "transport": {"kind": "webhook", "url": "ftp://x/"}}, "transport.url: "),
        ({"name": "x", "transport": {"kind": "webhook"}}, "transport.url: it is missing"),
        ({"name": "x", "transport": {**WEBHOOK, "secret": "env:MISSING"}}, "transport.secret: the environment"),
        ({"name": "x", "transport": {**WEBHOOK, "batch": 0}}, "transport.batch: "),
        ({"name": "x", "transport": {**WEBHOOK, "batch": True}}, "transport.batch: "),
        ({"name": "x", "transport": {**WEBHOOK, "timeout_s": 1e9}}, "transport.timeout_s: "),
        ({"name": "x", "retry": {"first_s": -1}}, "retry.first_s: "),
    ],
)
def test_a_mistake_is_named_by_its_key(document: dict[str, Any], mistake: str) -> None:
    whole = {"transport": WEBHOOK, **document}
    with pytest.raises(ProfileMistakes) as found:
        parse_profile(whole, reveal)
    assert any(mistake in each for each in found.value.mistakes), found.value.mistakes


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(ProfileMistakes) as found:
        parse_profile({"name": "X", "select": {"states": ["a", "b"]}, "transport": {}}, reveal)
    assert len(found.value.mistakes) == 5


def test_a_secret_does_not_show() -> None:
    profile = make_profile(transport={"secret": "our secret"})
    assert profile.place.secret == b"our secret"
    assert "our secret" not in repr(profile)
