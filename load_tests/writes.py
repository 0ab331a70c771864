"""Writes beside look-ups, in a process of its own: begins, says so on its output, and ends when its input ends.

python -m load_tests.writes singles|import REGISTRY_HTTP_PORT TOKEN
"""

import asyncio
import sys
import time
from itertools import count
from typing import Final

import aiohttp

PREFIX: Final = "88.118.1002"
IN_FLIGHT: Final = 64
# More than are imported while a figure is taken.
IMPORTED_ROWS: Final = 60_000
POLL_S: Final = 0.1


async def _singles(session: aiohttp.ClientSession, stop: asyncio.Event) -> None:
    numbers = count(time.time_ns())

    async def register() -> None:
        while not stop.is_set():
            number = next(numbers)
            url = {"format": "string", "value": f"https://example.cn/{number}"}
            body = {"values": [{"index": 1, "type": "URL", "data": url}]}
            async with session.put(f"/api/v1/identifiers/{PREFIX}/W-{number}", json=body) as answer:
                if answer.status != 201:
                    raise RuntimeError(f"a write was answered {answer.status}: {await answer.text()}")

    print("begun", flush=True)
    await asyncio.gather(*(register() for _ in range(IN_FLIGHT)))


async def _import(session: aiohttp.ClientSession, stop: asyncio.Event) -> None:
    first = time.time_ns()
    rows = (f"{PREFIX}/I-{number},https://example.cn/{number}\n" for number in range(first, first + IMPORTED_ROWS))
    table = ("identifier,1:URL\n" + "".join(rows)).encode()
    async with session.post("/api/v1/jobs/import", params={"prefix": PREFIX, "file_name": "rows.csv"}, data=table) as answer:
        answer.raise_for_status()
        job = answer.headers["Location"]
    print("begun", flush=True)
    while True:
        async with session.get(job) as answer:
            document = await answer.json()
        if document["state"] in ("finished", "failed"):
            break
        await asyncio.sleep(POLL_S)
    if document["created_rows"] != IMPORTED_ROWS or not stop.is_set():
        raise RuntimeError(f"the import ended too early or otherwise: {document}")


async def _main(kind: str, port: str, token: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, stop.set)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
        await {"singles": _singles, "import": _import}[kind](session, stop)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
