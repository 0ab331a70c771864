"""A call: one request as far as every route needs it taken apart, and the verbs with which handlers read it."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeVar

from proto.errors import Reason, Refusal
from proto.handle_json import Members
from proto.limits import DEFAULT_PAGE, MAX_PAGE
from proto.model.account import Caller, Role
from proto.model.change import START, Position, parse_cursor
from proto.wire.http.head import parse_bearer
from proto.wire.http.target import Target
from registry.doors.rest.route import Route
from registry.policy.rules import EVERY_REGISTRANT
from registry.service.context import Context
from registry.service.plan import ABSENT, ANY_VERSION
from registry.service.registry import Registry

Read = TypeVar("Read")

# Digits of the longest version; longer tags are not ours.
_MAX_VERSION_DIGITS: Final = 19


@dataclass(slots=True)
class Call:
    """One request. `path` holds the decoded parts of the path, `body` the bytes of a body that is not streamed."""

    route: Route
    target: Target
    path: Mapping[str, str]
    headers: Mapping[str, str]
    context: Context
    registry: Registry
    body: bytes = b""
    chunks: AsyncIterator[bytes] | None = field(default=None, repr=False)
    """The pieces of a streamed body. Raise `Refusal`: MESSAGE_TOO_LARGE, TIMEOUT, MALFORMED_MESSAGE."""
    count: Callable[[Reason], None] = field(default=lambda _: None, repr=False)
    """Counts what was refused within an answer: a row of a batch. A refusal of the whole call is counted by who answers it."""

    def identify(self) -> Caller:
        """Who asks, as of now: `context` has who asked when the call came. Raises `Refusal(UNAUTHENTICATED)`."""
        return self.registry.authenticate(parse_bearer(self.headers))

    async def read(self, reading: Callable[[], Read]) -> Read:
        """What `reading` makes of this request; what it refuses is remembered under the idempotency key, as any refusal."""
        try:
            return reading()
        except Refusal as refusal:
            await self.registry.refuse(self.context, refusal)

    def document(self) -> Members:
        """The JSON object in the body. Raises `Refusal`: INVALID_ENCODING, MALFORMED_MESSAGE, INVALID_ARGUMENT."""
        return parse_object(self.body)

    def query(self) -> dict[str, str]:
        """The query's parameters. Raises `Refusal`: INVALID_ENCODING, INVALID_ARGUMENT for one unknown or given twice."""
        found: dict[str, str] = {}
        for name, value in self.target.parameters():
            if name not in self.route.query_names:
                known = ", ".join(sorted(self.route.query_names)) or "none"
                raise Refusal(Reason.INVALID_ARGUMENT, f"an unknown parameter; known are: {known}", name)
            if name in found:
                raise Refusal(Reason.INVALID_ARGUMENT, "it is given twice", name)
            found[name] = value
        return found

    def expected_version(self) -> int | None:
        """What `If-Match` and `If-None-Match` expect to be stored. Raises `Refusal(INVALID_ARGUMENT)`."""
        if_match, if_none_match = self.headers.get("If-Match"), self.headers.get("If-None-Match")
        if if_none_match is not None:
            if if_none_match.strip() != "*" or if_match is not None:
                raise Refusal(Reason.INVALID_ARGUMENT, "a write knows only If-None-Match: *, alone", "If-None-Match")
            return ABSENT
        return None if if_match is None else parse_tag(if_match.strip())

    def whose(self, query: Mapping[str, str]) -> str:
        """The registrant that a listing names: as asked, else one's own, else every one."""
        caller = self.context.caller
        own = caller.registrant if caller.role is Role.REGISTRANT else EVERY_REGISTRANT
        return query.get("registrant", own)


def parse_tag(tag: str) -> int:
    """The version behind an entity tag; `*` is any. Raises `Refusal(INVALID_ARGUMENT)`."""
    if tag == "*":
        return ANY_VERSION
    digits = tag[1:-1]
    is_ours = len(tag) > 2 and tag[0] == tag[-1] == '"' and digits.isascii() and digits.isdecimal()
    if not is_ours or len(digits) > _MAX_VERSION_DIGITS:
        raise Refusal(Reason.INVALID_ARGUMENT, 'one strong entity tag is wanted, as "3", or *', "If-Match")
    return int(digits)


def parse_number(query: Mapping[str, str], name: str, default: float, high: float) -> float:
    """A number from 0 to `high`. Raises `Refusal(INVALID_ARGUMENT)`."""
    text = query.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number <= high:
        raise Refusal(Reason.INVALID_ARGUMENT, f"a number from 0 to {high:g} is wanted", name)
    return number


def parse_limit(query: Mapping[str, str]) -> int:
    """How many items a page is to have. Raises `Refusal(INVALID_ARGUMENT)`."""
    text = query.get("limit")
    if text is None:
        return DEFAULT_PAGE
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_PAGE))):
        raise Refusal(Reason.INVALID_ARGUMENT, f"a number from 1 to {MAX_PAGE} is wanted", "limit")
    return int(text)


def parse_position(query: Mapping[str, str]) -> Position:
    """The position in `after`. Raises `Refusal(INVALID_ARGUMENT)`."""
    text = query.get("after", "")
    return parse_cursor(text) if text else START


def parse_object(body: bytes) -> Members:
    """The JSON object in `body`. Raises `Refusal`: INVALID_ENCODING, MALFORMED_MESSAGE, INVALID_ARGUMENT."""
    try:
        document = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise Refusal(Reason.INVALID_ENCODING, "the body is not UTF-8", "body") from None
    except (ValueError, RecursionError) as error:
        raise Refusal(Reason.MALFORMED_MESSAGE, f"the body is not JSON: {error}", "body") from None
    if not isinstance(document, dict):
        raise Refusal(Reason.INVALID_ARGUMENT, "an object is wanted", "body")
    return Members(document, "", Reason.INVALID_ARGUMENT)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A member that stands twice says two things: of `audience` the wrong one might be believed."""
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("an object has a member twice")
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
