"""Feeds over REST: how far city systems have been told, and the operator's hand on that."""

from collections.abc import Sequence
from typing import Final

from proto.tables import unpack_feed
from registry.doors.rest.call import Call, parse_limit
from registry.doors.rest.documents import feed_document, letter_document, notice_document, standing_document
from registry.doors.rest.limits import MAX_LETTERS_BODY_BYTES, MAX_SMALL_BODY_BYTES
from registry.doors.rest.parameters import AFTER_NAME, IDEMPOTENCY_KEY, LIMIT, WRITE, name_of, page, written
from registry.doors.rest.render import render_page
from registry.doors.rest.reply import Reply, reply_json, reply_written
from registry.doors.rest.requests import parse_feed, parse_letters, parse_note, parse_notices, parse_progress, parse_replay
from registry.doors.rest.route import Answer, Body, Parameter, Route
from registry.service.execute import Written
from registry.service.registry import Registry

ALL: Final = "/api/v1/feeds"
ONE: Final = "/api/v1/feeds/{feed}"
LETTERS: Final = f"{ONE}/letters"
NOTICES: Final = f"{ONE}/notices"
_NAME: Final = name_of("feed", "The feed's name.")
_REQUESTED: Final = Parameter(
    "requested", "query", "Only letters that are to be delivered again.", {"type": "string", "enum": ["true", "false"]}
)


class FeedResource:
    """Feeds and their dead letters."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def routes(self) -> Sequence[Route]:
        tag, done, small, large = "feeds", written("FeedWritten"), MAX_SMALL_BODY_BYTES, MAX_LETTERS_BODY_BYTES
        keyed = (_NAME, IDEMPOTENCY_KEY)
        return (
            Route("POST", ALL, "createFeed", tag, "Create a feed; it begins after a cursor.", self.create,
                  written("FeedWritten", creates=True), (IDEMPOTENCY_KEY,), Body(small, "NewFeed")),
            Route("GET", ALL, "listFeeds", tag, "Feeds, by name.", self.list, page("FeedPage"), (AFTER_NAME, LIMIT)),
            Route("POST", f"{ONE}/progress", "moveFeed", tag, "Say what became of a delivery.", self.move, done,
                  (_NAME, *WRITE), Body(large, "FeedProgress")),
            Route("POST", f"{ONE}/pause", "pauseFeed", tag, "Deliver nothing until it is resumed.", self.pause, done,
                  keyed, Body(small, "FeedPause")),
            Route("POST", f"{ONE}/resume", "resumeFeed", tag, "Go on from where it stopped.", self.resume, done, keyed),
            Route("POST", f"{ONE}/replay", "replayFeed", tag, "Go on from another place.", self.replay, done,
                  (_NAME, *WRITE), Body(small, "FeedReplay")),
            Route("POST", f"{LETTERS}/replay", "replayLetters", tag, "Deliver dead letters again.", self.request, done,
                  keyed, Body(large, "LetterReplay")),
            Route("GET", LETTERS, "listLetters", tag, "Events that the system refused for good.", self.letters,
                  page("LetterPage"), (_NAME, AFTER_NAME, LIMIT, _REQUESTED)),
            Route("POST", NOTICES, "storeNotices", tag, "Store what the feed is to tell of the node itself.", self.notify, done,
                  keyed, Body(large, "NewNotices")),
            Route("GET", NOTICES, "listNotices", tag, "What the feed tells of the node itself, as it is now.", self.notices,
                  page("NoticePage"), (_NAME, AFTER_NAME, LIMIT)),
            Route("GET", ONE, "readFeed", tag, "One feed, and how it stands.", self.get,
                  {200: Answer("As it stands.", "FeedStanding")}, (_NAME,)),
        )  # fmt: skip

    async def create(self, call: Call) -> Reply:
        name, account, after = await call.read(lambda: parse_feed(call.document()))
        return _reply(await self._registry.create_feed(call.context, name, account, after))

    async def get(self, call: Call) -> Reply:
        standing = await self._registry.show_feed(call.context, call.path["feed"])
        return reply_json(standing_document(standing))

    async def list(self, call: Call) -> Reply:
        query = call.query()
        found = await self._registry.list_feeds(call.context, query.get("after", ""), parse_limit(query))
        return await render_page("feeds", found, standing_document)

    async def move(self, call: Call) -> Reply:
        progress = await call.read(lambda: parse_progress(call.document()))
        expected = await call.read(call.expected_version)
        return _reply(await self._registry.move_feed(call.context, call.path["feed"], progress, expected))

    async def pause(self, call: Call) -> Reply:
        note = await call.read(lambda: parse_note(call.document()))
        return _reply(await self._registry.pause_feed(call.context, call.path["feed"], note))

    async def resume(self, call: Call) -> Reply:
        return _reply(await self._registry.resume_feed(call.context, call.path["feed"]))

    async def replay(self, call: Call) -> Reply:
        after = await call.read(lambda: parse_replay(call.document()))
        expected = await call.read(call.expected_version)
        return _reply(await self._registry.replay_feed(call.context, call.path["feed"], after, expected))

    async def request(self, call: Call) -> Reply:
        wanted = await call.read(lambda: parse_letters(call.document()))
        return _reply(await self._registry.request_letters(call.context, call.path["feed"], wanted))

    async def notify(self, call: Call) -> Reply:
        wanted = await call.read(lambda: parse_notices(call.document()))
        return _reply(await self._registry.store_notices(call.context, call.path["feed"], wanted))

    async def notices(self, call: Call) -> Reply:
        query = call.query()
        after, limit = query.get("after", ""), parse_limit(query)
        found = await self._registry.list_notices(call.context, call.path["feed"], after, limit)
        return await render_page("notices", found, notice_document)

    async def letters(self, call: Call) -> Reply:
        query = call.query()
        after, limit = query.get("after", ""), parse_limit(query)
        only = query.get("requested") == "true"
        found = await self._registry.list_letters(call.context, call.path["feed"], after, limit, requested_only=only)
        return await render_page("letters", found, letter_document)


def _reply(done: Written) -> Reply:
    (outcome,) = done.outcomes
    return reply_written(feed_document(unpack_feed(outcome.image)), done, f"{ALL}/{outcome.identifier}")
