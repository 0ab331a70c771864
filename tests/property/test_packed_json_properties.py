"""A packed value as JSON text is the text of its document, whatever is in it."""

from hypothesis import example, given
from hypothesis import strategies as st

from proto.handle_json import compose_compact, render_packed, render_value
from proto.model.value import Reference, Value
from proto.wire.handle.value import compose_value

uint32 = st.integers(0, 0xFFFF_FFFF)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
kinds = st.one_of(st.sampled_from(["URL", "HS_ADMIN", "hs_vlist", "HS_SITE.6", "HS_PUBKEY", "类型", 'a"b\\']), text)
datas = st.one_of(text.map(str.encode), st.binary(max_size=40))
references = st.lists(st.builds(Reference, text, uint32), max_size=2).map(tuple)


@given(
    st.builds(
        Value,
        index=uint32,
        type=kinds,
        data=datas,
        ttl=uint32,
        ttl_absolute=st.booleans(),
        timestamp=st.integers(1, 0xFFFF_FFFF),
        permissions=st.one_of(st.just(0b1110), st.integers(0, 15)),
        references=st.one_of(st.just(()), references),
    )
)
@example(Value(1, "URL", b"", timestamp=1))
@example(Value(1, "NOTE", 'quote " backslash \\ \u2028 \x7f \t\n'.encode(), timestamp=1))
@example(Value(1, "NOTE", b"\x00", timestamp=1))
@example(Value(1, "NOTE", b"\xff", timestamp=1))
def test_the_short_way_writes_what_the_long_way_writes(value: Value) -> None:
    assert render_packed(compose_value(value)) == compose_compact(render_value(value))
