"""Every value survives the way to JSON text and back, whatever its data."""

import json

from hypothesis import given
from hypothesis import strategies as st

from proto.handle_json import parse_value, render_owned_value, render_value
from proto.model.value import MAX_INDEX, PRIVATE, PUBLIC, Reference, Value, derive_permissions
from proto.wire.handle.typed import (
    AdminData,
    InterfaceInfo,
    ReferenceList,
    ServerInfo,
    SiteInfo,
    compose_admin,
    compose_site,
    compose_vlist,
)

UINT32 = st.integers(0, 0xFFFF_FFFF)
TEXT = st.text(max_size=30)
NOW_S = 1_760_000_000

admins = st.builds(
    lambda admin, spare: compose_admin(admin) + spare,
    st.builds(AdminData, st.integers(0, 0xFFFF), TEXT, UINT32),
    st.sampled_from([b"", b"\x00\x00", b"\x00"]),
)
references = st.builds(Reference, TEXT, UINT32)
groups = st.builds(lambda members: compose_vlist(ReferenceList(tuple(members))), st.lists(references, max_size=4))
numbers = st.integers(0, 1 << 80).map(lambda number: number.to_bytes(number.bit_length() // 8 + 1))


def sized(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


keys = st.builds(
    lambda name, parts, spare: sized(name) + b"\x00\x00" + b"".join(sized(part) for part in parts) + spare,
    st.sampled_from([b"RSA_PUB_KEY", b"DSA_PUB_KEY", b"SM2_PUB_KEY"]),
    st.one_of(st.lists(numbers, min_size=2, max_size=4), st.lists(st.binary(max_size=5), max_size=4)),
    st.sampled_from([b"", bytes(4)]),
)
interfaces = st.builds(InterfaceInfo, st.integers(0, 5), st.integers(0, 5), UINT32)
addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
servers = st.builds(ServerInfo, UINT32, addresses, st.one_of(keys, st.binary(max_size=8)), st.tuples(interfaces))
sites = st.builds(
    SiteInfo,
    st.tuples(st.integers(0, 255), st.integers(0, 255)),
    st.integers(0, 0xFFFF),
    st.booleans(),
    st.booleans(),
    st.integers(0, 3),
    st.binary(max_size=4),
    st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple),
    st.lists(servers, max_size=2).map(tuple),
).map(compose_site)
data = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=40).map(str.encode),
    admins,
    groups,
    keys,
    sites,
    st.builds(lambda whole, cut: whole[: max(0, len(whole) - cut)], st.one_of(admins, groups, keys, sites), st.integers(0, 9)),
)
audiences = st.sampled_from([PUBLIC, PRIVATE, "partners", "grid-2"])
values = st.builds(
    lambda index, kind, data, ttl, absolute, timestamp, asked, links, audience: Value(
        index, kind, data, ttl, absolute, timestamp, derive_permissions(asked, audience), tuple(links), audience
    ),
    st.integers(1, MAX_INDEX),
    st.one_of(
        st.sampled_from(["HS_ADMIN", "hs_vlist", "HS_SITE", "HS_SITE.PREFIX", "HS_PUBKEY", "HS_SECKEY", "URL", "META"]),
        st.text(min_size=1, max_size=10),
    ),
    data,
    UINT32,
    st.booleans(),
    UINT32,
    st.integers(0, 15),
    st.lists(references, max_size=3),
    audiences,
)


@given(values)
def test_a_value_survives_json_with_its_audience(value: Value) -> None:
    text = json.dumps(render_owned_value(value), ensure_ascii=False)
    assert parse_value(json.loads(text), "value", NOW_S) == value


@given(values.filter(lambda value: value.audience in (PUBLIC, PRIVATE)))
def test_the_standard_form_alone_tells_public_from_private(value: Value) -> None:
    text = json.dumps(render_value(value), ensure_ascii=False)
    assert parse_value(json.loads(text), "value", NOW_S) == value
    assert "audience" not in render_value(value)
