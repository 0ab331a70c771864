"""Registrants over REST."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from proto.model.prefix import PrefixState
from proto.tables import unpack_registrant
from registry.doors.rest.call import Call, parse_limit
from registry.doors.rest.documents import registrant_document
from registry.doors.rest.limits import MAX_SMALL_BODY_BYTES
from registry.doors.rest.parameters import (
    AFTER_NAME,
    IDEMPOTENCY_KEY,
    KNOWN,
    LIMIT,
    REGISTRANT,
    WRITE,
    name_of,
    page,
    shown,
    written,
)
from registry.doors.rest.prefixes import MOVES
from registry.doors.rest.render import render_page
from registry.doors.rest.reply import Reply, reply_versioned, reply_written
from registry.doors.rest.requests import parse_registrant
from registry.doors.rest.route import Body, Route
from registry.service.execute import Written
from registry.service.registry import Registry

ALL: Final = "/api/v1/registrants"
ONE: Final = "/api/v1/registrants/{registrant}"
_CODE: Final = name_of("registrant", "The registrant's code.")


class RegistrantResource:
    """Creating registrants, and moving them along their life cycle."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def routes(self) -> Sequence[Route]:
        tag = "registrants"
        moves = [
            Route("POST", f"{ONE}/{verb}", f"{verb}Registrant", tag, summary, self._move(state), written("RegistrantWritten"),
                  (_CODE, *WRITE))
            for verb, (state, summary) in MOVES.items()
        ]  # fmt: skip
        return (
            Route("POST", ALL, "createRegistrant", tag, "Create a registrant.", self.create,
                  written("RegistrantWritten", creates=True), (IDEMPOTENCY_KEY,), Body(MAX_SMALL_BODY_BYTES, "NewRegistrant")),
            Route("GET", ALL, "listRegistrants", tag, "Registrants, by code.", self.list,
                  page("RegistrantPage"), (REGISTRANT, AFTER_NAME, LIMIT)),
            Route("GET", ONE, "readRegistrant", tag, "One registrant.", self.get, shown("Registrant"), (_CODE, KNOWN)),
            *moves,
        )  # fmt: skip

    async def create(self, call: Call) -> Reply:
        code, name, state = await call.read(lambda: parse_registrant(call.document()))
        return _reply(await self._registry.create_registrant(call.context, code, name, state))

    async def get(self, call: Call) -> Reply:
        registrant = await self._registry.show_registrant(call.context, call.path["registrant"])
        return reply_versioned(registrant_document(registrant), registrant.version, call.headers.get("If-None-Match", ""))

    async def list(self, call: Call) -> Reply:
        query = call.query()
        found = await self._registry.list_registrants(
            call.context, call.whose(query), query.get("after", ""), parse_limit(query)
        )
        return await render_page("registrants", found, registrant_document)

    def _move(self, state: PrefixState) -> Callable[[Call], Awaitable[Reply]]:
        async def move(call: Call) -> Reply:
            expected = await call.read(call.expected_version)
            return _reply(await self._registry.move_registrant(call.context, call.path["registrant"], state, expected))

        return move


def _reply(done: Written) -> Reply:
    (outcome,) = done.outcomes
    return reply_written(registrant_document(unpack_registrant(outcome.image)), done, f"{ALL}/{outcome.identifier}")
