"""An import is its rows, one after the other: wherever chunks end, and whatever is planned ahead."""

import asyncio
import json
import tempfile
from pathlib import Path
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from proto.model.value import Value
from proto.ports import Command, Committed
from registry.service.context import Context
from registry.service.plan import Draft
from tests.support.imports import PREFIX, Desk
from tests.support.world import World, holder

NAMES = ["A", "a", "B", "C", "X", "Y"]
Row = tuple[str, list[str], str]
rows = st.lists(
    st.tuples(
        st.sampled_from(NAMES), st.lists(st.sampled_from(["X", "Y", "Z"]), max_size=2, unique=True), st.sampled_from("12")
    ),
    max_size=14,
)


def document(row: Row) -> dict[str, object]:
    name, aliases, text = row
    value = {"index": 1, "type": "T", "data": {"format": "string", "value": text}, "timestamp": "2026-01-01T00:00:00Z"}
    return {"identifier": f"{PREFIX}/{name}", "values": [value], "aliases": [f"{PREFIX}/{alias}" for alias in aliases]}


def draft(row: Row) -> Draft:
    name, aliases, text = row
    value = Value(1, "T", text.encode(), timestamp=1_767_225_600)
    return Draft(f"{PREFIX}/{name}", (value,), aliases=tuple(f"{PREFIX}/{alias}" for alias in aliases))


def stored(world: World) -> dict[str, bytes | None]:
    return {name: world.view.record(f"{PREFIX}/{name.lower()}") for name in (*NAMES, "Z")}


async def imported(table: list[Row], chunk_rows: int, folder: Path) -> tuple[list[str], dict[str, bytes | None]]:
    desk = await Desk(await World().furnish(), folder).open()

    async def commit_late(command: Command) -> Committed:
        # Time enough to plan the next chunk on a view that does not show this one.
        for _ in range(20):
            await asyncio.sleep(0)
        return await desk.committer.straight(command)

    desk.committer.through = commit_late
    data = "".join(json.dumps(document(row)) + "\n" for row in table).encode()
    with patch("registry.service.imports.lookahead.CHUNK_ROWS", chunk_rows):
        job = await desk.run(data, "rows.ndjson")
    await desk.jobs.close()
    return [line["outcome"] for line in desk.result(job)], stored(desk.world)


async def registered(table: list[Row]) -> tuple[list[str], dict[str, bytes | None]]:
    world = await World().furnish()
    outcomes = []
    for row in table:
        written = await world.registry.register_batch(Context(holder()), [draft(row)])
        outcomes.append(written.outcomes[0].outcome.value)
    return outcomes, stored(world)


@settings(max_examples=40)
@given(rows, st.integers(1, 6))
def test_an_import_comes_to_what_its_rows_come_to_one_by_one(table: list[Row], chunk_rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert asyncio.run(imported(table, chunk_rows, Path(folder))) == asyncio.run(registered(table))
