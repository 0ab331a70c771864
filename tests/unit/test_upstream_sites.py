"""Sites: which server of which site is asked, and how servers are named in configuration."""

import pytest

from proto.model.value import Value
from proto.wire.handle.typed import HashOption, InterfaceInfo, Purpose, ServerInfo, SiteInfo, Transport
from resolver.upstream.sites import MAX_SITES, Endpoint, choose_server, endpoints_of, parse_endpoint, sites_in, text_in
from tests.support.foreign_node import packed, site, site_value

SERVERS = [Endpoint(f"10.0.0.{number}", 2641) for number in range(1, 8)]


# Reckoned with md5sum: the last four bytes of the upper-cased part, as a signed number without its sign, modulo 3 and 7.
@pytest.mark.parametrize(
    ("identifier", "option", "of_three", "of_seven"),
    [
        ("99.1/abc", HashOption.WHOLE, 1, 2),
        ("99.1/AbC", HashOption.WHOLE, 1, 2),
        ("99.1/abc", HashOption.PREFIX, 1, 3),
        ("99.1/abc", HashOption.SUFFIX, 1, 3),
        ("88.118.1/É", HashOption.WHOLE, 1, 1),
        ("0.na/99.1", HashOption.WHOLE, 2, 5),
    ],
)
def test_the_hash_chooses_the_server(identifier: str, option: HashOption, of_three: int, of_seven: int) -> None:
    assert choose_server(site(*SERVERS[:3], hash_option=option), identifier) == of_three
    assert choose_server(site(*SERVERS, hash_option=option), identifier) == of_seven


def test_letters_that_are_not_ascii_keep_their_case() -> None:
    assert choose_server(site(*SERVERS), "88.118.1/é") != choose_server(site(*SERVERS), "88.118.1/É")


def test_one_server_of_each_site_is_asked_and_a_primary_site_first() -> None:
    mirror, primary = site(SERVERS[0], is_primary=False), site(SERVERS[1])
    found = sites_in(packed(site_value(mirror, 1), site_value(primary, 2), Value(3, "URL", b"x")))
    assert endpoints_of(found, "99.1/x") == (SERVERS[1], SERVERS[0])


def test_a_site_that_cannot_be_read_is_passed_over() -> None:
    values = packed(Value(1, "HS_SITE", b"\0\1"), site_value(site(SERVERS[0]), 2, kind="hs_site.6"))
    assert endpoints_of(sites_in(values), "99.1/x") == (SERVERS[0],)


@pytest.mark.parametrize(
    "face",
    [
        InterfaceInfo(Purpose.ADMIN, Transport.TCP, 2641),
        InterfaceInfo(Purpose.QUERY, Transport.UDP, 2641),
        InterfaceInfo(Purpose.QUERY, Transport.HTTP, 8000),
        InterfaceInfo(Purpose.QUERY, Transport.TCP, 0),
        InterfaceInfo(Purpose.QUERY, Transport.TCP, 70_000),
    ],
)
def test_a_server_without_queries_over_tcp_is_not_asked(face: InterfaceInfo) -> None:
    info = SiteInfo((2, 10), 1, True, False, 0, b"", (), (ServerInfo(1, "10.0.0.1", b"", (face,)),))
    assert endpoints_of([info, site(SERVERS[1])], "99.1/x") == (SERVERS[1],)


def test_a_site_without_servers_is_not_asked() -> None:
    assert endpoints_of([site()], "99.1/x") == ()


def test_more_sites_than_anybody_has_are_not_all_tried() -> None:
    many = [site(Endpoint(f"10.0.1.{number}", 2641)) for number in range(1, 50)]
    assert len(endpoints_of(many, "99.1/x")) == MAX_SITES


def test_the_text_of_a_service_value() -> None:
    values = packed(Value(1, "URL", b"x"), Value(2, "hs_serv", b"99/SERVICE"))
    assert text_in(values, "HS_SERV") == "99/SERVICE"
    assert text_in(packed(Value(1, "HS_SERV", b"\xff")), "HS_SERV") == ""
    assert text_in((), "HS_SERV") == ""


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("node.example:2641", ("node.example", 2641)),
        (" 10.0.0.1:1 ", ("10.0.0.1", 1)),
        ("[2001:db8::1]:3641", ("2001:db8::1", 3641)),
    ],
)
def test_servers_are_named_by_host_and_port(text: str, endpoint: tuple[str, int]) -> None:
    assert parse_endpoint(text) == endpoint
    assert parse_endpoint(str(Endpoint(*endpoint))) == endpoint


@pytest.mark.parametrize(
    "text", ["", "host", "host:", ":2641", "host:x", "host:0", "host:65536", "::1:2641", "a b:1", "host:²"]
)
def test_what_names_no_server_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|brackets"):
        parse_endpoint(text)
