"""Where things lie in a node's data folder, and how files that belong to a position are called.

Names only: whoever opens a file knows what is in it.

    stream/<epoch>-<first sequence>.seg     frames of `proto.stream` and nothing else, one after the other, of one epoch;
                                            the segment that follows is called after the sequence that comes next
    checkpoints/<epoch>-<sequence>/         a whole store as it was after that change; it gets this name when it is complete
    checkpoints/<epoch>-<sequence>.lease    readers of the checkpoint hold a shared flock on it; who deletes, an exclusive one
    tallies/<worker>-<time>-<random>        how often identifiers were asked for (`proto.tally`), until it is taken
    papers/<reference>                      papers of registrants, sealed (`registry.service.paper_files`)
    access/<day>.log                        who of the city has read what (`registry.service.access_files`)
    readings/<worker>-<time>-<random>       the same of what workers have shown (`proto.access_line`), until it is taken
    projections/<name>                      what is worked out of the stream, and can be worked out again
    run/stream.sock                         the wake-up socket (`proto.wake`)
    run/readings.full                       accounts that may read no more of what is not public today (`resolver.readings`)
    run/<protocol>.seats                    how many connections each worker has (`resolver.listeners.seats`)
    run/<protocol>-<worker>.sock            where a worker takes connections from others (`resolver.listeners.neighbours`)

A segment has no head of its own: its name says where it begins, and each frame's header what it follows. It is sealed
when the segment after it exists. Of two segments that claim the same sequence the one of the higher epoch is right.
"""

import re
from typing import Final

from proto.model.change import Position

STORE: Final = "store"
STREAM: Final = "stream"
CHECKPOINTS: Final = "checkpoints"
BLOBS: Final = "blobs"
JOBS: Final = "jobs"
RUN: Final = "run"
TALLIES: Final = "tallies"
PROJECTIONS: Final = "projections"
ACCESS: Final = "access"
PAPERS: Final = "papers"
READINGS: Final = "readings"
READINGS_FULL: Final = "run/readings.full"

SEGMENT_SUFFIX: Final = ".seg"
LEASE_SUFFIX: Final = ".lease"

_POSITION_NAME: Final = re.compile(r"([0-9a-f]{8})-([0-9a-f]{16})")


def position_name(position: Position) -> str:
    """The name of a position; names sort as positions do."""
    return f"{position.epoch:08x}-{position.sequence:016x}"


def parse_position_name(name: str) -> Position | None:
    """The position that `name` stands for; None if it is the name of something else."""
    found = _POSITION_NAME.fullmatch(name)
    return Position(int(found[1], 16), int(found[2], 16)) if found else None


def segment_name(first: Position) -> str:
    """The file name of the segment whose first change is at `first`."""
    return position_name(first) + SEGMENT_SUFFIX


def parse_segment_name(name: str) -> Position | None:
    """The position of the first change of the segment called `name`; None if it is no segment."""
    return parse_position_name(name.removesuffix(SEGMENT_SUFFIX)) if name.endswith(SEGMENT_SUFFIX) else None


def lease_name(position: Position) -> str:
    """The file name of the lease of the checkpoint at `position`."""
    return position_name(position) + LEASE_SUFFIX
