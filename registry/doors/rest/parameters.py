"""Parameters that several routes share."""

from typing import Final

from proto.limits import DEFAULT_PAGE, MAX_IDEMPOTENCY_KEY_CHARS, MAX_PAGE
from registry.doors.rest.reply import POSITION, REPLAYED
from registry.doors.rest.route import Answer, Parameter

_TEXT: Final = {"type": "string"}

IDENTIFIER: Final = Parameter(
    "identifier",
    "path",
    "Everything after the prefix of the route, slashes included; percent-decoded once.",
    {"type": "string", "minLength": 1},
    is_required=True,
)
IF_MATCH: Final = Parameter("If-Match", "header", "Only this version, as its entity tag; `*`: whatever is there.", _TEXT)
IF_NONE_MATCH: Final = Parameter("If-None-Match", "header", "`*`: only if nothing is there.", _TEXT)
KNOWN: Final = Parameter("If-None-Match", "header", "The entity tag of what the client has: 304 if that is current.", _TEXT)
IDEMPOTENCY_KEY: Final = Parameter(
    "Idempotency-Key",
    "header",
    "The same key and request give the first outcome again, for 7 days; another request under the key is refused.",
    {"type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY_CHARS, "pattern": "^[!-~]+$"},
)
WRITE: Final = (IF_MATCH, IDEMPOTENCY_KEY)

LIMIT: Final = Parameter(
    "limit",
    "query",
    "How many items at most.",
    {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE},
)
AFTER_NAME: Final = Parameter("after", "query", "The `cursor` of the page before.", _TEXT)
AFTER_POSITION: Final = Parameter("after", "query", "Wait until this position of an earlier answer is visible.", _TEXT)
REGISTRANT: Final = Parameter(
    "registrant",
    "query",
    "Whose: a registrant's code, empty for the node's own, `*` for all. By default one's own, or all that may be seen.",
    _TEXT,
)


def name_of(noun: str, description: str) -> Parameter:
    """A name in a path."""
    return Parameter(noun, "path", description, {"type": "string", "minLength": 1}, is_required=True)


def page(schema: str) -> dict[int, Answer]:
    """A page of a listing."""
    return {200: Answer("A page.", schema)}


def shown(schema: str) -> dict[int, Answer]:
    """One versioned thing."""
    return {200: Answer("As it is.", schema, headers=("ETag",)), 304: Answer("The client has it.", content_type="")}


def written(schema: str, *, creates: bool = False) -> dict[int, Answer]:
    """What a write answers."""
    answer = Answer("Written, or as it was already.", schema, headers=("ETag", POSITION, REPLAYED))
    made = Answer("Created.", schema, headers=("ETag", POSITION, REPLAYED, "Location"))
    return {201: made, 200: answer} if creates else {200: answer}
