"""Prefixes over REST."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from proto.model.prefix import PrefixState
from proto.tables import unpack_prefix
from registry.doors.rest.call import Call, parse_limit
from registry.doors.rest.documents import prefix_document
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
from registry.doors.rest.render import render_page
from registry.doors.rest.reply import Reply, reply_versioned, reply_written
from registry.doors.rest.requests import parse_delegation, parse_prefix, parse_suffix_rule
from registry.doors.rest.route import Body, Route
from registry.service.execute import Written
from registry.service.registry import Registry

ALL: Final = "/api/v1/prefixes"
ONE: Final = "/api/v1/prefixes/{prefix}"
DELEGATION: Final = f"{ONE}/delegation"
_NAME: Final = name_of("prefix", "The prefix, as `88.118.1001`.")

MOVES: Final[dict[str, tuple[PrefixState, str]]] = {
    "submit": (PrefixState.SUBMITTED, "Hand it in for a decision."),
    "approve": (PrefixState.APPROVED, "Decide for it."),
    "reject": (PrefixState.REJECTED, "Decide against it."),
    "suspend": (PrefixState.SUSPENDED, "Let nothing of it answer or be written."),
    "resume": (PrefixState.APPROVED, "End a suspension."),
}
"""The verbs of the life cycle that prefixes and registrants share."""


class PrefixResource:
    """Creating prefixes, and moving them along their life cycle."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def routes(self) -> Sequence[Route]:
        tag, small = "prefixes", MAX_SMALL_BODY_BYTES
        moves = [
            Route("POST", f"{ONE}/{verb}", f"{verb}Prefix", tag, summary, self._move(state), written("PrefixWritten"),
                  (_NAME, *WRITE))
            for verb, (state, summary) in MOVES.items()
        ]  # fmt: skip
        return (
            Route("POST", ALL, "createPrefix", tag, "Create a prefix for a registrant.", self.create,
                  written("PrefixWritten", creates=True), (IDEMPOTENCY_KEY,), Body(small, "NewPrefix")),
            Route("GET", ALL, "listPrefixes", tag, "Prefixes, by name.", self.list,
                  page("PrefixPage"), (REGISTRANT, AFTER_NAME, LIMIT)),
            Route("GET", ONE, "readPrefix", tag, "One prefix.", self.get, shown("Prefix"), (_NAME, KNOWN)),
            Route("PATCH", ONE, "changePrefix", tag, "Change how suffixes compare, until an identifier is registered.",
                  self.patch, written("PrefixWritten"), (_NAME, *WRITE), Body(small, "PrefixPatch")),
            Route("PUT", DELEGATION, "delegatePrefix", tag, "Hand it to another node, which answers for it from now on.",
                  self.delegate, written("PrefixWritten"), (_NAME, *WRITE), Body(small, "NewDelegation")),
            Route("DELETE", DELEGATION, "hostPrefix", tag, "Take it back: this node answers for it from now on.",
                  self.host, written("PrefixWritten"), (_NAME, *WRITE)),
            *moves,
        )  # fmt: skip

    async def create(self, call: Call) -> Reply:
        name, registrant, rule, state = await call.read(lambda: parse_prefix(call.document()))
        return _reply(await self._registry.create_prefix(call.context, name, registrant, rule, state))

    async def patch(self, call: Call) -> Reply:
        rule, expected = await call.read(lambda: (parse_suffix_rule(call.document()), call.expected_version()))
        return _reply(await self._registry.set_suffix_rule(call.context, call.path["prefix"], rule, expected))

    async def delegate(self, call: Call) -> Reply:
        delegation, expected = await call.read(lambda: (parse_delegation(call.document()), call.expected_version()))
        return _reply(await self._registry.set_delegation(call.context, call.path["prefix"], delegation, expected))

    async def host(self, call: Call) -> Reply:
        expected = await call.read(call.expected_version)
        return _reply(await self._registry.set_delegation(call.context, call.path["prefix"], None, expected))

    async def get(self, call: Call) -> Reply:
        prefix = await self._registry.show_prefix(call.context, call.path["prefix"])
        return reply_versioned(prefix_document(prefix), prefix.version, call.headers.get("If-None-Match", ""))

    async def list(self, call: Call) -> Reply:
        query = call.query()
        found = await self._registry.list_prefixes(call.context, call.whose(query), query.get("after", ""), parse_limit(query))
        return await render_page("prefixes", found, prefix_document)

    def _move(self, state: PrefixState) -> Callable[[Call], Awaitable[Reply]]:
        async def move(call: Call) -> Reply:
            expected = await call.read(call.expected_version)
            return _reply(await self._registry.move_prefix(call.context, call.path["prefix"], state, expected))

        return move


def _reply(done: Written) -> Reply:
    (outcome,) = done.outcomes
    return reply_written(prefix_document(unpack_prefix(outcome.image)), done, f"{ALL}/{outcome.identifier}")
