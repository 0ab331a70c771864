"""The packets of one turn, by who sent them: some addresses may have what other nodes answer, and some may not."""

from collections.abc import Sequence
from typing import Any, Protocol

Source = tuple[Any, ...]


class Dialogue(Protocol):
    """What answers packets."""

    def serves(self, peer: str, /) -> bool: ...

    def respond_plainly_to(self, packets: Sequence[bytes], is_served: bool, /) -> list[bytes | None]: ...


def respond_by_source(dialogue: Dialogue, received: Sequence[tuple[bytes, Source]]) -> list[bytes | None]:
    """The replies to packets, in order, that there are at once; packets of all addresses of a kind are answered together."""
    hosts = {str(addr[0]) for _, addr in received}
    barred = {host for host in hosts if not dialogue.serves(host)}
    if not barred or len(barred) == len(hosts):
        return dialogue.respond_plainly_to([packet for packet, _ in received], not barred)
    replies: list[bytes | None] = [None] * len(received)
    for is_served in (True, False):
        places = [place for place, (_, addr) in enumerate(received) if (str(addr[0]) not in barred) is is_served]
        answered = dialogue.respond_plainly_to([received[place][0] for place in places], is_served)
        for place, reply in zip(places, answered, strict=True):
            replies[place] = reply
    return replies
