"""Verifies the stream: every change from the first segment through the store's log up to the head, in one chain.

What a killed committer leaves is no damage: half a frame at the very end, and changes that are in the log but not yet in
the segments. The next start completes both.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from proto.keys import LOG, log_key, position_in_log_key, row_key, space_prefix
from proto.model.change import START, Change, Head, Position, Row
from proto.packing import version_of
from proto.sm3 import sm3
from proto.stream import NO_CHAIN, Damaged, check_linked, parse_change, parse_payload
from registry.commit.finding import Finding
from resolver.view.database import Database
from resolver.view.segments import Line

# Log entries are read in portions; each may have four megabytes.
_LOG_PAGE: Final = 16

# Keys whose last image in the stream is not (or no longer) in the store; more than this is one finding, not thousands.
_MAX_DOUBTFUL: Final = 100_000


@dataclass(slots=True)
class Told:
    """What the stream tells: how many rows (`rows`), from which sequence on, whether anything was ever deleted."""

    first: int = 0
    rows: int = 0
    has_deletions: bool = False
    chains: dict[Position, bytes] = field(default_factory=dict)
    """The chain hashes at the positions that were asked for."""


def verify_stream(folder: Path, database: Database, head: Head, marks: set[Position], told: Told) -> Iterator[Finding]:
    """Check the stream and that the store holds what it tells last. Fills `told`, with the chain at each of `marks`."""
    state = _State(database)
    position, chain = START, NO_CHAIN
    for change in _changes(folder, database):
        if isinstance(change, Finding):
            yield change
            continue
        if sm3(change.payload) != change.payload_digest:
            yield Finding("stream", f"the payload of {change.position} is not the one its header names")
        if not told.first:
            told.first = change.position.sequence
            position, chain = change.position._replace(sequence=told.first - 1), change.previous
            if told.first == 1 and chain != NO_CHAIN:
                yield Finding("stream", "the first change names one before it")
        if change.position == position and change.chain == chain:
            continue  # in the log as well as in the segments, as it should be
        try:
            check_linked(change, position, chain)
            rows = parse_payload(change.payload)
        except Damaged as damage:
            yield Finding("stream", str(damage))
            rows = []
        if len(rows) != change.row_count or change.node_id != head.node_id:
            yield Finding("stream", f"the header of {change.position} says otherwise than what follows it")
        position, chain = change.position, change.chain
        if position in marks:
            told.chains[position] = chain
        told.rows += len(rows)
        told.has_deletions |= any(not row.image for row in rows)
        yield from state.compare(change, rows)
    yield from state.doubts()
    if head.position.sequence and (position, chain) != (head.position, head.chain):
        yield Finding("stream", f"it ends at {position}, and the store's head is at {head.position}: they do not agree")


class _State:
    """Compares images in the stream with what the store holds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Keys of which the store holds nothing, or something older: right only if a deletion is still to come.
        self._doubtful: dict[bytes, Position] = {}

    def compare(self, change: Change, rows: list[Row]) -> Iterator[Finding]:
        keys = [row_key(row.table, row.name) for row in rows]
        for row, key, stored in zip(rows, keys, self._database.get_many(keys), strict=True):
            name = f"{row.table.name.lower()} {row.name!r}"
            if row.version != row.prior_version + 1 or (row.image and version_of(row.image) != row.version):
                yield Finding("stream", f"{change.position} writes {name} with a version that does not follow")
            version = version_of(stored) if stored else 0
            if not row.image:
                self._doubtful.pop(key, None)
            elif version < row.version and len(self._doubtful) < _MAX_DOUBTFUL:
                self._doubtful[key] = change.position
            elif version == row.version and stored != row.image:
                yield Finding("store", f"{name} is not what {change.position} wrote")

    def doubts(self) -> Iterator[Finding]:
        for key, position in self._doubtful.items():
            yield Finding("store", f"what {position} wrote under {key!r} is missing")


def _changes(folder: Path, database: Database) -> Iterator[Change | Finding]:
    """The changes of the segments, each with its log entry behind it if there still is one, and the log entries after them."""
    damaged: list[Finding] = []
    log = _log(database, damaged)
    entry = next(log, None)
    for found in _segment_changes(folder):
        if isinstance(found, Finding):
            yield found
            continue
        while entry is not None and entry.position < found.position:
            yield Finding("stream", f"{entry.position} is in the store's log but not in the segments")
            entry = next(log, None)
        yield found
        if entry is not None and entry.position == found.position:
            yield entry
            entry = next(log, None)
    while entry is not None:
        yield entry
        entry = next(log, None)
    yield from damaged


def _segment_changes(folder: Path) -> Iterator[Change | Finding]:
    line = Line(folder)
    line.refresh()
    line.close()
    for place, segment in enumerate(line.segments):
        data = segment.path.read_bytes()
        offset, sequence = 0, segment.first.sequence
        try:
            while sequence != segment.end and (parsed := parse_change(data, offset)) is not None:
                change, offset = parsed
                if change.position.sequence != sequence or change.position.epoch != segment.first.epoch:
                    yield Finding("stream", f"{segment.path.name} holds {change.position} where {sequence} belongs")
                sequence += 1
                yield change
        except Damaged as damage:
            yield Finding("stream", f"{segment.path.name}: {damage}")
        if place < len(line.segments) - 1 and sequence != segment.end:
            yield Finding("stream", f"{segment.path.name} ends before {sequence}, and the next begins at {segment.end}")


def _log(database: Database, damaged: list[Finding]) -> Iterator[Change]:
    """The log's entries that can be read; the others are added to `damaged`."""
    after = log_key(*START)
    while page := database.scan(space_prefix(LOG), after, _LOG_PAGE):
        for key, frame in page:
            position = position_in_log_key(key)
            try:
                parsed = parse_change(frame)
            except Damaged:
                parsed = None
            if parsed is None or parsed[1] != len(frame) or parsed[0].position != position:
                damaged.append(Finding("log", f"the entry at {position} is damaged or another one"))
            else:
                yield parsed[0]
        after = page[-1][0]
