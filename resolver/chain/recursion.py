"""For whom this node asks others: the networks that configuration allows. A node that asks for everybody is a tool for attacks
on whoever it asks."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from proto.model.query import Query

_REMEMBERED_PEERS: Final = 4_096

_ALL_IPV4: Final = ipaddress.ip_network("0.0.0.0/0")
_ALL_IPV6: Final = ipaddress.ip_network("::/0")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Recursion:
    """Who may have foreign identifiers resolved. `networks` are in CIDR form; without an upstream there is nobody to ask."""

    def __init__(self, networks: Iterable[str] = (), has_upstream: bool = False) -> None:
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)
        self._has_upstream = has_upstream
        self.serves: Final = lru_cache(_REMEMBERED_PEERS)(self._find_network)
        """Whether others are asked on behalf of an address."""

    def serves_all_at(self, host: str) -> bool:
        """Whether nobody who can reach a listener at `host` is outside of the networks."""
        if {_ALL_IPV4, _ALL_IPV6} <= set(self._networks):
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return address.is_loopback and self.serves(host)

    def reaches_upstream(self, query: Query) -> bool:
        """Whether the upstream is asked for what is not homed here: yes, unless the caller said that it would rather not."""
        return self._has_upstream and query.is_recursive is not False and self.serves(query.peer)

    def reaches_delegate(self, query: Query) -> bool:
        """Whether the node that a prefix is delegated to is asked: only if the caller said so. Others are referred to it."""
        return query.is_recursive is True and self.serves(query.peer)

    def _find_network(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)
