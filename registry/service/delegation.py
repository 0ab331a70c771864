"""Handing a prefix to the node of its enterprise, and taking it back: one row, so that every reader sees it at one moment.

What was registered below the prefix stays in the store, shown to nobody, and is there again when the prefix is taken back. So
an enterprise first has all of it at its own node, then the prefix is handed over; and the other way round.
"""

from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from proto.errors import Reason, Refusal
from proto.hosts import check_host
from proto.model.account import Caller
from proto.model.prefix import Delegation
from proto.ports import RecordReader
from proto.tables import pack_prefix
from proto.wire.handle.typed import Purpose, Transport, parse_site
from registry.service.listing import plan_nothing
from registry.service.plan import Plan, check_version
from registry.service.prefixes import find_own, plan_next

# A primary site and its mirrors. They are in memory with the prefix, and in every referral.
MAX_SITES: Final = 8
MAX_SITES_BYTES: Final = 32_768
MAX_URL_CHARS: Final = 2_048
MAX_PORT: Final = 65_535

_NATIVE: Final = (Transport.TCP, Transport.UDP)


def plan_delegation(
    reader: RecordReader, caller: Caller, name: str, delegation: Delegation | None, expected_version: int | None, now_ms: int
) -> Plan:
    """A prefix that is served by others, or (None) by this node; the same again changes nothing.

    Raises `Refusal`: PERMISSION_DENIED, NOT_FOUND, VERSION_CONFLICT, INVALID_ARGUMENT for what no client could follow.
    """
    before = find_own(reader, caller, name)
    check_version(before.version, expected_version)
    if delegation is not None:
        check_delegation(delegation)
    if before.delegation == delegation:
        return plan_nothing(before.name, pack_prefix(before), before.version, before.state)
    return plan_next(before, replace(before, delegation=delegation), now_ms)


def check_delegation(delegation: Delegation) -> None:
    """Raise `Refusal(INVALID_ARGUMENT)` unless every site can be read and has a server that answers queries."""
    if not 1 <= len(delegation.sites) <= MAX_SITES:
        raise _invalid("sites", f"1 to {MAX_SITES} sites are wanted")
    if sum(map(len, delegation.sites)) > MAX_SITES_BYTES:
        raise _invalid("sites", f"together they are longer than {MAX_SITES_BYTES} bytes")
    for place, data in enumerate(delegation.sites):
        _check_site(data, f"sites[{place}]")
    if delegation.url:
        _check_url(delegation.url)


def _check_site(data: bytes, field: str) -> None:
    try:
        site = parse_site(data)
    except Refusal as refusal:
        raise _invalid(field, f"it is no HS_SITE: {refusal.detail}") from None
    for server in site.servers:
        asked = [face for face in server.interfaces if face.transport in _NATIVE and face.purpose & Purpose.QUERY]
        if not asked:
            raise _invalid(field, f"server {server.id} has no interface for queries over TCP or UDP")
        if not all(0 < face.port <= MAX_PORT for face in asked):
            raise _invalid(field, f"server {server.id}: a port is between 1 and {MAX_PORT}")
    if not site.servers:
        raise _invalid(field, "it has no server")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        check_host(parts.hostname or "")
        is_address = parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or len(url) > MAX_URL_CHARS or not url.isascii() or not url.isprintable() or " " in url:
        raise _invalid("url", "an address that begins with http:// or https:// is wanted")
    if "?" in url or "#" in url or "@" in parts.netloc:
        # What is asked for is put behind it, and everybody sees it.
        raise _invalid("url", "an address without a user, a query and a fragment is wanted")


def _invalid(field: str, why: str) -> Refusal:
    return Refusal(Reason.INVALID_ARGUMENT, why, field)
