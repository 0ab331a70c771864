"""The compiled way of a change's rows into a page says what plain Python says, also of damaged payloads."""

from hypothesis import given
from hypothesis import strategies as st

from proto.model.account import Caller, GroupGrant, Role
from proto.model.change import Row, Table
from proto.stream import compose_payload
from registry.policy.sight import Sights
from tests.support.packed_records import damaged_records, packed_records
from tests.support.ways import both_ways, outcome

STORED = st.one_of(packed_records(), damaged_records())
_NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ROWS = st.builds(
    Row,
    st.sampled_from([*[Table.RECORD] * 8, *Table]),
    st.one_of(st.just("88.118.1/ab"), _NAMES),
    st.one_of(STORED, st.just(b"")),
    st.integers(0, 2**63 - 1),
    st.one_of(st.just(0), st.integers(0, 2**63 - 1)),
    st.integers(0, 3),
    st.integers(0, 3),
)
CALLERS = st.sampled_from([
    Caller("city", Role.CITY),
    Caller("feeds", Role.CITY, groups=(GroupGrant("91411000MA40XCDL1K", "partners"),)),
    Caller("operator", Role.OPERATOR),
    Caller("owner", Role.REGISTRANT, "91411000MA40XCDL1K"),
])  # fmt: skip


@given(rows=st.lists(ROWS, max_size=3), caller=CALLERS, below=st.sampled_from(["", "", "88.118"]))
def test_rows_of_a_change_are_written_the_same(rows: list[Row], caller: Caller, below: str) -> None:
    plain, quick = both_ways("registry.doors.rest.packed_changes", "render_rows")
    payload = compose_payload(rows)
    assert outcome(quick, payload, Sights(caller), below) == outcome(plain, payload, Sights(caller), below)


@given(rows=st.lists(ROWS, min_size=1, max_size=2), caller=CALLERS, data=st.data())
def test_a_damaged_payload_comes_to_the_same(rows: list[Row], caller: Caller, data: st.DataObject) -> None:
    plain, quick = both_ways("registry.doors.rest.packed_changes", "render_rows")
    payload = bytearray(compose_payload(rows))
    place = data.draw(st.integers(0, min(len(payload), 60) - 1))
    payload[place] = data.draw(st.one_of(st.sampled_from([0, 1, 0x0A, 0x1A, 0x7F, 0x80, 0xFF]), st.integers(0, 255)))
    torn = bytes(payload[: data.draw(st.one_of(st.none(), st.integers(0, len(payload))))])
    assert outcome(quick, torn, Sights(caller), "") == outcome(plain, torn, Sights(caller), "")
