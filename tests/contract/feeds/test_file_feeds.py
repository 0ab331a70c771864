"""Feeds into exchange files: each file whole and as its manifest says, in order, whatever the disk does."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from adapters.city.core.event import Event, head_of
from adapters.city.core.exchange import MANIFEST_SUFFIX, parse_file
from adapters.city.core.places import FilesPlace
from adapters.city.core.profile import Profile
from adapters.city.core.receipt import Verdict
from adapters.city.fake_reader import ExchangeReader
from adapters.city.transports.files import FilesTransport
from adapters.city.transports.transport import Batch, Unknowable
from proto.model.change import START
from tests.support.feeds import RunningFeeds, until
from tests.support.machine import small_disk
from tests.support.rest import RestNode
from tests.support.rows import make_profile

HEAD = head_of("/test")


def into(folder: Path, **transport: Any) -> Profile:
    place = {"kind": "files", "folder": str(folder), "gather_s": 0, **transport}
    return make_profile(transport=place, retry={"first_s": 0.05, "last_s": 0.2})


def collect(folder: Path) -> list[dict[str, Any]]:
    """All events or rows, as a reader that goes by the manifests finds them."""
    found = []
    for path in sorted(folder.glob(f"*{MANIFEST_SUFFIX}")):
        manifest = json.loads(path.read_text())
        found += parse_file(manifest, (folder / manifest["file"]).read_bytes())
    return found


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def named(folder: Path) -> set[str]:
    """The data files that manifests name."""
    return {json.loads(path.read_text())["file"] for path in folder.glob(f"*{MANIFEST_SUFFIX}")}


async def register(node: RestNode, *names: str, text: str = "x") -> None:
    values = [{"index": 1, "type": "URL", "data": text}, {"index": 2, "type": "TITLE", "data": '变压器, "油浸"\n二级'}]
    for name in names:
        got = await node("PUT", f"/api/v1/identifiers/88.118.1001/{name}", {"values": values}, by="holder")
        assert got.status in (200, 201), got


async def test_every_event_is_in_a_file_that_its_manifest_describes(node: RestNode, tmp_path: Path) -> None:
    async with RunningFeeds(node, [into(tmp_path, batch=3)]):
        await register(node, *"abcdefg")
        await register(node, "a", text="y")
        await until(lambda: len(collect(tmp_path)) == 8)
    told = [(event["subject"].rpartition("/")[2], event["rowversion"]) for event in collect(tmp_path)]
    assert told == [*((name, 1) for name in "abcdefg"), ("a", 2)]
    assert named(tmp_path) == {name for name in names(tmp_path) if not name.endswith(MANIFEST_SUFFIX)}


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
async def test_a_csv_has_the_columns_that_were_asked_for(node: RestNode, tmp_path: Path, encoding: str) -> None:
    columns = ["state", "registrant", "values.TITLE", "values.NONE"]
    async with RunningFeeds(node, [into(tmp_path, format="csv", columns=columns, encoding=encoding)]):
        await register(node, "a")
        await until(lambda: len(collect(tmp_path)) == 1)
    (row,) = collect(tmp_path)
    assert list(row) == ["id", "type", "subject", "rowversion", "time", *columns]
    assert (row["subject"], row["state"], row["values.NONE"]) == ("88.118.1001/a", "active", "")
    assert row["values.TITLE"] == '变压器, "油浸"\n二级'


async def test_events_are_gathered_until_there_are_enough(node: RestNode, tmp_path: Path) -> None:
    async with RunningFeeds(node, [into(tmp_path, batch=4, gather_s=3_600)]) as running:
        await register(node, *"abc")
        await until(lambda: (running.lag() or 0) >= 3)
        assert collect(tmp_path) == []
        await register(node, "d")
        await until(lambda: len(collect(tmp_path)) == 4)
        assert len(named(tmp_path)) == 1


async def test_a_folder_that_is_gone_is_waited_for(node: RestNode, tmp_path: Path) -> None:
    folder = tmp_path / "exchange"
    async with RunningFeeds(node, [into(folder)]) as running:
        await register(node, "a")
        await until(lambda: running.outcome("failed") >= 4)
        assert "No such file" in running.feeds.describe()["platform"]
        folder.mkdir()
        await until(lambda: len(collect(folder)) == 1)


async def test_a_full_disk_leaves_no_half_a_file(node: RestNode, tmp_path: Path) -> None:
    with small_disk(tmp_path / "exchange", 1) as folder:
        (folder / "ballast").write_bytes(b"x" * 1_000_000)
        async with RunningFeeds(node, [into(folder)]) as running:
            await register(node, "a", "b", text="x" * 60_000)
            await until(lambda: running.outcome("failed") >= 2)
            await until(lambda: names(folder) == {"ballast"})
            (folder / "ballast").unlink()
            await until(lambda: len(collect(folder)) == 2)


async def test_the_same_batch_again_replaces_its_manifest(node: RestNode, tmp_path: Path) -> None:
    async with RunningFeeds(node, [into(tmp_path)]) as running:
        await register(node, "a")
        await until(lambda: len(collect(tmp_path)) == 1)
        await register(node, "b")
        await until(lambda: len(collect(tmp_path)) == 2)
        await node("POST", "/api/v1/feeds/platform/replay", {"after": ""})
        await until(lambda: running.outcome("delivered") >= 4)
    subjects = [event["subject"] for event in collect(tmp_path)]
    assert set(subjects) == {"88.118.1001/a", "88.118.1001/b"}
    assert named(tmp_path) == {name for name in names(tmp_path) if not name.endswith(MANIFEST_SUFFIX)}


async def test_a_system_that_collects_has_all_that_was_told(node: RestNode, tmp_path: Path) -> None:
    folder, journal = tmp_path / "exchange", tmp_path / "journal"
    folder.mkdir()
    reader = await ExchangeReader(folder, journal).open()
    async with RunningFeeds(node, [into(folder, batch=2)]):
        await register(node, *"abc")
        await until(lambda: len(reader.subjects) == 3)
        await register(node, "b", text="y")
        await until(lambda: reader.subjects["88.118.1001/b"]["rowversion"] == 2)
    await reader.close()
    again = ExchangeReader(folder, journal)
    again.look()
    assert (again.subjects, again.distinct) == (reader.subjects, 4)


async def test_a_system_that_collects_takes_no_file_that_is_not_what_its_manifest_says(tmp_path: Path) -> None:
    (tmp_path / f"x{MANIFEST_SUFFIX}").write_text(
        json.dumps({"file": "x.ndjson", "format": "json", "encoding": "utf-8", "bytes": 1, "sha256": "0" * 64, "events": 1})
    )
    (tmp_path / "x.ndjson").write_bytes(b"{")
    reader = ExchangeReader(tmp_path)
    reader.look()
    assert reader.unfit == {f"x{MANIFEST_SUFFIX}": "x.ndjson is not what its manifest says"}
    assert not reader.subjects


MANIFEST = {"file": "x.ndjson", "format": "json", "encoding": "utf-8", "bytes": 3, "sha256": "0" * 64, "events": 1}


@pytest.mark.parametrize(
    "manifest",
    [
        b"{",
        b"[]",
        b"7",
        b"\xff",
        b"[" * 100_000,
        {name: text for name, text in MANIFEST.items() if name != "sha256"},
        {**MANIFEST, "bytes": "3"},
        {**MANIFEST, "encoding": "rot13"},
        {**MANIFEST, "format": "xml"},
        {**MANIFEST, "file": "../secret"},
        {**MANIFEST, "file": "/dev/zero"},
        {**MANIFEST, "file": "x\0"},
        {**MANIFEST, "file": ".."},
        {**MANIFEST, "file": "link.ndjson"},
        {**MANIFEST, "file": "pipe.ndjson"},
        {**MANIFEST, "file": "missing.ndjson"},
        {**MANIFEST, "sha256": hashlib.sha256(b"[]\n").hexdigest()},
    ],
)
async def test_whatever_others_put_into_the_folder_is_no_more_than_unfit(tmp_path: Path, manifest: Any) -> None:
    folder = tmp_path / "exchange"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"{}\n")
    (folder / "link.ndjson").symlink_to("/dev/zero")
    (folder / "x.ndjson").write_bytes(b"[]\n")
    os.mkfifo(folder / "pipe.ndjson")
    raw = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    (folder / f"platform-1{MANIFEST_SUFFIX}").write_bytes(raw)
    place = into(folder).place
    assert isinstance(place, FilesPlace)
    with pytest.raises(Unknowable):
        _ = [held async for held in FilesTransport("platform", HEAD, place).sums(None)]


async def test_a_system_that_collects_goes_on_after_what_is_unfit(node: RestNode, tmp_path: Path) -> None:
    for number, raw in enumerate((b"[]", json.dumps({**MANIFEST, "file": "../x"}).encode(), b"7")):
        (tmp_path / f"a{number}{MANIFEST_SUFFIX}").write_bytes(raw)
    (tmp_path / f"b{MANIFEST_SUFFIX}").mkdir()
    reader = await ExchangeReader(tmp_path).open()
    async with RunningFeeds(node, [into(tmp_path)]):
        await register(node, "a")
        await until(lambda: len(reader.subjects) == 1)
    await reader.close()
    assert len(reader.unfit) == 4


async def test_no_link_leads_what_is_written_elsewhere(tmp_path: Path) -> None:
    """Who may write into the folder, and guesses the name of a draft, must not have another file overwritten."""
    folder, precious = tmp_path / "exchange", tmp_path / "precious"
    folder.mkdir()
    precious.write_text("precious")
    place = into(folder).place
    assert isinstance(place, FilesPlace)
    transport = FilesTransport("platform", HEAD, place)
    batch = Batch([Event("0" * 32, ("record", "88.118.1001/a"), 1, b',"data":{}}')], 0, START.to_cursor(), "")
    assert (await transport.deliver(batch)).verdict is Verdict.DELIVERED
    written = names(folder)
    for name in written:
        (folder / name).unlink()
        (folder / f".{name}.draft").symlink_to(precious)
    assert (await transport.deliver(batch)).verdict is Verdict.FAILED
    await transport.deliver(batch)
    assert (await transport.deliver(batch)).verdict is Verdict.DELIVERED
    assert (names(folder), precious.read_text()) == (written, "precious")
