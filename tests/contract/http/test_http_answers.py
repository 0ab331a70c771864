"""What each answer looks like over HTTP: statuses, codes, documents, and what may be kept."""

from typing import Any

import pytest

from proto.errors import Reason
from proto.model.change import Position
from tests.contract.http.conftest import OWNER, TOKENS
from tests.support.http import Served

SAMPLE = "88.118.1/Sample-1"
URL = {
    "index": 1,
    "type": "URL",
    "data": {"format": "string", "value": "http://x.cn/1"},
    "ttl": 3600,
    "timestamp": "1970-01-01T00:00:00Z",
}
TITLE = {**URL, "index": 2, "type": "TITLE", "data": {"format": "string", "value": "油浸式变压器"}, "ttl": 600}


def bearer(name: str) -> str:
    return f"Bearer {TOKENS[name]}"


def indexes(document: Any) -> list[int]:
    return [each["index"] for each in document["values"]]


async def test_the_handle_json_api_answers_as_stock_servers_do(served: Served) -> None:
    answer = await served.get(f"/api/handles/{SAMPLE}")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json() == {"responseCode": 1, "handle": SAMPLE, "values": [URL, TITLE]}


async def test_our_own_api_says_all_that_is_known(served: Served) -> None:
    assert (await served.get("/api/v1/resolve/88.118.1/sample-1")).json() == {
        "responseCode": 1,
        "status": 200,
        "asked": "88.118.1/sample-1",
        "identifier": SAMPLE,
        "state": "active",
        "version": 4,
        "values": [URL, TITLE],
        "aliases": ["88.118.1/OLD"],
        "template": "",
        "registrant": OWNER,
        "source": "authoritative",
        "age_s": 0,
        "ttl_s": 600,
    }


async def test_the_asked_spelling_is_echoed_and_an_alias_gives_the_records_own(served: Served) -> None:
    assert (await served.get("/api/handles/88.118.1/sAmPlE-1")).json()["handle"] == "88.118.1/sAmPlE-1"
    assert (await served.get("/api/handles/88.118.1/old")).json()["handle"] == SAMPLE


@pytest.mark.parametrize(
    ("identifier", "status", "code", "handle_status", "reason"),
    [
        ("88.118.1/nothing", 404, 100, 404, "not_found"),
        ("88.118.1/suspended", 403, 200, 403, "suspended"),
        ("88.118.9/anything", 403, 200, 403, "suspended"),
        ("88.118.1/retired", 410, 100, 410, "retired"),
        ("10.1000/1", 404, 301, 400, "not_homed"),
        ("", 400, 102, 400, "invalid_identifier"),
        ("/", 400, 102, 400, "invalid_identifier"),
        ("88..1/x", 400, 102, 400, "invalid_identifier"),
        ("88.118.1/%00", 400, 102, 400, "invalid_identifier"),
        ("88.118.1/" + "x" * 2048, 400, 102, 400, "invalid_identifier"),
    ],
)
async def test_everything_else_is_a_problem_with_its_code(
    served: Served, identifier: str, status: int, code: int, handle_status: int, reason: str
) -> None:
    for path, wanted in (("/api/v1/resolve/", status), ("/api/handles/", handle_status)):
        answer = await served.get(path + identifier)
        document = answer.json()
        assert answer.status == wanted == document["status"]
        assert (document["responseCode"], document["reason"]) == (code, reason)
        assert answer.headers["content-type"] == "application/problem+json; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert "values" not in document


async def test_problems_tell_state_version_and_message(served: Served) -> None:
    retired = (await served.get("/api/v1/resolve/88.118.1/retired")).json()
    assert (retired["state"], retired["version"], retired["identifier"]) == ("retired", 9, "88.118.1/retired")
    assert (await served.get("/api/v1/resolve/88.118.1/suspended")).json()["state"] == "suspended"
    foreign = (await served.get("/api/handles/10.1000/1")).json()
    assert foreign["message"] == foreign["detail"] == "prefix 10.1000 does not live here"
    assert foreign["handle"] == "10.1000/1"


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("index=2", [2]),
        ("index=1&index=2", [1, 2]),
        ("type=url", [1]),
        ("type=TITLE&index=1", [1, 2]),
        ("type=URL.", [1]),
        ("type=%55RL&pretty&auth=true&unknown=1", [1]),
    ],
)
async def test_filters(served: Served, query: str, wanted: list[int]) -> None:
    for path in ("/api/handles/", "/api/v1/resolve/"):
        assert indexes((await served.get(f"{path}{SAMPLE}?{query}")).json()) == wanted


async def test_filters_that_match_nothing_readable_find_no_values(served: Served) -> None:
    for query in ("index=4242", "type=NONE", "index=900"):
        for path in ("/api/handles/", "/api/v1/resolve/"):
            answer = await served.get(f"{path}{SAMPLE}?{query}")
            assert (answer.status, answer.json()["responseCode"], answer.json()["values"]) == (200, 200, [])
            assert answer.headers["cache-control"] == "public, no-cache"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("index=x", "index"),
        ("index=-1", "index"),
        ("index=", "index"),
        ("index=4294967296", "index"),
        ("index=99999999999999999999", "index"),
        ("index=%EF%BC%91", "index"),
        ("type=", "type"),
        ("type=" + "x" * 300, "type"),
        ("after=nonsense", "after"),
        ("type=%FF", "query"),
        ("&".join(["a"] * 2065), "query"),
    ],
)
async def test_bad_parameters_are_named(served: Served, query: str, field: str) -> None:
    for path in ("/api/handles/", "/api/v1/resolve/"):
        answer = await served.get(f"{path}{SAMPLE}?{query}")
        assert (answer.status, answer.json()["field"]) == (400, field)
    assert served.refused(Reason(answer.json()["reason"])) == 2


@pytest.mark.parametrize(
    ("query", "field"), [("pretty=maybe", "pretty"), ("publicOnly=2", "publicOnly"), ("callback=a-b", "callback")]
)
async def test_bad_parameters_of_the_handle_api_are_named(served: Served, query: str, field: str) -> None:
    answer = await served.get(f"/api/handles/{SAMPLE}?{query}")
    assert (answer.status, answer.json()["field"], answer.json()["responseCode"]) == (400, field, 4)


@pytest.mark.parametrize(
    ("name", "wanted"), [("root", [1, 2, 800, 900]), ("maker", [1, 2, 800, 900]), ("other", [1, 2]), ("city", [1, 2, 800])]
)
async def test_a_token_opens_what_its_account_may_read_and_nobody_else_may_keep_it(
    served: Served, name: str, wanted: list[int]
) -> None:
    for path in ("/api/handles/", "/api/v1/resolve/"):
        answer = await served.get(path + SAMPLE, Authorization=bearer(name))
        assert indexes(answer.json()) == wanted
        assert answer.headers["cache-control"] == "private, max-age=600"
        assert answer.headers["vary"] == "Authorization"


async def test_a_wrong_token_is_refused_with_a_challenge(served: Served) -> None:
    for path in ("/api/handles/", "/api/v1/resolve/"):
        answer = await served.get(path + SAMPLE, Authorization="Bearer bj_root_wrong")
        assert (answer.status, answer.json()["responseCode"], answer.json()["field"]) == (401, 402, "authorization")
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_other_kinds_of_credentials_are_set_aside_as_stock_clients_expect(served: Served) -> None:
    answer = await served.get(f"/api/handles/{SAMPLE}", Authorization="Basic MzAxOng=")
    assert indexes(answer.json()) == [1, 2]


async def test_who_insists_on_closed_values_is_told_that_they_are_closed(served: Served) -> None:
    for insisting in (f"/api/handles/{SAMPLE}?publicOnly=false", f"/api/v1/resolve/{SAMPLE}?wants_private=1"):
        anonymous = await served.get(insisting)
        assert (anonymous.status, anonymous.json()["responseCode"]) == (401, 402)
        other = await served.get(insisting, Authorization=bearer("other"))
        assert (other.status, other.json()["responseCode"]) == (403, 400)
        owner = await served.get(insisting, Authorization=bearer("maker"))
        assert indexes(owner.json()) == [1, 2, 800, 900]
        assert indexes((await served.get(f"{insisting}&index=1")).json()) == [1]


async def test_public_only_sets_a_token_aside(served: Served) -> None:
    answer = await served.get(f"/api/handles/{SAMPLE}?publicOnly=true", Authorization=bearer("maker"))
    assert indexes(answer.json()) == [1, 2]


async def test_layouts(served: Served) -> None:
    pretty = await served.get(f"/api/handles/{SAMPLE}?pretty")
    assert b'\n  "responseCode": 1,' in pretty.body
    called = await served.get(f"/api/handles/{SAMPLE}?callback=window.cb_1")
    assert called.headers["content-type"].startswith("application/javascript")
    assert called.body.startswith(b'/**/window.cb_1({"responseCode": 1')
    assert called.body.endswith(b"});")
    assert called.body.isascii()
    missing = await served.get("/api/handles/88.118.1/nothing?callback=cb")
    assert (missing.status, missing.body[:7]) == (404, b"/**/cb(")


async def test_an_explanation_is_for_now_only(served: Served) -> None:
    answer = await served.get("/api/v1/resolve/88.118.1/old?explain=1&type=URL")
    assert answer.json()["explanation"] == [
        "prefix matched: 88.118.1, approved, suffixes fold_ascii",
        "alias: 88.118.1/old points to 88.118.1/sample-1",
        f"record {SAMPLE}: version 4, active",
        "caller: anybody reads public values",
        "filters: type URL; 1 values selected",
    ]
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers
    refused = (await served.get("/api/v1/resolve/10.1/x?explain")).json()
    assert refused["explanation"] == ["prefix 10.1: neither it nor what it derives from is homed here"]
    assert "explanation" not in (await served.get("/api/v1/resolve/10.1/x?explain=0")).json()


async def test_an_answer_is_kept_as_long_as_its_shortest_ttl_and_known_by_its_tag(served: Served) -> None:
    first = await served.get(f"/api/handles/{SAMPLE}")
    assert first.headers["cache-control"] == "public, max-age=600"
    tag = first.headers["etag"]
    for known in (tag, f'"x", W/{tag}', "*"):
        again = await served.get(f"/api/handles/{SAMPLE}", If_None_Match=known)
        assert (again.status, again.body) == (304, b"")
        assert (again.headers["etag"], again.headers["cache-control"], again.headers["vary"]) == (
            tag, first.headers["cache-control"], "Authorization",
        )  # fmt: skip
    assert (await served.get(f"/api/handles/{SAMPLE}", If_None_Match='"4-0000"')).status == 200
    assert (await served.get("/api/handles/88.118.1/nothing", If_None_Match="*")).status == 404


async def test_whatever_decides_the_body_decides_the_tag(served: Served) -> None:
    paths = [
        f"/api/handles/{SAMPLE}",
        f"/api/handles/{SAMPLE}?index=1",
        "/api/handles/88.118.1/sample-1",
        f"/api/v1/resolve/{SAMPLE}",
    ]
    tags = [(await served.get(path)).headers["etag"] for path in paths]
    tags.append((await served.get(paths[0], Authorization=bearer("maker"))).headers["etag"])
    tags.append((await served.get(f"{paths[0]}?pretty")).headers["etag"])
    assert len(set(tags)) == len(tags)
    assert all(tag.startswith('"4-') for tag in tags)
    served.reader.put_record(SAMPLE, version=5)
    assert (await served.get(paths[0], If_None_Match=tags[0])).status == 200


async def test_head_is_get_without_the_body(served: Served) -> None:
    for path in (f"/api/handles/{SAMPLE}", f"/api/v1/resolve/{SAMPLE}", "/api/handles/88.118.1/nothing", "/healthz"):
        got, headed = await served.get(path), await served.get(path, "HEAD")
        assert headed.status == got.status
        assert headed.body == b""
        varying = {"x-request-id", "date"}
        assert {k: v for k, v in headed.headers.items() if k not in varying} == {
            k: v for k, v in got.headers.items() if k not in varying
        }


async def test_a_read_waits_for_the_position_it_names(served: Served) -> None:
    shown = served.reader.position.to_cursor()
    assert (await served.get(f"/api/v1/resolve/{SAMPLE}?after={shown}")).status == 200
    assert (await served.get(f"/api/handles/{SAMPLE}?after={shown}")).status == 200


async def test_a_position_that_does_not_come_is_not_ready(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(position: Position, timeout_s: float) -> bool:
        return False

    monkeypatch.setattr(served.reader, "reach", never)
    answer = await served.get(f"/api/v1/resolve/{SAMPLE}?after={Position(9, 9).to_cursor()}")
    assert (answer.status, answer.json()["reason"], answer.json()["field"]) == (503, "not_ready", "after")
    assert int(answer.headers["retry-after"]) >= 1
