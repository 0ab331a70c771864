"""A list of an HTTP API as a source: pages, what is new since, and a server that misbehaves."""

import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from adapters.sources.core.places import RestPlace
from adapters.sources.fake import PAGE_ROWS, Misbehaviour, Products
from adapters.sources.readers.reader import Unreadable
from adapters.sources.readers.rest import MAX_PAGE_BYTES, MAX_PAGE_CELLS, RestReader
from tests.support.rest import RestNode
from tests.support.sources import RunningSource, profile, values_of

ROWS = [{"serial": f"T-{number}", "title": f"变压器 {number}", "updated_at": f"2026-01-{number:02}"} for number in range(1, 9)]
PAGINGS: dict[str, dict[str, Any]] = {
    "page": {"paging": "page", "parameter": "page"},
    "cursor": {"paging": "cursor", "parameter": "cursor", "next": "meta.next"},
    "link": {"paging": "link"},
}


@pytest.fixture
async def products() -> AsyncIterator[Products]:
    opened = await Products("token of mes").open()
    opened.rows = list(ROWS)
    yield opened
    await opened.close()


def listing(products: Products, paging: str = "cursor", **more: Any) -> dict[str, Any]:
    return {
        "kind": "rest", "url": f"{products.url}?state=released", "token": "token of mes", "items": "data.items",
        "total": "meta.total", "timeout_s": 20, **PAGINGS[paging], **more,
    }  # fmt: skip


@pytest.mark.parametrize("paging", PAGINGS)
async def test_every_row_of_every_page_becomes_an_identifier(node: RestNode, products: Products, paging: str) -> None:
    source = RunningSource(node, profile(listing(products, paging), gone={"then": "suspend"}))
    assert (await source.run()).counts["created"] == len(ROWS)
    assert values_of(await source.record("T-8"))[2] == "变压器 8"
    assert all("state=released" in asked for asked in products.asked)
    del products.rows[2]
    result = await source.run()
    assert (result.counts["suspended"], result.counts["unchanged"]) == (1, len(ROWS) - 1)


async def test_only_what_changed_since_is_asked_for(node: RestNode, products: Products) -> None:
    source = RunningSource(node, profile(listing(products, since="updated_since", after="updated_at")))
    await source.run()
    products.rows[0] = products.rows[0] | {"title": "anew", "updated_at": "2026-02-01"}
    result = await source.run()
    # The last one of the first time comes again: the server says "not before".
    assert (result.counts["rows"], result.counts["replaced"], result.counts["unchanged"]) == (2, 1, 1)
    assert "updated_since=2026-01-08" in products.asked[-1]
    assert (await source.stored())["bookmark"] == "2026-02-01"


@pytest.mark.parametrize("page", [1, 2])
@pytest.mark.parametrize("manner", Misbehaviour)
async def test_a_reading_that_is_not_whole_changes_nothing(
    node: RestNode, products: Products, manner: Misbehaviour, page: int
) -> None:
    paging = "link" if manner is Misbehaviour.ELSEWHERE else "cursor"
    source = RunningSource(node, profile(listing(products, paging), gone={"then": "retire"}, brake={"share": 1}))
    await source.run()
    before = await source.states()
    products.rows = products.rows[:-1]
    products.misbehave.extend([*[None] * (page - 1), manner])  # type: ignore[list-item]  # None: as usual
    impatient = {"timeout_s": 0.3} if manner is Misbehaviour.HANG else {}
    result = await RunningSource(node, profile(listing(products, paging, **impatient), gone={"then": "retire"})).run()
    assert (result.state, await source.states()) == ("failed", before), result.message
    assert "token of mes" not in result.message
    assert (await source.run()).counts["retired"] == 1


async def test_a_wrong_token_is_said(node: RestNode, products: Products) -> None:
    result = await RunningSource(node, profile(listing(products, token="another"))).run()
    assert (result.state, result.message) == ("failed", "the server answers 401")


async def test_a_server_that_is_not_there_is_said(node: RestNode, products: Products) -> None:
    await products.close()
    result = await RunningSource(node, profile(listing(products))).run()
    assert (result.state, result.message.startswith("the server does not answer")) == ("failed", True)


async def test_rows_that_are_no_objects_or_of_wrong_types_are_faults(node: RestNode, products: Products) -> None:
    products.rows = [*ROWS[: PAGE_ROWS + 1], 7, {"serial": ["T-9"], "title": "x"}, {"serial": "T-10", "title": {"zh": "x"}}]  # type: ignore[list-item]  # that is what it is about
    source = RunningSource(node, profile(listing(products)))
    result = await source.run()
    assert (result.state, result.counts["created"]) == ("done", PAGE_ROWS + 1)
    assert [(fault.row, fault.reason) for fault in result.faults] == [
        ("row 5", "it is no JSON object"),
        ("row 6", "identifier: column serial: it is no text but a list"),
        ("row 7", "value 2 TITLE: column title: it is no text but an object"),
    ]


def answering(document: bytes, **headers: str) -> Any:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=document, headers=headers, content_type="application/json")

    return answer


@pytest.mark.parametrize(
    ("paging", "document", "headers", "said"),
    [
        ("link", '{"items": []}', {"Link": "<http://[::1>; rel=next"}, "its header Link holds no URL"),
        ("link", '{"items": []}', {"Link": "<http://h:99999999/>; rel=next"}, "its header Link holds no URL"),
        ("link", '{"items": [], "next": "http://[::1"}', {}, "no part of a URL"),
        ("link", '{"items": [], "next": "/\\ud800"}', {}, "no part of a URL"),
        ("link", '{"items": [], "next": "//elsewhere/x"}', {}, "refers to another server, elsewhere"),
        ("link", '{"items": [], "next": []}', {}, "next is no link"),
        ("cursor", '{"items": [], "next": "\\ud800"}', {}, "no part of a URL"),
        ("cursor", '{"items": [], "next": {}}', {}, "next is no cursor"),
        ("cursor", '{"items": [1e99999999999999999999]}', {}, "a page is no JSON"),
        ("cursor", '{"items": [{}' + ",{}" * MAX_PAGE_CELLS + "]}", {}, "a page has more than 250000 cells"),
        ("cursor", '{"items": [%s]}' % ("[" * 200_000), {}, "a page is no JSON"),
        ("cursor", " " * MAX_PAGE_BYTES + "{}", {}, "a page has more than 16777216 bytes"),
    ],
    ids=map(str, range(12)),
)
async def test_what_no_server_should_answer_is_said_in_plain_words(
    paging: str, document: str, headers: dict[str, str], said: str
) -> None:
    async with RawTestServer(answering(document.encode(), **headers)) as server:
        more = {"next": "next"} if "header" not in said else {}
        place = profile({
            "kind": "rest", "url": str(server.make_url("/x")), "items": "items", "paging": paging,
            **({"parameter": "cursor"} if paging == "cursor" else {}), **more,
        }).place  # fmt: skip
        assert isinstance(place, RestPlace)
        reader = RestReader(place)
        with pytest.raises(Unreadable, match=said):
            _ = [portion async for portion in reader.read("")]
        await reader.close()


async def test_a_page_that_unpacks_to_gigabytes_is_not_unpacked() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    async with RawTestServer(answering(packed, **{"Content-Encoding": "gzip"})) as server:
        place = profile({"kind": "rest", "url": str(server.make_url("/x")), "paging": "page", "parameter": "page"}).place
        assert isinstance(place, RestPlace)
        reader = RestReader(place)
        with pytest.raises(Unreadable, match="a page has more than"):
            _ = [portion async for portion in reader.read("")]
        await reader.close()
