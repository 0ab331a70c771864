"""A Handle.Net server that somebody started, beside this node: one handle that it holds against one of the sample, over UDP.

    BIAOJIE_HANDLE_NET='HOST:PORT HANDLE' python -m load_tests handle_net

UDP, because over TCP such a server is asked by its own clients on a connection for every request. It is not part of
`make bench`: its licence does not let it come with us. Pin it to one core, as the node's worker is.
"""

import itertools
import os
from collections.abc import Callable
from typing import Final

from load_tests import cores
from load_tests.alternation import Speed, alternate
from load_tests.figure import Figure
from load_tests.generator.handle import OneHandle
from load_tests.generator.loop import Lines, WrongAnswerError
from load_tests.lookups import SECONDS
from load_tests.protocols import CONNECTIONS, HANDLE_UDP
from load_tests.running import running_node

ADDRESS: Final = "BIAOJIE_HANDLE_NET"
SAMPLE: Final = "88.118.1001/SAMPLE-1"


def run() -> list[Figure]:
    """Raises `LookupError` if no server was named."""
    if ADDRESS not in os.environ:
        raise LookupError(f"{ADDRESS} names no server: 'HOST:PORT HANDLE'")
    address, handle = os.environ[ADDRESS].split()
    host, _, port = address.rpartition(":")
    with (
        running_node(workers=1, on=[cores.SERVER]) as node,
        cores.here(cores.GENERATOR),
        _lines("127.0.0.1", node.ports[HANDLE_UDP.port], SAMPLE) as ours,
        _lines(host, int(port), handle) as theirs,
    ):
        compared = alternate(_rate(ours), _rate(theirs))
    return [
        Figure("one handle over UDP", compared.per_s, "/s", ratio=compared.ratio.median, ratio_of=f"Handle.Net at {address}",
               spread=compared.ratio.spread)
    ]  # fmt: skip


def _lines(host: str, port: int, handle: str) -> Lines:
    return Lines(port, lambda: OneHandle(handle, _found), CONNECTIONS, datagrams=True, host=host)


def _found(_number: int, found: bool, content: bytes) -> None:
    if not found:
        raise WrongAnswerError(f"the handle is not there: {content[:100]!r}")


def _rate(lines: Lines) -> Callable[[], Speed]:
    return lambda: Speed(lines.closed_loop(itertools.repeat(0), SECONDS).per_s)
