"""`biaojie import` and `biaojie export` against a running node: files, exit statuses, what is said."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.node import RunningNode, run_biaojie

PREFIX = "88.118.1002"
HEADER = "identifier,1:URL,2:TITLE\n"
WriteTable = Callable[..., Path]


@pytest.fixture
def write_table(tmp_path: Path) -> WriteTable:
    def write(*rows: str, name: str = "rows.csv", header: str = HEADER, encoding: str = "utf-8") -> Path:
        file = tmp_path / name
        file.write_bytes((header + "".join(f"{row}\n" for row in rows)).encode(encoding))
        return file

    return write


def result_of(table: Path) -> list[dict[str, str]]:
    with table.with_name(f"{table.name}.result.csv").open(encoding="utf-8", newline="") as result:
        return list(csv.DictReader(result))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_table_is_registered_and_resolves(node: RunningNode, write_table: WriteTable, encoding: str) -> None:
    table = write_table(f"{PREFIX}/{encoding},https://example.cn,干式变压器", encoding=encoding)
    done = node.run("import", str(table), "--prefix", PREFIX)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 created" in done.stdout
    assert [line["outcome"] for line in result_of(table)] == ["created"]
    values = node.resolve(f"{PREFIX}/{encoding}").json()["values"]
    assert [value["data"]["value"] for value in values] == ["https://example.cn", "干式变压器"]


def test_refused_rows_are_in_the_result_and_in_the_exit_status(node: RunningNode, write_table: WriteTable) -> None:
    table = write_table(f"{PREFIX}/OK,u,t", "88.118.1001/NOT-BELOW,u,t", f"{PREFIX}/SHORT,u")
    done = node.run("import", str(table), "--prefix", PREFIX)
    assert (done.returncode, done.stderr) == (1, "biaojie import: 2 rows were refused\n")
    assert [(line["row"], line["outcome"], line["field"]) for line in result_of(table)] == [
        ("1", "created", ""),
        ("2", "refused", "identifier"),
        ("3", "refused", "row"),
    ]


def test_the_job_is_printed_for_programs(node: RunningNode, write_table: WriteTable) -> None:
    table = write_table(f"{PREFIX}/J,u,t", name="产品.csv")
    document = json.loads(node.run("import", str(table), "--prefix", PREFIX, "--json").stdout)
    assert (document["state"], document["created_rows"], document["file_name"]) == ("finished", 1, "产品.csv")
    assert document["result_file"] == f"{table}.result.csv"


def test_a_dry_run_registers_nothing(node: RunningNode, write_table: WriteTable) -> None:
    table = write_table(f"{PREFIX}/DRY,u,t")
    done = node.run("import", str(table), "--prefix", PREFIX, "--dry-run")
    assert (done.returncode, "nothing was registered" in done.stdout) == (0, True)
    assert node.resolve(f"{PREFIX}/DRY").status == 404


def test_a_finished_file_is_resumed_with_success(node: RunningNode, write_table: WriteTable) -> None:
    table = write_table(f"{PREFIX}/AGAIN,u,t")
    first, second = (
        json.loads(node.run("import", str(table), "--prefix", PREFIX, "--resume", "--json").stdout) for _ in range(2)
    )
    assert (second["id"], second["created_rows"]) == (first["id"], 1)
    third = json.loads(node.run("import", str(table), "--prefix", PREFIX, "--json").stdout)
    assert (third["id"] == first["id"], third["unchanged_rows"]) == (False, 1)


def test_a_mistaken_header_fails_by_name(node: RunningNode, write_table: WriteTable) -> None:
    table = write_table("x,y", header="name,URL\n")
    done = node.run("import", str(table), "--prefix", PREFIX)
    assert done.returncode == 1
    assert "there is no column 'identifier'" in done.stderr
    assert "column 2 'URL'" in done.stderr
    result = table.with_name(f"{table.name}.result.csv")
    assert result.read_text() == "row,identifier,outcome,field,message\n"


def test_every_mistake_of_usage_is_named_at_once(tmp_path: Path) -> None:
    done = run_biaojie("import", str(tmp_path / "none.xlsx"), "--prefix", "a b", "--data", str(tmp_path))
    assert done.returncode == 2
    assert [part in done.stderr for part in ("no such file", "save the sheet as CSV", "--prefix a b")] == [True] * 3
    done = run_biaojie("export", "--prefix", "", "-o", str(tmp_path / "no" / "out.txt"), "--data", str(tmp_path))
    assert done.returncode == 2
    assert [part in done.stderr for part in ("no such folder", ".ndjson", "--prefix")] == [True] * 3


def test_who_may_not_import_is_told_so(node: RunningNode, write_table: WriteTable) -> None:
    table = write_table(f"{PREFIX}/X,u,t")
    done = node.run("import", str(table), "--prefix", "88.118.9")
    assert (done.returncode, "unknown_prefix" in done.stderr) == (1, True)
    done = node.run("import", str(table), "--prefix", PREFIX, environ={"BIAOJIE_TOKEN": "bj_operator_wrong"})
    assert (done.returncode, "unauthenticated" in done.stderr) == (1, True)


def test_a_registry_that_is_not_there_is_not_waited_for(write_table: WriteTable) -> None:
    table = write_table(f"{PREFIX}/X,u,t")
    done = run_biaojie("import", str(table), "--prefix", PREFIX, "--server", "127.0.0.1:1")
    assert (done.returncode, "no registry answers" in done.stderr) == (1, True)


@pytest.mark.parametrize("extension", ["csv", "ndjson"])
def test_what_is_exported_can_be_imported_and_changes_nothing(node: RunningNode, tmp_path: Path, extension: str) -> None:
    output = tmp_path / f"out.{extension}"
    done = node.run("export", "--prefix", "88.118.1001", "-o", str(output))
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(node.run("import", str(output), "--prefix", "88.118.1001", "--json").stdout)
    assert document["rows"] >= 5_002
    assert document["unchanged_rows"] == document["rows"]
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_what_a_csv_cannot_hold_is_named(node: RunningNode, tmp_path: Path) -> None:
    prefix = "88.382.91411000MA40XCDL1K"
    value = {"index": 1, "type": "URL", "data": {"format": "string", "value": "x"}, "ttl": "2040-01-01T00:00:00Z"}
    assert node.call("PUT", f"/api/v1/identifiers/{prefix}/TIMED", {"values": [value]}).status == 201
    output = tmp_path / "out.csv"
    done = node.run("export", "--prefix", prefix, "-o", str(output))
    assert (done.returncode, f"{prefix}/TIMED" in done.stderr) == (1, True)
    exported = output.read_text()
    assert len(exported.splitlines()) >= 5_001
    assert "TIMED" not in exported
