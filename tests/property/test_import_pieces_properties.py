"""A table read piece by piece is the table: wherever it is cut, whatever its quotes and line ends are."""

import asyncio
import os
import tempfile
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from registry.service.imports import lines as lines_module
from registry.service.imports import pieces as pieces_module
from registry.service.imports.chunks import Chunk, ChunkTask
from registry.service.imports.encoding import Encoding
from registry.service.imports.lookahead import Lookahead
from registry.service.imports.pieces import Piece
from registry.service.imports.planners import LocalPlanner
from registry.service.imports.source import TableSource
from registry.service.imports.tables import TableFormat, open_table, read_frame
from tests.support.imports import PREFIX
from tests.support.world import World, holder

HEADER = b"identifier,1:URL,2:TITLE\n"
LIMIT = 40

cells = st.sampled_from(
    ["u", "", '"q"', '"a\nb"', '"two ""\n\n"', '5" pipe', '"open', 'x"y', '"end"x', "long" * 12, '"\r\n"', "变压器"]
)
rows = st.tuples(cells, cells).map(",".join)
tables = st.lists(st.one_of(rows, st.sampled_from(["", ",,", "\r", "x" * 50])), max_size=12)


def read_whole(data: bytes) -> list[str]:
    table = open_table(TableFormat.CSV, Encoding.UTF_8, data)
    table.feed(data[table.offset :])
    table.finish()
    found = []
    while (row := table.next_row()) is not None:
        found.append(row.item.identifier)
    return found


async def read_ahead(data: bytes, rows: int) -> tuple[list[str], list[int]]:
    """The identifiers of all rows, and where each chunk ended."""
    world = await World().furnish()
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        source = TableSource(os.dup(file.fileno()), read_frame(TableFormat.CSV, Encoding.UTF_8, data), 0)

        def task_of(piece: Piece) -> ChunkTask:
            return ChunkTask(source.frame, piece, holder(), PREFIX, 1_700_000_000_000)

        async def settle() -> None:
            ahead.show(len(chunks))

        chunks: list[Chunk] = []
        ahead = Lookahead(source, LocalPlanner(world.view), task_of, settle)
        while (chunk := await ahead.take()) is not None:
            chunks.append(chunk)
        source.close()
    return [line.rsplit(",", 4)[0].strip('"') for chunk in chunks for line in chunk.lines], [chunk.end for chunk in chunks]


@settings(max_examples=150)
@given(tables, st.integers(1, 5), st.booleans())
def test_pieces_hold_the_rows_of_the_whole_table(table: list[str], rows: int, ends: bool) -> None:
    text = "\n".join(f"{PREFIX}/{number},{row}" if row.strip(",\r") else row for number, row in enumerate(table))
    data = HEADER + text.encode() + (b"\n" if ends else b"")
    with (
        patch.object(lines_module, "MAX_ROW_BYTES", LIMIT),
        patch("registry.service.imports.csv_rows.MAX_ROW_BYTES", LIMIT),
        patch("registry.service.imports.lines.Lines.__init__.__defaults__", (0, LIMIT)),
        patch.object(pieces_module, "MAX_ROW_BYTES", LIMIT),
        patch.object(pieces_module, "_FIRST_READ_BYTES", 7),
        patch.object(pieces_module, "PIECE_BYTES", 64),
        patch.object(pieces_module, "_SCAN_BYTES", 5),
        patch("registry.service.imports.lookahead.CHUNK_ROWS", rows),
    ):
        found, ends_at = asyncio.run(read_ahead(data, rows))
        assert len(found) == len(read_whole(data))
        assert [name.partition(",")[0] for name in found] == [name.partition(",")[0] for name in read_whole(data)]
    assert ends_at == sorted(set(ends_at))
