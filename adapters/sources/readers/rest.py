"""A list of an HTTP API: JSON, in pages, with a bearer token.

A reading is whole or nothing: a page that fails, a cursor that comes twice or a total that is not met ends it. With `since`,
the server gives what changed since then, and the bookmark is the greatest text of the column `after`; whether rows of that very
time come again is the server's choice, and does no harm. Redirects are not followed and links to other hosts are refused: the
token is for one server.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import aiohttp
from yarl import URL

from adapters.answer_body import read_up_to
from adapters.sources.core.cells import SourceRow, text_of
from adapters.sources.core.places import Paging, RestPlace
from adapters.sources.readers.files import NO_JSON, flatten
from adapters.sources.readers.reader import PORTION_ROWS, Portion, Unreadable

# A page is held whole while it is read; servers give some hundred rows at once.
MAX_PAGE_BYTES: Final = 16 * 1024 * 1024

# Objects, lists and their members: what a page of them takes in memory is up to fifty times its bytes.
MAX_PAGE_CELLS: Final = 250_000

# A hundred thousand rows by ten; beyond, the server turns in a circle.
MAX_PAGES: Final = 10_000


class RestReader:
    """Reads a list."""

    def __init__(self, place: RestPlace) -> None:
        self._place = place
        self._session: aiohttp.ClientSession | None = None

    async def read(self, bookmark: str) -> AsyncGenerator[Portion, None]:
        """All rows, or those that changed since the bookmark, page by page. Raises `Unreadable`."""
        place = self._place
        url, number, count, greatest = self._first(bookmark), place.first, 0, bookmark
        seen: set[str] = set()
        for page in range(MAX_PAGES):
            document, link = await self._get(url)
            rows = _found(document, place.items)
            if not isinstance(rows, list):
                raise Unreadable(f"page {page + 1} has no list {place.items or 'as its whole'}")
            named = [self._row(row, count + place_in) for place_in, row in enumerate(rows, 1)]
            count += len(rows)
            greatest = max([greatest, *map(self._after, named)], key=_rank) if place.after else ""
            number += 1
            following = self._following(document, link, url, number, bool(rows))
            if following is None:
                self._check_total(document, count)
            for at in range(0, len(named), PORTION_ROWS):
                yield Portion(named[at : at + PORTION_ROWS], bookmark)
            if following is None:
                # Only now is nothing left that is older than the greatest.
                yield Portion((), greatest)
                return
            if following in seen:
                raise Unreadable("the server turns in a circle: a page refers to one that was read")
            seen.add(following)
            url = following
        raise Unreadable(f"there are more than {MAX_PAGES} pages")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _first(self, bookmark: str) -> str:
        place, more = self._place, {}
        if place.since and bookmark:
            more[place.since] = bookmark
        if place.paging is Paging.PAGE:
            more[place.parameter] = str(place.first)
        return _with(place.url, more)

    def _following(self, document: Any, link: str, url: str, number: int, has_rows: bool) -> str | None:
        """The next page's URL; None behind the last. Raises `Unreadable`."""
        try:
            return self._next_url(document, link, url, number, has_rows)
        except ValueError:  # half of a surrogate pair, brackets that are no address, a port that is no number
            raise Unreadable("what should lead to the next page is no part of a URL") from None

    def _next_url(self, document: Any, link: str, url: str, number: int, has_rows: bool) -> str | None:
        """The same. Raises `ValueError` as well."""
        place = self._place
        match place.paging:
            case Paging.PAGE:
                return _with(url, {place.parameter: str(number)}) if has_rows else None
            case Paging.CURSOR:
                cursor = _found(document, place.next)
                if cursor is not None and not isinstance(cursor, str | int):
                    raise Unreadable(f"{place.next} is no cursor")
                return _with(url, {place.parameter: str(cursor)}) if cursor not in (None, "") else None
            case Paging.LINK:
                found = _found(document, place.next) if place.next else link
                if found is not None and not isinstance(found, str):
                    raise Unreadable(f"{place.next} is no link")
                if not found:
                    return None
                target = URL(urljoin(url, found).encode().decode(), encoded=True)
                if urlsplit(str(target))[:2] != urlsplit(place.url)[:2]:
                    raise Unreadable(f"a page refers to another server, {target.raw_authority}")
                return str(target)
        return None

    def _check_total(self, document: Any, count: int) -> None:
        """Whether all rows were read that the server says there are: pages shift if rows vanish meanwhile."""
        total = _found(document, self._place.total) if self._place.total else count
        if total != count:
            raise Unreadable(f"{count} rows were read, and the server says that there are {total}")

    def _row(self, row: object, number: int) -> SourceRow:
        if isinstance(row, dict):
            return SourceRow(f"row {number}", flatten(row))
        return SourceRow(f"row {number}", {}, "it is no JSON object")

    def _after(self, row: SourceRow) -> str:
        try:
            return text_of(row.cells.get(self._place.after)) or ""
        except ValueError:
            return ""

    async def _get(self, url: str) -> tuple[Any, str]:
        """A page, and its link to the next. Raises `Unreadable`."""
        if self._session is None:
            headers = {"Accept": "application/json"}
            if self._place.token:
                headers["Authorization"] = f"Bearer {self._place.token}"
            self._session = aiohttp.ClientSession(headers=headers, trust_env=False)
        timeout = aiohttp.ClientTimeout(total=self._place.timeout_s)
        try:
            async with self._session.get(URL(url, encoded=True), allow_redirects=False, timeout=timeout) as answer:
                raw = await read_up_to(answer, MAX_PAGE_BYTES)
                status = answer.status
                link = _link_of(answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreadable(f"the server does not answer: {error or type(error).__name__}") from None
        if status != HTTPStatus.OK:
            raise Unreadable(f"the server answers {status}")
        if raw is None:
            raise Unreadable(f"a page has more than {MAX_PAGE_BYTES} bytes")
        if sum(raw.count(mark) for mark in (b",", b"{", b"[")) > MAX_PAGE_CELLS:
            raise Unreadable(f"a page has more than {MAX_PAGE_CELLS} cells: have the server give fewer rows at once")
        try:
            return await asyncio.to_thread(json.loads, raw, parse_float=Decimal), link
        except NO_JSON:
            raise Unreadable("a page is no JSON") from None


def _link_of(answer: aiohttp.ClientResponse) -> str:
    """Where the header Link says that the next page is; empty if it does not. Raises `Unreadable`."""
    try:
        return str(answer.links["next"]["url"]) if "next" in answer.links else ""
    except ValueError:
        raise Unreadable("its header Link holds no URL") from None


def _found(document: Any, path: str) -> Any:
    """What stands at a path of members (`meta.next`); the document itself for an empty one, None if there is nothing."""
    for name in filter(None, path.split(".")):
        if not isinstance(document, Mapping):
            return None
        document = document.get(name)
    return document


def _rank(text: str) -> tuple[int, str]:
    """Times in one form compare as texts; of whole numbers the longer is the greater."""
    return len(text) if text.isdecimal() else 0, text


def _with(url: str, more: Mapping[str, str]) -> str:
    """The URL with parameters of its query set."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in more]
    return parts._replace(query=urlencode([*query, *more.items()])).geturl()
