"""Measures from inside how long whatever arrives would have waited for the event loop.

A timer is due every few milliseconds; how late it runs is how long the loop was busy with something else (applying changes,
opening a checkpoint, a collection of garbage) or the machine with another process. It misses at most its own interval.
"""

import asyncio
from typing import Final, NoReturn

from proto.metrics import Histogram
from proto.ports import Clock

# Small beside the 30 ms that a look-up may wait at most; 200 wake-ups a second cost about half a per cent of a core.
INTERVAL_S: Final = 0.005


async def measure_loop_wait(histogram: Histogram, clock: Clock) -> NoReturn:
    """Observe the loop's lateness in seconds until cancelled."""
    while True:
        due = clock.monotonic() + INTERVAL_S
        await asyncio.sleep(INTERVAL_S)
        histogram.observe(max(0.0, clock.monotonic() - due))
