"""The REST door as HTTP: who asks, what a body must be, keys that make a retry safe, and everything that goes wrong before."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proto.errors import Reason, Refusal
from proto.model.account import Role
from registry.doors.rest.limits import MAX_RECORD_BODY_BYTES, MAX_SMALL_BODY_BYTES, RestLimits
from resolver.listeners.http.limits import HttpLimits
from tests.contract.rest.conftest import make_tokens
from tests.support.rest import RestNode
from tests.support.two_paths import statuses
from tests.support.world import HOLDER, OPERATOR, World, context

ONE = "/api/v1/identifiers/88.118.1001/A-1"
DRAFT: dict[str, Any] = {"values": [{"index": 1, "type": "URL", "data": "https://example.com/1"}]}
OTHER: dict[str, Any] = {"values": [{"index": 1, "type": "URL", "data": "https://example.com/2"}]}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_a_request_is_named_by_its_client_or_by_us_and_its_trace_goes_on(node: RestNode, world: World) -> None:
    named = await node("PUT", ONE, DRAFT, X_Request_Id="order-17", traceparent=TRACE)
    assert (named.headers["X-Request-Id"], named.headers["traceparent"]) == ("order-17", TRACE)
    change = world.stream.read(world.store.head().position._replace(sequence=world.store.head().position.sequence - 1), 1)[0]
    assert (change.request_id, change.traceparent, change.actor) == ("order-17", TRACE, "operator")
    for unfit in ("x" * 129, "a b", ""):
        got = await node("GET", ONE, X_Request_Id=unfit, traceparent="00-zz")
        assert got.headers["X-Request-Id"] not in (unfit, "")
        assert "traceparent" not in got.headers


@pytest.mark.parametrize("authorization", ["Bearer", "Bearer bj_operator_wrong", "Basic b3A6eA==", "Bearer x", "Bearer bj__x"])
async def test_wrong_credentials_are_refused_even_where_none_are_needed(node: RestNode, authorization: str) -> None:
    got = await node("GET", ONE, by="nobody", Authorization=authorization)
    assert (got.status, got.document["reason"]) == (401, "unauthenticated")
    assert got.headers["WWW-Authenticate"].startswith("Bearer")
    assert node.refused(Reason.UNAUTHENTICATED) == 1


async def test_of_nobody_in_particular_no_body_is_waited_for(node: RestNode) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    head = f"PUT {ONE} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 2000000\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
    writer.close()
    assert node.refused(Reason.UNAUTHENTICATED) == 1


NOWHERE = b"GET /api/v1/nothing HTTP/1.1\r\nHost: h\r\n"
ASKING = NOWHERE + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
BAD = b"BAD\r\n\r\n"
LAST = NOWHERE + b"Connection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("before", "behind", "expected"),
    [
        (ASKING, LAST, [404, 201, 201, 404]),
        (ASKING.replace(b"h2c", b"foo"), LAST, [404, 201, 201, 404]),
        (b"", BAD, [201, 201, 400]),
        (b"", LAST + BAD, [201, 201, 404]),
    ],
    ids=["h2c", "an unknown protocol", "what cannot be read", "bytes behind the last"],
)
async def test_no_write_is_lost_to_what_comes_together_with_it(
    node: RestNode, before: bytes, behind: bytes, expected: list[int]
) -> None:
    body = json.dumps(DRAFT).encode()
    fields = f"Authorization: Bearer {node.tokens['operator']}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    puts = [f"PUT {ONE}{n} HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n".encode() + body for n in range(2)]
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(before + b"".join(puts) + behind)
    async with asyncio.timeout(20):
        said = await reader.read()
    writer.close()
    assert statuses(said) == expected
    for n in range(2):
        assert (await node("GET", f"{ONE}{n}")).status == 200


async def test_a_disabled_account_opens_nothing(node: RestNode) -> None:
    assert (await node("POST", "/api/v1/accounts/holder/disable")).document["enabled"] is False
    assert (await node("PUT", ONE, DRAFT, by="holder")).status == 401
    assert (await node("POST", "/api/v1/accounts/holder/enable")).document["enabled"] is True
    assert (await node("PUT", ONE, DRAFT, by="holder")).status == 201


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "malformed_message"),
        (b"{", "malformed_message"),
        (b'{"values": [], "values": []}', "malformed_message"),
        (b'{"values": NaN}', "malformed_message"),
        (b'{"values": %s1%s}' % (b"[" * 100_000, b"]" * 100_000), "malformed_message"),
        (b'{"values": ' + b"9" * 5_000 + b"}", "malformed_message"),
        (b"[]", "invalid_argument"),
        (b'"values"', "invalid_argument"),
        ('{"values": [{"index": 1, "type": "变压器"'.encode("gb18030"), "invalid_encoding"),
        (b'{"values": [{"index": 1, "type": "\xff"}]}', "invalid_encoding"),
        (b'{"values": [{"index": 1, "type": "\\ud800", "data": "x"}]}', "invalid_value"),
    ],
)
async def test_a_body_that_is_no_draft_is_refused_by_name(node: RestNode, body: bytes, reason: str) -> None:
    got = await node("PUT", ONE, data=body, by="holder")
    assert (got.status, got.document["reason"]) == (400, reason)
    assert node.refused(Reason(reason)) == 1


async def test_a_byte_order_mark_is_no_mistake(node: RestNode) -> None:
    url = f"http://127.0.0.1:{node.port}{ONE}"
    headers = {"Authorization": f"Bearer {node.tokens['holder']}", "Content-Type": "application/json; charset=UTF-8"}
    async with node.session.put(url, data=b"\xef\xbb\xbf" + json.dumps(DRAFT).encode(), headers=headers) as answer:
        assert answer.status == 201


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/json; charset=gb18030", "nonsense"])
async def test_another_content_type_is_refused(node: RestNode, content_type: str) -> None:
    got = await node("PUT", ONE, DRAFT, by="holder", Content_Type=content_type)
    assert (got.status, got.document["reason"], got.document["field"]) == (415, "unsupported_content_type", "Content-Type")


async def test_an_encoded_body_is_refused_and_not_unpacked(node: RestNode) -> None:
    bomb = gzip.compress(b" " * 1_000_000)
    got = await node("PUT", ONE, data=bomb, by="holder", Content_Encoding="gzip")
    assert (got.status, got.document["field"]) == (415, "Content-Encoding")


async def test_a_body_beyond_its_limit_is_refused_announced_or_not(node: RestNode) -> None:
    async def pieces(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 65_536 + 1):
            yield b" " * 65_536

    got = await node("POST", "/api/v1/registrants", data=b" " * (MAX_SMALL_BODY_BYTES + 1))
    assert (got.status, got.document["reason"]) == (413, "message_too_large")
    headers = {"Authorization": f"Bearer {node.tokens['operator']}", "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{node.port}{ONE}"
    async with node.session.put(url, data=pieces(MAX_RECORD_BODY_BYTES), headers=headers) as answer:
        assert (answer.status, (await answer.json())["reason"]) == (413, "message_too_large")
    assert node.refused(Reason.MESSAGE_TOO_LARGE) == 2


async def test_a_path_or_method_that_is_not_served_is_refused(node: RestNode) -> None:
    assert (await node("GET", "/api/v1/nothing")).document["reason"] == "not_found"
    got = await node("DELETE", "/api/v1/prefixes")
    assert (got.status, got.headers["Allow"]) == (405, "GET, HEAD, POST")
    got = await node("POST", ONE)
    assert (got.status, got.headers["Allow"]) == (405, "DELETE, GET, HEAD, PATCH, PUT")
    for path in ("/snms/v1/x", "/console/", "/api/handles/88.118.1001/A-1"):
        assert (await node("GET", path)).status == 404


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "limti=3", "limit=1&limit=2", "wait_s=-1", "wait_s=nan", "wait_s=61", "after=xyz"],
)
async def test_a_parameter_that_cannot_be_is_refused_by_its_name(node: RestNode, query: str) -> None:
    got = await node("GET", f"/api/v1/changes?{query}")
    assert (got.status, got.document["reason"], got.document["field"]) == (400, "invalid_argument", query.partition("=")[0])


async def test_a_query_that_is_not_utf8_is_refused(node: RestNode) -> None:
    assert (await node("GET", "/api/v1/prefixes?after=%ff")).document["reason"] == "invalid_encoding"


async def test_the_same_key_and_request_give_the_first_outcome_again(node: RestNode, world: World) -> None:
    first = await node("PUT", ONE, DRAFT, by="holder", Idempotency_Key="k1")
    head = world.store.head()
    again = await node("PUT", ONE, DRAFT, by="holder", Idempotency_Key="k1")
    assert (first.status, again.status) == (201, 201)
    assert again.document == first.document
    assert (first.headers.get("Idempotency-Replayed"), again.headers["Idempotency-Replayed"]) == (None, "true")
    assert world.store.head() == head
    other_account = await node("PUT", ONE, DRAFT, Idempotency_Key="k1")
    assert other_account.document["outcome"] == "unchanged"


@pytest.mark.parametrize(
    "other",
    [
        {"document": OTHER},
        {"path": "/api/v1/identifiers/88.118.1001/A-2"},
        {"path": f"{ONE}?x=1"},
        {"If_Match": '"1"'},
        {"method": "PATCH", "document": {"remove": [1]}},
    ],
)
async def test_another_request_under_the_same_key_is_refused(node: RestNode, other: dict[str, Any]) -> None:
    await node("PUT", ONE, DRAFT, by="holder", Idempotency_Key="k1")
    asked = {"method": "PUT", "path": ONE, "document": DRAFT, **other}
    got = await node(**asked, by="holder", Idempotency_Key="k1")
    assert (got.status, got.document["reason"]) == (422, "idempotency_mismatch")
    assert node.refused(Reason.IDEMPOTENCY_MISMATCH) == 1


async def test_a_refusal_is_remembered_even_after_its_cause_is_gone(node: RestNode) -> None:
    early = await node("DELETE", ONE, by="holder", Idempotency_Key="k2")
    await node("PUT", ONE, DRAFT, by="holder")
    late = await node("DELETE", ONE, by="holder", Idempotency_Key="k2")
    assert early.status == late.status == 404
    assert early.document == late.document
    assert (await node("DELETE", ONE, by="holder", Idempotency_Key="k3")).status == 200


async def test_a_body_that_cannot_be_read_is_remembered_too(node: RestNode) -> None:
    assert (await node("PUT", ONE, data=b"{", by="holder", Idempotency_Key="k4")).status == 400
    mended = await node("PUT", ONE, DRAFT, by="holder", Idempotency_Key="k4")
    assert (mended.status, mended.document["reason"]) == (422, "idempotency_mismatch")
    assert (await node("PUT", ONE, data=b"{", by="holder", Idempotency_Key="k4")).document["reason"] == "malformed_message"


async def test_a_batch_is_replayed_row_by_row(node: RestNode) -> None:
    rows = [{"identifier": f"88.118.1001/{n}", "values": []} for n in range(3)] + [{"identifier": "99.1/x", "values": []}]
    first = await node("POST", "/api/v1/identifiers", {"identifiers": rows}, by="holder", Idempotency_Key="b1")
    again = await node("POST", "/api/v1/identifiers", {"identifiers": rows}, by="holder", Idempotency_Key="b1")
    assert first.document == again.document
    assert again.headers["Idempotency-Replayed"] == "true"
    bad = {"identifiers": rows, "mode": "atomic"}
    first = await node("POST", "/api/v1/identifiers", bad, by="holder", Idempotency_Key="b2")
    again = await node("POST", "/api/v1/identifiers", bad, by="holder", Idempotency_Key="b2")
    assert first.document == again.document
    assert first.document["results"][3]["reason"] == "not_homed"


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ключ"])
async def test_a_key_that_cannot_be_is_refused(node: RestNode, key: str) -> None:
    got = await node("PUT", ONE, DRAFT, by="holder", Idempotency_Key=key)
    assert (got.status, got.document["reason"]) == (400, "invalid_idempotency_key")


async def test_a_passing_trouble_is_not_remembered(node: RestNode, world: World) -> None:
    def full() -> None:
        raise Refusal(Reason.STORAGE_FULL, "no room", retry_after_s=5)

    world.committer.before_commit = full
    got = await node("PUT", ONE, DRAFT, by="holder", Idempotency_Key="k5")
    assert (got.status, got.document["reason"], got.headers["Retry-After"]) == (507, "storage_full", "5")
    world.committer.before_commit = None
    assert (await node("PUT", ONE, DRAFT, by="holder", Idempotency_Key="k5")).status == 201


async def test_a_fault_of_ours_is_a_500_that_tells_nothing(node: RestNode, world: World) -> None:
    def broken() -> None:
        raise RuntimeError("a secret of the code")

    world.committer.before_commit = broken
    got = await node("PUT", ONE, DRAFT, by="holder")
    assert (got.status, got.document["reason"]) == (500, "internal")
    assert b"secret" not in got.body
    assert node.refused(Reason.INTERNAL) == 1
    world.committer.before_commit = None
    assert (await node("PUT", ONE, DRAFT, by="holder")).status == 201


async def test_health_is_told_without_credentials(node: RestNode) -> None:
    assert (await node("GET", "/healthz", by="nobody", Authorization="Bearer nonsense")).document == {"status": "alive"}
    assert (await node("GET", "/readyz", by="nobody")).document == {"status": "ready"}
    node.readiness.is_ready = False
    got = await node("GET", "/readyz", by="nobody")
    assert (got.status, got.document["reason"], got.headers["Retry-After"]) == (503, "not_ready", "1")
    assert (await node("GET", "/healthz", by="nobody")).status == 200


async def test_a_client_that_waits_to_be_asked_is_asked(node: RestNode) -> None:
    body = json.dumps(DRAFT).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    head = (
        f"PUT {ONE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {node.tokens['holder']}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    writer.write(head.encode())
    assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
    writer.write(body)
    assert b"201 Created" in await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def test_a_body_that_does_not_come_is_given_up(world: World) -> None:
    async with RestNode(world.registry, RestLimits(body_s=0.05)) as node:
        token = (await world.registry.create_account(context(OPERATOR), "h", Role.REGISTRANT, HOLDER)).token
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        head = f"PUT {ONE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        assert b"408 Request Timeout" in await reader.readuntil(b"\r\n\r\n")
        assert node.refused(Reason.TIMEOUT) == 1
        writer.close()


async def test_a_client_that_goes_in_mid_body_leaves_nothing(node: RestNode, world: World) -> None:
    head = (
        f"PUT {ONE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {node.tokens['holder']}\r\nContent-Type: application/json\r\n"
    )
    _, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await node("GET", ONE)).status == 404


async def test_connections_are_counted_and_limited(world: World) -> None:
    async with RestNode(world.registry, None, HttpLimits(max_connections=1)) as node:
        node.tokens = await make_tokens(world)
        assert (await node("GET", "/healthz")).status == 200
        assert node.scrape.get_sample_value("biaojie_connections", {"protocol": "registry-http"}) == 1
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        assert b"503 Service Unavailable" in await reader.read()
        assert node.refused(Reason.OVERLOADED) == 1
        writer.close()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 300 + b"\r\n", b"431"),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
    ],
)
async def test_what_is_no_request_is_refused_as_a_problem(node: RestNode, raw: bytes, status: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(raw)
    got = await reader.read()
    assert got.split()[1] == status
    assert b"application/problem+json" in got
    writer.close()
