"""The changes for whoever asks from a position on: `proto.ports.Stream` over the segments."""

from pathlib import Path

from proto.model.change import Change, Position


class Archive:
    """Reads the segments in `folder` (`DATA/stream`)."""

    def __init__(self, folder: Path) -> None:
        raise NotImplementedError

    def read(self, after: Position, limit: int) -> list[Change]:
        """Up to `limit` changes after a position (fewer if they are large; at least one if there is one)."""
        raise NotImplementedError

    def head(self) -> Position:
        """The last change that can be read."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the files."""
        raise NotImplementedError
