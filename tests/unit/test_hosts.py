"""Hosts as people write them: what cannot be looked up is said where it is written, not where it is used."""

import pytest

from proto.hosts import check_host
from resolver.upstream.sites import parse_endpoint

GOOD = ["localhost", "node.example.cn", "node.example.cn.", "192.0.2.1", "::1", "fe80::1%eth0", "_x.y", "解析.中国", "a" * 63]
BAD = ["", "a..b", ".a", "a" * 64, "b." + "a" * 64, "a b", "a\0b", "a\n", "\ud800", "变" * 60]


@pytest.mark.parametrize("host", GOOD)
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    check_host(host)


@pytest.mark.parametrize("host", BAD)
def test_what_cannot_be_looked_up_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="is not the name or address of a host"):
        check_host(host)


def test_a_server_of_another_node_is_on_a_host() -> None:
    assert parse_endpoint("解析.中国:2641") == ("解析.中国", 2641)
    for text in ("a..b:2641", f"{'a' * 64}:2641", "[a..b]:2641"):
        with pytest.raises(ValueError, match="host"):
            parse_endpoint(text)
