"""What the Handle listener lets its clients do, each with its reason. Per worker, not per node."""

from dataclasses import dataclass
from typing import Final

# About 1.5 KB each. Chinese SDKs hold up to ten connections per client open all day.
MAX_CONNECTIONS: Final = 16_384
# Of the process's descriptors: without any left, clients could not even be told so, and the view could not open its files.
MAX_DESCRIPTOR_SHARE: Final = 0.75
# Enough for bursts of clients that connect for every request, as Handle.Net's do; the kernel caps it (somaxconn).
LISTEN_BACKLOG: Final = 4_096
# Chinese SDKs keep pooled connections idle for 600 s and expect to find them open then.
IDLE_TIMEOUT_S: Final = 900.0
# A message that was begun must be whole after this: 256 KB in a minute is slower than any link that works at all.
MESSAGE_TIMEOUT_S: Final = 60.0
# A client that does not take what it asked for is cut off after this.
DRAIN_TIMEOUT_S: Final = 60.0
# Timeouts are looked at this often, for all connections at once: a timer for each would cost more than the timeouts save.
SWEEP_S: Final = 5.0
# Questions of one connection that wait for an answer (another node's, or a view that catches up); then it is not read.
MAX_PIPELINED: Final = 128
# Questions of one connection answered in a row; then other connections get their turn (about a millisecond).
MAX_TURN: Final = 64
# Bytes that wait for a client to take them: one answer of the greatest size. Beyond, it is not read until it drains.
WRITE_BUFFER_BYTES: Final = 262_144

# Packets of one answer: beyond, a stock client is sent to TCP. A question of 80 bytes with a forged source address must not
# bring its victim more than this; common records take 1 to 3 packets, and the largest of our samples takes 5.
MAX_UDP_PACKETS: Final = 8
# What one network (IPv4 /24, IPv6 /56: what forgers of one victim spread over) may be sent by UDP; beyond, it is sent to TCP,
# where it must prove its address. About 600 answers of common size a second, and a burst of 2,500.
UDP_SOURCE_BYTES_PER_S: Final = 256 * 1024
UDP_SOURCE_BURST_BYTES: Final = 1024 * 1024
# Networks remembered: 100 bytes each. Who floods more of them starts anew with a burst each.
MAX_UDP_SOURCES: Final = 65_536
# Datagrams that wait for an answer from elsewhere, all sources together.
MAX_UDP_PENDING: Final = 1_024


@dataclass(frozen=True, slots=True)
class HandleLimits:
    """The limits that operators and tests may set otherwise."""

    max_connections: int = MAX_CONNECTIONS
    idle_timeout_s: float = IDLE_TIMEOUT_S
    message_timeout_s: float = MESSAGE_TIMEOUT_S
    drain_timeout_s: float = DRAIN_TIMEOUT_S
    sweep_s: float = SWEEP_S
    max_pipelined: int = MAX_PIPELINED
    write_buffer_bytes: int = WRITE_BUFFER_BYTES
    max_udp_packets: int = MAX_UDP_PACKETS
    udp_source_bytes_per_s: float = UDP_SOURCE_BYTES_PER_S
    udp_source_burst_bytes: float = UDP_SOURCE_BURST_BYTES
    max_udp_sources: int = MAX_UDP_SOURCES
