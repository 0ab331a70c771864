"""A stand-in for the platform: it collects the change files, and answers from them.

`GET /catalogue` lists the data sets, each with its provider and how many rows it holds; `GET /data/COLLECTION` are the rows of
one; `GET /unfit` names manifests whose files are not what they say.
`biaojie feed stand-in data-exchange --folder DIR` runs one.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from adapters.city.core.selection import Interest
from adapters.city.fake_reader import ExchangeReader


class SharingPlatform(ExchangeReader):
    """Keeps a catalogue, and the data in it."""

    def routes(self) -> Sequence[web.RouteDef]:
        return (
            *super().routes(),
            web.get("/catalogue", self._catalogue),
            web.get("/data/{collection}", self._data),
            web.get("/unfit", self._unfit),
        )

    async def _catalogue(self, _: web.Request) -> web.Response:
        providers = {data["code"]: data["provider_name"] for data in self._all("provider")}
        rows = Counter(data["collection"] for data in self._all("data"))
        found = {}
        for data in self._all("data_set"):
            provider = data.get("provider_uscc") or data.get("provider_code", "")
            holds = rows[data.get("collection", "")]
            found[data["identifier"]] = {**data, "provider_name": providers.get(provider, ""), "rows": holds}
        return web.json_response(found)

    async def _data(self, request: web.Request) -> web.Response:
        collection = request.match_info["collection"]
        rows = {data["identifier"]: data["items"] for data in self._all("data") if data["collection"] == collection}
        return web.json_response(rows)

    async def _unfit(self, _: web.Request) -> web.Response:
        return web.json_response(self.unfit)

    def _all(self, entry: str) -> list[dict[str, Any]]:
        return [
            event["data"]
            for event in self.subjects.values()
            if not event["type"].endswith(f".{Interest.REMOVED}") and event["data"].get("entry") == entry
        ]
