"""Data of the value types that the Handle system itself reads: HS_ADMIN, HS_VLIST and HS_SITE (RFC 3651 3.2).

Binary forms, composed and parsed whole: parsing refuses (`MALFORMED_MESSAGE`) what is cut short, longer than its fields
say, or beyond a limit, because a stock client refuses the same.
"""

import ipaddress
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from proto.model.value import Reference
from proto.wire.handle.fields import FieldReader, compose_string, compose_uint16, compose_uint32, malformed

# A group, a site and a server are configuration, never bulk data; stock servers hold a handful of each.
MAX_LIST_ENTRIES: Final = 2_048
MAX_ATTRIBUTES: Final = 256
MAX_SERVERS: Final = 256
MAX_INTERFACES: Final = 64

_SITE_FORMAT: Final = 1
_PRIMARY: Final = 0x80
_MULTI_PRIMARY: Final = 0x40
# An IPv4 address stands in the last 4 of 16 bytes, the rest zero (not the IPv4-mapped form of RFC 4291).
_IPV4_PADDING: Final = bytes(12)
# Stock software writes two spare zero bytes after the fields of an HS_ADMIN, or none.
_ADMIN_SPARE: Final = b"\x00\x00"


class AdminRight(IntFlag):
    """What an administrator may do (RFC 3651 3.2.1; bit numbers of Handle.Net)."""

    ADD_IDENTIFIER = 0x0001
    DELETE_IDENTIFIER = 0x0002
    ADD_PREFIX = 0x0004
    DELETE_PREFIX = 0x0008
    MODIFY_VALUE = 0x0010
    REMOVE_VALUE = 0x0020
    ADD_VALUE = 0x0040
    MODIFY_ADMIN = 0x0080
    REMOVE_ADMIN = 0x0100
    ADD_ADMIN = 0x0200
    READ_VALUE = 0x0400
    LIST_IDENTIFIERS = 0x0800


@dataclass(frozen=True, slots=True)
class AdminData:
    """HS_ADMIN: `permissions` (`AdminRight` bits, 16) of the key at (handle, index); index 0 is any key of that handle."""

    permissions: int
    handle: str
    index: int


@dataclass(frozen=True, slots=True)
class ReferenceList:
    """HS_VLIST: a group, as references to its members' keys or to further groups."""

    references: tuple[Reference, ...]


class HashOption(IntEnum):
    """What of an identifier chooses the server within a site."""

    PREFIX = 0
    SUFFIX = 1
    WHOLE = 2


class Transport(IntEnum):
    """Protocols of an interface; the number is on the wire."""

    UDP = 0
    TCP = 1
    HTTP = 2
    HTTPS = 3


class Purpose(IntFlag):
    """What an interface is for."""

    ADMIN = 1
    QUERY = 2


@dataclass(frozen=True, slots=True)
class InterfaceInfo:
    """One way to talk to a server. `purpose` and `transport` keep numbers that we do not know, so that nothing is lost."""

    purpose: int
    transport: int
    port: int


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """One server of a site: `address` is an IPv4 or IPv6 address as text, `public_key` its HS_PUBKEY data or empty."""

    id: int
    address: str
    public_key: bytes
    interfaces: tuple[InterfaceInfo, ...]


@dataclass(frozen=True, slots=True)
class SiteInfo:
    """HS_SITE: interchangeable servers that answer for a prefix."""

    protocol_version: tuple[int, int]
    serial: int
    is_primary: bool
    is_multi_primary: bool
    hash_option: int
    hash_filter: bytes
    attributes: tuple[tuple[str, str], ...]
    servers: tuple[ServerInfo, ...]


def compose_admin(admin: AdminData) -> bytes:
    return compose_uint16(admin.permissions) + compose_string(admin.handle.encode()) + compose_uint32(admin.index)


def parse_admin(data: bytes) -> AdminData:
    """Raises `Refusal(MALFORMED_MESSAGE)`; two spare zero bytes at the end are accepted."""
    reader = FieldReader(data)
    admin = AdminData(reader.uint16(), reader.text(), reader.uint32())
    if reader.data[reader.offset :] not in (b"", _ADMIN_SPARE):
        raise malformed("bytes after the end of an HS_ADMIN")
    return admin


def compose_vlist(group: ReferenceList) -> bytes:
    parts = [compose_uint32(len(group.references))]
    for reference in group.references:
        parts += (compose_string(reference.handle.encode()), compose_uint32(reference.index))
    return b"".join(parts)


def parse_vlist(data: bytes) -> ReferenceList:
    """Raises `Refusal(MALFORMED_MESSAGE)`."""
    reader = FieldReader(data)
    count = reader.count(MAX_LIST_ENTRIES, "references in one HS_VLIST")
    references = tuple(Reference(reader.text(), reader.uint32()) for _ in range(count))
    _require_end(reader, "HS_VLIST")
    return ReferenceList(references)


def compose_site(site: SiteInfo) -> bytes:
    """The data of an HS_SITE, and the body of an answer to GET_SITE_INFO."""
    mask = (_PRIMARY if site.is_primary else 0) | (_MULTI_PRIMARY if site.is_multi_primary else 0)
    parts = [
        compose_uint16(_SITE_FORMAT),
        bytes(site.protocol_version),
        compose_uint16(site.serial),
        bytes((mask, site.hash_option)),
        compose_string(site.hash_filter),
        compose_uint32(len(site.attributes)),
    ]
    for name, value in site.attributes:
        parts += (compose_string(name.encode()), compose_string(value.encode()))
    parts.append(compose_uint32(len(site.servers)))
    for server in site.servers:
        parts += _compose_server(server)
    return b"".join(parts)


def parse_site(data: bytes) -> SiteInfo:
    """Raises `Refusal(MALFORMED_MESSAGE)`, also for bytes after the last server: stock clients take them as an error."""
    reader = FieldReader(data)
    if reader.uint16() != _SITE_FORMAT:
        raise malformed("an HS_SITE of an unknown format")
    version = (reader.uint8(), reader.uint8())
    serial, mask, hash_option = reader.uint16(), reader.uint8(), reader.uint8()
    hash_filter = reader.string()
    count = reader.count(MAX_ATTRIBUTES, "attributes in one HS_SITE")
    attributes = tuple((reader.text(), reader.text()) for _ in range(count))
    count = reader.count(MAX_SERVERS, "servers in one HS_SITE")
    servers = tuple(_parse_server(reader) for _ in range(count))
    _require_end(reader, "HS_SITE")
    is_primary, is_multi_primary = bool(mask & _PRIMARY), bool(mask & _MULTI_PRIMARY)
    return SiteInfo(version, serial, is_primary, is_multi_primary, hash_option, hash_filter, attributes, servers)


def _compose_server(server: ServerInfo) -> list[bytes]:
    parts = [compose_uint32(server.id), _compose_address(server.address), compose_string(server.public_key)]
    parts.append(compose_uint32(len(server.interfaces)))
    parts += (bytes((face.purpose, face.transport)) + compose_uint32(face.port) for face in server.interfaces)
    return parts


def _parse_server(reader: FieldReader) -> ServerInfo:
    number, address, public_key = reader.uint32(), _parse_address(reader.take(16)), reader.string()
    count = reader.count(MAX_INTERFACES, "interfaces of one server")
    interfaces = tuple(InterfaceInfo(reader.uint8(), reader.uint8(), reader.uint32()) for _ in range(count))
    return ServerInfo(number, address, public_key, interfaces)


def _compose_address(text: str) -> bytes:
    return ipaddress.ip_address(text).packed.rjust(16, b"\x00")


def _parse_address(raw: bytes) -> str:
    # `::` and `::1` share the padding of IPv4; as IPv4 they are 0.0.0.0 and 0.0.0.1, which is what stock readers see.
    return str(ipaddress.ip_address(raw[12:] if raw.startswith(_IPV4_PADDING) else raw))


def _require_end(reader: FieldReader, what: str) -> None:
    if reader.remaining:
        raise malformed(f"{reader.remaining} bytes after the end of an {what}")
