"""A stand-in for the platform: `GET /products?manufacturer=` and `GET /templates` answer from what feeds have told it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from adapters.city.core.selection import Interest
from adapters.city.fake import Consumer


class IndustryPlatform(Consumer):
    """Keeps products."""

    def routes(self) -> Sequence[web.RouteDef]:
        return (*super().routes(), web.get("/products", self._products), web.get("/templates", self._templates))

    async def _products(self, request: web.Request) -> web.Response:
        manufacturer = request.query.get("manufacturer")
        found = [data for data in self._all() if manufacturer in (None, data["manufacturer"])]
        return web.json_response({data["identifier"]: data for data in found})

    async def _templates(self, _: web.Request) -> web.Response:
        return web.json_response(Counter(data["template"] for data in self._all()))

    def _all(self) -> list[dict[str, Any]]:
        return [event["data"] for event in self.subjects.values() if not event["type"].endswith(f".{Interest.REMOVED}")]
