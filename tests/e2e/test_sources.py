"""Sources of a running node: from a table of a real PostgreSQL to an answer over Handle, under the operator's hand."""

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartNode
from tests.support.node import RunningNode, run_biaojie
from tests.support.postgres_server import PostgresServer, postgres_server

PREFIX = "88.118.1001"
TABLE = "create table products (id int primary key, serial text, title text, kv numeric, made date, changed_at timestamptz)"
INSERT = "insert into products values (%s, %s, %s, %s, %s, now())"


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        server.execute(TABLE)
        yield server


def new_token(node: RunningNode, folder: Path) -> Path:
    """The key of an account of the registrant that holds the prefix, in a file."""
    node.until_whole()
    node.call("POST", "/api/v1/registrants", {"code": "R-1", "name": "许昌变压器厂"})
    node.call("POST", "/api/v1/prefixes", {"name": PREFIX, "registrant": "R-1"})
    made = node.call("POST", "/api/v1/accounts", {"name": "erp", "role": "registrant", "registrant": "R-1"}).json()
    file = folder / "erp.key"
    file.write_text(made["api_key"])
    return file


def write_profile(file: Path, token: Path, read: str, every_s: float = 3_600) -> Path:
    file.write_text(
        f"""
        name = "{file.stem}"
        system = "ERP"
        token = "file:{token}"
        prefix = "{PREFIX}"
        every_s = {every_s}
        [read]
        {read}
        [record]
        identifier = "{PREFIX}/{{serial | trim | upper}}"
        [[record.values]]
        index = 1
        type = "URL"
        text = "https://erp.example/products/{{id}}"
        [[record.values]]
        index = 2
        type = "TITLE"
        text = "{{title}}"
        [[record.values]]
        index = 3
        type = "META"
        members = {{ rated_kv = "{{kv | number}}", made = "{{made | format '%Y年%m月'}}" }}
        """,
        encoding="utf-8",
    )
    return file


def texts(node: RunningNode, suffix: str, via: str) -> dict[str, Any]:
    found = node.run("resolve", f"{PREFIX}/{suffix}", "--via", via, "--json")
    assert found.returncode == 0, found.stderr
    return {value["type"]: value["data"]["value"] for value in json.loads(found.stdout)["values"]}


def passing(plan: str) -> str:
    """What a plan that is held says is to be given to let it pass."""
    found = re.search(r"--over-brake (\w+)$", plan, re.MULTILINE)
    assert found is not None
    return found.group(1)


def source(node: RunningNode, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(node.run("source", "show", name, "--json").stdout)
    return document


def test_a_table_is_planned_applied_and_resolved(start_node: StartNode, database: PostgresServer, tmp_path: Path) -> None:
    node = start_node("node.homed=88.118", workers=1)
    token = new_token(node, tmp_path)
    read = f'kind = "sql"\nurl = "{database.url}"\ntable = "products"\nkey = "id"'
    profile = write_profile(tmp_path / "products.toml", token, read)
    rows = [(number, f" t-{number} ", f"变压器 {number}", "110.5", "2026-01-31") for number in range(1, 13)]
    database.execute(INSERT, *rows, (13, None, "no serial", None, None))

    planned = node.run("source", "plan", str(profile))
    assert (planned.returncode, "12 to create" in planned.stdout, "1 faulty" in planned.stdout) == (0, True, True)
    assert planned.stdout.count("1:URL=https://erp.example/products/") == 10
    assert "identifier: column serial is empty" in planned.stdout
    assert node.resolve(f"{PREFIX}/T-1").status == 404
    assert node.run("source", "show", "products").returncode == 1

    applied = node.run("source", "apply", str(profile))
    assert (applied.returncode, "12 created" in applied.stdout) == (1, True)
    expected = {"URL": "https://erp.example/products/1", "TITLE": "变压器 1", "META": '{"rated_kv":110.5,"made":"2026年01月"}'}
    assert texts(node, "T-1", "handle") == texts(node, "T-1", "http") == expected
    assert source(node, "products")["counts"]["created"] == 12
    assert "12" in node.run("source", "list").stdout
    shown = node.run("source", "show", "products").stdout
    assert re.search(r"^created +20\d\d-", shown, re.MULTILINE)
    assert re.search(r"^created rows +12$", shown, re.MULTILINE)
    again = node.run("source", "plan", str(profile), "--json")
    assert json.loads(again.stdout)[0]["counts"]["unchanged"] == 12

    database.execute("update products set title = 'sold'")
    held = node.run("source", "plan", str(profile))
    assert (held.returncode, "THE BRAKE HOLDS IT: 12 of 12" in held.stdout) == (1, True)
    assert node.run("source", "apply", str(profile)).returncode == 1
    assert texts(node, "T-1", "handle")["TITLE"] == "变压器 1"
    database.execute("delete from products where serial is null")
    refused = node.run("source", "apply", str(profile), "--over-brake", passing(held.stdout))
    assert (refused.returncode, "and this is another" in refused.stdout) == (1, True)
    assert texts(node, "T-1", "handle")["TITLE"] == "变压器 1"
    seen = node.run("source", "plan", str(profile)).stdout
    assert node.run("source", "apply", str(profile), "--over-brake", passing(seen)).returncode == 0
    assert texts(node, "T-1", "handle")["TITLE"] == "sold"
    assert node.end() == 0
    assert run_biaojie("verify", "--data", str(node.data)).returncode == 0


def test_the_node_runs_its_sources_and_asks_nobody_but_at_the_brake(start_node: StartNode, tmp_path: Path) -> None:
    folder, data = tmp_path / "out", tmp_path / "data"
    folder.mkdir()
    node = start_node("node.homed=88.118", workers=1)
    token = new_token(node, tmp_path)
    assert node.end() == 0
    file = tmp_path / "products.db"
    with sqlite3.connect(file) as database:
        database.execute("create table products (id integer primary key, serial, title, kv, made, changed_at)")
    database.close()
    read = f'kind = "files"\nfolder = "{folder}"\nlisting = "whole"\nmarker = ".done"'
    settings = [str(write_profile(tmp_path / "listing.toml", token, read, every_s=1))]
    read = f'kind = "sql"\nurl = "sqlite:///{file}"\ntable = "products"\nkey = "id"\nafter = "id"'
    settings.append(str(write_profile(tmp_path / "table.toml", token, read, every_s=3_600)))
    node = start_node("node.homed=88.118", f"sources.profiles={','.join(settings)}", workers=1, data=data)
    node.until_whole()
    node.until(lambda: str(node.child("adapters").get("source listing")).startswith("done"))

    columns = "id,serial,title,kv,made\n"
    rows = [f"{number},T-{number},变压器 {number},110,2026-01-31\n" for number in range(20)]
    (folder / "1.csv").write_text(columns + "".join(rows))
    (folder / "1.csv.done").touch()
    node.until(lambda: source(node, "listing")["counts"]["created"] == 0 and "date makes one" in str(source(node, "listing")))
    assert node.metric("biaojie_source_stopped", source="listing") == 1
    listing = tmp_path / "listing.toml"
    listing.write_text(listing.read_text().replace("made | format", "made | date '%Y-%m-%d' | format"))
    node.kill("adapters")
    node.until(lambda: source(node, "listing")["counts"]["created"] == 20)
    assert texts(node, "T-7", "handle")["META"] == '{"rated_kv":110,"made":"2026年01月"}'
    node.until(lambda: node.metric("biaojie_source_rows_total", source="listing", outcome="created") == 20)
    assert node.metric("biaojie_source_runs_total", source="listing", outcome="done") >= 1
    assert node.metric("biaojie_source_done_timestamp_seconds", source="listing") > 1_700_000_000

    (folder / "2.csv").write_text(columns + "".join(row.replace("变压器", "互感器") for row in rows))
    (folder / "2.csv.done").touch()
    node.until(lambda: source(node, "listing")["state"] == "stopped")
    node.until(lambda: node.metric("biaojie_source_stopped", source="listing") == 1)
    assert "20 of 20" in node.run("source", "list").stdout
    assert node.run("source", "run", "listing", "--wait").returncode == 1
    lifted = node.run("source", "run", "listing", "--over-brake", source(node, "listing")["plan_digest"], "--wait")
    assert (lifted.returncode, texts(node, "T-7", "handle")["TITLE"]) == (0, "互感器 7")

    with sqlite3.connect(file) as database:
        database.execute("insert into products values (1, 'S-1', 'a', 1, null, null)")
    database.close()
    assert node.run("source", "run", "table", "--wait").returncode == 0
    assert texts(node, "S-1", "handle")["URL"] == "https://erp.example/products/1"
    assert node.run("source", "run", "nobody").returncode == 1
    assert node.end() == 0


def test_every_mistake_of_every_source_is_named_before_anything_starts(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(
        'name = "Bad"\ntoken = "env:NOT_THERE"\nprefix = "88/1"\n[read]\nkind = "sql"\nurl = "mysql://x/y"\nkey = "id"\n'
        '[record]\nidentifier = "{serial | shout}"\n[gone]\nthen = "burn"\n'
    )
    missing = tmp_path / "missing.toml"
    found = run_biaojie("check", "--set", f"sources.profiles={bad},{missing}", "--set", f"feeds.profiles={missing}")
    assert found.returncode == 2
    for part in (
        "name: ", "token: the environment has no NOT_THERE", "prefix: ", "read.url: postgresql://", "read.table: ",
        "record.identifier: shout: a step is one of", "record.values: 1 to", "gone.then: ",
        "missing.toml: it cannot be read",
    ):  # fmt: skip
        assert part in found.stderr, (part, found.stderr)
    assert found.stderr.count("missing.toml: it cannot be read") == 2
