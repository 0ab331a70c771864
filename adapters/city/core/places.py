"""Places: where events of a feed go, and by which way; the section `transport` of a profile.

    kind = "webhook"
    url = "https://platform.example/events"
    secret = "env:PLATFORM_SECRET"       # signs; or file:PATH; empty: unsigned
    holdings_url = ""                    # where the system says what it holds, for reconciliation
    timeout_s = 10                       # for a request and its answer

    kind = "redis"
    url = "env:PLATFORM_REDIS"           # redis://HOST:PORT/DATABASE, rediss:// for TLS
    stream = "biaojie:platform"          # the stream's key
    max_length = 1000000                 # older entries go: a stream is not an archive
    timeout_s = 10

    kind = "files"
    folder = "/srv/exchange/platform"    # must exist
    format = "json"                      # one event a line; or "csv"
    columns = ["state", "values.URL"]    # of a CSV, behind those that every event has
    encoding = "utf-8"                   # of a CSV; or "gb18030"

and for each of them

    batch = 200                          # events at once, at most
    gather_s = 0                         # wait so long for a batch to become full (files: 60)
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from adapters.city.core.shape import FIELDS, is_field
from adapters.section import Section, split_url

# A batch is one delivery and one commit of the cursor; beyond this neither gets any cheaper for an event.
MAX_BATCH: Final = 1_000
DEFAULT_BATCH: Final = 200

# A system that takes longer over a batch is not alive to us; one that answers at once does not wait for it.
DEFAULT_TIMEOUT_S: Final = 10.0
TIMEOUT_BOUNDS_S: Final = (0.1, 300.0)

# An exchange file a minute is what people still look at; a day is the longest that a city is told late by intent.
DEFAULT_FILE_GATHER_S: Final = 60.0
MAX_GATHER_S: Final = 86_400.0

# About a gigabyte of Redis; whoever reads a stream of changes reads it within days.
DEFAULT_STREAM_LENGTH: Final = 1_000_000
STREAM_LENGTH_BOUNDS: Final = (1_000, 1_000_000_000)

Reveal = Callable[[str], str]
"""The secret behind `env:NAME` or `file:PATH`. Raises `ValueError`."""


class TransportKind(StrEnum):
    """The ways to a system."""

    WEBHOOK = "webhook"
    REDIS = "redis"
    FILES = "files"


class FileFormat(StrEnum):
    """The formats of exchange files."""

    JSON = "json"
    CSV = "csv"


class FileEncoding(StrEnum):
    """The encodings of exchange files; spreadsheets take the second for granted."""

    UTF_8 = "utf-8"
    GB_18030 = "gb18030"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What all places have: how many events go at once, and how long to wait for so many."""

    batch: int = DEFAULT_BATCH
    gather_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookPlace(Place):
    """Where a webhook goes. `secret` signs; empty: unsigned."""

    url: str
    secret: bytes = field(default=b"", repr=False)
    timeout_s: float = DEFAULT_TIMEOUT_S
    holdings_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisPlace(Place):
    """A stream of a Redis server; its URL may hold a password."""

    url: str = field(repr=False)
    stream: str
    max_length: int = DEFAULT_STREAM_LENGTH
    timeout_s: float = DEFAULT_TIMEOUT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesPlace(Place):
    """A folder for exchange files."""

    folder: str
    format: FileFormat = FileFormat.JSON
    columns: tuple[str, ...] = ()
    encoding: FileEncoding = FileEncoding.UTF_8


_COMMON: Final = ("kind", "batch", "gather_s")
_KEYS: Final = {
    TransportKind.WEBHOOK: (*_COMMON, "url", "secret", "timeout_s", "holdings_url"),
    TransportKind.REDIS: (*_COMMON, "url", "stream", "max_length", "timeout_s"),
    TransportKind.FILES: (*_COMMON, "folder", "format", "columns", "encoding"),
}


def parse_place(document: Any, mistakes: list[str], reveal: Reveal) -> Place:
    """The place that a profile's section `transport` names; what is wrong with it is added to `mistakes`."""
    kind = document.get("kind") if isinstance(document, dict) else None
    if kind not in list(TransportKind):
        mistakes.append(f"transport.kind: one of {', '.join(TransportKind)} is wanted")
        return Place()
    section = Section(document, "transport.", mistakes, _KEYS[TransportKind(kind)])
    usual_s = DEFAULT_FILE_GATHER_S if kind == TransportKind.FILES else 0.0
    batch = int(section.number("batch", DEFAULT_BATCH, 1, MAX_BATCH))
    gather_s = section.number("gather_s", usual_s, 0, MAX_GATHER_S)
    match TransportKind(kind):
        case TransportKind.WEBHOOK:
            url = section.text("url", check=_check_http)
            secret = _reveal(section, "secret", section.text("secret", ""), reveal).encode()
            holdings, timeout_s = section.text("holdings_url", "", _check_http), _timeout(section)
            return WebhookPlace(
                batch=batch, gather_s=gather_s, url=url, secret=secret, timeout_s=timeout_s, holdings_url=holdings
            )
        case TransportKind.REDIS:
            address = _reveal(section, "url", section.text("url"), reveal)
            _check(section, "url", address, _check_redis)
            length = int(section.number("max_length", DEFAULT_STREAM_LENGTH, *STREAM_LENGTH_BOUNDS))
            stream, timeout_s = section.text("stream"), _timeout(section)
            return RedisPlace(
                batch=batch, gather_s=gather_s, url=address, stream=stream, max_length=length, timeout_s=timeout_s
            )
        case TransportKind.FILES:
            form = section.text("format", FileFormat.JSON, _one_of(FileFormat))
            encoding = section.text("encoding", FileEncoding.UTF_8, _one_of(FileEncoding))
            columns = section.texts("columns", (), _check_column)
            if columns and form != FileFormat.CSV:
                section.note("columns", "only a CSV has columns")
            return FilesPlace(
                batch=batch,
                gather_s=gather_s,
                folder=section.text("folder"),
                format=FileFormat(form) if form in list(FileFormat) else FileFormat.JSON,
                columns=columns,
                encoding=FileEncoding(encoding) if encoding in list(FileEncoding) else FileEncoding.UTF_8,
            )


def _timeout(section: Section) -> float:
    return section.number("timeout_s", DEFAULT_TIMEOUT_S, *TIMEOUT_BOUNDS_S)


def _reveal(section: Section, key: str, said: str, reveal: Reveal) -> str:
    try:
        return reveal(said) if said else ""
    except ValueError as error:
        section.note(key, str(error))
        return ""


def _check(section: Section, key: str, text: str, check: Callable[[str], object]) -> None:
    """Check what may be secret without repeating it."""
    try:
        if text:
            check(text)
    except ValueError as error:
        section.note(key, str(error))


def _one_of(options: type[StrEnum]) -> Callable[[str], object]:
    def check(text: str) -> None:
        if text not in list(options):
            raise ValueError(f"one of {', '.join(options)} is wanted")

    return check


def _check_http(url: str) -> None:
    parts = split_url(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an http or https URL with a host is wanted")


def _check_redis(url: str) -> None:
    parts = split_url(url)
    if not (parts.scheme in ("redis", "rediss") and parts.hostname) and not (parts.scheme == "unix" and parts.path):
        raise ValueError("a redis or rediss URL with a host, or unix:// and a socket's path, is wanted")


def _check_column(name: str) -> None:
    if not is_field(name) or name == "values":
        raise ValueError(f"a column is one of {', '.join(sorted(FIELDS - {'values'}))}, or values.TYPE")
