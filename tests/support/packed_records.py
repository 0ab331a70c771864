"""Packed records and copies for property tests: of any kind, and damaged ones."""

from hypothesis import strategies as st

from proto.model.record import Record, State
from proto.model.value import Reference, Value, derive_permissions
from proto.packing import pack_foreign, pack_record, show_copy
from proto.wire.handle.value import compose_value

_UINT32 = st.integers(0, 0xFFFF_FFFF)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_TYPES = st.one_of(st.sampled_from(["URL", "TITLE", "HS_ADMIN", "HS_SITE", "hs_pubkey", 'a"\\', "类型"]), _TEXT)
_DATA = st.one_of(
    st.text(max_size=30).map(lambda text: text.encode(errors="replace")),
    st.binary(max_size=30),
    st.binary(min_size=130, max_size=300),
)
_REFERENCES = st.one_of(st.just(()), st.just(()), st.lists(st.builds(Reference, _TEXT, _UINT32), max_size=2).map(tuple))


@st.composite
def values(draw: st.DrawFn) -> Value:
    """A value; most are of the common kind."""
    audience = draw(st.sampled_from(["public", "public", "public", "private", "partners"]))
    permissions = draw(st.sampled_from([0b1110, 0b1110, 0b0110, 0b1111, 0]))
    return Value(
        draw(_UINT32), draw(_TYPES), draw(_DATA), draw(st.one_of(st.just(86_400), _UINT32)),
        ttl_absolute=draw(st.sampled_from([False, False, True])),
        timestamp=draw(st.one_of(st.just(1_700_000_000), _UINT32)),
        permissions=derive_permissions(permissions, audience),
        references=draw(_REFERENCES), audience=audience,
    )  # fmt: skip


@st.composite
def packed_records(draw: st.DrawFn) -> bytes:
    """A packed record of up to some values."""
    identifier, registrant = (
        draw(st.one_of(st.just("88.118.1/aB"), _TEXT)),
        draw(st.one_of(st.just("91411000MA40XCDL1K"), _TEXT)),
    )
    listed = draw(st.lists(values(), max_size=draw(st.sampled_from([2, 3, 3, 8]))))
    aliases = draw(st.one_of(st.just(()), st.lists(_TEXT, max_size=3).map(tuple)))
    version, state = draw(st.integers(1, 2**63)), draw(st.sampled_from([State.ACTIVE, *State]))
    return pack_record(Record(identifier, version, state, tuple(listed), registrant, 1, 2, draw(_TEXT), aliases))


@st.composite
def packed_copies(draw: st.DrawFn) -> bytes:
    """A copy as it is shown, of up to some values; its home may not have told how it writes the identifier."""
    identifier = draw(st.one_of(st.just("88.118.1/aB"), st.just(""), _TEXT))
    listed = draw(st.lists(values(), max_size=draw(st.sampled_from([2, 3, 8]))))
    packed = pack_foreign(identifier, draw(st.integers(0, 2**63)), [*map(compose_value, listed)])
    seconds = st.one_of(st.sampled_from([0, 1, 86_400]), _UINT32)
    return show_copy(packed, draw(seconds), draw(seconds), draw(st.integers(0, 1_000)), draw(seconds))


@st.composite
def damaged_records(draw: st.DrawFn) -> bytes:
    """A packed record in which bytes are others, or that is cut short, or goes on: what no node writes."""
    raw = bytearray(draw(st.one_of(packed_records(), packed_copies())))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.one_of(st.integers(0, min(60, len(raw) - 1)), st.integers(0, len(raw) - 1)))
        raw[place] = draw(st.one_of(st.sampled_from([0, 1, 0x7F, 0xFF]), st.integers(0, 255)))
    cut = draw(st.one_of(st.none(), st.integers(1, len(raw))))
    return bytes(raw[:cut]) + draw(st.sampled_from([b"", b"", b"\x00\x00\x00\x00more"]))


STORED = st.one_of(packed_records(), packed_copies(), damaged_records())
VALUES = (Value(1, "URL", b"https://example.cn/\\"), Value(2, "TITLE", '油 "x"\n'.encode(), timestamp=1_709_164_800))
COPIED = show_copy(pack_foreign("88.118/x", 3, [*map(compose_value, VALUES)]), 40, 60, 300, 40)
PLAIN = pack_record(Record("88.118/x", 3, State.ACTIVE, VALUES, "91411000MA40XCDL1K", 1, 2))
