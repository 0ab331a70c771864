"""Any identifier arrives through a path, however much of it a client chooses to escape."""

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from proto.wire.http.target import decode_part, parse_target
from resolver.listeners.http.lookups import HANDLES

identifiers = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
# What may stand in a path unescaped; `?`, `#` and `%` never.
unescaped = st.sets(st.sampled_from("/:@!$&'()*+,;=[]|^{}\\\"<>` "))


@given(identifiers, unescaped, st.booleans())
def test_an_identifier_survives_its_way_through_a_path(identifier: str, safe: set[str], has_query: bool) -> None:
    raw = f"{HANDLES}{quote(identifier, safe=''.join(safe))}" + ("?type=a%2Fb?c" if has_query else "")
    target = parse_target(raw)
    assert target.path.startswith(HANDLES)
    assert decode_part(target.path.removeprefix(HANDLES), "identifier") == identifier
    assert target.parameters() == ([("type", "a/b?c")] if has_query else [])
