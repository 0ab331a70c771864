"""Typed data of the Handle system: administrators, groups and sites, as stock software writes and reads them."""

import pytest

from proto.errors import Reason, Refusal
from proto.model.value import Reference
from proto.wire.handle.typed import (
    AdminData,
    AdminRight,
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
from tests.interop.handle_replay import exchanges

# From the recorded conversation of a stock client with a stock server.
ADMIN = bytes.fromhex("0fff0000000e38382e3131382e312f41444d494e000000c8")
SITE = SiteInfo(
    (2, 10), 7, True, False, HashOption.WHOLE, b"", (("desc", "节点"),),
    (
        ServerInfo(1, "127.0.0.1", b"key", (InterfaceInfo(Purpose.QUERY, Transport.TCP, 2641), InterfaceInfo(3, 9, 2**32 - 1))),
        ServerInfo(2, "2001:db8::1", b"", ()),
    ),
)  # fmt: skip


def test_administrators() -> None:
    admin = AdminData(0x0FFF, "88.118.1/ADMIN", 200)
    assert parse_admin(ADMIN) == admin
    assert compose_admin(admin) == ADMIN
    assert AdminRight(admin.permissions) == ~AdminRight(0)


def test_two_spare_zero_bytes_after_an_administrator_are_accepted_and_nothing_else() -> None:
    assert parse_admin(ADMIN + b"\0\0") == parse_admin(ADMIN)
    for rest in (b"\0", b"\0\1", b"\0\0\0"):
        with pytest.raises(Refusal):
            parse_admin(ADMIN + rest)


def test_groups() -> None:
    group = ReferenceList((Reference("88.118.1/ADMIN", 300), Reference("a/组", 0)))
    raw = bytes.fromhex("000000020000000e38382e3131382e312f41444d494e0000012c00000005612fe7bb8400000000")
    assert parse_vlist(raw) == group
    assert compose_vlist(group) == raw
    assert parse_vlist(bytes(4)) == ReferenceList(())


def test_a_recorded_site_reads_and_composes_to_the_same_bytes() -> None:
    answer = next(each.answer for each in exchanges("hs90_resolve") if each.op == 2)
    body = answer[44:-4]
    site = parse_site(body)
    assert compose_site(site) == body
    assert (site.protocol_version, site.serial, site.is_primary, site.is_multi_primary) == ((2, 10), 1, True, False)
    assert site.attributes == (("desc", "loopback test node"),)
    (server,) = site.servers
    assert (server.id, server.address, len(server.public_key)) == (1, "127.0.0.1", 441)
    assert server.interfaces == (InterfaceInfo(3, 1, 2641), InterfaceInfo(2, 0, 2641), InterfaceInfo(3, 2, 8000))


def test_sites_of_several_servers_and_families() -> None:
    assert parse_site(compose_site(SITE)) == SITE


@pytest.mark.parametrize("raw", [ADMIN, compose_vlist(ReferenceList((Reference("a/b", 1),))), compose_site(SITE)])
def test_data_cut_anywhere_or_padded_is_refused(raw: bytes) -> None:
    parse = {ADMIN: parse_admin, compose_site(SITE): parse_site}.get(raw, parse_vlist)
    for wrong in (*(raw[:size] for size in range(len(raw))), raw + b"x"):
        with pytest.raises(Refusal) as refused:
            parse(wrong)
        assert refused.value.reason is Reason.MALFORMED_MESSAGE


@pytest.mark.parametrize(
    "hexadecimal",
    [
        "00000801" + "00000000" * 2,  # a group of more references than the limit
        "ffffffff",
        "0000000100000002fffe00000001",  # not UTF-8
    ],
)
def test_groups_beyond_limits_are_refused(hexadecimal: str) -> None:
    with pytest.raises(Refusal):
        parse_vlist(bytes.fromhex(hexadecimal))


def test_a_site_of_another_format_is_refused() -> None:
    with pytest.raises(Refusal):
        parse_site(b"\0\2" + compose_site(SITE)[2:])
