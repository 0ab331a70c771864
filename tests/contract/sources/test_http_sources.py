"""A list of an HTTP API as a source: pages, what is new since, and a server that misbehaves."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.sources.fake import PAGE_ROWS, Misbehaviour, Products
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
