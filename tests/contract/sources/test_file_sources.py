"""A folder as a source: when a file is whole, what is read of it, what is remembered, and what a broken file costs."""

import os
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from adapters.sources.core.cells import SourceRow
from adapters.sources.core.places import FilesPlace
from adapters.sources.readers import files
from adapters.sources.readers.files import PORTION_CHARS, UNFINISHED, FilesReader, flatten
from adapters.sources.readers.reader import MAX_ROW_BYTES, PORTION_ROWS, Portion, Unreadable
from tests.support.rest import RestNode
from tests.support.sources import RunningSource, folder_of, profile, values_of, write_csv


def place(folder: Path, **more: Any) -> FilesPlace:
    found = profile(folder_of(folder, **more)).place
    assert isinstance(found, FilesPlace)
    return found


async def read(
    described: FilesPlace, bookmark: str = "", sleep: Callable[[float], Awaitable[None]] | None = None
) -> tuple[list[SourceRow], list[Portion]]:
    reader = FilesReader(described, sleep) if sleep is not None else FilesReader(described)
    portions = [portion async for portion in reader.read(bookmark)]
    return [row for portion in portions for row in portion.rows], portions


def serials(rows: Collection[SourceRow]) -> list[object]:
    return [row.cells.get("serial") for row in rows]


async def test_a_file_that_is_still_being_written_is_not_taken_until_it_rests(tmp_path: Path) -> None:
    growing, waits = tmp_path / "1.csv", []
    growing.write_text("serial\nT-1\n")

    async def write_on(seconds: float) -> None:
        waits.append(seconds)
        with growing.open("a") as opened:
            opened.write("T-2\n")

    described = place(tmp_path, settle_s=5)
    assert (await read(described, sleep=write_on), waits) == (([], []), [5])

    async def rest(_: float) -> None:
        pass

    assert serials((await read(described, sleep=rest))[0]) == ["T-1", "T-2"]


@pytest.mark.parametrize("write", ["touch", "replace", "remove"])
async def test_a_file_that_is_touched_replaced_or_removed_between_the_looks_is_not_taken(tmp_path: Path, write: str) -> None:
    file, other = tmp_path / "1.csv", tmp_path / "other.tmp"
    file.write_text("serial\nT-1\n")
    other.write_text("serial\nT-2\n")
    stat = file.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    async def change(_: float) -> None:
        if write == "touch":
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
        elif write == "replace":
            other.rename(file)
        else:
            file.unlink()

    assert await read(place(tmp_path, settle_s=1), sleep=change) == ([], [])


async def test_a_file_with_a_marker_is_taken_at_once_and_one_without_never(tmp_path: Path) -> None:
    async def never(_: float) -> None:
        raise AssertionError("a marker needs no waiting")

    for name in ("1.csv", "2.csv"):
        (tmp_path / name).write_text(f"serial\n{name}\n")
    (tmp_path / "1.csv.done").touch()
    assert serials((await read(place(tmp_path, marker=".done"), sleep=never))[0]) == ["1.csv"]


async def test_names_of_unfinished_files_are_not_taken(tmp_path: Path) -> None:
    for name in (".1.csv", "~1.csv", *(f"1.csv{ending}" for ending in UNFINISHED), "notes.txt", "2.csv"):
        (tmp_path / name).write_text(f"serial\n{name}\n")
    (tmp_path / "folder.csv").mkdir()
    assert serials((await read(place(tmp_path)))[0]) == ["2.csv"]


async def test_a_file_that_changes_while_it_is_read_ends_the_reading(tmp_path: Path) -> None:
    write_csv(tmp_path / "1.csv", [[f"T-{number}", "a", ""] for number in range(PORTION_ROWS + 1)])
    portions = FilesReader(place(tmp_path)).read("")
    first = await anext(portions)
    with (tmp_path / "1.csv").open("a") as opened:
        opened.write("T-x,a,\r\n")
    with pytest.raises(Unreadable, match="changed while it was read"):
        [portion async for portion in portions]
    assert len(first.rows) == PORTION_ROWS


async def test_every_row_of_a_large_file_comes_once_and_reading_goes_on_behind_any_bookmark(tmp_path: Path) -> None:
    names = [f"T-{number}" for number in range(2 * PORTION_ROWS + 7)]
    write_csv(tmp_path / "1.csv", [[name, "a", ""] for name in names])
    write_csv(tmp_path / "2.csv", [["last", "a", ""]])
    rows, portions = await read(place(tmp_path))
    assert serials(rows) == [*names, "last"]
    assert rows[PORTION_ROWS].place == f"1.csv, line {PORTION_ROWS + 2}"
    seen = 0
    for portion in portions:
        seen += len(portion.rows)
        rest, _ = await read(place(tmp_path), portion.bookmark)
        assert serials(rest) == [*names, "last"][seen:]


async def test_a_file_is_taken_once_again_if_it_is_written_again_and_forgotten_when_it_is_gone(tmp_path: Path) -> None:
    for name in ("1", "2"):
        (tmp_path / f"{name}.csv").write_text(f"serial\n{name}\n")
    _, portions = await read(place(tmp_path))
    bookmark = portions[-1].bookmark
    assert await read(place(tmp_path), bookmark) == ([], [])
    (tmp_path / "1.csv").write_text("serial\n1 anew\n")
    (tmp_path / "2.csv").unlink()
    rows, portions = await read(place(tmp_path), bookmark)
    assert serials(rows) == ["1 anew"]
    assert len(portions[-1].bookmark) == len(bookmark) / 2


async def test_of_whole_listings_only_the_last_counts(tmp_path: Path) -> None:
    for name in ("2026-01-01", "2026-01-02"):
        (tmp_path / f"{name}.csv").write_text(f"serial\n{name}\n")
    rows, portions = await read(place(tmp_path, listing="whole"))
    assert serials(rows) == ["2026-01-02"]
    assert await read(place(tmp_path, listing="whole"), portions[-1].bookmark) == ([], [])


@pytest.mark.parametrize(
    ("raw", "more"),
    [
        ("serial,title\r\nT-1,变压器\r\n".encode(), {}),
        ("serial,title\nT-1,变压器".encode("utf-8-sig"), {}),
        ("serial,title\r\n\r\nT-1,变压器\r\n".encode("gb18030"), {"encoding": "gb18030"}),
        ('serial;title\nT-1;"变压器"\n'.encode(), {"delimiter": ";"}),
        ('{"serial": "T-1", "title": "变压器"}\n\n'.encode(), {"format": "ndjson", "pattern": "*"}),
    ],
)
async def test_encodings_delimiters_and_formats(tmp_path: Path, raw: bytes, more: dict[str, Any]) -> None:
    (tmp_path / "1.csv").write_bytes(raw)
    (row,), _ = await read(place(tmp_path, **more))
    assert (row.cells["serial"], row.cells["title"], row.fault) == ("T-1", "变压器", "")


async def test_broken_rows_cost_themselves_alone(node: RestNode, tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_bytes(b'serial,title,note\nT-1,a,\nT-2,b\nT-3,"c"x,\nT-4,d,\n' + b"T-5,\xff\xfe,\nT-6,f,\n")
    source = RunningSource(node, profile(folder_of(tmp_path)))
    result = await source.run()
    assert (result.state, sorted(await source.states())) == ("done", ["T-1", "T-4", "T-6"])
    assert [fault.row for fault in result.faults] == [f"1.csv, line {line}" for line in (3, 4, 6)]


async def test_broken_lines_of_ndjson_cost_themselves_alone(node: RestNode, tmp_path: Path) -> None:
    lines = [
        '{"serial": "T-1", "title": "a"}',
        '{"serial": "T-2"',
        "[1]",
        '{"serial": {"no": 3}, "title": "c"}',
        '{"serial": "T-4", "title": "d"}',
        '{"serial": "T-5", "title": 1e99999999999999999999}',
    ]
    (tmp_path / "1.ndjson").write_text("\n".join(lines))
    source = RunningSource(node, profile(folder_of(tmp_path, format="ndjson")))
    result = await source.run()
    assert (result.state, sorted(await source.states()), result.counts["faulty"]) == ("done", ["T-1", "T-4"], 4)


async def test_members_within_members_are_columns(node: RestNode, tmp_path: Path) -> None:
    (tmp_path / "1.ndjson").write_text('{"serial": 7, "title": "a", "rated": {"kv": 110.50, "taps": [1, 2]}}')
    values = [
        {"index": 1, "type": "KV", "text": "{rated.kv}"},
        {"index": 2, "type": "META", "members": {"kv": "{rated.kv | number}", "all": "{rated | json}", "none": "{rated.mva}"}},
    ]
    source = RunningSource(node, profile(folder_of(tmp_path, format="ndjson"), record={"values": values}))
    await source.run()
    assert values_of(await source.record("7")) == {1: "110.50", 2: '{"kv":110.5,"all":"{\\"kv\\":110.5,\\"taps\\":[1,2]}"}'}


def test_a_long_name_of_many_members_is_held_once() -> None:
    cells = flatten({"n" * 1_000_000: {f"m{number}": number for number in range(1_000)}, "rated": {"kv": 110}})
    assert cells["rated.kv"] == 110
    assert sum(map(len, cells)) < 2_000_000


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'serial,title,note\nT-1,"a', "ends within a quoted cell that begins in line 2: it is not whole"),
        (b"", "does not name its columns"),
        (b"serial,serial\n", "there are two columns serial"),
        (b"serial,\xff\xfe\n", "is it of the encoding"),
    ],
)
async def test_a_file_that_is_not_whole_or_no_table_fails_the_run_and_registers_nothing(
    node: RestNode, tmp_path: Path, raw: bytes, said: str
) -> None:
    (tmp_path / "1.csv").write_bytes(raw)
    source = RunningSource(node, profile(folder_of(tmp_path)))
    result = await source.run()
    assert (result.state, said in result.message, await source.states()) == ("failed", True, {})


async def test_a_folder_that_is_not_there_or_too_full_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreadable, match="No such file"):
        await read(place(tmp_path / "nowhere"))
    monkeypatch.setattr(files, "MAX_FILES", 1)
    for name in ("1", "2"):
        (tmp_path / f"{name}.csv").write_text("serial\n")
    with pytest.raises(Unreadable, match="2 files lie in"):
        await read(place(tmp_path))


async def test_the_bookmark_of_another_kind_of_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="read it again"):
        await read(place(tmp_path), "a+b:c")


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
async def test_only_files_are_read_and_no_link_shows_what_lies_elsewhere(tmp_path: Path, kind: str) -> None:
    folder, secret = tmp_path / "watched", tmp_path / "secret"
    folder.mkdir()
    secret.write_text("serial\nT-1\n")
    if kind == "link":
        (folder / "1.csv").symlink_to("../secret")
    elif kind == "pipe":
        os.mkfifo(folder / "1.csv")
    else:
        (folder / "1.csv").mkdir()
    assert await read(place(folder)) == ([], [])
    for marker in ("", ".ok"):
        (folder / "1.csv.ok").touch()
        assert await read(place(folder, marker=marker)) == ([], [])


async def test_a_link_that_takes_the_place_of_a_file_after_the_look_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, secret = tmp_path / "watched", tmp_path / "secret"
    folder.mkdir()
    secret.write_text("password\n")
    (folder / "1.csv").write_text("serial\nT-1\n")
    look = files._look_at

    def swap(path: Path) -> Any:
        found = look(path)
        path.unlink()
        path.symlink_to(secret)
        return found

    described = place(folder, marker=".ok")
    (folder / "1.csv.ok").touch()
    monkeypatch.setattr(files, "_look_at", swap)
    with pytest.raises(Unreadable, match=r"^1\.csv: "):
        await read(described)


@pytest.mark.parametrize(
    "raw",
    [
        b"serial,note\nT-1," + b"x" * MAX_ROW_BYTES,
        b",".join(b"c%d" % number for number in range(20)) + b"\n" + b",".join([b'"' + b"x\n" * 60_000 + b'"'] * 20),
    ],
    ids=["a line", "cells of many lines"],
)
async def test_a_row_that_is_longer_than_a_record_can_be_ends_the_reading(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "1.csv").write_bytes(raw)
    with pytest.raises(Unreadable, match="a row of more than"):
        await read(place(tmp_path))


async def test_long_rows_come_in_portions_that_can_be_held(tmp_path: Path) -> None:
    row = "T," + "x" * 100_000 + "\n"
    (tmp_path / "1.csv").write_text("serial,note\n" + row * 200)
    rows, portions = await read(place(tmp_path))
    assert len(rows) == 200
    assert max(len(portion.rows) for portion in portions) * len(row) < 2 * PORTION_CHARS
    _, later = await read(place(tmp_path), portions[1].bookmark)
    assert sum(len(portion.rows) for portion in later) == 200 - len(portions[0].rows) - len(portions[1].rows)
