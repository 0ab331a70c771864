"""Which addresses are asked that records of other nodes name: a table, and what the operator's words change about it."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.upstream.reach import FIRST_PORT, Reach, kind_of, unwrap
from resolver.upstream.sites import Endpoint

PORT = 2641

PUBLIC = (
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
    "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "223.255.255.255",
    "2400:3200::1", "2a00::1", "2001:200::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
)  # fmt: skip

BARRED = {
    "unspecified": ("0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0", "::ffff:0:0.0.0.0", "64:ff9b::", "2002::1", "::0.0.0.2"),
    "loopback": (
        "127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1",
        "::ffff:0:127.0.0.1",
    ),
    "link-local": ("169.254.169.254", "169.254.0.0", "fe80::1", "febf::1", "::ffff:169.254.169.254", "2002:a9fe:a9fe::1"),
    "private": (
        "10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "100.127.255.255", "fc00::1",
        "fd12:3456::1", "fec0::1", "::ffff:10.1.2.3", "64:ff9b::a00:1", "2002:c0a8:101::", "::ffff:0:192.168.1.1",
    ),
    "multicast": ("224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1", "::ffff:224.0.0.1"),
    "reserved": (
        "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "240.0.0.1", "255.255.255.255",
        "64:ff9b:1::a00:1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:db8::1", "3fff::1", "4000::1", "5f00::1", "8000::1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("host", PUBLIC)
def test_public_addresses_are_asked(host: str) -> None:
    assert Reach().bar(Endpoint(host, PORT)) == ""


@pytest.mark.parametrize(("what", "host"), [(what, host) for what, hosts in BARRED.items() for host in hosts])
def test_no_other_address_is(what: str, host: str) -> None:
    assert Reach().bar(Endpoint(host, PORT)) == f"{what} address"


@pytest.mark.parametrize("host", ["10.20.0.7", "::ffff:10.20.0.7", "64:ff9b::a14:7", "2002:a14:7::1", "fd00:20::7"])
def test_networks_that_the_operator_names_are_asked_in_whatever_form_they_are_written(host: str) -> None:
    assert Reach(["10.20.0.0/16", "fd00:20::/32"]).bar(Endpoint(host, PORT)) == ""


@pytest.mark.parametrize("host", ["10.21.0.7", "127.0.0.1", "fd00:21::7", "2002:7f00:1::1"])
def test_that_opens_no_other_network(host: str) -> None:
    # Not even if the one that is named would carry it: what counts is where a question ends up.
    assert Reach(["10.20.0.0/16", "fd00:20::/32", "2002::/16"]).bar(Endpoint(host, PORT)).endswith("address")


def test_ports_of_other_services_are_not_asked() -> None:
    reach = Reach(["10.0.0.0/8"])
    for host in ("8.8.8.8", "10.0.0.1", "2400:3200::1"):
        assert reach.bar(Endpoint(host, FIRST_PORT - 1)) == f"port below {FIRST_PORT}"
        assert reach.bar(Endpoint(host, FIRST_PORT)) == ""


def test_what_is_configured_may_be_named_by_others_too() -> None:
    own = Endpoint("127.0.0.1", 80)
    assert Reach(named=[own]).bar(own) == ""
    assert Reach(named=[own]).bar(Endpoint("127.0.0.1", 81)) == "loopback address"


def test_what_is_no_address_is_not_asked() -> None:
    assert Reach(["0.0.0.0/0", "::/0"]).bar(Endpoint("localhost", PORT)) == "no address"


@given(st.ip_addresses())
def test_nothing_is_called_public_that_python_knows_not_to_be(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    bare = unwrap(address)
    known = bare.is_loopback or bare.is_link_local or bare.is_multicast or bare.is_unspecified or bare.is_private
    assert kind_of(bare) or not known


@given(st.ip_addresses(v=4))
def test_an_address_that_carries_another_is_taken_for_that(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    for outer in (
        ipaddress.IPv6Address(0xFFFF << 32 | number),
        ipaddress.IPv6Address(0x64FF9B << 96 | number),
        ipaddress.IPv6Address(0x2002 << 112 | number << 80 | 1),
    ):
        assert unwrap(outer) == inner
