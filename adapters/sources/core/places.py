"""Places: where the rows of a source come from; the section `read` of a profile.

kind = "files"
folder = "/srv/erp/out"              # must exist
pattern = "products-*.csv"           # names that are taken, in the order of names
format = "csv"                       # or "ndjson"
encoding = "utf-8"                   # or "gb18030"
delimiter = ","                      # of a CSV
listing = "changes"                  # each file has rows that are new or changed; or "whole": the last file has all rows
settle_s = 10                        # a file is taken once it has not changed for so long
marker = ""                          # or ".done": taken as soon as NAME.done is there, whatever its age

kind = "sql"
url = "env:ERP_DATABASE"             # postgresql://USER:PASSWORD@HOST/DATABASE, sqlite:////PATH
table = "erp.products"               # or query = "SELECT ..."
key = "id"                           # a column that tells rows apart, and orders them
after = "changed_at"                 # read on behind it: a column of times or whole numbers; missing: all rows, always
overlap = 60                         # with after: so many seconds (or numbers) are read again, for what was committed late
timeout_s = 60

kind = "rest"
url = "https://mes.example/api/products?state=released"
token = "file:PATH"                  # sent as a bearer token; or env:NAME; empty: none
items = "data.items"                 # where the list is in an answer; empty: the answer is the list
paging = "none"                      # or "page", "cursor", "link"
parameter = "page"                   # of the query, that names a page (from `first`) or the cursor
first = 1
next = "meta.next"                   # where the next cursor or link is in an answer; empty for link: the header Link
total = "meta.total"                 # where the number of rows in all is; if it is not what was read, nothing is planned
since = "updated_since"              # of the query: rows changed since then; missing: all rows, always
after = "updated_at"                 # with since: the column whose greatest text is the next `since`
timeout_s = 30
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeVar

from adapters.section import Section, split_url

# Somebody is writing a file as long as it grows; a copy over a slow line stalls for seconds.
DEFAULT_SETTLE_S: Final = 10.0
MAX_SETTLE_S: Final = 3_600.0

# What is committed late in a busy database: a transaction of a minute.
DEFAULT_OVERLAP: Final = 60
MAX_OVERLAP: Final = 1_000_000

DEFAULT_SQL_TIMEOUT_S: Final = 60.0
DEFAULT_REST_TIMEOUT_S: Final = 30.0
TIMEOUT_BOUNDS_S: Final = (0.1, 600.0)

_Option = TypeVar("_Option", bound=StrEnum)

Reveal = Callable[[str], str]
"""The secret behind `env:NAME` or `file:PATH`. Raises `ValueError`."""


class ReaderKind(StrEnum):
    """The kinds of systems."""

    FILES = "files"
    SQL = "sql"
    REST = "rest"


class Format(StrEnum):
    """The formats of files."""

    CSV = "csv"
    NDJSON = "ndjson"


class Encoding(StrEnum):
    """The encodings of files."""

    UTF_8 = "utf-8"
    GB_18030 = "gb18030"


class Listing(StrEnum):
    """What a file of a folder has."""

    CHANGES = "changes"
    WHOLE = "whole"


class Paging(StrEnum):
    """How a REST API gives long lists."""

    NONE = "none"
    PAGE = "page"
    CURSOR = "cursor"
    LINK = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What all places have: whether every reading has all rows, so that what is missing there is gone."""

    is_whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesPlace(Place):
    """A folder that files are put into."""

    folder: str
    pattern: str
    format: Format = Format.CSV
    encoding: Encoding = Encoding.UTF_8
    delimiter: str = ","
    settle_s: float = DEFAULT_SETTLE_S
    marker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlPlace(Place):
    """A table or query of a database. `after` is empty if all rows are read always. The URL may hold a password."""

    url: str = field(repr=False)
    table: str
    query: str
    key: str
    after: str
    overlap: int = DEFAULT_OVERLAP
    timeout_s: float = DEFAULT_SQL_TIMEOUT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class RestPlace(Place):
    """A list of an HTTP API."""

    url: str
    token: str = field(repr=False)
    items: str = ""
    paging: Paging = Paging.NONE
    parameter: str = ""
    first: int = 1
    next: str = ""
    total: str = ""
    since: str = ""
    after: str = ""
    timeout_s: float = DEFAULT_REST_TIMEOUT_S


_KEYS: Final = {
    ReaderKind.FILES: (
        "kind", "folder", "pattern", "format", "encoding", "delimiter", "listing", "settle_s", "marker",
    ),
    ReaderKind.SQL: ("kind", "url", "table", "query", "key", "after", "overlap", "timeout_s"),
    ReaderKind.REST: (
        "kind", "url", "token", "items", "paging", "parameter", "first", "next", "total", "since", "after", "timeout_s",
    ),
}  # fmt: skip


def parse_place(document: Any, mistakes: list[str], reveal: Reveal) -> Place:
    """The place that a profile's section `read` names; what is wrong with it is added to `mistakes`."""
    kind = document.get("kind") if isinstance(document, dict) else None
    if kind not in list(ReaderKind):
        mistakes.append(f"read.kind: one of {', '.join(ReaderKind)} is wanted")
        return Place()
    section = Section(document, "read.", mistakes, _KEYS[ReaderKind(kind)])
    match ReaderKind(kind):
        case ReaderKind.FILES:
            return _files(section)
        case ReaderKind.SQL:
            return _sql(section, reveal)
        case ReaderKind.REST:
            return _rest(section, reveal)


def _files(section: Section) -> FilesPlace:
    form, encoding = _one_of(section, "format", Format.CSV), _one_of(section, "encoding", Encoding.UTF_8)
    delimiter, marker = section.text("delimiter", ","), section.text("marker", "", _check_marker)
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
        section.note("delimiter", "one ASCII character that is no quote is wanted")
    listing = _one_of(section, "listing", Listing.CHANGES)
    return FilesPlace(
        is_whole=listing is Listing.WHOLE,
        folder=section.text("folder"),
        pattern=section.text("pattern", f"*.{form}", _check_pattern),
        format=form,
        encoding=encoding,
        delimiter=delimiter,
        settle_s=section.number("settle_s", DEFAULT_SETTLE_S, 0, MAX_SETTLE_S),
        marker=marker,
    )


def _sql(section: Section, reveal: Reveal) -> SqlPlace:
    url = _revealed(section, "url", section.text("url"), reveal)
    _check_secretly(section, "url", url, _check_database)
    if section.has("table") == section.has("query"):
        section.note("table", "either a table is wanted, or a query")
    after = section.text("after", "")
    if section.has("overlap") and not after:
        section.note("overlap", "it is of use only with after")
    return SqlPlace(
        is_whole=not after,
        url=url,
        table=section.text("table", ""),
        query=section.text("query", ""),
        key=section.text("key"),
        after=after,
        overlap=int(section.number("overlap", DEFAULT_OVERLAP, 0, MAX_OVERLAP)),
        timeout_s=section.number("timeout_s", DEFAULT_SQL_TIMEOUT_S, *TIMEOUT_BOUNDS_S),
    )


def _rest(section: Section, reveal: Reveal) -> RestPlace:
    paging, url = _one_of(section, "paging", Paging.NONE), section.text("url")
    _check_secretly(section, "url", url, _check_http)
    parameter, after_next, since = section.text("parameter", ""), section.text("next", ""), section.text("since", "")
    if paging in (Paging.PAGE, Paging.CURSOR) and not parameter:
        section.note("parameter", f"paging by {paging} needs the name of a parameter of the query")
    if paging is Paging.CURSOR and not after_next:
        section.note("next", "where is the next cursor in an answer?")
    after = section.text("after", "")
    if bool(after) != bool(since):
        section.note("after", "since and after are of use only together")
    return RestPlace(
        is_whole=not since,
        url=url,
        token=_revealed(section, "token", section.text("token", ""), reveal),
        items=section.text("items", ""),
        paging=paging,
        parameter=parameter,
        first=int(section.number("first", 1, 0, 1)),
        next=after_next,
        total=section.text("total", ""),
        since=since,
        after=after,
        timeout_s=section.number("timeout_s", DEFAULT_REST_TIMEOUT_S, *TIMEOUT_BOUNDS_S),
    )


def _one_of(section: Section, key: str, default: _Option) -> _Option:
    options = type(default)
    found = section.text(key, default)
    if found in list(options):
        return options(found)
    section.note(key, f"one of {', '.join(options)} is wanted")
    return default


def _revealed(section: Section, key: str, said: str, reveal: Reveal) -> str:
    try:
        return reveal(said) if said else ""
    except ValueError as error:
        section.note(key, str(error))
        return ""


def _check_secretly(section: Section, key: str, text: str, check: Callable[[str], object]) -> None:
    """Check what may be secret without repeating it."""
    try:
        if text:
            check(text)
    except ValueError as error:
        section.note(key, str(error))


def _check_pattern(pattern: str) -> None:
    if "/" in pattern:
        raise ValueError("a pattern is of names in the folder, without a slash")


def _check_marker(marker: str) -> None:
    if "/" in marker or not marker.startswith("."):
        raise ValueError('a marker is what is put behind a file\'s name, such as ".done"')


def _check_http(url: str) -> None:
    parts = split_url(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("an http or https URL with a host, without credentials in it, is wanted")


def _check_database(url: str) -> None:
    parts = split_url(url)
    is_sqlite = parts.scheme == "sqlite" and len(parts.path) > 1 and not parts.netloc
    if not is_sqlite and not (parts.scheme == "postgresql" and parts.netloc and parts.path.strip("/")):
        raise ValueError("postgresql://USER@HOST/DATABASE, or sqlite:////PATH of a file, is wanted")
