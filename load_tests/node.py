"""A whole node under writes: what visibility adds to an acknowledgement, and how long a lookup ever waits.

Both are read from histograms inside the processes, over the time of the load alone. The waits are a worker's own: how late
its event loop came to a timer, every few milliseconds, while checkpoints were made and an import ran.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Final

import aiohttp

from load_tests.figure import Figure
from load_tests.running import Node, quantile, running_node, since

WRITES: Final = 10_000
IN_FLIGHT: Final = 64
# Enough for two checkpoints and more, each after 100,000 changes.
IMPORTED_ROWS: Final = 250_000
PREFIX: Final = "88.118.1002"


def run() -> list[Figure]:
    with running_node() as node:
        return [*asyncio.run(_single_writes(node)), *asyncio.run(_waits_during_an_import(node))]


async def _single_writes(node: Node) -> list[Figure]:
    before = node.histogram("biaojie_visibility_seconds")
    started = time.perf_counter()
    async with _client(node) as session:
        waiting = iter(range(WRITES))
        await asyncio.gather(*(_write_all(session, waiting) for _ in range(IN_FLIGHT)))
    rate = WRITES / (time.perf_counter() - started)
    added = quantile(since(before, node.histogram("biaojie_visibility_seconds")), 0.5)
    return [
        Figure("single registrations over REST, 64 in flight", rate, "/s"),
        Figure("visible in every worker, time added to an acknowledgement (median)", added * 1000, "ms", 10, at_least=False),
    ]


async def _write_all(session: aiohttp.ClientSession, waiting: Iterator[int]) -> None:
    for number in waiting:
        body = {"values": [{"index": 1, "type": "URL", "data": {"format": "string", "value": f"https://example.cn/{number}"}}]}
        async with session.put(f"/api/v1/identifiers/{PREFIX}/W-{number}", json=body) as answer:
            if answer.status != 201:
                raise RuntimeError(f"a write was answered {answer.status}: {await answer.text()}")


async def _waits_during_an_import(node: Node) -> list[Figure]:
    before = node.histogram("biaojie_loop_wait_seconds")
    switches = _switches(node)
    lines = (f"{PREFIX}/I-{number},https://example.cn/i/{number},变压器 {number}\n" for number in range(IMPORTED_ROWS))
    table = "identifier,1:URL,2:TITLE\n" + "".join(lines)
    async with _client(node) as session:
        stop = asyncio.Event()
        reading = asyncio.create_task(_read_until(node, stop))
        await _import(session, table.encode())
        stop.set()
        reads = await reading
    waits = since(before, node.histogram("biaojie_loop_wait_seconds"))
    return [
        Figure("worst wait of a worker's loop during an import with checkpoints (bucket's bound)", quantile(waits, 1.0) * 1000,
               "ms", 30, at_least=False),
        Figure("checkpoints moved to meanwhile", _switches(node) - switches, "switches", 2),
        Figure("lookups answered meanwhile, one connection", reads, "lookups"),
    ]  # fmt: skip


async def _import(session: aiohttp.ClientSession, table: bytes) -> None:
    parameters = {"prefix": PREFIX, "file_name": "rows.csv"}
    async with session.post("/api/v1/jobs/import", params=parameters, data=table) as answer:
        answer.raise_for_status()
        job = answer.headers["Location"]
    while True:
        async with session.get(job) as answer:
            document = json.loads(await answer.text())
        if document["state"] in ("finished", "failed"):
            if document["created_rows"] != IMPORTED_ROWS:
                raise RuntimeError(f"the import ended as {document}")
            return
        await asyncio.sleep(0.1)


async def _read_until(node: Node, stop: asyncio.Event) -> int:
    count = 0
    async with aiohttp.ClientSession(f"http://127.0.0.1:{node.ports['resolver.http_port']}") as session:
        while not stop.is_set():
            async with session.get("/api/handles/88.118.1001/SAMPLE-1") as answer:
                if answer.status != 200:
                    raise RuntimeError(f"a lookup was answered {answer.status}")
                await answer.read()
            count += 1
    return count


def _switches(node: Node) -> float:
    return sum(each.value for each in node.samples("biaojie_view_switches_total"))


def _client(node: Node) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        f"http://127.0.0.1:{node.ports['registry.http_port']}",
        headers={"Authorization": f"Bearer {node.token}"},
        connector=aiohttp.TCPConnector(limit=IN_FLIGHT),
    )
