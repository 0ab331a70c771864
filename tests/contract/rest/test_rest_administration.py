"""Prefixes, registrants and accounts over REST."""

from typing import Any

import pytest

from tests.support.rest import RestNode
from tests.support.world import HOLDER, OTHER, World

THIRD = "91350100M000100Y43"


async def test_a_registrant_and_its_prefix_come_to_life(node: RestNode) -> None:
    made = await node("POST", "/api/v1/registrants", {"code": THIRD.lower(), "name": "第三企业", "state": "submitted"})
    assert (made.status, made.document["code"], made.document["state"]) == (201, THIRD, "submitted")
    assert made.headers["Location"] == f"/api/v1/registrants/{THIRD}"
    prefix = {"name": "88.118.ABC", "registrant": THIRD, "suffix_rule": "exact", "state": "draft"}
    made = await node("POST", "/api/v1/prefixes", prefix)
    assert (made.status, made.document["name"], made.document["in_use"]) == (201, "88.118.abc", False)
    again = await node("POST", "/api/v1/prefixes", prefix)
    assert (again.status, again.document["outcome"]) == (200, "unchanged")
    one = "/api/v1/identifiers/88.118.abc/x"
    assert (await node("PUT", one, {"values": []})).document["reason"] == "prefix_not_approved"
    for verb in ("submit", "approve"):
        assert (await node("POST", f"/api/v1/prefixes/88.118.abc/{verb}")).status == 200
    assert (await node("PUT", one, {"values": []})).document["reason"] == "prefix_not_approved"
    assert (await node("POST", f"/api/v1/registrants/{THIRD}/approve")).document["state"] == "approved"
    assert (await node("PUT", one, {"values": []})).status == 201


async def test_a_life_takes_no_short_cuts(node: RestNode) -> None:
    await node("POST", "/api/v1/prefixes", {"name": "88.118.5", "state": "draft"})
    one = "/api/v1/prefixes/88.118.5"
    for verb in ("approve", "reject", "suspend"):
        refused = await node("POST", f"{one}/{verb}")
        assert (refused.status, refused.document["reason"]) == (409, "invalid_state"), verb
    await node("POST", f"{one}/submit")
    assert (await node("POST", f"{one}/reject")).document["state"] == "rejected"
    assert (await node("POST", f"{one}/submit")).document["state"] == "submitted"
    assert (await node("POST", f"{one}/submit")).document["outcome"] == "unchanged"
    assert (await node("POST", "/api/v1/prefixes", {"name": "88.118.6", "state": "suspended"})).document["field"] == "state"
    assert (await node("POST", f"{one}/approve", If_Match='"1"')).status == 412
    assert (await node("POST", f"{one}/approve", If_Match='"4"')).document["version"] == 5


SITE = {
    "format": "site",
    "value": {
        "version": 1,
        "protocolVersion": "2.0",
        "serialNumber": 1,
        "primarySite": True,
        "servers": [
            {
                "serverId": 1,
                "address": "10.0.0.7",
                "interfaces": [{"query": True, "admin": False, "protocol": "TCP", "port": 2641}],
            }
        ],
    },
}


async def test_a_prefix_is_handed_to_another_node_and_taken_back(node: RestNode) -> None:
    one = "/api/v1/prefixes/88.118.1001"
    given = {"sites": [SITE], "url": "https://node.example"}
    handed = await node("PUT", f"{one}/delegation", given)
    assert (handed.status, handed.document["version"], handed.document["delegation"]["url"]) == (200, 2, "https://node.example")
    shown = (await node("GET", one)).document["delegation"]
    assert shown["sites"][0]["value"]["servers"][0]["address"] == "10.0.0.7"
    # What is shown can be given back as it is.
    assert (await node("PUT", f"{one}/delegation", shown)).document["outcome"] == "unchanged"
    refused = await node("PUT", "/api/v1/identifiers/88.118.1001/x", {"values": []})
    assert (refused.status, refused.document["reason"]) == (409, "invalid_state")
    assert (await node("DELETE", f"{one}/delegation", If_Match='"1"')).status == 412
    taken = await node("DELETE", f"{one}/delegation")
    assert (taken.status, taken.document["version"], taken.document["delegation"]) == (200, 3, None)
    assert (await node("PUT", "/api/v1/identifiers/88.118.1001/x", {"values": []})).status == 201


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({}, "sites"),
        ({"sites": []}, "sites"),
        ({"sites": "x"}, "sites"),
        ({"sites": [SITE] * 9}, "sites"),
        ({"sites": [{"format": "hex", "value": "0001"}]}, "sites[0]"),
        ({"sites": [SITE], "url": 1}, "url"),
        ({"sites": [SITE], "url": "node"}, "url"),
        ({"sites": [SITE], "more": 1}, "more"),
        ({"sites": [{"format": "site", "value": {}}]}, "sites[0].value.protocolVersion"),
    ],
)
async def test_a_delegation_that_cannot_be_followed_is_refused_by_its_member(
    node: RestNode, document: dict[str, Any], where: str
) -> None:
    refused = await node("PUT", "/api/v1/prefixes/88.118.1001/delegation", document)
    assert (refused.status, refused.document["field"]) == (400, where)


async def test_a_delegation_belongs_to_the_operator(node: RestNode) -> None:
    for who, status in (("holder", 403), ("stranger", 403), ("city", 403), ("nobody", 401)):
        for method in ("PUT", "DELETE"):
            body = {"sites": [SITE]} if method == "PUT" else None
            assert (await node(method, "/api/v1/prefixes/88.118.1001/delegation", body, by=who)).status == status


async def test_how_suffixes_compare_is_fixed_by_the_first_identifier(node: RestNode) -> None:
    await node("POST", "/api/v1/prefixes", {"name": "88.118.7", "registrant": HOLDER})
    changed = await node("PATCH", "/api/v1/prefixes/88.118.7", {"suffix_rule": "exact"})
    assert (changed.status, changed.document["suffix_rule"], changed.document["version"]) == (200, "exact", 2)
    for spelling in ("a", "A"):
        assert (await node("PUT", f"/api/v1/identifiers/88.118.7/{spelling}", {"values": []})).status == 201
    assert (await node("GET", "/api/v1/prefixes/88.118.7")).document["in_use"] is True
    refused = await node("PATCH", "/api/v1/prefixes/88.118.7", {"suffix_rule": "fold_ascii"})
    assert (refused.status, refused.document["reason"], refused.document["field"]) == (409, "invalid_state", "suffix_rule")


@pytest.mark.parametrize(
    ("document", "status", "reason", "where"),
    [
        ({"name": "99.1.1", "registrant": HOLDER}, 404, "not_homed", "name"),
        ({"name": "88.118.1002.5", "registrant": HOLDER}, 403, "permission_denied", "name"),
        ({"name": "88.118.8", "registrant": "UNKNOWN"}, 404, "not_found", "registrant"),
        ({"name": "88.118.1001", "registrant": OTHER}, 409, "already_exists", "name"),
        ({"name": "88.118/8"}, 400, "invalid_identifier", "name"),
        ({"name": "0.NA"}, 400, "invalid_identifier", "name"),
        ({"name": "88.118.8", "suffix_rule": "any"}, 400, "invalid_argument", "suffix_rule"),
        ({"registrant": HOLDER}, 400, "invalid_argument", "name"),
        ({"name": "88.118.8", "holder": HOLDER}, 400, "invalid_argument", "holder"),
    ],
)
async def test_a_prefix_that_cannot_be_is_refused_by_its_field(
    node: RestNode, document: dict[str, Any], status: int, reason: str, where: str
) -> None:
    refused = await node("POST", "/api/v1/prefixes", document)
    assert (refused.status, refused.document["reason"], refused.document["field"]) == (status, reason, where)


@pytest.mark.parametrize(
    ("document", "status", "where"),
    [
        ({"code": "91411000MA40XCDL1X", "name": "x"}, 400, "code"),
        ({"code": "no/slash", "name": "x"}, 400, "code"),
        ({"code": "*", "name": "x"}, 400, "code"),
        ({"code": "A", "name": ""}, 400, "name"),
        ({"code": "A", "name": " x"}, 400, "name"),
        ({"code": HOLDER, "name": "another"}, 409, "code"),
    ],
)
async def test_a_registrant_that_cannot_be_is_refused_by_its_field(
    node: RestNode, document: dict[str, Any], status: int, where: str
) -> None:
    refused = await node("POST", "/api/v1/registrants", document)
    assert (refused.status, refused.document["field"]) == (status, where)


async def test_nouns_are_listed_to_whom_they_are_open(node: RestNode) -> None:
    async def names(path: str, noun: str, key: str, by: str) -> list[str]:
        return [each[key] for each in (await node("GET", path, by=by)).document[noun]]

    every = ["88.118", "88.118.1001", "88.118.1002"]
    assert await names("/api/v1/prefixes", "prefixes", "name", "operator") == every
    assert await names("/api/v1/prefixes", "prefixes", "name", "city") == every
    assert await names("/api/v1/prefixes", "prefixes", "name", "holder") == ["88.118.1001"]
    assert await names("/api/v1/prefixes?registrant=", "prefixes", "name", "operator") == ["88.118"]
    assert await names(f"/api/v1/prefixes?registrant={OTHER}", "prefixes", "name", "operator") == ["88.118.1002"]
    assert await names("/api/v1/registrants", "registrants", "code", "operator") == sorted((HOLDER, OTHER))
    assert await names("/api/v1/registrants", "registrants", "code", "holder") == [HOLDER]
    assert await names("/api/v1/accounts", "accounts", "name", "operator") == ["city", "holder", "operator", "stranger"]
    assert await names("/api/v1/accounts", "accounts", "name", "holder") == ["holder"]
    for path in ("/api/v1/prefixes", "/api/v1/registrants", "/api/v1/accounts"):
        assert (await node("GET", path, by="nobody")).status == 401
        assert (await node("GET", f"{path}?registrant={OTHER}", by="holder")).status == 403
        assert (await node("GET", f"{path}?registrant=*", by="holder")).status == 403
    page = await node("GET", "/api/v1/prefixes?limit=2")
    assert ([each["name"] for each in page.document["prefixes"]], page.document["cursor"]) == (every[:2], every[1])
    page = await node("GET", f"/api/v1/prefixes?limit=2&after={page.document['cursor']}")
    assert ([each["name"] for each in page.document["prefixes"]], "cursor" in page.document) == (every[2:], False)


async def test_nouns_are_shown_to_whom_they_are_open(node: RestNode) -> None:
    for path in ("/api/v1/prefixes/88.118.1001", f"/api/v1/registrants/{HOLDER}", "/api/v1/accounts/holder"):
        for by, status in (("operator", 200), ("holder", 200), ("stranger", 403), ("nobody", 401)):
            assert (await node("GET", path, by=by)).status == status, (path, by)
    assert (await node("GET", "/api/v1/prefixes/88.118.9")).status == 404
    assert (await node("GET", "/api/v1/registrants/NOBODY")).status == 404
    assert (await node("GET", "/api/v1/accounts/nobody")).status == 404
    got = await node("GET", "/api/v1/prefixes/88.118.1001")
    assert (await node("GET", "/api/v1/prefixes/88.118.1001", If_None_Match=got.headers["ETag"])).status == 304


@pytest.mark.parametrize("by", ["holder", "city"])
async def test_only_the_operator_administers(node: RestNode, by: str) -> None:
    for method, path, document in (
        ("POST", "/api/v1/prefixes", {"name": "88.118.9"}),
        ("PATCH", "/api/v1/prefixes/88.118.1001", {"suffix_rule": "exact"}),
        ("POST", "/api/v1/prefixes/88.118.1001/suspend", None),
        ("POST", "/api/v1/registrants", {"code": "X", "name": "x"}),
        ("POST", f"/api/v1/registrants/{HOLDER}/suspend", None),
        ("POST", "/api/v1/accounts", {"name": "more", "role": "operator"}),
        ("POST", "/api/v1/accounts/operator/disable", None),
        ("POST", "/api/v1/accounts/operator/rotate-key", None),
    ):
        denied = await node(method, path, document, by=by)
        assert (denied.status, denied.document["reason"]) == (403, "permission_denied"), path


async def test_a_key_is_shown_once_and_works(node: RestNode, world: World) -> None:
    new = {"name": "acme.erp", "role": "registrant", "registrant": HOLDER}
    made = await node("POST", "/api/v1/accounts", new, Idempotency_Key="a1")
    assert made.status == 201
    node.tokens["erp"] = made.document["api_key"]
    assert node.tokens["erp"].startswith("bj_acme.erp_")
    assert (await node("PUT", "/api/v1/identifiers/88.118.1001/E", {"values": []}, by="erp")).status == 201
    replayed = await node("POST", "/api/v1/accounts", new, Idempotency_Key="a1")
    assert (replayed.status, "api_key" in replayed.document) == (201, False)
    assert "api_key" not in (await node("GET", "/api/v1/accounts/acme.erp")).document
    assert node.tokens["erp"].encode() not in b"".join(raw for _, raw in world.store.snapshot().rows)


async def test_a_rotated_key_replaces_the_old_one_at_once(node: RestNode) -> None:
    rotated = await node("POST", "/api/v1/accounts/holder/rotate-key", by="holder")
    assert rotated.document["version"] == 2
    assert (await node("GET", "/api/v1/accounts/holder", by="holder")).status == 401
    node.tokens["holder"] = rotated.document["api_key"]
    assert (await node("GET", "/api/v1/accounts/holder", by="holder")).status == 200
    node.tokens["city"] = (await node("POST", "/api/v1/accounts/city/rotate-key")).document["api_key"]
    assert (await node("GET", "/api/v1/accounts/city", by="city")).document["role"] == "city"


async def test_nobody_locks_itself_out(node: RestNode) -> None:
    refused = await node("POST", "/api/v1/accounts/operator/disable")
    assert (refused.status, refused.document["reason"]) == (409, "invalid_state")


@pytest.mark.parametrize(
    ("document", "status", "where"),
    [
        ({"name": "Bad_Name", "role": "city"}, 400, "name"),
        ({"name": "x", "role": "king"}, 400, "role"),
        ({"name": "x", "role": "city", "registrant": HOLDER}, 400, "registrant"),
        ({"name": "x", "role": "registrant"}, 400, "registrant"),
        ({"name": "x", "role": "registrant", "registrant": "NOBODY"}, 404, "registrant"),
        ({"name": "holder", "role": "city"}, 409, "name"),
        ({"name": "x", "role": "city", "groups": [{"registrant": HOLDER, "group": "public"}]}, 400, "groups[0]"),
        ({"name": "x", "role": "city", "groups": [{"registrant": HOLDER}]}, 400, "groups[0].group"),
    ],
)
async def test_an_account_that_cannot_be_is_refused_by_its_field(
    node: RestNode, document: dict[str, Any], status: int, where: str
) -> None:
    refused = await node("POST", "/api/v1/accounts", document)
    assert (refused.status, refused.document["field"]) == (status, where)


async def test_a_registrant_grants_its_own_groups_and_sees_only_these(node: RestNode) -> None:
    await node("PUT", f"/api/v1/accounts/city/groups/{OTHER}/dealers", by="stranger")
    granted = await node("PUT", f"/api/v1/accounts/city/groups/{HOLDER}/dealers", by="holder")
    assert granted.document["groups"] == [{"registrant": HOLDER, "group": "dealers"}]
    assert (await node("GET", "/api/v1/accounts/city")).document["groups"] == [
        {"registrant": OTHER, "group": "dealers"},
        {"registrant": HOLDER, "group": "dealers"},
    ]
    again = await node("PUT", f"/api/v1/accounts/city/groups/{HOLDER}/dealers", by="holder")
    assert again.document["outcome"] == "unchanged"
    assert (await node("PUT", f"/api/v1/accounts/city/groups/{OTHER}/dealers", by="holder")).status == 403
    assert (await node("PUT", f"/api/v1/accounts/city/groups/{HOLDER}/private", by="holder")).status == 400
    assert (await node("PUT", f"/api/v1/accounts/unknown/groups/{HOLDER}/dealers", by="holder")).status == 404
    assert (await node("DELETE", f"/api/v1/accounts/city/groups/{HOLDER}/dealers", by="holder")).document["groups"] == []
