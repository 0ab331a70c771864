"""HS_ADMIN, HS_VLIST and HS_SITE as JSON: the formats `admin`, `vlist` and `site`.

A renderer returns None, or raises `Refusal`, for bytes that its composer would not give back; a composer reads the member
`value` of the data and raises `Refusal(INVALID_VALUE)` with the path of what it cannot use.
"""

import base64
import binascii
import ipaddress
from typing import Any, Final

from proto.handle_json.members import Members
from proto.handle_json.public_key import compose_key, render_key
from proto.model.value import Reference
from proto.wire.handle.typed import (
    MAX_ATTRIBUTES,
    MAX_INTERFACES,
    MAX_LIST_ENTRIES,
    MAX_SERVERS,
    AdminData,
    HashOption,
    InterfaceInfo,
    Purpose,
    ReferenceList,
    ServerInfo,
    SiteInfo,
    Transport,
    compose_admin,
    compose_site,
    compose_vlist,
    parse_admin,
    parse_site,
    parse_vlist,
)

_SPARE_BYTES: Final = b"\x00\x00"
_ADMIN_MEMBERS: Final = frozenset({"handle", "index", "permissions", "legacyByteLength"})
_ADMIN_BITS: Final = 12
_REFERENCE_MEMBERS: Final = frozenset({"handle", "index"})
_SITE_MEMBERS: Final = frozenset(
    {
        "version", "protocolVersion", "serialNumber", "primarySite", "multiPrimary", "hashOption", "hashFilter",
        "attributes", "servers",
    }
)  # fmt: skip
_ATTRIBUTE_MEMBERS: Final = frozenset({"name", "value"})
_SERVER_MEMBERS: Final = frozenset({"serverId", "address", "publicKey", "interfaces"})
_INTERFACE_MEMBERS: Final = frozenset({"query", "admin", "protocol", "port"})
_BINARY_MEMBERS: Final = frozenset({"format", "value"})
_SITE_FORMAT: Final = 1
_MAX_UINT8: Final = 0xFF
_MAX_UINT16: Final = 0xFFFF


def render_admin(data: bytes) -> dict[str, Any] | None:
    admin = parse_admin(data)
    if admin.permissions >> _ADMIN_BITS:
        return None
    document = {"handle": admin.handle, "index": admin.index, "permissions": f"{admin.permissions:0{_ADMIN_BITS}b}"}
    if len(data) != len(compose_admin(admin)):
        document["legacyByteLength"] = True
    return document


def compose_admin_value(data: Members) -> bytes:
    admin = data.inner("value")
    admin.allow(_ADMIN_MEMBERS)
    rights = admin.text("permissions")
    if len(rights) != _ADMIN_BITS or not set(rights) <= {"0", "1"}:
        raise admin.refuse("permissions", f"{_ADMIN_BITS} digits 0 or 1 are wanted")
    composed = compose_admin(AdminData(int(rights, 2), admin.text("handle"), admin.integer("index")))
    return composed + _SPARE_BYTES if admin.flag("legacyByteLength", False) else composed


def render_vlist(data: bytes) -> list[dict[str, Any]]:
    return [{"handle": each.handle, "index": each.index} for each in parse_vlist(data).references]


def compose_vlist_value(data: Members) -> bytes:
    references = []
    if "value" not in data.document:
        raise data.refuse("value", "it is missing: a list of references is wanted")
    for each in data.objects("value", MAX_LIST_ENTRIES):
        each.allow(_REFERENCE_MEMBERS)
        references.append(Reference(each.text("handle"), each.integer("index")))
    return compose_vlist(ReferenceList(tuple(references)))


def render_site(data: bytes) -> dict[str, Any] | None:
    site = parse_site(data)
    document: dict[str, Any] = {
        "version": _SITE_FORMAT,
        "protocolVersion": f"{site.protocol_version[0]}.{site.protocol_version[1]}",
        "serialNumber": site.serial,
        "primarySite": site.is_primary,
        "multiPrimary": site.is_multi_primary,
        "attributes": [{"name": name, "value": value} for name, value in site.attributes],
        "servers": [_render_server(server) for server in site.servers],
    }
    if site.hash_option != HashOption.WHOLE:
        document["hashOption"] = site.hash_option
    if site.hash_filter:
        document["hashFilter"] = base64.b64encode(site.hash_filter).decode()
    return document if compose_site_value(Members({"value": document}, "")) == data else None


def compose_site_value(data: Members) -> bytes:
    site = data.inner("value")
    site.allow(_SITE_MEMBERS)
    site.integer("version", _SITE_FORMAT, _SITE_FORMAT, _SITE_FORMAT)
    attributes = []
    for each in site.objects("attributes", MAX_ATTRIBUTES):
        each.allow(_ATTRIBUTE_MEMBERS)
        attributes.append((each.text("name"), each.text("value")))
    return compose_site(
        SiteInfo(
            protocol_version=_parse_version(site),
            serial=site.integer("serialNumber", high=_MAX_UINT16),
            is_primary=site.flag("primarySite"),
            is_multi_primary=site.flag("multiPrimary", False),
            hash_option=site.integer("hashOption", HashOption.WHOLE, high=_MAX_UINT8),
            hash_filter=_parse_base64(site, "hashFilter", ""),
            attributes=tuple(attributes),
            servers=tuple(_parse_server(each) for each in site.objects("servers", MAX_SERVERS)),
        )
    )


def _render_server(server: ServerInfo) -> dict[str, Any]:
    key = render_key(server.public_key)
    return {
        "serverId": server.id,
        "address": server.address,
        "publicKey": {"format": "base64", "value": base64.b64encode(server.public_key).decode()}
        if key is None
        else {"format": "key", "value": key},
        "interfaces": [_render_interface(each) for each in server.interfaces],
    }


def _render_interface(interface: InterfaceInfo) -> dict[str, Any]:
    known = interface.transport in set(Transport)
    return {
        "query": bool(interface.purpose & Purpose.QUERY),
        "admin": bool(interface.purpose & Purpose.ADMIN),
        "protocol": Transport(interface.transport).name if known else "",
        "port": interface.port,
    }


def _parse_server(server: Members) -> ServerInfo:
    server.allow(_SERVER_MEMBERS)
    address = server.text("address")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise server.refuse("address", "an IPv4 or IPv6 address is wanted") from None
    if "%" in address:
        raise server.refuse("address", "an address has no zone here")
    return ServerInfo(
        id=server.integer("serverId"),
        address=address,
        public_key=_parse_server_key(server.inner("publicKey")) if "publicKey" in server.document else b"",
        interfaces=tuple(_parse_interface(each) for each in server.objects("interfaces", MAX_INTERFACES)),
    )


def _parse_server_key(key: Members) -> bytes:
    key.allow(_BINARY_MEMBERS)
    match key.text("format"):
        case "key":
            return compose_key(key.inner("value"))
        case "base64":
            return _parse_base64(key, "value")
    raise key.refuse("format", "key or base64 is wanted")


def _parse_interface(interface: Members) -> InterfaceInfo:
    interface.allow(_INTERFACE_MEMBERS)
    name = interface.text("protocol")
    if name not in Transport.__members__:
        raise interface.refuse("protocol", f"one of {', '.join(Transport.__members__)} is wanted")
    query, admin = interface.flag("query"), interface.flag("admin")
    purpose = (Purpose.QUERY if query else 0) | (Purpose.ADMIN if admin else 0)
    return InterfaceInfo(purpose, Transport[name], interface.integer("port"))


def _parse_version(site: Members) -> tuple[int, int]:
    major, dot, minor = site.text("protocolVersion").partition(".")
    if not (dot and major.isdecimal() and minor.isdecimal() and major.isascii() and minor.isascii()):
        raise site.refuse("protocolVersion", "two numbers are wanted, as 2.10")
    if len(major) > 3 or len(minor) > 3 or int(major) > _MAX_UINT8 or int(minor) > _MAX_UINT8:
        raise site.refuse("protocolVersion", f"numbers up to {_MAX_UINT8} are wanted")
    return int(major), int(minor)


def _parse_base64(members: Members, name: str, default: str | None = None) -> bytes:
    try:
        return base64.b64decode(members.text(name, default), validate=True)
    except (binascii.Error, ValueError):
        raise members.refuse(name, "it is not base64") from None
