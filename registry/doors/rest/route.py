"""Routes, as data: what is served, by whom, what it takes and what it gives. Matching and the OpenAPI document read only this.

A path is a template; `{identifier}` takes everything up to what follows it in the template, slashes included, any other
`{name}` one segment. Paths are matched as sent and each part is percent-decoded once, afterwards.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol

from proto.errors import Reason, Refusal
from proto.wire.http.target import decode_part

if TYPE_CHECKING:
    from registry.doors.rest.call import Call
    from registry.doors.rest.reply import Reply

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
_PART: Final = re.compile(r"\{(\w+)\}")
_GREEDY: Final = "identifier"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter in the `path`, the `query` or a `header`; `schema` is its JSON Schema."""

    name: str
    place: str
    description: str
    schema: Mapping[str, Any]
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """A request body of up to `limit` bytes; `schema` names a component. A streamed one is read by the handler.

    `charsets` are those that a content type may name; none: any, the content is looked at instead.
    """

    limit: int
    schema: str = ""
    content_types: Sequence[str] = (JSON,)
    charsets: Sequence[str] = ("utf-8",)
    is_streamed: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of a status; `schema` names a component, empty for a body that is not JSON, or none."""

    description: str
    schema: str = ""
    content_type: str = JSON
    headers: Sequence[str] = ()


@dataclass(frozen=True)
class Route:
    """A method of a path. `name` is the operation's name, `tag` the noun it belongs to."""

    method: str
    path: str
    name: str
    tag: str
    summary: str
    serve: "Callable[[Call], Awaitable[Reply]]" = field(repr=False)
    answers: Mapping[int, Answer]
    parameters: Sequence[Parameter] = ()
    body: Body | None = None
    is_open: bool = False
    """Whether it says the same to everybody, so that credentials are not even looked at."""
    waits: bool = False
    """Whether it may wait for long, and is counted apart from those that work."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        parts, at = [], 0
        for found in _PART.finditer(self.path):
            parts.append(re.escape(self.path[at : found.start()]))
            parts.append(f"(?P<{found[1]}>{'.+' if found[1] == _GREEDY else '[^/]+'})")
            at = found.end()
        return re.compile("".join(parts) + re.escape(self.path[at:]), re.DOTALL)

    @cached_property
    def query_names(self) -> frozenset[str]:
        return frozenset(each.name for each in self.parameters if each.place == "query")


class Resource(Protocol):
    """What adds a noun to the door: it says its routes. Their components are in `schemas`."""

    @property
    def routes(self) -> Sequence[Route]: ...


class Router:
    """Finds routes."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route of a request and the decoded parts of its path; HEAD is served as GET.

        Raises `Refusal`: NOT_FOUND, UNSUPPORTED_OPERATION if the path has other methods, INVALID_ENCODING.
        """
        asked = "GET" if method == "HEAD" else method
        for route in self.routes:
            found = route.pattern.fullmatch(path) if route.method == asked else None
            if found is not None:
                return route, {name: decode_part(part, name) for name, part in found.groupdict().items()}
        if self.methods(path):
            raise Refusal(Reason.UNSUPPORTED_OPERATION, f"{method} is not served here", "method")
        raise Refusal(Reason.NOT_FOUND, "nothing is served at this path", "path")

    def methods(self, path: str) -> list[str]:
        """The methods that a path has."""
        found = {route.method for route in self.routes if route.pattern.fullmatch(path)}
        return sorted(found | ({"HEAD"} if "GET" in found else set()))
