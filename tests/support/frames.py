"""Changes for tests that need a stream and no store."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from proto.model.change import Position, Row, Table
from proto.places import segment_name
from proto.stream import NO_CHAIN, compose_change, compose_payload

BEGINNING: Final = Position(1, 0)


@dataclass(slots=True)
class Chain:
    """Composes one change after the other; `frames` are all of them."""

    position: Position = BEGINNING
    chain: bytes = NO_CHAIN
    frames: list[bytes] = field(default_factory=list)
    chains: dict[int, bytes] = field(default_factory=dict)

    def add(self, rows: int = 1, size: int = 20, epoch: int | None = None) -> bytes:
        """The frame of the next change, with `rows` images of `size` bytes each."""
        position = Position(self.position.epoch if epoch is None else epoch, self.position.sequence + 1)
        images = [Row(Table.REGISTRANT, f"e{position.sequence}-{row}", bytes([1]) * size, 1) for row in range(rows)]
        frame, self.chain = compose_change(
            node_id="node-1",
            position=position,
            time_ms=1_000 + position.sequence,
            actor="acme",
            request_id=f"r-{position.sequence}",
            traceparent="",
            row_count=rows,
            payload=compose_payload(images),
            previous=self.chain,
        )
        self.position = position
        self.frames.append(frame)
        self.chains[position.sequence] = self.chain
        return frame

    def fork(self) -> "Chain":
        """Another history with the same past."""
        return Chain(self.position, self.chain, list(self.frames), dict(self.chains))


def write_segment(folder: Path, first: Position, frames: bytes) -> Path:
    """A segment file as a committer makes it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / segment_name(first)
    path.write_bytes(frames)
    return path


def append(path: Path, data: bytes) -> None:
    """Append in place, as a committer does."""
    with path.open("ab") as file:
        file.write(data)
