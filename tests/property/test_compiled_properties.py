"""What is compiled says what plain Python says, byte for byte, also of what no node writes and no client should send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.packing import PackedRecord
from tests.support.packed_records import damaged_records, packed_records
from tests.support.ways import both_ways, outcome

NOW_S = st.one_of(st.just(1_700_000_000), st.integers(0, 2**33))


@pytest.mark.parametrize("name", ["compose_public_response", "compose_public_result"])
@given(raw=st.one_of(packed_records(), damaged_records()), asked=st.text(max_size=200), now_s=NOW_S)
def test_a_record_makes_the_same_message(name: str, raw: bytes, asked: str, now_s: int) -> None:
    plain, quick = both_ways("proto.packed_messages", name)
    record = outcome(PackedRecord, raw)
    if isinstance(record, PackedRecord):
        assert outcome(quick, record, asked, now_s) == outcome(plain, record, asked, now_s)
