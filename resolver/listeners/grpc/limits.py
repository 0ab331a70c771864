"""What the gRPC listener lets its clients do, each with its reason. Those of HTTP/2 stand with it. Per worker, not per node."""

from dataclasses import dataclass, field
from typing import Final

from proto.limits import MAX_IDENTIFIER_BYTES, MAX_MESSAGE_BYTES, MAX_RESOLVE_BATCH
from proto.wire.grpc.held import MAX_HELD_BYTES, MAX_HELD_BYTES_PER_CONNECTION
from proto.wire.http2.limits import Http2Limits

# About 2.5 KiB each while they are idle.
MAX_CONNECTIONS: Final = 16_384
# Of the process's descriptors: without any left, clients could not even be told so, and the view could not open its files.
MAX_DESCRIPTOR_SHARE: Final = 0.75
# A burst of clients that connect at a worker's start; the kernel caps it (somaxconn).
LISTEN_BACKLOG: Final = 4_096

# A batch of the longest identifiers, with a few bytes about each and room for filters.
MAX_BATCH_BYTES: Final = MAX_RESOLVE_BATCH * (MAX_IDENTIFIER_BYTES + 8) + MAX_MESSAGE_BYTES
# What a stock client accepts as one message is 4 MiB. Answers that do not fit fail by name, for which room is kept.
MAX_ANSWERS_BYTES: Final = 4 * 1024 * 1024 - MAX_RESOLVE_BATCH * 256
# Batches that are worked on at once, each with up to 4 MiB of answers; they cost time alone, so the others wait their turn.
MAX_BATCHES: Final = 8
# A batch looks up so many at once, and then yields to other calls: about a millisecond of work.
BATCH_SLICE: Final = 128

# Answers are kept for questions of an identifier and a few filters; longer ones will hardly come again byte by byte.
MAX_KEPT_QUESTION_BYTES: Final = MAX_IDENTIFIER_BYTES + 256

# Calls of one read that are answered together: most of what that saves is saved with the first few, and none of their answers
# counts among the bytes of the turn before all of them are there.
MAX_GATHERED: Final = 8

# Calls that wait for their message or their answer: each holds one message; past this a client is told to slow down.
MAX_CALLS: Final = 512
OVERLOAD_RETRY_S: Final = 1.0
# What an answer in parts may have waiting for a client that does not read.
MAX_BACKLOG_BYTES: Final = 262_144
# A question to the health or the reflection service names one thing.
MAX_SMALL_QUESTION_BYTES: Final = 8_192

# From a call's headers to its whole message: both come in one flight but from the slowest of lines.
MESSAGE_WAIT_S: Final = 10.0

# From connecting to speaking HTTP/2, TLS included.
HANDSHAKE_S: Final = 30.0
# A silent connection is probed, so that those of vanished clients end.
KEEPALIVE_S: Final = 60.0
KEEPALIVE_WAIT_S: Final = 20.0
# A client that takes nothing of what it asked for is cut off after this: its call if others go on, otherwise the connection.
DRAIN_TIMEOUT_S: Final = 60.0
# A connection is ended politely after so long, and a while more so that not all do it at once: clients connect anew, maybe to
# another worker. What is in flight then has a grace.
CONNECTION_AGE_S: Final = 600.0
CONNECTION_AGE_SPREAD_S: Final = 60
CONNECTION_GRACE_S: Final = 30.0
# The rest of what a client sends after it broke the protocol is read and thrown away for so long, that it gets to see why.
LINGER_S: Final = 2.0
# Times are looked at this often, for all connections at once: a timer for each would cost more than they save.
SWEEP_S: Final = 5.0

# Bytes that wait for a client to take them; beyond, it is not read until it drains.
WRITE_BUFFER_BYTES: Final = 262_144


@dataclass(frozen=True, slots=True)
class GrpcLimits:
    """The limits that operators and tests may set otherwise."""

    http2: Http2Limits = field(default_factory=Http2Limits)
    max_connections: int = MAX_CONNECTIONS
    max_calls: int = MAX_CALLS
    max_held_bytes: int = MAX_HELD_BYTES
    max_held_bytes_per_connection: int = MAX_HELD_BYTES_PER_CONNECTION
    message_wait_s: float = MESSAGE_WAIT_S
    handshake_s: float = HANDSHAKE_S
    keepalive_s: float = KEEPALIVE_S
    keepalive_wait_s: float = KEEPALIVE_WAIT_S
    drain_timeout_s: float = DRAIN_TIMEOUT_S
    connection_age_s: float = CONNECTION_AGE_S
    connection_grace_s: float = CONNECTION_GRACE_S
    linger_s: float = LINGER_S
    sweep_s: float = SWEEP_S
    write_buffer_bytes: int = WRITE_BUFFER_BYTES
