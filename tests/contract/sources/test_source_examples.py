"""The profiles in deploy/sources, each over a system as it describes it: what is registered is what the file says."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.sources.core.profile import Profile, parse_profile
from adapters.sources.fake import Products
from tests.support.postgres_server import PostgresServer, postgres_server
from tests.support.rest import RestNode
from tests.support.sources import RunningSource, values_of

FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "sources"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


def example(name: str, secrets: dict[str, str], **read: Any) -> Profile:
    """A profile as it is shipped; `read` says where its system is in this test."""
    document = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    document["read"] |= read
    return parse_profile(document, lambda said: secrets.get(said.removeprefix("env:"), "token"))


def test_every_example_is_tried_here() -> None:
    assert {file.stem for file in FOLDER.glob("*.toml")} == {"erp-table", "erp-files", "mes-list"}


async def test_a_table_and_a_list_write_values_of_their_own_to_the_same_identifiers(
    node: RestNode, server: PostgresServer
) -> None:
    server.execute(
        "create table products (id int primary key, serial text, title text, model text, rated_kv numeric, rated_kva numeric,"
        " made date, state int, customer text, changed_at timestamptz not null default now())"
    )
    server.execute(
        "insert into products values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (1, " t-1 ", "油浸式变压器", "ＳＣＢ１８", "110", "50000", "2026-01-31", 10, "国网"),
        (2, "t-2", "干式变压器", None, None, None, None, 99, None),
    )
    table = RunningSource(node, example("erp-table", {"BIAOJIE_SOURCE_ERP_DATABASE": server.url}))
    result = await table.run()
    assert (result.state, result.counts["created"], result.faults) == ("done", 2, ())
    meta = '{"model":"SCB18","rated_kv":110,"rated_kva":50000,"made":"2026-01-31","state":"在用"}'
    first = {1: "https://erp.internal/products/1", 2: "油浸式变压器", 3: meta, 900: "国网"}
    assert values_of(await table.record("T-1")) == first
    assert values_of(await table.record("T-2"))[3] == '{"state":"未知"}'

    products = await Products("token").open()
    try:
        products.rows = [
            {"serialNo": "t-1", "updated_at": "2026-02-01", "report": {"id": 7, "passedAt": "2026-02-01T08:00:00Z"}}
        ]
        tested = RunningSource(node, example("mes-list", {}, url=products.url))
        assert (await tested.run()).counts["replaced"] == 1
    finally:
        await products.close()
    report = {10: "https://mes.internal/reports/7", 11: "2026-02-01"}
    assert values_of(await table.record("T-1")) == first | report
    assert (await table.run()).counts["unchanged"] == 2


async def test_a_nightly_listing_in_gb_18030(node: RestNode, tmp_path: Path) -> None:
    header = "产品编号,产品名称,规格型号,生产日期,长度,旧编号\r\n"
    rows = [
        "C-1,电力电缆,ＹＪＶ22,2026年01月31日,1000.55,77\r\n",
        "C-2,电力电缆,YJV,2026年1月5日,,\r\n",
        "C-3,电缆,YJV,31.01.2026,1,\r\n",
    ]
    (tmp_path / "products-20260131.csv").write_bytes((header + "".join(rows)).encode("gb18030"))
    source = RunningSource(node, example("erp-files", {}, folder=str(tmp_path)), by="stranger")
    assert (await source.run()).counts["rows"] == 0
    (tmp_path / "products-20260131.csv.done").touch()
    result = await source.run()
    assert (result.state, result.counts["created"], [fault.row for fault in result.faults]) == (
        "done", 2, ["products-20260131.csv, line 4"],
    )  # fmt: skip
    record = (await node("GET", "/api/v1/identifiers/88.118.1002/C-1")).document
    assert values_of(record) == {1: "电力电缆 YJV22", 2: "2026-01-31", 3: "1000.6"}
    assert (record["template"], record["aliases"]) == ("cable", ["88.118.1002/OLD-77"])
    assert values_of((await node("GET", "/api/v1/identifiers/88.118.1002/C-2")).document)[3] == "0.0"
