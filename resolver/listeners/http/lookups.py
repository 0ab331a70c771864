"""The two ways to ask about one identifier: its path names it, its query selects; and how each way's answer looks.

Nearly every request is one of these, so they are taken apart into what comes before the chain and what comes after it: plain
requests (`plain_answers`) and all others (`api`) go through the same two functions.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from proto.errors import Refusal
from proto.model.answer import Answer, Refused
from proto.model.query import Query
from proto.wire.http.target import Target, decode_part
from resolver.listeners.http.documents import handle_reply, resolve_reply
from resolver.listeners.http.public_replies import render_handle, render_resolution
from resolver.listeners.http.questions import PLAIN, PROTOCOL, Layout, Parameters, parse_handle_question, parse_question
from resolver.listeners.http.reply import Rendered, Reply, refuse

HANDLES: Final = "/api/handles/"
RESOLVE: Final = "/api/v1/resolve/"


class Asked(NamedTuple):
    """A question, and how its answer is to be laid out."""

    query: Query
    layout: Layout


class Lookup(Protocol):
    """One way to ask. `rest` is the target's path below `path`, still encoded."""

    path: str

    def parse(self, rest: str, target: Target, credential: str, request_id: str) -> Asked:
        """What is asked. Raises `Refusal`: INVALID_ENCODING, INVALID_ARGUMENT."""

    def render(self, answer: Answer, layout: Layout, explanation: Sequence[str] | None, is_authorised: bool, /) -> Reply:
        """How the answer looks; `is_authorised` says that it is for its caller alone."""

    def render_public(self, raw: bytes, asked: str, now_s: int, /) -> Rendered:
        """How all that is public of a stored active record looks, to nobody in particular."""

    def refuse(self, rest: str, target: Target, refusal: Refusal, is_authorised: bool, /) -> Reply:
        """How it looks that `parse` has refused."""


class HandleLookup:
    """The Handle JSON API."""

    path = HANDLES
    render_public = staticmethod(render_handle)

    def parse(self, rest: str, target: Target, credential: str, request_id: str) -> Asked:
        identifier = decode_part(rest, "identifier")
        if not target.query:
            return Asked(Query(identifier, PROTOCOL, credential=credential, request_id=request_id), PLAIN)
        parameters = Parameters(target.parameters())
        layout = parameters.layout()
        return Asked(parse_handle_question(identifier, parameters, credential, request_id), layout)

    def render(self, answer: Answer, layout: Layout, _explanation: Sequence[str] | None, is_authorised: bool, /) -> Reply:
        return handle_reply(answer, layout, is_authorised)

    def refuse(self, rest: str, target: Target, refusal: Refusal, is_authorised: bool) -> Reply:
        """In this API's own form, as far as the request could be read."""
        identifier, layout = rest, PLAIN
        try:
            identifier = decode_part(rest, "identifier")
            layout = Parameters(target.parameters()).layout()
        except Refusal:
            pass  # what is refused already
        return handle_reply(Refused(identifier, refusal), layout, is_authorised)


class ResolveLookup:
    """Our own API."""

    path = RESOLVE
    render_public = staticmethod(render_resolution)

    def parse(self, rest: str, target: Target, credential: str, request_id: str) -> Asked:
        identifier = decode_part(rest, "identifier")
        if not target.query:
            return Asked(Query(identifier, PROTOCOL, credential=credential, request_id=request_id), PLAIN)
        return Asked(parse_question(identifier, Parameters(target.parameters()), credential, request_id), PLAIN)

    def render(self, answer: Answer, _layout: Layout, explanation: Sequence[str] | None, is_authorised: bool, /) -> Reply:
        return resolve_reply(answer, explanation, is_authorised)

    def refuse(self, _rest: str, _target: Target, refusal: Refusal, _is_authorised: bool, /) -> Reply:
        return refuse(refusal)


LOOKUPS: Final[tuple[Lookup, ...]] = (HandleLookup(), ResolveLookup())
