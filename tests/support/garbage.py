"""Good bytes made bad, a little at a time, the same way each time for the same seed.

More seeds search for longer: `FUZZ_SEEDS=300` in the environment is some ten minutes of each module in tests/fuzz.
"""

import os
import random
from typing import Final

SEEDS: Final = range(int(os.environ.get("FUZZ_SEEDS", "3")))

# Bytes that lengths, counts and signs turn on.
EDGES: Final = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\0\4\0\0",
    b"\0\4\0\1",
)


def mutate(raw: bytes, chance: random.Random) -> bytes:
    """A few cuts, flips, insertions, doublings or edge values."""
    garbled = bytearray(raw)
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(garbled))
        match chance.randint(0, 5):
            case 0:
                del garbled[at : at + chance.randint(1, 8)]
            case 1:
                garbled[at:at] = chance.randbytes(chance.randint(1, 8))
            case 2 if garbled:
                garbled[at % len(garbled)] ^= 1 << chance.randint(0, 7)
            case 3:
                edge = chance.choice(EDGES)
                garbled[at : at + len(edge)] = edge
            case 4:
                del garbled[at:]
            case _:
                garbled[at:at] = garbled[at : at + chance.randint(1, 64)]
    return bytes(garbled)
