"""Limits of the HTTP listener, each with its reason."""

from dataclasses import dataclass
from typing import Final

from proto.limits import MAX_IDENTIFIER_BYTES, MAX_RESOLVE_BATCH

# An identifier with every byte percent-encoded (6 KiB), and room for filters.
MAX_REQUEST_LINE_BYTES: Final = 16_384
# Tokens, trace context and what browsers add; servers commonly stop at 8 KiB.
MAX_HEADER_FIELD_BYTES: Final = 8_192
MAX_HEADERS: Final = 64

# A batch of the longest identifiers, every second byte of them escaped.
MAX_BODY_BYTES: Final = MAX_RESOLVE_BATCH * MAX_IDENTIFIER_BYTES * 2

# Batches worked on at once in one process: each may hold a body; single questions go on beside them.
MAX_BATCHES: Final = 32
# Single questions in one process: nearly all are answered at once; those that wait for a position are held back here.
MAX_REQUESTS: Final = 4_096
BUSY_RETRY_S: Final = 1.0
# A batch yields to other questions after so many look-ups: about a millisecond of work.
BATCH_SLICE: Final = 32
# Results of a batch that are there are sent together up to so much, and the one that is then at hand: sending each by itself
# costs more than to look it up.
PIECE_BYTES: Final = 64 * 1024

# Plain requests of one connection answered in a row, and the bytes of their answers; then other connections get their turn:
# about half a millisecond, and what the transport takes before it asks to pause.
MAX_TURN: Final = 32
MAX_TURN_BYTES: Final = 65_536

# Heads and bodies of one connection given to the parser in a row, and what looks like the end of one: a body of nothing but
# line ends would have the whole read's worth of others wait for a tenth of a second.
MAX_PIECES_A_TURN: Final = 256

# The name of a script's function.
MAX_CALLBACK_CHARS: Final = 128

# Connections waiting to be accepted: a burst of clients at a worker's start.
LISTEN_BACKLOG: Final = 1_024


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What a test may want to reach sooner. Seconds."""

    # Per process: well above what partners' systems hold open, and its memory (some 8 KiB each) below that of the view.
    max_connections: int = 16_384
    # A connection that asks nothing: longer than the keep-alive of common load balancers (60 s), so that they close first.
    idle_s: float = 75.0
    # From the first byte of a request to the end of its headers, and for a body: the slowest of lines, not a slow attack.
    head_s: float = 15.0
    body_s: float = 30.0
    # One piece of an answer into a client that does not read.
    send_s: float = 30.0
    # The rest of a refused request is read and thrown away for so long, that the client gets to see the refusal.
    linger_s: float = 2.0
