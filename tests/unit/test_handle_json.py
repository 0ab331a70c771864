"""Handle JSON values: what stock software writes is read, what is wrong is named by its path."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from proto.errors import Reason, Refusal
from proto.handle_json import parse_value, parse_values, render_owned_value, render_value
from proto.model.value import PRIVATE, Reference, Value

STOCK: dict[str, Any] = json.loads((Path(__file__).parent.parent / "data/handle_json/stock.json").read_text())
NOW_S = 1_760_000_000


def parsed(**members: object) -> Value:
    return parse_value({"index": 1, "type": "URL", "data": "x", **members}, "values[2]", NOW_S)


def site(**members: object) -> dict[str, object]:
    return {"format": "site", "value": {**STOCK["site"], **members}}


def refused(**members: object) -> Refusal:
    with pytest.raises(Refusal) as caught:
        parsed(**members)
    assert caught.value.reason is Reason.INVALID_VALUE
    return caught.value


def test_a_plain_value_is_shown_with_the_five_members_and_no_more() -> None:
    value = Value(2, "TITLE", "油浸式变压器".encode(), timestamp=1_795_351_250)
    assert render_value(value) == {
        "index": 2,
        "type": "TITLE",
        "data": {"format": "string", "value": "油浸式变压器"},
        "ttl": 86400,
        "timestamp": "2026-11-22T12:40:50Z",
    }


def test_what_is_unusual_is_shown() -> None:
    value = Value(3, "NOTE", b"\x00\x01", 1_795_351_250, True, 0, 0b1100, (Reference("88.1/K", 300),), "grid")
    assert render_owned_value(value) == {
        "index": 3,
        "type": "NOTE",
        "data": {"format": "base64", "value": "AAE="},
        "ttl": "2026-11-22T12:40:50Z",
        "timestamp": "1970-01-01T00:00:00Z",
        "permissions": "1100",
        "references": [{"handle": "88.1/K", "index": 300}],
        "audience": "grid",
    }


def test_a_stock_site_reads_as_its_own_file_says() -> None:
    shown = render_value(Value(1, "HS_SITE", bytes.fromhex(STOCK["site_hex"])))["data"]
    assert shown == {"format": "site", "value": STOCK["site"]}


def test_a_stock_rsa_key_is_the_key_that_cryptography_sees() -> None:
    shown = render_value(Value(300, "HS_PUBKEY", bytes.fromhex(STOCK["rsa_key_hex"])))["data"]
    assert shown["format"] == "key"
    n, e = (int.from_bytes(base64.urlsafe_b64decode(shown["value"][name] + "==")) for name in ("n", "e"))
    assert RSAPublicNumbers(e, n).public_key().key_size == 2048


def test_an_administrator_with_spare_bytes_keeps_them() -> None:
    data = bytes.fromhex("0ff2" + "0000000e" + b"88.118.1/ADMIN".hex() + "000000c8" + "0000")
    shown = render_value(Value(100, "HS_ADMIN", data))["data"]["value"]
    assert shown == {"handle": "88.118.1/ADMIN", "index": 200, "permissions": "111111110010", "legacyByteLength": True}


@pytest.mark.parametrize("kind", ["HS_ADMIN", "HS_VLIST", "HS_SITE", "HS_PUBKEY"])
def test_what_is_not_understood_stays_as_it_is(kind: str) -> None:
    assert render_value(Value(1, kind, b"plain text"))["data"] == {"format": "string", "value": "plain text"}
    assert render_value(Value(1, kind, b"\xff\x00"))["data"] == {"format": "base64", "value": "/wA="}


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ("http://x.cn/1", b"http://x.cn/1"),
        ({"format": "string", "value": "配电"}, "配电".encode()),
        ({"format": "base64", "value": "AAE="}, b"\x00\x01"),
        ({"format": "hex", "value": "00fF"}, b"\x00\xff"),
        (
            {"format": "admin", "value": {"handle": "0.NA/88.1", "index": 200, "permissions": "011111110011"}},
            bytes.fromhex("07f3" + "00000009" + b"0.NA/88.1".hex() + "000000c8"),
        ),
        ({"format": "vlist", "value": [{"handle": "a/b", "index": 1}]}, b"\x00\x00\x00\x01\x00\x00\x00\x03a/b\x00\x00\x00\x01"),
    ],
)
def test_every_format_is_read(data: object, wanted: bytes) -> None:
    assert parsed(data=data).data == wanted


def test_defaults_are_the_standards() -> None:
    value = parsed()
    assert (value.ttl, value.ttl_absolute, value.timestamp, value.permissions, value.audience) == (
        86400,
        False,
        NOW_S,
        0b1110,
        "public",
    )


def test_permissions_and_audience_are_one_thing() -> None:
    assert parsed(permissions="1100").audience == PRIVATE
    assert parsed(audience="private").permissions == 0b1100
    assert parsed(audience="private", permissions="1110").permissions == 0b1100
    assert parsed(audience="grid", permissions="1111").permissions == 0b1100
    assert refused(audience="public", permissions="1100").field == "values[2].permissions"


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"index": "1"}, "values[2].index"),
        ({"index": True}, "values[2].index"),
        ({"index": -1}, "values[2].index"),
        ({"index": 2**32}, "values[2].index"),
        ({"index": 1.0}, "values[2].index"),
        ({"type": 7}, "values[2].type"),
        ({"type": None}, "values[2].type"),
        ({"audeince": "private"}, "values[2].audeince"),
        ({"audience": "a b"}, "values[2].audience"),
        ({"audience": 3}, "values[2].audience"),
        ({"ttl": "soon"}, "values[2].ttl"),
        ({"ttl": -5}, "values[2].ttl"),
        ({"timestamp": 5}, "values[2].timestamp"),
        ({"timestamp": "2026-01-01T00:00:00"}, "values[2].timestamp"),
        ({"timestamp": "1969-12-31T23:59:59Z"}, "values[2].timestamp"),
        ({"timestamp": "2106-02-07T06:28:16Z"}, "values[2].timestamp"),
        ({"permissions": "111"}, "values[2].permissions"),
        ({"permissions": "11a0"}, "values[2].permissions"),
        ({"permissions": 1110}, "values[2].permissions"),
        ({"references": {}}, "values[2].references"),
        ({"references": [{"handle": "a/b"}]}, "values[2].references[0].index"),
        ({"references": [{"handle": "a/b", "index": 1}] * 65}, "values[2].references"),
        ({"data": None}, "values[2].data"),
        ({"data": "\ud800"}, "values[2].data"),
        ({"data": {"format": "string"}}, "values[2].data.value"),
        ({"data": {"format": "string", "value": 5}}, "values[2].data.value"),
        ({"data": {"format": "string", "value": "\udc00"}}, "values[2].data.value"),
        ({"data": {"value": "x"}}, "values[2].data.format"),
        ({"data": {"format": "xml", "value": "x"}}, "values[2].data.format"),
        ({"data": {"format": "base64", "value": "a"}}, "values[2].data.value"),
        ({"data": {"format": "base64", "value": "配电"}}, "values[2].data.value"),
        ({"data": {"format": "hex", "value": "0g"}}, "values[2].data.value"),
        ({"data": {"format": "admin", "value": {"handle": "a/b", "index": 1}}}, "values[2].data.value.permissions"),
        ({"data": {"format": "vlist"}}, "values[2].data.value"),
        ({"data": {"format": "vlist", "value": [{"handle": "a/b", "index": 1}, 5]}}, "values[2].data.value[1]"),
        ({"data": {"format": "key", "value": {"kty": "EC"}}}, "values[2].data.value.kty"),
        ({"data": {"format": "key", "value": {"kty": "RSA", "e": "AQAB", "n": ""}}}, "values[2].data.value.n"),
        ({"data": {"format": "key", "value": {"kty": "RSA", "e": "AQAB", "n": "="}}}, "values[2].data.value.n"),
        ({"data": site(servers=[{"serverId": 1}])}, "values[2].data.value.servers[0].address"),
        ({"data": site(protocolVersion="2.300")}, "values[2].data.value.protocolVersion"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_path(members: dict[str, object], field: str) -> None:
    assert refused(**members).field == field


@pytest.mark.parametrize("missing", ["index", "type", "data"])
def test_what_is_missing_is_named(missing: str) -> None:
    document = {"index": 1, "type": "URL", "data": "x"}
    del document[missing]
    with pytest.raises(Refusal) as caught:
        parse_value(document, "values[0]", NOW_S)
    assert caught.value.field == f"values[0].{missing}"


def test_values_are_a_list_within_the_limit() -> None:
    document = {"index": 1, "type": "URL", "data": "x"}
    assert [value.index for value in parse_values([document, {**document, "index": 2}], "values", NOW_S)] == [1, 2]
    with pytest.raises(Refusal) as caught:
        parse_values([document] * 2049, "values", NOW_S)
    assert caught.value.reason is Reason.TOO_MANY_VALUES
    with pytest.raises(Refusal):
        parse_values(document, "values", NOW_S)
