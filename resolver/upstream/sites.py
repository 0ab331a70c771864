"""Which servers of a site are to be asked about an identifier. Pure.

A site is a set of servers that together answer for a prefix; a hash of the identifier says which of them. Several sites hold
the same, so one server of each will do, and they are tried in order: a primary site first, because it is never behind.
"""

import hashlib
from collections.abc import Iterable
from typing import Final, NamedTuple

from proto.errors import Refusal
from proto.hosts import check_host
from proto.wire.handle.typed import HashOption, Purpose, ServerInfo, SiteInfo, Transport, parse_site
from proto.wire.handle.value import parse_value

HS_SITE: Final = "HS_SITE"
HS_SITE_6: Final = "HS_SITE.6"
HS_SITE_PREFIX: Final = "HS_SITE.PREFIX"
# What HS_SITE.PREFIX was called before, and servers still know.
HS_NA_DELEGATE: Final = "HS_NA_DELEGATE"
HS_SERV: Final = "HS_SERV"
HS_SERV_PREFIX: Final = "HS_SERV.PREFIX"
HS_ALIAS: Final = "HS_ALIAS"

# Sites of one prefix that are tried: each costs a time-out if it is dead, and nobody runs more mirrors of one service.
MAX_SITES: Final = 8

_MAX_PORT: Final = 65_535


class Endpoint(NamedTuple):
    """Where a server of the Handle protocol listens over TCP. `host` is an address or, from configuration, a name."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """`HOST:PORT` or `[ADDRESS]:PORT`. Raises `ValueError` with a sentence."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or not 1 <= int(port) <= _MAX_PORT:
        raise ValueError(f'"{text}" is not HOST:PORT')
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f'"{text}": an IPv6 address is written in brackets')
    try:
        check_host(host)
    except ValueError as error:
        raise ValueError(f'"{text}" is not HOST:PORT: {error}') from None
    return Endpoint(host, int(port))


def sites_in(values: Iterable[bytes], *kinds: str) -> tuple[SiteInfo, ...]:
    """The sites among packed values of these types; one that cannot be read is passed over, for the others may do."""
    wanted = {kind.upper() for kind in kinds or (HS_SITE, HS_SITE_6)}
    sites = []
    for packed in values:
        value, _ = parse_value(packed)
        if value.type.upper() in wanted:
            try:
                sites.append(parse_site(value.data))
            except Refusal:
                continue
    return tuple(sorted(sites, key=lambda site: not site.is_primary))


def text_in(values: Iterable[bytes], kind: str) -> str:
    """The identifier that the first value of a type holds; empty if there is none, or it is no text."""
    for packed in values:
        value, _ = parse_value(packed)
        if value.type.upper() == kind:
            try:
                return value.data.decode()
            except UnicodeDecodeError:
                return ""
    return ""


def endpoints_of(sites: Iterable[SiteInfo], identifier: str) -> tuple[Endpoint, ...]:
    """One server of each site, in the order of the sites: the one that the hash of `identifier` chooses.

    A site whose server offers no queries over TCP is left out.
    """
    found: dict[Endpoint, None] = {}
    for site in sites:
        if site.servers:
            server = site.servers[choose_server(site, identifier)]
            endpoint = _endpoint(server)
            if endpoint is not None:
                found[endpoint] = None
    return tuple(found)[:MAX_SITES]


def choose_server(site: SiteInfo, identifier: str) -> int:
    """The place of the server of `site` that answers for `identifier`.

    The last four bytes of MD5 over the upper-cased part that the site hashes, as a signed number without its sign, modulo the
    number of servers, as every stock client computes it.
    """
    prefix, _, suffix = identifier.partition("/")
    match site.hash_option:
        case HashOption.PREFIX:
            part = prefix
        case HashOption.SUFFIX:
            part = suffix
        case _:
            part = identifier
    digest = hashlib.md5(_upper(part).encode(), usedforsecurity=False).digest()
    return abs(int.from_bytes(digest[-4:], signed=True)) % len(site.servers)


def _upper(text: str) -> str:
    """ASCII letters alone: other letters' cases are not the protocol's business (RFC 3651 2)."""
    return text.upper() if text.isascii() else "".join(char.upper() if char.isascii() else char for char in text)


def _endpoint(server: ServerInfo) -> Endpoint | None:
    for face in server.interfaces:
        if face.transport == Transport.TCP and face.purpose & Purpose.QUERY and 1 <= face.port <= _MAX_PORT:
            return Endpoint(server.address, face.port)
    return None
