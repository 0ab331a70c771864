"""What is compiled says what plain Python says, byte for byte, also of what no node writes and no client should send."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proto import compiled
from proto.errors import Reason, Refusal
from proto.model.identifier import SuffixRule
from proto.model.prefix import Delegation, Prefix, PrefixState
from proto.wire.http2.frames import HEAD
from tests.support.packed_records import COPIED, PLAIN, STORED
from tests.support.ways import both_ways, outcome

NOW_S = st.one_of(st.just(1_700_000_000), st.integers(0, 2**33))
ROUTES = (b"/api/handles/", b"/api/v1/resolve/")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("proto.packed_messages", "compose_public_response"),
        ("proto.packed_messages", "compose_public_result"),
        ("resolver.listeners.http.public_replies", "render_handle"),
        ("resolver.listeners.http.public_replies", "render_resolution"),
    ],
)
@given(raw=STORED, asked=st.one_of(st.text(max_size=200), st.just("88.118.1/\ud800")), now_s=NOW_S)
# Two faults: which of them is named is the plain way's to say.
@example(raw=PLAIN.replace(b"91411", b"\xff1411").replace(b"TITLE", b"\xb1ITLE"), asked="", now_s=1_700_000_000)
def test_a_record_is_written_the_same(module: str, name: str, raw: bytes, asked: str, now_s: int) -> None:
    plain, quick = both_ways(module, name)
    assert outcome(quick, raw, asked, now_s) == outcome(plain, raw, asked, now_s)


@given(raw=st.one_of(STORED, st.binary(max_size=50)), wants_private=st.booleans())
def test_a_record_shows_the_same(raw: bytes, wants_private: bool) -> None:
    plain, quick = both_ways("proto.packing", "shows_all")
    assert outcome(quick, raw, wants_private) == outcome(plain, raw, wants_private)


@given(st.one_of(STORED, st.binary(max_size=50)))
def test_a_ttl_that_ends_at_a_certain_second_is_seen_the_same(raw: bytes) -> None:
    plain, quick = both_ways("proto.packing", "has_absolute_ttl")
    assert outcome(quick, raw) == outcome(plain, raw)


TARGETS = st.one_of(
    st.text("aZ09-._~!$&'()*+,;=:@/?%", max_size=30),
    st.text(max_size=20),
    st.sampled_from(["%E6%B2%B9", "%e6%b2", "%ff", "a%2Fb%25", "%", "%4", "%zz", "?", "a?", "a?b=c", "\x00", "é"]),
)


@given(
    method=st.sampled_from(["GET ", "HEAD ", "GET", "POST ", "get ", " GET "]),
    route=st.sampled_from(["/api/handles/", "/api/v1/resolve/", "/api/handles", "/", "", "/api/v1/%72esolve/"]),
    targets=st.lists(TARGETS, max_size=3),
    version=st.sampled_from([" HTTP/1.1", " HTTP/1.1", " HTTP/1.1", " HTTP/1.0", "  HTTP/1.1", "", " HTTP/1.1 "]),
)
def test_a_request_line_asks_for_the_same(method: str, route: str, targets: list[str], version: str) -> None:
    plain, quick = both_ways("proto.wire.http.plain", "parse_name")
    line = f"{method}{route}{''.join(targets)}{version}".encode("latin-1", "replace")
    assert outcome(quick, line, ROUTES) == outcome(plain, line, ROUTES)


@pytest.mark.parametrize("size", [4_095, 4_096, 4_097, 5_000])
def test_a_long_request_line_asks_for_the_same(size: int) -> None:
    plain, quick = both_ways("proto.wire.http.plain", "parse_name")
    line = b"GET /api/handles/88.118/".ljust(size - 9, b"x") + b" HTTP/1.1"
    assert (quick(line, ROUTES) is None) == (size > 4_096)
    assert quick(line, ROUTES) == plain(line, ROUTES)


@given(line=st.binary(max_size=60))
def test_garbage_asks_for_nothing(line: bytes) -> None:
    plain, quick = both_ways("proto.wire.http.plain", "parse_name")
    assert outcome(quick, line, ROUTES) is outcome(plain, line, ROUTES) is None


def homing(name: str) -> Prefix | None:
    """Prefixes of every kind, by how they begin; some that cannot be asked for now."""
    if name.startswith("99"):
        raise Refusal(Reason.NOT_READY, "not now")
    state = PrefixState.SUSPENDED if name.startswith("88.119") else PrefixState.APPROVED
    rule = SuffixRule.EXACT if name.startswith("88.1") else SuffixRule.FOLD_ASCII
    delegation = Delegation((), "") if name.startswith("87") else None
    return None if name.startswith("10") else Prefix(name, "", state, rule, 1, 1, 1, delegation=delegation)


PREFIXES = st.one_of(
    st.sampled_from(
        [
            "88.118",
            "88.2.Ab-c_d",
            "0.NA",
            "0.na",
            "88.119",
            "87.1",
            "10.1",
            "99.1",
            "",
            "88..1",
            ".88",
            "88.",
            "8" * 64,
            "8" * 65,
        ]
    ),
    st.text("aZ0-_.", max_size=70),
    st.text(max_size=6),
)
SUFFIXES = st.one_of(
    st.text("aZ09./ ~", max_size=12), st.text(max_size=8), st.text("\x1f\x7f\x00/", max_size=2), st.just("x" * 2_050)
)


@given(prefix=PREFIXES, slash=st.sampled_from(["/", "/", "/", ""]), suffix=SUFFIXES)
@example("88.118", "/", "x" * 2_041)
@example("88.118", "/", "x" * 2_042)
@example("88.118", "/", "é" * 1_021)
@example("88.118", "/", "\ud800")
def test_an_identifier_is_stored_under_the_same(prefix: str, slash: str, suffix: str) -> None:
    plain, quick = both_ways("resolver.service", "stored_under")
    identifier = prefix + slash + suffix
    assert outcome(quick, identifier, homing) == outcome(plain, identifier, homing)


@given(st.lists(st.one_of(st.binary(max_size=5), st.binary(min_size=126, max_size=130)), max_size=6))
def test_results_are_joined_the_same(results: list[bytes]) -> None:
    plain, quick = both_ways("proto.packed_messages", "join_results")
    assert quick(results) == plain(results)


@given(
    st.lists(st.tuples(st.one_of(STORED, st.sampled_from([b"", b"", None])), st.text(max_size=20)), max_size=5),
    NOW_S,
    st.binary(max_size=140),
)
def test_the_results_of_a_batch_are_the_same(batch: list[tuple[bytes | None, str]], now_s: int, absent: bytes) -> None:
    plain, quick = both_ways("proto.packed_messages", "compose_public_results")
    records, asked = [each[0] for each in batch], [each[1] for each in batch]
    assert outcome(quick, records, asked, now_s, absent) == outcome(plain, records, asked, now_s, absent)


FRAME_HEADS = st.builds(
    lambda size, kind, flags, number: HEAD.pack(size >> 8, size & 0xFF, kind, flags, number),
    st.sampled_from([0, 1, 3, 3, 16_384, 16_385, 2**24 - 1]), st.sampled_from([0, 1, 1, 4]), st.sampled_from([0, 1, 4, 4, 5]),
    st.sampled_from([1, 1, 3, 2**31 + 1]),
)  # fmt: skip


@given(st.lists(st.one_of(FRAME_HEADS, st.binary(max_size=4), st.just(b"abc")), max_size=5).map(b"".join), st.integers(0, 12))
@example(HEAD.pack(0, 3, 1, 4, 1) + b"abc" + HEAD.pack(0, 2, 0, 1, 1) + b"de" + b"more", 0)
@example(HEAD.pack(64, 1, 1, 4, 1) + b"x" * 16_385 + HEAD.pack(0, 2, 0, 1, 1) + b"de", 0)
@example(HEAD.pack(64, 0, 1, 4, 1) + b"x" * 16_384 + HEAD.pack(64, 0, 0, 1, 1) + b"y" * 16_384, 0)
@example(HEAD.pack(64, 0, 1, 4, 1) + b"x" * 16_384 + HEAD.pack(64, 1, 0, 1, 1) + b"y" * 16_385, 0)
def test_the_same_is_a_whole_call(data: bytes, at: int) -> None:
    plain, quick = both_ways("proto.wire.http2.frames", "read_call")
    assert outcome(quick, data, at) == outcome(plain, data, at)


@given(st.binary(max_size=30), st.integers(-20, 30))
@example(HEAD.pack(64, 3, 1, 4, 0xFFFF_FFFF), 0)
def test_a_head_of_a_frame_is_read_the_same(data: bytes, at: int) -> None:
    plain, quick = both_ways("proto.wire.http2.frames", "read_head")
    assert outcome(quick, data, at) == outcome(plain, data, at)


@given(
    st.binary(max_size=300),
    st.one_of(st.binary(max_size=300), st.just(b"x" * 70_000)),
    st.binary(max_size=300),
    st.integers(0, 200),
)
def test_an_answer_has_the_same_frames(head: bytes, data: bytes, trailers: bytes, tail_bytes: int) -> None:
    plain, quick = both_ways("proto.wire.http2.frames", "compose_answer")
    assert outcome(quick, head, data, trailers, tail_bytes) == outcome(plain, head, data, trailers, tail_bytes)


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("proto.packed_messages", "compose_public_response", (PLAIN, "88.118/x", 5)),
        ("proto.packed_messages", "compose_public_result", (PLAIN, "88.118/x", 5)),
        ("resolver.listeners.http.public_replies", "render_handle", (PLAIN, "88.118/x", 5)),
        ("resolver.listeners.http.public_replies", "render_resolution", (PLAIN, "88.118/x", 5)),
        ("proto.wire.http.plain", "parse_name", (b"GET /api/handles/88.1/%E6%B2%B9 HTTP/1.1", ROUTES)),
        ("proto.packed_messages", "compose_public_response", (COPIED, "88.118/x", 5)),
        ("resolver.listeners.http.public_replies", "render_handle", (COPIED, "88.118/x", 5)),
        ("resolver.listeners.http.public_replies", "render_resolution", (COPIED, "88.118/x", 5)),
        ("proto.packing", "show_copy", (COPIED, 1, 2, 3, 4)),
        ("proto.packing", "shows_all", (PLAIN, False)),
        ("resolver.service", "stored_under", ("88.2/aB", homing)),
        ("proto.wire.http2.frames", "compose_answer", (b"a", b"b", b"c", 33)),
    ],
)
def test_the_common_case_needs_no_plain_python(
    module: str, name: str, arguments: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, quick = both_ways(module, name)
    monkeypatch.setattr(compiled, "_pure", {})
    assert quick(*arguments)
