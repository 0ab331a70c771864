"""Which servers are asked that other nodes' records name. Pure.

Whoever registers a record somewhere writes the addresses of its sites as he likes. Followed blindly they would have this node
connect, from inside the operator's network, to the operator's own machines, to the metadata service of a cloud, or to itself.
So what a record or a referral names is asked only if it lies in the public Internet, or in a network that the operator has
named. What the operator configured himself (the upstream, the sites of a delegation) is asked wherever it is.

What is public is told by our own table and not by `ipaddress.is_global`, whose meaning has changed between releases of Python.
Addresses that carry an IPv4 address, which a gateway or the kernel would unwrap, are taken for that address.
"""

import ipaddress
from collections.abc import Iterable
from typing import Final

from resolver.upstream.sites import Endpoint

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Below are mail, DNS, shells and the web, which understand, or harm by, what they were not meant to get. Servers of the Handle
# protocol are registered at 2641 and run on others above, because none below is open to them without privileges.
FIRST_PORT: Final = 1_024

# IANA's registry of special-purpose IPv4 addresses (RFC 6890 and its updates).
_IPV4: Final = tuple(
    (ipaddress.IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "private"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "reserved"),
        ("198.51.100.0/24", "reserved"),
        ("203.0.113.0/24", "reserved"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)

# Of IPv6 the public Internet is 2000::/3 alone (RFC 4291 2.4); the last line is all that lies outside of it. Teredo (RFC 4380),
# whose address is somebody's behind a NAT, is in 2001::/23.
_IPV6: Final = tuple(
    (ipaddress.IPv6Network(network), what)
    for network, what in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("fc00::/7", "private"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "reserved"),
        ("3fff::/20", "reserved"),
        ("::/3", "reserved"),
        ("4000::/2", "reserved"),
        ("8000::/1", "reserved"),
    )
)

# Networks whose addresses carry an IPv4 address, and how many bits stand behind it.
_CARRIERS: Final = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped (RFC 4291 2.5.5.2)
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 0),  # IPv4-translated (RFC 2765 2.1)
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),  # NAT64 (RFC 6052 2.1)
    (ipaddress.IPv6Network("2002::/16"), 80),  # 6to4 (RFC 3056 2)
    (ipaddress.IPv6Network("::/96"), 0),  # IPv4-compatible (RFC 4291 2.5.5.1), but for the first two addresses
)
_NOT_CARRIED: Final = frozenset((ipaddress.IPv6Address("::"), ipaddress.IPv6Address("::1")))
_IPV4_MASK: Final = 0xFFFF_FFFF


class Reach:
    """What may be asked. `networks` (CIDR) are those beside the public Internet; `named` are endpoints that the operator has
    configured, and so may be named by others too."""

    def __init__(self, networks: Iterable[str] = (), named: Iterable[Endpoint] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)
        self._named = frozenset(named)

    def bar(self, endpoint: Endpoint) -> str:
        """Why a server that another node's record names is not asked; empty if it is."""
        if endpoint in self._named:
            return ""
        try:
            address = unwrap(ipaddress.ip_address(endpoint.host))
        except ValueError:
            return "no address"
        what = kind_of(address)
        if what and not any(address in network for network in self._networks):
            return f"{what} address"
        return f"port below {FIRST_PORT}" if endpoint.port < FIRST_PORT else ""


def kind_of(address: Address) -> str:
    """What an address is, if it is none of the public Internet: `private`, `loopback`, ...; else empty."""
    table: Iterable[tuple[Network, str]] = _IPV4 if address.version == 4 else _IPV6
    return next((what for network, what in table if address in network), "")


def unwrap(address: Address) -> Address:
    """The IPv4 address that an IPv6 address carries, or the address itself."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _NOT_CARRIED:
        for network, behind in _CARRIERS:
            if address in network:
                return ipaddress.IPv4Address(int(address) >> behind & _IPV4_MASK)
    return address
