"""Profiles: every mistake is named, by its key, and secrets do not show."""

from typing import Any

import pytest

from adapters.city.core.places import WebhookPlace
from adapters.city.core.profile import parse_profile
from adapters.section import ProfileMistakes
from tests.support.rows import make_profile

REDIS = {"kind": "redis", "url": "redis://127.0.0.1/0", "stream": "s"}
FILES = {"kind": "files", "folder": "/srv/exchange"}
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
        ({"name": "x", "shape": {"members": []}}, "shape.members: a section"),
        ({"name": "x", "shape": {"members": {"Code": "identifier"}}}, "shape.members.Code: a member's name"),
        ({"name": "x", "shape": {"members": {"state": "identifier"}}}, "shape.members.state: a member's name"),
        ({"name": "x", "shape": {"members": {"code": "values"}}}, "shape.members.code: a source"),
        ({"name": "x", "shape": {"members": {"code": {"pattern": "x"}}}}, "shape.members.code: a source"),
        (
            {"name": "x", "shape": {"members": {"code": {"from": "identifier", "pattern": "("}}}},
            "shape.members.code: the pattern",
        ),
        (
            {"name": "x", "shape": {"members": {"code": {"from": "values.C", "pattern": "[0-9]+", "example": "A1"}}}},
            'shape.members.code: the example "A1" does not match',
        ),
        ({"name": "x", "shape": {"members": {"code": {"from": "identifier", "about": 1}}}}, "shape.members.code: what it is"),
        ({"name": "x", "shape": {"fields": ["state"], "members": {"code": "identifier"}}}, "shape.fields: there are members"),
        ({"name": "x", "shape": {"mapping": "unheard"}}, "shape.mapping: "),
        ({"name": "x", "transport": {"kind": "pigeon", "url": "https://x/"}}, "transport.kind: "),
        ({"name": "x", "transport": {"kind": "webhook", "url": "ftp://x/"}}, "transport.url: "),
        ({"name": "x", "transport": {"kind": "webhook", "url": "http://x:port/"}}, "transport.url: "),
        ({"name": "x", "transport": {"kind": "webhook", "url": "http://a..b/"}}, "transport.url: "),
        ({"name": "x", "transport": {"kind": "redis", "url": "redis://x:port/0", "stream": "s"}}, "transport.url: "),
        ({"name": "x", "transport": {"kind": "webhook"}}, "transport.url: it is missing"),
        ({"name": "x", "transport": {**WEBHOOK, "secret": "env:MISSING"}}, "transport.secret: the environment"),
        ({"name": "x", "transport": {**WEBHOOK, "batch": 0}}, "transport.batch: "),
        ({"name": "x", "transport": {**WEBHOOK, "batch": True}}, "transport.batch: "),
        ({"name": "x", "transport": {**WEBHOOK, "timeout_s": 1e9}}, "transport.timeout_s: "),
        ({"name": "x", "transport": {**WEBHOOK, "stream": "s"}}, "transport.stream: unknown key"),
        ({"name": "x", "transport": {**WEBHOOK, "gather_s": -1}}, "transport.gather_s: "),
        ({"name": "x", "transport": {"kind": "redis", "url": "http://x/", "stream": "s"}}, "transport.url: "),
        ({"name": "x", "transport": {"kind": "redis", "url": "redis://x/0"}}, "transport.stream: it is missing"),
        ({"name": "x", "transport": {**REDIS, "max_length": 1}}, "transport.max_length: "),
        ({"name": "x", "transport": {"kind": "files"}}, "transport.folder: it is missing"),
        ({"name": "x", "transport": {**FILES, "format": "xls"}}, "transport.format: "),
        ({"name": "x", "transport": {**FILES, "encoding": "big5"}}, "transport.encoding: "),
        ({"name": "x", "transport": {**FILES, "columns": ["state"]}}, "only a CSV has columns"),
        ({"name": "x", "transport": {**FILES, "format": "csv", "columns": ["values"]}}, "transport.columns: "),
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
    assert [mistake.partition(":")[0] for mistake in found.value.mistakes] == [
        "name",
        "transport.kind",
        "select.states",
        "select.states",
    ]


def test_a_secret_does_not_show() -> None:
    profile = make_profile(transport={"secret": "our secret"})
    assert isinstance(profile.place, WebhookPlace)
    assert profile.place.secret == b"our secret"
    assert "our secret" not in repr(profile)
    url = "redis://:our secret@127.0.0.1/0"
    assert "our secret" not in repr(make_profile(transport={**REDIS, "url": url}))
    with pytest.raises(ProfileMistakes) as found:
        make_profile(transport={**REDIS, "url": "http://our secret@127.0.0.1"})
    assert "our secret" not in str(found.value)
