"""A stand-in for a system of the city that takes webhooks, and misbehaves on request.

It does what the engine asks of a system: it checks signatures, deals with each event id once, and keeps of every subject the
highest version. With a journal it is durable: what it acknowledged is there after it was killed. `POST /misbehave` with a list
of `Misbehaviour` says how it meets its next deliveries; `POST /dislikes` names subjects that it refuses, or breaks at, always;
`POST /forget` names some that it loses; `GET /state` and `GET /holdings` tell what it holds.
`biaojie feed stand-in` runs one.
"""

import asyncio
import json
import os
import time
from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from adapters.city.core.event import REPLACES
from adapters.city.core.reconciliation import Bucket, BucketKey
from adapters.city.core.signature import verify
from adapters.city.transports.told import Newest, held, learn, sums_of

# Of one delivery; the engine sends a megabyte at most, and a record of 256 kB alone.
MAX_BODY_BYTES: Final = 16 * 1024 * 1024

# What it asks for when it is busy. Seconds.
RETRY_AFTER_S: Final = 1

# Longer than any delivery is waited for.
_FOR_EVER_S: Final = 3_600.0


class Misbehaviour(StrEnum):
    """How a delivery is met instead of with a plain 200."""

    FAIL = "500"
    BUSY = "429"
    HIDE = "404"
    REDIRECT = "302"
    TAKE_AND_HANG = "hang"
    """Everything is taken, and the answer never comes: the sender cannot know."""
    TAKE_AND_CLOSE = "close"
    """Everything is taken, and the line is cut."""
    TAKE_HALF = "half"
    """The first half is taken, and the answer says so; the second has failed."""
    TAKE_HALF_LATER = "half-later"
    """The first half is taken; of the second each is asked for again after `RETRY_AFTER_S`."""
    BABBLE = "babble"
    """Half of it is taken, and the answer cannot be read."""


class Consumer:
    """The system. `secret` is what deliveries have to be signed with; empty: they need not be."""

    def __init__(self, secret: bytes = b"", journal: Path | None = None) -> None:
        self.subjects: dict[str, dict[str, Any]] = {}
        """The newest event of each subject."""
        self.deliveries: list[list[dict[str, Any]]] = []
        """The batches that were taken, or partly, as they came."""
        self.attempts = 0
        self.misbehaviours: deque[Misbehaviour] = deque()
        self.refused: set[str] = set()
        self.broken: set[str] = set()
        self.port = 0
        self._secret = secret
        self._ids: set[str] = set()
        self._journal = os.open(journal, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600) if journal is not None else None
        self._runner: web.AppRunner | None = None
        if journal is not None:
            self._recover(journal)

    async def open(self, port: int = 0) -> "Consumer":
        """Serve on loopback."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.add_routes(self.routes())
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def close(self) -> None:
        """Be gone: connections are refused."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def routes(self) -> Sequence[web.RouteDef]:
        """What it answers; a system of its own kind answers more."""
        return (
            web.post("/events", self._take),
            web.post("/misbehave", self._misbehave),
            web.post("/dislikes", self._dislike),
            web.post("/forget", self._forget),
            web.get("/state", self._state),
            web.get("/holdings", self._holdings),
        )

    @property
    def url(self) -> str:
        """Where it takes events."""
        return f"http://127.0.0.1:{self.port}/events"

    @property
    def distinct(self) -> int:
        """How many different events it was told."""
        return len(self._ids)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.attempts += 1
        if self._secret and not verify(self._secret, request.headers, body, time.time()):
            return web.Response(status=HTTPStatus.UNAUTHORIZED, text="the signature is not good")
        events: list[dict[str, Any]] = json.loads(body)
        disliked = self._meet_dislikes(events)
        if disliked is not None:
            return disliked
        if self.misbehaviours:
            return await self._meet(self.misbehaviours.popleft(), request, events)
        self._keep(events)
        return web.Response(text="thank you")

    def _meet_dislikes(self, events: Sequence[dict[str, Any]]) -> web.Response | None:
        subjects = {event["subject"] for event in events}
        if subjects & self.broken:
            return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR, text="it broke")
        if subjects & self.refused:
            return web.Response(status=HTTPStatus.UNPROCESSABLE_ENTITY, text="not this one")
        return None

    async def _meet(self, how: Misbehaviour, request: web.Request, events: Sequence[dict[str, Any]]) -> web.StreamResponse:
        match how:
            case Misbehaviour.TAKE_AND_HANG:
                self._keep(events)
                await asyncio.sleep(_FOR_EVER_S)
            case Misbehaviour.TAKE_AND_CLOSE:
                self._keep(events)
                if request.transport is not None:
                    request.transport.abort()
            case Misbehaviour.TAKE_HALF | Misbehaviour.TAKE_HALF_LATER | Misbehaviour.BABBLE:
                half = (len(events) + 1) // 2
                self._keep(events[:half])
                if how is Misbehaviour.BABBLE:
                    return web.Response(status=HTTPStatus.MULTI_STATUS, text="{half of it")
                left: dict[str, Any] = {"status": 503}
                if how is Misbehaviour.TAKE_HALF_LATER:
                    left = {"status": 429, "retry_after": RETRY_AFTER_S}
                results = [{"id": each["id"], "status": 200} for each in events[:half]]
                results += [{"id": each["id"], **left} for each in events[half:]]
                return web.json_response({"results": results}, status=HTTPStatus.MULTI_STATUS)
            case Misbehaviour.REDIRECT:
                return web.Response(status=HTTPStatus.FOUND, headers={"Location": "/state"})
            case Misbehaviour.BUSY:
                return web.Response(status=HTTPStatus.TOO_MANY_REQUESTS, headers={"Retry-After": str(RETRY_AFTER_S)})
        return web.Response(status=int(how) if how.isdecimal() else HTTPStatus.OK)

    def _keep(self, events: Sequence[dict[str, Any]]) -> None:
        self.deliveries.append(list(events))
        fresh = [event for event in events if event["id"] not in self._ids]
        if self._journal is not None and fresh:
            os.write(self._journal, b"".join(json.dumps(event).encode() + b"\n" for event in fresh))
            os.fdatasync(self._journal)
        for event in fresh:
            self._learn(event)

    def _learn(self, event: dict[str, Any]) -> None:
        self._ids.add(event["id"])
        known = self.subjects.get(event["subject"])
        if known is None or known["rowversion"] <= event["rowversion"] or known["rowversion"] == event.get(REPLACES):
            self.subjects[event["subject"]] = event

    def _recover(self, journal: Path) -> None:
        """What was acknowledged is whole; a torn last line was not, and is cut off."""
        raw = journal.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        os.truncate(journal, len(whole))
        for line in whole.splitlines():
            self._learn(json.loads(line))

    def forget(self, subject: str) -> None:
        """Lose something, without noticing."""
        del self.subjects[subject]

    async def _holdings(self, request: web.Request) -> web.Response:
        """What it holds, as sums of prefixes and days, or one by one for one of those."""
        if self._secret and not verify(self._secret, request.headers, b"", time.time()):
            return web.Response(status=HTTPStatus.UNAUTHORIZED)
        newest: Newest = {}
        for event in self.subjects.values():
            learn(newest, event)
        asked = request.query
        if not asked:
            sums = [{**key._asdict(), **_sum(bucket)} for key, bucket in sums_of(newest).items()]
            return web.json_response({"buckets": sums})
        whole = BucketKey(asked["kind"], asked["prefix"], asked["day"])
        if "digits" in asked:
            parts = sums_of(newest, {whole[:2]: int(asked["digits"])}).items()
            found = [{"part": key.part, **_sum(bucket)} for key, bucket in parts if key._replace(part="") == whole]
            return web.json_response({"buckets": found})
        wanted = whole._replace(part=asked["part"])
        holdings = [
            {"subject": each.subject, "rowversion": each.version, "digest": each.digest}
            for key, each in held(newest, {whole[:2]: len(wanted.part)})
            if key == wanted
        ]
        return web.json_response({"holdings": holdings})

    async def _forget(self, request: web.Request) -> web.Response:
        for subject in await request.json():
            self.forget(subject)
        return web.Response()

    async def _misbehave(self, request: web.Request) -> web.Response:
        self.misbehaviours.extend(Misbehaviour(each) for each in await request.json())
        return web.Response()

    async def _dislike(self, request: web.Request) -> web.Response:
        document = await request.json()
        self.refused, self.broken = set(document.get("refused", ())), set(document.get("broken", ()))
        return web.Response()

    async def _state(self, _: web.Request) -> web.Response:
        newest = {subject: [event["rowversion"], event["type"]] for subject, event in self.subjects.items()}
        return web.json_response({"distinct": self.distinct, "attempts": self.attempts, "subjects": newest})


def _sum(bucket: Bucket) -> dict[str, Any]:
    return {"count": bucket.count, "digest": bucket.digest}
