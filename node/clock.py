"""The clock of the machine: the one implementation of `proto.ports.Clock` outside of tests."""

import time

NANOSECONDS_PER_MILLISECOND = 1_000_000


class SystemClock:
    """UTC milliseconds of the system's clock, and its monotonic seconds."""

    def now_ms(self) -> int:
        """UTC milliseconds since 1970."""
        return time.time_ns() // NANOSECONDS_PER_MILLISECOND

    # Asked twice a look-up: the function itself, without one of ours around it.
    monotonic = staticmethod(time.monotonic)
