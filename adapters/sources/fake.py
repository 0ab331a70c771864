"""A stand-in for an enterprise's system with an HTTP API: products as JSON, in pages, and misbehaving on request.

`GET /products?page=N` (or `cursor=`, or by the header Link) gives `{"data": {"items": [...]}, "meta": {"next", "total"}}`,
with `updated_since` only rows whose `updated_at` is not before it. `PUT /products` takes a list of rows in place of those that
are there, `POST /misbehave` with a list of `Misbehaviour` says how the next requests are met.
`python -m adapters.sources.fake --port 9100 --token SECRET` runs one.
"""

import argparse
import asyncio
import sys
from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

PAGE_ROWS: Final = 3


class Misbehaviour(StrEnum):
    """How a request is met instead of with a page."""

    FAIL = "500"
    BUSY = "429"
    REDIRECT = "302"
    HANG = "hang"
    BABBLE = "babble"
    """What comes is no JSON."""
    NO_LIST = "no-list"
    """JSON, and no list where one was."""
    CIRCLE = "circle"
    """The next page is always the first one."""
    ELSEWHERE = "elsewhere"
    """The next page is on another server."""
    LOSE = "lose"
    """A row is missing that the total counts."""


class Products:
    """The system. `token` is what requests have to show; empty: nothing."""

    def __init__(self, token: str = "") -> None:
        self.rows: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.misbehave: deque[Misbehaviour] = deque()
        self._token = token
        self._runner: web.AppRunner | None = None
        self._end = asyncio.Event()
        self.url = ""

    async def open(self, host: str = "127.0.0.1", port: int = 0) -> "Products":
        """Serve on a port (0: any that is free); `url` is where."""
        app = web.Application()
        app.router.add_get("/products", self._list)
        app.router.add_put("/products", self._replace)
        app.router.add_post("/misbehave", self._learn)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.url = f"http://{host}:{self._runner.addresses[0][1]}/products"
        return self

    async def close(self) -> None:
        """End, and let go of those who hang."""
        self._end.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _list(self, request: web.Request) -> web.StreamResponse:
        if self._token and request.headers.get("Authorization") != f"Bearer {self._token}":
            return web.Response(status=HTTPStatus.UNAUTHORIZED)
        self.asked.append(request.path_qs)
        manner = self.misbehave.popleft() if self.misbehave else None
        match manner:
            case Misbehaviour.FAIL | Misbehaviour.BUSY:
                return web.Response(status=int(manner))
            case Misbehaviour.REDIRECT:
                return web.Response(status=HTTPStatus.FOUND, headers={"Location": "http://127.0.0.1:1/"})
            case Misbehaviour.HANG:
                await self._end.wait()
            case Misbehaviour.BABBLE:
                return web.Response(text="<html>maintenance</html>")
            case Misbehaviour.NO_LIST:
                return web.json_response({"error": "none today"})
        return self._page(request, manner)

    def _page(self, request: web.Request, manner: Misbehaviour | None) -> web.Response:
        query = request.query
        since = query.get("updated_since", "")
        rows = [row for row in self.rows if not since or str(row.get("updated_at", "")) >= since]
        at = (int(query["page"]) - 1) * PAGE_ROWS if "page" in query else int(query.get("cursor") or 0)
        page, following = rows[at : at + PAGE_ROWS], at + PAGE_ROWS
        if manner is Misbehaviour.LOSE:
            page = page[1:]
        meta = {"total": len(rows), "next": str(following) if following < len(rows) else None}
        if manner is Misbehaviour.CIRCLE:
            meta["next"] = "0"
        headers = {}
        if meta["next"] is not None:
            link = request.url.update_query(cursor=meta["next"])
            target = link.with_port(1) if manner is Misbehaviour.ELSEWHERE else link
            headers["Link"] = f'<{target}>; rel="next"'
        return web.json_response({"data": {"items": page}, "meta": meta}, headers=headers)

    async def _replace(self, request: web.Request) -> web.Response:
        self.rows = await request.json()
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _learn(self, request: web.Request) -> web.Response:
        self.misbehave.extend(Misbehaviour(each) for each in await request.json())
        return web.Response(status=HTTPStatus.NO_CONTENT)


async def _serve(port: int, token: str) -> None:
    products = await Products(token).open(port=port)
    print(products.url, flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await products.close()


def main(words: Sequence[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="a stand-in for an enterprise's system with an HTTP API")
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--token", default="", help="what requests have to show")
    arguments = parser.parse_args(words)
    try:
        asyncio.run(_serve(arguments.port, arguments.token))
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
