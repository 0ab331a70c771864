"""Import jobs over a store in memory: what rows come to, who may do what, what is kept and for how long."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proto.errors import Reason, Refusal
from proto.model.account import Caller, Role
from proto.model.change import Table
from proto.model.job import Job, JobState
from proto.model.prefix import PrefixState
from proto.packing import PackedRecord
from proto.ports import Command
from registry.policy.rules import EVERY_REGISTRANT
from registry.service.context import Context
from registry.service.imports import blobs as blobs_module
from registry.service.imports import jobs as jobs_module
from registry.service.imports import runner as runner_module
from registry.service.imports.blobs import BlobFolder
from registry.service.imports.chunks import CHUNK_ROWS
from registry.service.imports.jobs import ImportRequest
from registry.service.imports.run import job_row
from registry.service.imports.tables import TableFormat
from tests.support.imports import PREFIX, Desk, pieces, products, table
from tests.support.world import HOLDER, OPERATOR, OTHER, World, city, holder


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = await Desk(await World().furnish(), tmp_path).open()
    yield desk
    await desk.jobs.close()


def counts(job: Job) -> tuple[int, int, int, int]:
    return (job.created, job.replaced, job.unchanged, job.refused)


async def test_every_row_is_registered_and_has_its_line(desk: Desk) -> None:
    rows = 2 * CHUNK_ROWS + 7
    job = await desk.run(products(rows))
    assert (job.state, job.rows, counts(job)) == (JobState.FINISHED, rows, (rows, 0, 0, 0))
    assert (job.encoding, job.file_format, job.file_offset) == ("utf-8", "csv", job.file_bytes)
    result = desk.result(job)
    assert [int(line["row"]) for line in result] == list(range(1, rows + 1))
    assert result[6] == {"row": "7", "identifier": f"{PREFIX}/T-7", "outcome": "created", "field": "", "message": ""}
    assert desk.stored(f"{PREFIX}/T-{rows}") == [f"https://example.cn/{rows}", f"变压器 {rows}"]


async def test_a_table_in_gb_18030_is_registered_as_the_same_text(desk: Desk) -> None:
    job = await desk.run(products(3).decode().encode("gb18030"))
    assert job.encoding == "gb18030"
    assert desk.stored(f"{PREFIX}/T-3")[1] == "变压器 3"


async def test_the_second_import_of_a_table_changes_nothing(desk: Desk) -> None:
    await desk.run(products(5))
    again = await desk.run(products(5))
    assert counts(again) == (0, 0, 5, 0)
    changed = await desk.run(products(5, title="电缆"))
    assert counts(changed) == (0, 5, 0, 0)


async def test_refused_rows_stop_nobody_and_say_which_part_is_wrong(desk: Desk) -> None:
    data = table(
        f"{PREFIX}/A,u,t",
        "88.118.1002/B,u,t",
        f"{PREFIX}/C,u",
        f"{PREFIX}/,u,t",
        f"{PREFIX}/E,{'x' * 300_000},t",
        f"{PREFIX}/F,,t",
    )
    job = await desk.run(data)
    assert counts(job) == (2, 0, 0, 4)
    refused = [(line["row"], line["field"]) for line in desk.result(job) if line["outcome"] == "refused"]
    assert refused == [("2", "identifier"), ("3", "row"), ("4", "identifier"), ("5", "1:URL")]
    assert all(line["message"] for line in desk.result(job) if line["outcome"] == "refused")
    assert desk.scrape.get_sample_value("biaojie_import_rows_total", {"outcome": "refused"}) == 4
    assert desk.scrape.get_sample_value("biaojie_refused_total", {"reason": "value_too_large"}) == 1


async def test_rows_of_one_identifier_happen_one_after_the_other(desk: Desk) -> None:
    data = table(f"{PREFIX}/A,u,1", f"{PREFIX}/B,u,1", f"{PREFIX}/a,u,2", f"{PREFIX}/A,u,2", f"{PREFIX}/A,u,3")
    job = await desk.run(data)
    assert [line["outcome"] for line in desk.result(job)] == ["created", "created", "replaced", "unchanged", "replaced"]
    assert desk.stored(f"{PREFIX}/A") == ["u", "3"]


async def test_an_alias_may_move_from_row_to_row(desk: Desk) -> None:
    def row(name: str, *aliases: str) -> str:
        return json.dumps({"identifier": f"{PREFIX}/{name}", "values": [], "aliases": [f"{PREFIX}/{each}" for each in aliases]})

    data = "\n".join([row("A", "X"), row("B", "X"), row("A"), row("B", "X"), row("X")]).encode()
    job = await desk.run(data, "rows.ndjson")
    outcomes = [line["outcome"] for line in desk.result(job)]
    assert outcomes == ["created", "refused", "replaced", "created", "refused"]


async def test_an_alias_given_up_in_a_chunk_is_free_for_the_rows_behind(desk: Desk) -> None:
    body = {"values": [], "aliases": [f"{PREFIX}/X"]}
    await desk.run(json.dumps({"identifier": f"{PREFIX}/A", **body}).encode(), "rows.ndjson")
    lines = [{"identifier": f"{PREFIX}/A", "values": []}, {"identifier": f"{PREFIX}/B", **body}]
    job = await desk.run("\n".join(map(json.dumps, lines)).encode(), "rows.ndjson")
    assert [line["outcome"] for line in desk.result(job)] == ["replaced", "created"]


async def test_large_rows_make_more_and_smaller_changes(desk: Desk) -> None:
    data = table(*(f"{PREFIX}/T-{number},{'x' * 200_000},t" for number in range(60)))
    job = await desk.run(data)
    assert counts(job) == (60, 0, 0, 0)
    assert len([command for command in desk.world.committer.commands if len(command.rows) > 2]) >= 3


async def test_a_quote_that_is_never_closed_costs_its_own_row_however_many_follow(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.service.imports.csv_rows.MAX_ROW_BYTES", 150_000)
    rows = [f"{PREFIX}/T-{number},https://example.cn/{number},变压器" for number in range(4_999)]
    job = await desk.run(table(*rows[:9], f'{PREFIX}/Q,"u,open', *rows[9:]))
    assert (job.state, job.created, job.refused) == (JobState.FINISHED, 4_999, 1)
    lines = desk.result(job)
    assert [int(line["row"]) for line in lines] == list(range(1, 5_001))
    assert lines[9]["message"] == "a quoted cell is not closed"
    assert max(len(command.rows) for command in desk.world.committer.commands) <= CHUNK_ROWS + 2


async def test_a_dry_run_says_what_would_happen_and_registers_nothing(desk: Desk) -> None:
    await desk.run(products(1))
    job = await desk.run(table(f"{PREFIX}/T-1,u,t", f"{PREFIX}/T-2,u,t", f"{PREFIX}/T-3,u"), dry_run=True)
    assert counts(job) == (1, 1, 0, 1)
    assert [line["outcome"] for line in desk.result(job)] == ["replaced", "created", "refused"]
    assert desk.stored(f"{PREFIX}/T-2") == []
    assert desk.stored(f"{PREFIX}/T-1")[0] == "https://example.cn/1"


async def test_a_table_without_rows_is_finished_at_once(desk: Desk) -> None:
    job = await desk.run(table())
    assert (job.state, job.rows, desk.result(job)) == (JobState.FINISHED, 0, [])


@pytest.mark.parametrize(
    ("data", "name", "why"),
    [
        (b"", "a.csv", "the file is empty"),
        (b"id,1:URL\n", "a.csv", "there is no column 'identifier'"),
        (b"PK\x03\x04", "a.csv", "workbook"),
        (b"PK\x03\x04", "a.ndjson", "workbook"),
        (b"identifier,URL\nx,y\n", "a.csv", "column 2 'URL'"),
    ],
)
async def test_a_mistaken_header_fails_the_job_by_name_before_any_row(desk: Desk, data: bytes, name: str, why: str) -> None:
    job = await desk.run(data, name)
    assert job.state is JobState.FAILED
    assert why in job.message
    assert job.rows == 0
    assert desk.scrape.get_sample_value("biaojie_jobs_total", {"outcome": "failed"}) == 1


async def test_a_table_without_a_name_is_told_by_its_content(desk: Desk) -> None:
    row = json.dumps({"identifier": f"{PREFIX}/N", "values": []}).encode()
    assert [(await desk.run(data, "")).file_format for data in (products(1), row)] == ["csv", "ndjson"]
    said = await desk.run(row, "", file_format=TableFormat.CSV)
    assert (said.file_format, said.state) == ("csv", JobState.FAILED)


async def test_the_template_of_the_import_is_that_of_rows_which_name_none(desk: Desk) -> None:
    job = await desk.run(products(1), template="transformer")
    packed = desk.world.view.record(f"{PREFIX}/t-1")
    assert packed is not None
    assert (job.template, PackedRecord(packed).template) == ("transformer", "transformer")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "FIRST_RETRY_S", 0.001)
    monkeypatch.setattr(runner_module, "LAST_RETRY_S", 0.002)


@pytest.mark.usefixtures("impatient")
async def test_an_account_that_is_closed_ends_its_jobs(desk: Desk) -> None:
    await desk.put_account("holder", Role.REGISTRANT, HOLDER, enabled=False, version=2)
    job = await desk.run(products(3))
    assert (job.state, job.message) == (JobState.FAILED, "account holder is closed")


async def test_a_prefix_suspended_meanwhile_refuses_the_rows(desk: Desk) -> None:
    job = await desk.submit(products(3))
    await desk.world.registry.move_prefix(Context(OPERATOR, "r"), PREFIX, PrefixState.SUSPENDED)
    job = await desk.finish(job)
    assert counts(job) == (0, 0, 0, 3)


async def test_a_finished_file_again_is_the_same_job(desk: Desk) -> None:
    first = await desk.run(products(3))
    assert (await desk.submit(products(3), resume=True)).id == first.id
    assert (await desk.submit(products(4), resume=True)).id != first.id
    assert (await desk.submit(products(3), resume=True, dry_run=True)).id != first.id
    assert (await desk.submit(products(3), resume=True, caller=OPERATOR)).id != first.id
    assert (await desk.submit(products(3))).id != first.id


async def test_two_that_resume_one_file_at_once_share_one_job(desk: Desk) -> None:
    both = await asyncio.gather(*(desk.submit(products(3), resume=True) for _ in range(2)))
    assert both[0].id == both[1].id
    assert (await desk.finish(both[0])).created == 3


async def test_a_failed_job_is_begun_again_when_it_is_resumed(desk: Desk) -> None:
    await desk.put_account("holder", Role.REGISTRANT, HOLDER, enabled=False, version=2)
    failed = await desk.run(products(3))
    await desk.put_account("holder", Role.REGISTRANT, HOLDER, enabled=True, version=3)
    again = await desk.run(products(3), resume=True)
    assert (again.id, again.state, again.message, again.created) == (failed.id, JobState.FINISHED, "", 3)


async def test_a_job_is_found_by_the_digest_of_its_file(desk: Desk) -> None:
    job = await desk.run(products(3))
    context = Context(holder())
    assert desk.jobs.find(context, job.file_digest, PREFIX) == job
    assert desk.jobs.find(context, job.file_digest, PREFIX, dry_run=True) is None
    assert desk.jobs.find(context, bytes(32), PREFIX) is None


async def test_files_go_with_the_last_job_that_needs_them(desk: Desk) -> None:
    await desk.run(products(3))
    await desk.run(b"no table")
    assert list((desk.data / "blobs").iterdir()) == []
    (desk.data / "blobs" / "upload-left-behind").write_bytes(b"half")
    await desk.jobs.close()
    await desk.restart()
    assert list((desk.data / "blobs").iterdir()) == []


async def test_the_upload_is_bounded_and_leaves_nothing(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path / "blobs", limit=1000)
    with pytest.raises(Refusal) as caught:
        await blobs.store(pieces(b"x" * 1001, 100))
    assert caught.value.reason is Reason.MESSAGE_TOO_LARGE
    assert list((tmp_path / "blobs").iterdir()) == []
    blob = await blobs.store(pieces(b"x" * 1000, 100))
    assert blobs.path(blob.digest).read_bytes() == b"x" * 1000
    assert (await blobs.store(pieces(b"x" * 1000, 1))) == blob


async def test_an_upload_leaves_room_for_the_rest_of_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs_module, "_MIN_FLOOR_BYTES", 1 << 62)
    monkeypatch.setattr(blobs_module, "_MAX_FLOOR_BYTES", 1 << 62)
    with pytest.raises(Refusal) as caught:
        await BlobFolder(tmp_path / "blobs").store(pieces(b"x"))
    assert (caught.value.reason, bool(caught.value.retry_after_s)) == (Reason.STORAGE_FULL, True)
    assert list((tmp_path / "blobs").iterdir()) == []


async def test_an_upload_that_breaks_off_leaves_nothing(desk: Desk) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"identifier,1:URL\n"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await desk.jobs.submit(Context(holder()), ImportRequest(PREFIX, "a.csv"), broken())
    assert list((desk.data / "blobs").iterdir()) == []


@pytest.mark.parametrize(
    ("caller", "options", "reason", "field"),
    [
        (Caller(), {}, Reason.UNAUTHENTICATED, "authorization"),
        (city(), {}, Reason.PERMISSION_DENIED, ""),
        (holder(OTHER), {}, Reason.PERMISSION_DENIED, ""),
        (holder(), {"prefix": "88.118.1003"}, Reason.UNKNOWN_PREFIX, ""),
        (holder(), {"prefix": "99.1"}, Reason.NOT_HOMED, ""),
        (holder(), {"prefix": "a b"}, Reason.INVALID_IDENTIFIER, "identifier"),
        (holder(), {"file_name": "a.xlsx"}, Reason.UNSUPPORTED_CONTENT_TYPE, "file_name"),
        (holder(), {"file_name": "a\n.csv"}, Reason.INVALID_ARGUMENT, "file_name"),
        (holder(), {"file_name": "a" * 300 + ".csv"}, Reason.INVALID_ARGUMENT, "file_name"),
        (holder(), {"template": "a\n"}, Reason.INVALID_ARGUMENT, "template"),
    ],
)
async def test_what_may_not_be_imported_is_refused_before_the_file_is_read(
    desk: Desk, caller: Caller, options: dict[str, Any], reason: Reason, field: str
) -> None:
    async def unread() -> AsyncIterator[bytes]:
        pytest.fail("the file was read")
        yield b""

    request = ImportRequest(**{"prefix": PREFIX, "file_name": "a.csv", **options})
    with pytest.raises(Refusal) as caught:
        await desk.jobs.submit(Context(caller), request, unread())
    assert (caught.value.reason, caught.value.field) == (reason, field)


async def test_jobs_are_seen_by_those_who_may_run_them(desk: Desk) -> None:
    job = await desk.run(products(1))
    assert desk.jobs.show(Context(holder()), job.id) == job
    assert desk.jobs.show(Context(OPERATOR), job.id) == job
    for caller, reason in [
        (holder(OTHER), Reason.NOT_FOUND),
        (city(), Reason.PERMISSION_DENIED),
        (Caller(), Reason.UNAUTHENTICATED),
    ]:
        with pytest.raises(Refusal) as caught:
            desk.jobs.show(Context(caller), job.id)
        assert caught.value.reason is reason
    with pytest.raises(Refusal, match="no job"):
        desk.jobs.show(Context(OPERATOR), "0")


async def test_jobs_are_listed_newest_first_in_pages(desk: Desk) -> None:
    made = []
    for _ in range(5):
        made.append((await desk.run(products(1))).id)
        desk.world.clock.now += 1
    first = desk.jobs.list_jobs(Context(holder()), HOLDER, limit=3)
    rest = desk.jobs.list_jobs(Context(OPERATOR), EVERY_REGISTRANT, after=first.cursor, limit=3)
    assert [job.id for job in (*first.items, *rest.items)] == made[::-1]
    assert (bool(first.cursor), rest.cursor) == (True, "")
    assert desk.jobs.list_jobs(Context(OPERATOR), OTHER).items == ()
    with pytest.raises(Refusal):
        desk.jobs.list_jobs(Context(holder()), EVERY_REGISTRANT)


async def test_the_oldest_finished_jobs_make_room(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "MAX_JOBS", 3)
    made = []
    for _ in range(5):
        made.append(await desk.run(products(1)))
        desk.world.clock.now += 1
    left = desk.jobs.list_jobs(Context(OPERATOR), EVERY_REGISTRANT).items
    assert [job.id for job in left] == [job.id for job in made[:1:-1]]
    assert [desk.jobs.result_path(job).exists() for job in made] == [False, False, True, True, True]


async def test_jobs_wait_their_turn_and_no_account_takes_all(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "RUNNING_JOBS", 1)
    monkeypatch.setattr(jobs_module, "MAX_UNFINISHED_JOBS", 3)
    gate = asyncio.Event()
    commit = desk.committer.straight

    async def gated(command: Command) -> Any:
        if any(row.table is Table.JOB and row.prior_version for row in command.rows):
            await gate.wait()
        return await commit(command)

    desk.committer.through = gated
    jobs = [await desk.submit(products(1)), await desk.submit(products(2)), await desk.submit(products(3), caller=OPERATOR)]
    with pytest.raises(Refusal) as caught:
        await desk.submit(products(4))
    assert (caught.value.reason, bool(caught.value.retry_after_s)) == (Reason.OVERLOADED, True)
    gate.set()
    ended = [await desk.finish(job) for job in jobs]
    assert {job.state for job in ended} == {JobState.FINISHED}


async def test_a_node_that_stops_takes_nothing_in(desk: Desk) -> None:
    await desk.jobs.close()
    with pytest.raises(Refusal) as caught:
        await desk.submit(products(1))
    assert caught.value.reason is Reason.NOT_READY


async def test_a_job_whose_files_are_gone_fails_and_says_which(desk: Desk) -> None:
    job = await desk.run(products(1))
    await desk.jobs.close()
    begun = replace(job, state=JobState.RUNNING, version=job.version + 1)
    await desk.world.committer.commit(Command("holder", "r", [job_row(job, begun)]))
    await desk.restart()
    assert "send it again" in (await desk.finish(job)).message
    desk.jobs.result_path(job).unlink()
    again = await desk.run(products(1), resume=True)
    assert "result file is gone" in again.message
