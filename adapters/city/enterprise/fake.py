"""A stand-in for the platform: `GET /enterprises/CODE` and `GET /prefixes/PREFIX` answer from what feeds have told it."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web

from adapters.city.core.selection import Interest
from adapters.city.fake import Consumer


class EnterprisePlatform(Consumer):
    """Keeps enterprises by code, and prefixes with their holders."""

    def routes(self) -> Sequence[web.RouteDef]:
        return (
            *super().routes(),
            web.get("/enterprises/{code}", self._enterprise),
            web.get("/prefixes/{prefix}", self._prefix),
        )

    async def _enterprise(self, request: web.Request) -> web.Response:
        code = request.match_info["code"]
        found = self._known("registrant", code)
        if found is None:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        prefixes = [data for data in self._all("prefix") if code in (data.get("uscc"), data.get("other_code"))]
        return web.json_response({
            "name": found["enterprise_name"],
            "status": found["status"],
            "prefixes": {data["prefix"]: data["status"] for data in prefixes},
        })  # fmt: skip

    async def _prefix(self, request: web.Request) -> web.Response:
        found = self._known("prefix", request.match_info["prefix"])
        return web.Response(status=HTTPStatus.NOT_FOUND) if found is None else web.json_response(found)

    def _known(self, kind: str, name: str) -> dict[str, Any] | None:
        return next((data for data in self._all(kind) if name in (data.get("code"), data.get("name"))), None)

    def _all(self, kind: str) -> list[dict[str, Any]]:
        return [
            event["data"]
            for event in self.subjects.values()
            if event["data"]["kind"] == kind and not event["type"].endswith(f".{Interest.REMOVED}")
        ]
