"""Answers that are kept: as long as they are true, for what was asked alone, for anybody; each sent under an id of its own."""

import re

from tests.contract.http.test_http_two_paths import GET, LAST, TARGETS
from tests.support.http import Served, compose_request, parse_answer
from tests.support.two_paths import without_chance


async def test_a_kept_answer_ends_with_what_it_rests_on(served_by: str, served: Served) -> None:
    target = "/api/handles/88.118.1/Sample-1"
    first = [await served.get(target) for _ in range(4)]
    assert len({(answer.body, answer.headers["etag"]) for answer in first}) == 1
    hits = served.hits()
    assert hits == (2 if served_by == "plain" else 0)  # let in at the second sight
    assert served.resolved("found") == 4
    tag = first[0].headers["etag"]
    assert (await served.get(target, "HEAD", If_None_Match=tag)).status == 304
    served.reader.put_record("88.118.1/Sample-1", version=5)
    assert (await served.get(target, If_None_Match=tag)).json()["values"] == []


async def test_an_answer_is_kept_for_its_target_alone(served: Served) -> None:
    targets = [*TARGETS, *(target + "&x" for target in TARGETS if "?" in target)]
    once = [without_chance(await served.talk(compose_request("GET", target))) for target in targets]
    for _ in range(3):
        assert [without_chance(await served.talk(compose_request("GET", target))) for target in targets] == once


async def test_a_token_never_meets_what_is_kept_for_anybody(served: Served) -> None:
    target = "/api/handles/88.118.1/Sample-1"
    for _ in range(3):
        assert (await served.get(target)).headers["cache-control"].startswith("public")
    assert (await served.get(target, Authorization="Bearer bj_root_wrong")).status == 401


async def test_each_answer_has_an_id_of_its_own(served: Served) -> None:
    said = await served.talk(GET * 50 + LAST)
    ids = re.findall(rb"X-Request-Id: (\S+)", said)
    assert len(set(ids)) == len(ids) == 51
    assert parse_answer(said[said.rindex(b"HTTP/1.1 ") :]).status == 404
