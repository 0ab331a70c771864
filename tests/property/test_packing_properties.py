"""Whatever may be registered packs and unpacks to itself, and every filter agrees with the plain definition."""

from hypothesis import given
from hypothesis import strategies as st

from proto.model.record import Record, State, check_values
from proto.model.value import PRIVATE, PUBLIC, Reference, Value, type_matches
from proto.packing import PackedRecord, pack_record
from proto.wire.handle.value import compose_value, parse_value

types = st.text(st.characters(categories=["Lu", "Ll", "Nd", "Pd"]), min_size=1, max_size=12)
audiences = st.sampled_from([PUBLIC, PRIVATE, "partners", "city"])
references = st.lists(st.builds(Reference, st.text(max_size=8), st.integers(0, 2**32 - 1)), max_size=3).map(tuple)
values = st.builds(
    Value,
    index=st.integers(1, 50),
    type=types,
    data=st.binary(max_size=60),
    ttl=st.integers(0, 10_000),
    ttl_absolute=st.booleans(),
    timestamp=st.integers(0, 2**32 - 1),
    permissions=st.integers(0, 15),
    references=references,
    audience=audiences,
)
records = st.builds(
    Record,
    identifier=st.text(min_size=1, max_size=20),
    version=st.integers(1, 2**63),
    state=st.sampled_from(State),
    values=st.lists(values, max_size=8, unique_by=lambda value: value.index).map(tuple),
    registrant=st.text(max_size=20),
    created_ms=st.integers(0, 2**60),
    changed_ms=st.integers(0, 2**60),
    template=st.text(max_size=10),
    aliases=st.lists(st.text(min_size=1, max_size=10), max_size=4).map(tuple),
)


@given(values)
def test_a_value_is_itself_after_packing(value: Value) -> None:
    packed = compose_value(value)
    assert parse_value(b"junk" + packed + b"junk", 4, value.audience) == (value, 4 + len(packed))


@given(records)
def test_a_record_is_itself_after_packing(record: Record) -> None:
    check_values(record.values)
    unpacked = PackedRecord(pack_record(record)).unpack()
    assert sorted(unpacked.values, key=lambda value: value.index) == sorted(record.values, key=lambda value: value.index)
    assert (unpacked.identifier, unpacked.version, unpacked.aliases) == (record.identifier, record.version, record.aliases)


@given(records, st.lists(st.integers(1, 50), max_size=4), st.lists(types, max_size=3), st.sampled_from([(), ("partners",)]))
def test_a_selection_is_what_the_filters_say(
    record: Record, indexes: list[int], asked: list[str], groups: tuple[str, ...]
) -> None:
    packed = PackedRecord(pack_record(record))
    chosen, hidden = packed.select(indexes, asked, packed.classes_for(groups))
    matching = [
        value
        for value in record.values
        if not (indexes or asked) or value.index in indexes or any(type_matches(value.type, kind) for kind in asked)
    ]
    readable = {value.index for value in matching if value.audience == PUBLIC or value.audience in groups}
    assert {parse_value(value)[0].index for value in chosen} == readable
    assert hidden == len(matching) - len(readable)
