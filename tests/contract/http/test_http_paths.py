"""Identifiers in paths: byte for byte what was asked, decoded once; and the routes around them."""

import asyncio
import json

import pytest

from proto.errors import Reason
from proto.model.answer import NotFound
from resolver.listeners.http.api import Api
from resolver.listeners.http.openapi import DOCUMENT
from tests.contract.http.conftest import value
from tests.support.http import Served, compose_request, parse_answer

ODD = [
    ("a/b", "88.118/a/b"),
    ("a%2Fb", "88.118/a/b"),
    ("a%2fb", "88.118/a/b"),
    ("a//b", "88.118/a//b"),
    ("../x", "88.118/../x"),
    ("%2e%2E/x", "88.118/../x"),
    ("./a/../../b/.", "88.118/./a/../../b/."),
    ("a%25b", "88.118/a%b"),
    ("a%252Fb", "88.118/a%2Fb"),
    ("a%20b+c", "88.118/a b+c"),
    ("%E6%B2%B9%E6%B5%B8", "88.118/油浸"),
    ("油浸%2F1", "88.118/油浸/1"),
    ("a%3Fb%23c", "88.118/a?b#c"),
    ("a;b=c&d=e,f:g@h!$'()*~", "88.118/a;b=c&d=e,f:g@h!$'()*~"),
    ("{a}|\\^`<b>", "88.118/{a}|\\^`<b>"),
    ("a/", "88.118/a/"),
]


@pytest.mark.parametrize(("path", "identifier"), ODD)
async def test_an_identifier_arrives_as_it_was_asked(served: Served, path: str, identifier: str) -> None:
    served.reader.put_record(identifier, value(1, "URL", identifier))
    for target in (
        f"/api/handles/88.118/{path}",
        f"/api/v1/resolve/88.118%2F{path}",
        f"http://other.host:80/api/handles/88.118/{path}",
    ):
        document = (await served.get(target)).json()
        assert document.get("handle", document.get("asked")) == identifier
        assert document["values"][0]["data"]["value"] == identifier


@pytest.mark.parametrize("encoded", ["%FF", "%E6%B2", "%", "%4", "%zz", "a%2", "%ED%A0%80"])
async def test_what_is_no_utf8_or_no_escape_is_refused(served: Served, encoded: str) -> None:
    for path in ("/api/handles/", "/api/v1/resolve/"):
        answer = await served.get(f"{path}88.118/{encoded}")
        assert (answer.status, answer.json()["reason"], answer.json()["field"]) == (400, Reason.INVALID_ENCODING, "identifier")


async def test_raw_bytes_that_are_no_utf8_are_refused_as_such(served: Served) -> None:
    raw = compose_request("GET", "/api/handles/88.118/@").replace(b"@", "油".encode("gb18030"))
    answer = await served.send(raw)
    assert (answer.status, answer.json()["reason"]) == (400, Reason.INVALID_ENCODING)


async def test_a_chinese_path_may_come_in_pieces_and_after_another_request(served: Served) -> None:
    served.reader.put_record("88.118/油浸", value(1, "URL", "u"))
    raw = compose_request("GET", "/api/handles/88.118/油浸", {"x-note": "油"})
    first = compose_request("GET", "/healthz", {"connection": "keep-alive"})
    for cut in range(1, len(raw), 7):
        reader, writer = await served.connect()
        writer.write(first)
        assert await reader.readuntil(b'alive"}')
        writer.write(raw[:cut])
        await asyncio.sleep(0.001)
        writer.write(raw[cut:])
        answer = parse_answer(await reader.read())
        assert (answer.status, answer.json()["handle"]) == (200, "88.118/油浸"), cut
        writer.close()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/handles/88.118/x", "GET, HEAD, OPTIONS"),
        ("DELETE", "/api/v1/resolve/88.118/x", "GET, HEAD, OPTIONS"),
        ("POST", "/api/handles/88.118/x", "GET, HEAD, OPTIONS"),
        ("GET", "/api/v1/resolve", "POST, OPTIONS"),
        ("PATCH", "/healthz", "GET, HEAD, OPTIONS"),
        ("PROPFIND", "/healthz", "GET, HEAD, OPTIONS"),
    ],
)
async def test_other_methods_are_refused_with_those_that_are_not(served: Served, method: str, path: str, allowed: str) -> None:
    answer = await served.get(path, method)
    assert (answer.status, answer.headers["allow"], answer.json()["reason"]) == (405, allowed, Reason.UNSUPPORTED_OPERATION)
    assert served.refused(Reason.UNSUPPORTED_OPERATION) == 1


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/handles", "/api/v1/resolve2", "/api/v2/resolve/x", "/metrics", "//healthz"]
)
async def test_other_paths_are_not_served(served: Served, path: str) -> None:
    answer = await served.get(path)
    assert (answer.status, answer.json()["reason"]) == (404, Reason.NOT_FOUND)
    assert "responseCode" not in answer.json()


async def test_scripts_of_other_sites_may_ask(served: Served) -> None:
    preflight = await served.get("/api/handles/88.118/x", "OPTIONS", Origin="https://a.cn", Access_Control_Request_Method="GET")
    assert (preflight.status, preflight.body) == (204, b"")
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert preflight.headers["access-control-allow-methods"] == preflight.headers["allow"] == "GET, HEAD, OPTIONS"
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
    for path in ("/api/handles/88.118.1/Sample-1", "/api/handles/88.118.1/nothing", "/nowhere"):
        answer = await served.get(path)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "ETag" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    ("sent", "kept"), [("r-1", True), ("!~" * 64, True), ("x" * 129, False), ("油", False), ("", False), ("a b", False)]
)
async def test_a_request_id_is_kept_or_made(served: Served, sent: str, kept: bool) -> None:
    for path in ("/api/handles/88.118.1/Sample-1", "/nowhere"):
        found = (await served.get(path, X_Request_Id=sent)).headers["x-request-id"]
        assert (found == sent) is kept
        assert found


async def test_a_trace_context_is_repeated_if_it_is_one(served: Served) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    assert (await served.get("/healthz", traceparent=trace)).headers["traceparent"] == trace
    assert "traceparent" not in (await served.get("/healthz", traceparent="00-x")).headers


async def test_probes(served: Served) -> None:
    assert (await served.get("/healthz")).json() == {"status": "alive"}
    assert (await served.get("/readyz")).json() == {"status": "ready"}
    served.gate.is_ready = False
    unready = await served.get("/readyz")
    assert (unready.status, unready.json()) == (503, {"status": "not ready"})
    assert (await served.get("/healthz")).status == 200


async def test_the_description_names_every_route_and_method(served: Served) -> None:
    described = {
        (path.replace("{identifier}", ""), method.upper()) for path, item in DOCUMENT["paths"].items() for method in item
    }
    routes = Api(lambda query: NotFound(query.identifier), served.gate).routes
    assert described == {(route.path, method) for route in routes for method in route.methods if method != "HEAD"}
    assert (await served.get("/openapi.json")).json() == json.loads(json.dumps(DOCUMENT))


async def test_every_reference_of_the_description_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    named = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert named == set(DOCUMENT["components"]["schemas"])
