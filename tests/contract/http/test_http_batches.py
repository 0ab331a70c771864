"""Many identifiers in one request."""

import json

import pytest

from proto.errors import Reason
from proto.limits import MAX_RESOLVE_BATCH
from resolver.listeners.http.limits import MAX_BODY_BYTES
from tests.contract.http.conftest import TOKENS
from tests.support.http import Served, compose_request

BATCH = "/api/v1/resolve"
SAMPLE = "88.118.1/Sample-1"


async def test_every_identifier_gets_its_result_in_order(served: Served) -> None:
    asked = ["88.118.1/nothing", SAMPLE, "", "88.118.1/retired", "10.1/x", "88.118.1/old", SAMPLE]
    answer = await served.post(BATCH, {"identifiers": asked})
    assert answer.status == 200
    results = answer.json()["results"]
    assert [each["asked"] for each in results] == asked
    assert [each["status"] for each in results] == [404, 200, 400, 410, 404, 200, 200]
    assert results[1] == (await served.get(f"{BATCH}/{SAMPLE}")).json()
    assert results[0] == (await served.get(f"{BATCH}/88.118.1/nothing")).json()


@pytest.mark.parametrize("first", ["88.118.1/nothing", SAMPLE, "10.1/x", "", "\ud800"])
@pytest.mark.parametrize("wants_private", [False, True])
async def test_plain_results_are_those_of_the_chain_and_counted_alike(
    served: Served, caplog: pytest.LogCaptureFixture, first: str, wants_private: bool
) -> None:
    asked = [first, SAMPLE, "88.118.1/nothing", "88.118.1/retired", "88.118.1/old", "88.118.1/SAMPLE-1", "x", *[SAMPLE] * 40]
    outcomes = ("found", "not_found", "retired", "refused")
    plainly = await served.post(BATCH, {"identifiers": asked, "wants_private": wants_private})
    counted = [served.resolved(outcome) for outcome in outcomes]
    traced = await served.post(BATCH, {"identifiers": asked, "wants_private": wants_private, "explain": True})
    results = traced.json()["results"]
    explanations = [each.pop("explanation") for each in results]
    assert any(explanations)
    assert plainly.json()["results"] == results
    assert [served.resolved(outcome) for outcome in outcomes] == [2 * count for count in counted]
    assert sum(counted)
    assert not caplog.records


async def test_lines_are_the_same_results(served: Served) -> None:
    body = {"identifiers": [SAMPLE, "10.1/x"], "types": ["TITLE"]}
    lines = await served.post(BATCH, body, accept="application/x-ndjson")
    assert lines.headers["content-type"] == "application/x-ndjson; charset=utf-8"
    assert lines.body.endswith(b"\n")
    whole = await served.post(BATCH, body)
    assert [json.loads(line) for line in lines.body.splitlines()] == whole.json()["results"]
    assert [each["index"] for each in whole.json()["results"][0]["values"]] == [2]


async def test_lines_come_only_to_those_who_would_rather_have_them(served: Served) -> None:
    for accept in ("application/x-ndjson;q=0", "application/json, application/x-ndjson;q=0.5", "*/*"):
        reply = await served.post(BATCH, {"identifiers": []}, accept=accept)
        assert reply.headers["content-type"] == "application/json; charset=utf-8"


async def test_an_empty_batch_has_no_results(served: Served) -> None:
    assert (await served.post(BATCH, {"identifiers": []})).json() == {"results": []}
    assert (await served.post(BATCH, {"identifiers": []}, accept="application/x-ndjson")).body == b""


async def test_a_whole_batch_of_the_longest_identifiers_fits(served: Served) -> None:
    asked = [f"88.118.1/{'変' * 670}-{number:04}" for number in range(MAX_RESOLVE_BATCH)]
    body = json.dumps({"identifiers": asked}, ensure_ascii=False).encode()
    results = (await served.post(BATCH, body)).json()["results"]
    assert [each["reason"] for each in results] == ["not_found"] * MAX_RESOLVE_BATCH


async def test_filters_tokens_and_traces_are_for_all(served: Served) -> None:
    body = {"identifiers": [SAMPLE], "indexes": [900], "explain": True}
    closed, opened = [
        (await served.post(BATCH, body, **headers)).json()["results"][0]
        for headers in ({}, {"authorization": f"Bearer {TOKENS['maker']}"})
    ]
    assert (closed["values"], opened["values"][0]["index"]) == ([], 900)
    assert closed["explanation"][-1] == "filters: index 900; 0 values selected"
    insisting = (await served.post(BATCH, {**body, "wants_private": True})).json()["results"][0]
    assert insisting["status"] == 401


async def test_a_wrong_token_ends_the_batch_before_its_first_result(served: Served) -> None:
    answer = await served.post(BATCH, {"identifiers": [SAMPLE, "x"]}, authorization="Bearer bj_root_wrong")
    assert (answer.status, answer.json()["reason"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("body", "status", "reason", "field"),
    [
        (b"", 400, Reason.MALFORMED_MESSAGE, "body"),
        (b"{", 400, Reason.MALFORMED_MESSAGE, "body"),
        (b"[" * 100_000, 400, Reason.MALFORMED_MESSAGE, "body"),
        (b'{"identifiers": ["\xff"]}', 400, Reason.INVALID_ENCODING, "body"),
        (b"[]", 400, Reason.INVALID_ARGUMENT, "body"),
        (b"{}", 400, Reason.INVALID_ARGUMENT, "identifiers"),
        (b'{"identifiers": "x"}', 400, Reason.INVALID_ARGUMENT, "identifiers"),
        (b'{"identifiers": ["x", 5]}', 400, Reason.INVALID_ARGUMENT, "identifiers[1]"),
        (b'{"identifiers": [], "type": "URL"}', 400, Reason.INVALID_ARGUMENT, "type"),
        (b'{"identifiers": [], "types": [""]}', 400, Reason.INVALID_ARGUMENT, "types"),
        (b'{"identifiers": [], "indexes": [1.5]}', 400, Reason.INVALID_ARGUMENT, "indexes"),
        (b'{"identifiers": [], "indexes": [true]}', 400, Reason.INVALID_ARGUMENT, "indexes"),
        (b'{"identifiers": [], "after": "x"}', 400, Reason.INVALID_ARGUMENT, "after"),
        (b'{"identifiers": [], "explain": "yes"}', 400, Reason.INVALID_ARGUMENT, "explain"),
        (json.dumps({"identifiers": ["x"] * 1001}).encode(), 413, Reason.BATCH_TOO_LARGE, "identifiers"),
    ],
)
async def test_a_batch_that_cannot_be_understood_is_refused_whole(
    served: Served, body: bytes, status: int, reason: Reason, field: str
) -> None:
    answer = await served.post(BATCH, body)
    assert (answer.status, answer.json()["reason"], answer.json()["field"]) == (status, reason, field)
    assert served.refused(reason) == 1


async def test_half_a_surrogate_pair_costs_only_its_own_item(served: Served) -> None:
    results = (await served.post(BATCH, b'{"identifiers": ["88.118.1/\\ud800", "88.118.1/Sample-1"]}')).json()["results"]
    assert [each["status"] for each in results] == [400, 200]


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "text/plain"},
        {"content_type": "application/json; charset=gb18030"},
        {"content_type": ""},
        {"content_encoding": "gzip"},
    ],
)
async def test_other_bodies_than_json_in_utf8_are_not_read(served: Served, headers: dict[str, str]) -> None:
    answer = await served.post(BATCH, {"identifiers": []}, **headers)
    assert (answer.status, answer.json()["reason"]) == (415, Reason.UNSUPPORTED_CONTENT_TYPE)


async def test_a_body_too_long_is_refused_when_announced_and_when_it_comes(served: Served) -> None:
    announced = compose_request("POST", BATCH, {"content-type": "application/json", "content-length": str(MAX_BODY_BYTES + 1)})
    assert (await served.send(announced)).status == 413
    head = compose_request("POST", BATCH, {"content-type": "application/json", "transfer-encoding": "chunked"})
    size = MAX_BODY_BYTES + 1
    answer = await served.send(head + f"{size:x}\r\n".encode() + b" " * size + b"\r\n0\r\n\r\n")
    assert (answer.status, answer.json()["reason"]) == (413, Reason.MESSAGE_TOO_LARGE)
    assert served.refused(Reason.MESSAGE_TOO_LARGE) == 2


async def test_a_client_that_asks_before_sending_is_told_to_go_on(served: Served) -> None:
    body = json.dumps({"identifiers": [SAMPLE]}).encode()
    fields = {"content-type": "application/json", "content-length": str(len(body)), "expect": "100-continue"}
    said = await served.talk(compose_request("POST", BATCH, fields), body)
    assert said.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_broken_chunks_are_malformed(served: Served) -> None:
    head = compose_request("POST", BATCH, {"content-type": "application/json", "transfer-encoding": "chunked"})
    answer = await served.send(head + b"zz\r\n{}\r\n0\r\n\r\n")
    assert (answer.status, answer.json()["reason"]) == (400, Reason.MALFORMED_MESSAGE)
