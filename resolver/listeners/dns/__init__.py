"""The DNS listener, UDP and TCP on one port: an authoritative server of one zone, in which identifiers are names.

`listener.py` holds the sockets, `connection.py` and `datagrams.py` what happens on them, `dialogue.py` makes one reply of one
message, `replies.py` is the table from answers and reasons to response codes and records, `zone.py` what the zone says of
itself, `interiors.py` which names are there only because others lie below them.
"""

from resolver.listeners.dns.limits import DnsLimits
from resolver.listeners.dns.listener import DnsListener
from resolver.listeners.dns.zone import Zone

__all__ = ["DnsLimits", "DnsListener", "Zone"]
