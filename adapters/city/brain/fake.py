"""A stand-in for the city's brain.

`GET /indicators` are the newest figures, `GET /days` those of each day, `GET /alarms` what is raised, and `GET /history` every
change of an alarm that it was told.
`biaojie feed stand-in city-brain --port 9003` runs one.
"""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from adapters.city.brain.mapping import NODE, AlarmState
from adapters.city.fake import Consumer
from proto.model.notice import NoticeKind


class CityBrain(Consumer):
    """Keeps figures, and alarms as they come and go."""

    def routes(self) -> Sequence[web.RouteDef]:
        return (
            *super().routes(),
            web.get("/indicators", self._indicators),
            web.get("/days", self._days),
            web.get("/alarms", self._alarms),
            web.get("/history", self._history),
        )

    async def _indicators(self, _: web.Request) -> web.Response:
        found = self.subjects.get(NODE)
        return web.json_response(found["data"] if found is not None and found["data"]["kind"] == NoticeKind.INDICATORS else {})

    async def _days(self, _: web.Request) -> web.Response:
        return web.json_response(self._all(NoticeKind.DAY))

    async def _alarms(self, _: web.Request) -> web.Response:
        raised = {name: data for name, data in self._all(NoticeKind.ALARM).items() if data["state"] == AlarmState.RAISED}
        return web.json_response(raised)

    async def _history(self, _: web.Request) -> web.Response:
        told = [event["data"] for batch in self.deliveries for event in batch if event["data"]["kind"] == NoticeKind.ALARM]
        return web.json_response([[data["alarm"], data["state"]] for data in told])

    def _all(self, kind: str) -> dict[str, Any]:
        return {subject: event["data"] for subject, event in self.subjects.items() if event["data"]["kind"] == kind}
