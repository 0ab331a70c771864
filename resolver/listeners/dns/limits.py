"""What the DNS listener lets its clients do, each with its reason. Per worker, not per node."""

from dataclasses import dataclass
from typing import Final

# Resolvers open a connection for the few answers that UDP does not carry.
MAX_CONNECTIONS: Final = 2_048
# Of the process's descriptors: the view has to open its files, and other listeners take connections too.
MAX_DESCRIPTOR_SHARE: Final = 0.25
# Enough for a burst of resolvers that are sent to TCP; the kernel caps it (somaxconn).
LISTEN_BACKLOG: Final = 1_024
# RFC 7766 6.2.3 wants it of the order of seconds: clients ask in bursts, and connecting again costs them little.
IDLE_TIMEOUT_S: Final = 10.0
# A message that was begun must be whole after this: it is one packet of any link.
MESSAGE_TIMEOUT_S: Final = 5.0
# A client that does not take what it asked for is cut off after this.
DRAIN_TIMEOUT_S: Final = 10.0
# Timeouts are looked at this often, for all connections at once.
SWEEP_S: Final = 1.0
# Questions of one connection that wait for an answer from elsewhere; then it is not read.
MAX_PIPELINED: Final = 128
# Questions of one connection answered in a row; then other connections get their turn (about a millisecond).
MAX_TURN: Final = 64
# Octets that wait for a client to take them: one answer of the greatest size. Beyond, it is not read until it drains.
WRITE_BUFFER_BYTES: Final = 65_536

# What one network (IPv4 /24, IPv6 /56) may be sent by UDP: about a thousand answers a second, and a burst of four thousand.
UDP_SOURCE_BYTES_PER_S: Final = 256 * 1024
UDP_SOURCE_BURST_BYTES: Final = 1024 * 1024
# Beyond it, every so many-th answer "slips": it says "ask over TCP" and is no longer than its question. The others are dropped.
# A client of a network that is being flooded gets through, and the flood's victim gets half as much as was sent in its name.
SLIP: Final = 2
# Networks remembered: 100 bytes each. Who floods more of them starts anew with a burst each.
MAX_UDP_SOURCES: Final = 65_536
# Datagrams that wait for an answer from elsewhere, all sources together.
MAX_UDP_PENDING: Final = 1_024


@dataclass(frozen=True, slots=True)
class DnsLimits:
    """The limits that operators and tests may set otherwise."""

    max_connections: int = MAX_CONNECTIONS
    idle_timeout_s: float = IDLE_TIMEOUT_S
    message_timeout_s: float = MESSAGE_TIMEOUT_S
    drain_timeout_s: float = DRAIN_TIMEOUT_S
    sweep_s: float = SWEEP_S
    max_pipelined: int = MAX_PIPELINED
    write_buffer_bytes: int = WRITE_BUFFER_BYTES
    udp_source_bytes_per_s: float = UDP_SOURCE_BYTES_PER_S
    udp_source_burst_bytes: float = UDP_SOURCE_BURST_BYTES
    max_udp_sources: int = MAX_UDP_SOURCES
