"""What the zone says of itself: SOA, and NS if name servers are configured.

Without name servers the zone is reached by resolvers that were told where it is (a stub or forward zone), and has no NS
records.
"""

from dataclasses import dataclass, field
from typing import Final

from proto.wire.dns.codes import RRType
from proto.wire.dns.name import Labels, compose_name, name_bytes, pointer_to
from proto.wire.dns.records import compose_rr, serial_offset, soa_data

# An answer that something is not there may be untrue with the next registration: long enough to stop a client that asks in a
# loop, short enough for whoever reads a new nameplate.
NEGATIVE_TTL_S: Final = 5
NS_TTL_S: Final = 86_400
# For secondaries, should there be any: look every hour, after a failure every ten minutes, give up after two weeks (RIPE-203).
REFRESH_S: Final = 3_600
RETRY_S: Final = 600
EXPIRE_S: Final = 1_209_600

_TIMERS: Final = (REFRESH_S, RETRY_S, EXPIRE_S, NEGATIVE_TTL_S)
# The mailbox of who is responsible (RFC 2142 7).
_MAILBOX: Final = b"\x0ahostmaster"


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone's name and the names of its servers, the primary first."""

    labels: Labels
    name_servers: tuple[Labels, ...] = ()
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", name_bytes(self.labels))

    def below(self, labels: Labels) -> Labels | None:
        """The labels of a name in front of the zone's; None if it does not lie in the zone."""
        count = len(labels) - len(self.labels)
        return labels[:count] if count >= 0 and labels[count:] == self.labels else None

    def compose_soa(self, at: int) -> tuple[bytes, int]:
        """The SOA record with serial 0, the zone's name being written at offset `at`; and where the serial stands in it."""
        primary = compose_name(self.name_servers[0]) if self.name_servers else pointer_to(at)
        data = soa_data(primary, _MAILBOX + pointer_to(at), 0, _TIMERS)
        record = compose_rr(at, RRType.SOA, NEGATIVE_TTL_S, data)
        return record, len(record) - len(data) + serial_offset(data)

    def compose_ns(self, at: int) -> list[bytes]:
        """The NS records, none if no name server is known."""
        return [compose_rr(at, RRType.NS, NS_TTL_S, compose_name(server)) for server in self.name_servers]
