"""Requests become queries. What cannot be understood is refused by the name of its parameter or member."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proto.errors import Reason, Refusal
from proto.handle_json import Members
from proto.limits import MAX_FILTERS, MAX_IDENTIFIER_BYTES, MAX_RESOLVE_BATCH, MAX_TTL_S, MAX_TYPE_BYTES
from proto.model.change import Position, parse_cursor
from proto.model.query import Query
from proto.model.value import MAX_INDEX
from resolver.listeners.http.limits import MAX_CALLBACK_CHARS

PROTOCOL: Final = "http"

_TRUE: Final = frozenset({"", "1", "true", "yes"})
_FALSE: Final = frozenset({"0", "false", "no"})
_CALLBACK: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*(?:\.[A-Za-z_$][A-Za-z0-9_$]*)*")
_BATCH_MEMBERS: Final = frozenset(
    {"identifiers", "types", "indexes", "after", "explain", "wants_private", "recursive", "max_age_s"}
)
_INDEX_DIGITS: Final = len(str(MAX_INDEX))
_AGE_DIGITS: Final = len(str(MAX_TTL_S))


@dataclass(frozen=True, slots=True)
class Layout:
    """How a document of the Handle JSON API is laid out: indented, and as a call of a script's function."""

    is_pretty: bool = False
    callback: str = ""


PLAIN: Final = Layout()
"""Without white space, and a document."""


class Parameters:
    """The parameters of a query string, by name. Unknown ones are not looked at, as stock servers do not."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def all(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def last(self, name: str) -> str | None:
        """The value of a parameter that stands once (if it does not, the last of them)."""
        found = self._values.get(name)
        return found[-1] if found else None

    def flag(self, name: str) -> bool | None:
        """True for `name`, `name=1`, `name=true`; None if it is not there. Raises `Refusal(INVALID_ARGUMENT)`."""
        text = self.last(name)
        if text is None:
            return None
        if text.lower() in _TRUE:
            return True
        if text.lower() in _FALSE:
            return False
        raise Refusal(Reason.INVALID_ARGUMENT, "true or false is wanted", name)

    def indexes(self) -> tuple[int, ...]:
        """The indexes to select. Raises `Refusal(INVALID_ARGUMENT)`."""
        return tuple(_parse_index(text) for text in self.all("index"))

    def types(self) -> tuple[str, ...]:
        """The types to select. Raises `Refusal(INVALID_ARGUMENT)`."""
        return tuple(_check_type(text, "type") for text in self.all("type"))

    def after(self) -> Position | None:
        """The position to wait for. Raises `Refusal(INVALID_ARGUMENT)`."""
        cursor = self.last("after")
        return parse_cursor(cursor) if cursor else None

    def max_age_s(self) -> int | None:
        """The oldest copy that will do, in seconds. Raises `Refusal(INVALID_ARGUMENT)`."""
        text = self.last("max_age_s")
        if text is None:
            return None
        if not text.isascii() or not text.isdecimal() or len(text) > _AGE_DIGITS:
            raise Refusal(Reason.INVALID_ARGUMENT, "a number of seconds is wanted", "max_age_s")
        return int(text)

    def layout(self) -> Layout:
        """How to lay the document out. Raises `Refusal(INVALID_ARGUMENT)`."""
        callback = self.last("callback") or ""
        if callback and (len(callback) > MAX_CALLBACK_CHARS or not _CALLBACK.fullmatch(callback)):
            raise Refusal(Reason.INVALID_ARGUMENT, "the name of a function is wanted", "callback")
        return Layout(bool(self.flag("pretty")), callback)


def parse_handle_question(identifier: str, parameters: Parameters, credential: str, request_id: str) -> Query:
    """A question to the Handle JSON API.

    `publicOnly=true` sets credentials aside; `publicOnly=false` insists on values that the caller may not read, which are
    then refused; without it they are left out. `auth` asks for the primary's answer: no copy will do.
    """
    public_only = parameters.flag("publicOnly")
    return Query(
        identifier,
        PROTOCOL,
        parameters.indexes(),
        parameters.types(),
        credential="" if public_only else credential,
        wants_private=public_only is False,
        after=parameters.after(),
        request_id=request_id,
        is_recursive=parameters.flag("recursive"),
        max_age_s=0 if parameters.flag("auth") else parameters.max_age_s(),
    )


def parse_question(identifier: str, parameters: Parameters, credential: str, request_id: str) -> Query:
    """A question to our own API."""
    return Query(
        identifier,
        PROTOCOL,
        parameters.indexes(),
        parameters.types(),
        credential=credential,
        wants_private=bool(parameters.flag("wants_private")),
        after=parameters.after(),
        request_id=request_id,
        explain=[] if parameters.flag("explain") else None,
        is_recursive=parameters.flag("recursive"),
        max_age_s=parameters.max_age_s(),
    )


def parse_batch(body: bytes, credential: str, request_id: str) -> list[Query]:
    """The questions of one batch, in order.

    Raises `Refusal`: MALFORMED_MESSAGE, INVALID_ENCODING, INVALID_ARGUMENT, BATCH_TOO_LARGE.
    """
    members = Members(_parse_object(body), "", Reason.INVALID_ARGUMENT)
    members.allow(_BATCH_MEMBERS)
    if "identifiers" not in members.document:
        raise members.refuse("identifiers", "it is missing: a list of identifiers is wanted")
    identifiers = members.items("identifiers", MAX_RESOLVE_BATCH, Reason.BATCH_TOO_LARGE)
    types = tuple(_check_type(kind, "types") for kind in members.items("types", MAX_FILTERS))
    indexes = tuple(_check_index(index, "indexes") for index in members.items("indexes", MAX_FILTERS))
    after = parse_cursor(members.text("after")) if "after" in members.document else None
    explains, wants_private = members.flag("explain", False), members.flag("wants_private", False)
    is_recursive = members.flag("recursive") if "recursive" in members.document else None
    max_age_s = members.integer("max_age_s", high=MAX_TTL_S) if "max_age_s" in members.document else None
    return [
        Query(
            _check_identifier(identifier, place),
            PROTOCOL,
            indexes,
            types,
            credential=credential,
            wants_private=wants_private,
            after=after,
            request_id=request_id,
            explain=[] if explains else None,
            is_recursive=is_recursive,
            max_age_s=max_age_s,
        )
        for place, identifier in enumerate(identifiers)
    ]


def parse_bearer(headers: Mapping[str, str]) -> str:
    """The bearer token of a request, empty without one. Other schemes are not ours, and set aside as over plain HTTP stock
    servers do: their clients send a key with every read, and read what is public."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body.decode())
    except UnicodeDecodeError:
        raise Refusal(Reason.INVALID_ENCODING, "the body is not UTF-8", "body") from None
    except (ValueError, RecursionError) as error:
        raise Refusal(Reason.MALFORMED_MESSAGE, f"the body is not JSON: {error}", "body") from None
    if not isinstance(document, dict):
        raise Refusal(Reason.INVALID_ARGUMENT, "an object is wanted", "body")
    return document


def _check_identifier(identifier: object, place: int) -> str:
    """A string; whether it is an identifier is decided for each one alone, so that one mistake does not cost the batch."""
    if not isinstance(identifier, str):
        raise Refusal(Reason.INVALID_ARGUMENT, "a string is wanted", f"identifiers[{place}]")
    if len(identifier) > MAX_IDENTIFIER_BYTES:
        return identifier[: MAX_IDENTIFIER_BYTES + 1]
    return identifier


def _parse_index(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _INDEX_DIGITS):
        raise Refusal(Reason.INVALID_ARGUMENT, f"an integer from 0 to {MAX_INDEX} is wanted", "index")
    return _check_index(int(text), "index")


def _check_index(index: object, field: str) -> int:
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index <= MAX_INDEX:
        raise Refusal(Reason.INVALID_ARGUMENT, f"an integer from 0 to {MAX_INDEX} is wanted", field)
    return index


def _check_type(kind: object, field: str) -> str:
    if not isinstance(kind, str) or not kind or len(kind) > MAX_TYPE_BYTES + 1:
        raise Refusal(Reason.INVALID_ARGUMENT, f"a type of 1 to {MAX_TYPE_BYTES} bytes is wanted", field)
    return kind
