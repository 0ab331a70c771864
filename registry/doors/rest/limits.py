"""Limits of the REST door, each with its reason. Those of connections and headers belong to the server that is passed in."""

from dataclasses import dataclass
from typing import Final

from proto.limits import MAX_RECORD_BYTES

# A record with every byte of its values escaped (`\u0001`), and room for names around it.
MAX_RECORD_BODY_BYTES: Final = 8 * MAX_RECORD_BYTES

# A batch makes one change of at most 4 MiB; JSON takes up to twice that in base64 and names.
MAX_BATCH_BODY_BYTES: Final = 12 * 1024 * 1024

# Everything else is a handful of short members.
MAX_SMALL_BODY_BYTES: Final = 64 * 1024

# The dead letters of a feed at once: a thousand names of up to 2,048 bytes, mostly of some dozens.
MAX_LETTERS_BODY_BYTES: Final = 1024 * 1024

# All bodies that are being read or worked on, together: what strangers can make the process hold.
MAX_BODIES_BYTES: Final = 128 * 1024 * 1024

# Requests worked on at once, without long polls; far more than the committer's queues take.
MAX_REQUESTS: Final = 1_024

# Followers that wait: each holds a connection and a timer.
MAX_POLLS: Final = 1_024

BUSY_RETRY_S: Final = 1.0

# Connections waiting to be accepted: a burst of clients at a start.
LISTEN_BACKLOG: Final = 1_024

# Rows of a page rendered before others get their turn.
RENDER_SLICE: Final = 64


@dataclass(frozen=True, slots=True)
class RestLimits:
    """What a test may want to reach sooner. Seconds."""

    # For a whole body (a streamed one: between two pieces): the slowest of lines, not a slow attack.
    body_s: float = 30.0
    # One piece of an answer into a client that does not read.
    send_s: float = 30.0
