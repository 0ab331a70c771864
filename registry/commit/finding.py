"""What does not hold in a data folder, as `biaojie verify` says it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold: in which part (`stream`, `records`, `checkpoints`, ...), and a sentence about it."""

    part: str
    detail: str
