"""What may be sent by UDP to whom: the source address of a datagram proves nothing, and an answer is longer than its question.

So a network is sent only so many bytes a second; beyond that its clients are sent to TCP, where they must prove their address.
Sources on this machine are not limited: the network cannot forge them.
"""

import ipaddress
from collections import OrderedDict
from functools import lru_cache
from typing import Final

_IPV4_NETWORK: Final = 24
_IPV6_NETWORK: Final = 56
_REMEMBERED_ADDRESSES: Final = 16_384


class SourceBudget:
    """How many bytes each network may still be sent: a bucket that fills at `rate` a second up to `burst`."""

    __slots__ = ("_buckets", "_burst", "_max_sources", "_rate")

    def __init__(self, rate: float, burst: float, max_sources: int) -> None:
        self._rate = rate
        self._burst = burst
        self._max_sources = max_sources
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Networks remembered."""
        return len(self._buckets)

    def spend(self, address: str, size: int, now_s: float) -> bool:
        """Whether `size` bytes may go to `address` now; if so, they are taken off."""
        network = network_of(address)
        if not network:
            return True
        left, then_s = self._buckets.pop(network, (self._burst, now_s))
        left = min(self._burst, left + (now_s - then_s) * self._rate)
        may = size <= left
        self._buckets[network] = (left - size if may else left, now_s)
        if len(self._buckets) > self._max_sources:
            self._buckets.popitem(last=False)
        return may


@lru_cache(_REMEMBERED_ADDRESSES)
def network_of(address: str) -> str:
    """The network that an address is counted under; empty for this machine itself."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    if parsed.is_loopback:
        return ""
    bits = _IPV4_NETWORK if parsed.version == 4 else _IPV6_NETWORK
    return str(ipaddress.ip_network((parsed, bits), strict=False))
