"""Packed records: what a reader sees in them, and what an answer takes out of them."""

from dataclasses import replace

import pytest

from proto.errors import Reason, Refusal
from proto.limits import MAX_RECORD_BYTES
from proto.model.record import Record, State
from proto.model.value import PRIVATE, Reference, Value
from proto.packing import PackedRecord, alias_target, least_ttl_s, pack_alias, pack_record, version_of
from proto.wire.handle.value import parse_value

URL = Value(1, "URL", b"https://factory.example/1", ttl=300)
TITLE = Value(2, "TITLE", "干式变压器".encode())
NOTE = Value(900, "NOTE", b"for us", permissions=0x0C, audience=PRIVATE)
PRICE = Value(7, "PRICE.CNY", b"1200", permissions=0x0C, audience="partners", references=(Reference("88.118.1001/ADMIN", 300),))
RECORD = Record(
    identifier="88.118.1001/SAMPLE-1",
    version=3,
    state=State.ACTIVE,
    values=(URL, TITLE, PRICE, NOTE),
    registrant="91411000MA40XCDL1K",
    created_ms=1_700_000_000_000,
    changed_ms=1_700_000_000_500,
    template="transformer",
    aliases=("88.118.1001/旧码", "88.382.1/x"),
)


def indexes(values: tuple[bytes, ...]) -> list[int]:
    return [parse_value(packed)[0].index for packed in values]


def test_a_record_comes_back_whole() -> None:
    packed = PackedRecord(pack_record(RECORD))
    assert packed.unpack() == RECORD
    assert (packed.identifier, packed.registrant, packed.template) == (RECORD.identifier, RECORD.registrant, "transformer")
    assert packed.aliases == RECORD.aliases
    assert packed.groups == ("partners",)
    assert version_of(packed.raw) == 3


def test_public_values_come_first_each_class_in_index_order() -> None:
    shuffled = replace(RECORD, values=(NOTE, TITLE, PRICE, URL))
    assert [value.index for value in PackedRecord(pack_record(shuffled)).unpack().values] == [1, 2, 7, 900]


@pytest.mark.parametrize(
    ("asked_indexes", "asked_types", "expected", "hidden"),
    [
        ((), (), [1, 2], 2),
        ((2,), (), [2], 0),
        ((2,), ("url",), [1, 2], 0),
        ((), ("price.",), [], 1),
        ((), ("PRICE",), [], 0),
        ((900,), (), [], 1),
        ((5,), (), [], 0),
    ],
)
def test_filters_select_by_index_or_type(
    asked_indexes: tuple[int, ...], asked_types: tuple[str, ...], expected: list[int], hidden: int
) -> None:
    values, unread = PackedRecord(pack_record(RECORD)).select(asked_indexes, asked_types)
    assert (indexes(values), unread) == (expected, hidden)


def test_a_group_opens_its_values_and_no_others() -> None:
    packed = PackedRecord(pack_record(RECORD))
    values, hidden = packed.select(classes=packed.classes_for(["partners", "strangers"]))
    assert (indexes(values), hidden) == ([1, 2, 7], 1)


def test_no_class_limit_reads_everything() -> None:
    values, hidden = PackedRecord(pack_record(RECORD)).select(classes=None)
    assert (indexes(values), hidden) == ([1, 2, 7, 900], 0)


@pytest.mark.parametrize("hidden", [0, 1, 2])
@pytest.mark.parametrize("public", [0, 1, 30, 31, 32, 33, 2_046])
@pytest.mark.parametrize(("aliases", "template"), [((), ""), (("88.118.1001/alias",), "transformer")])
def test_public_values_are_cut_out_whole_however_many_there_are(
    public: int, hidden: int, aliases: tuple[str, ...], template: str
) -> None:
    shown = tuple(Value(index, f"T{index}", b"x" * (index % 7)) for index in range(1, public + 1))
    kept = tuple(replace(NOTE, index=public + place, audience=audience) for place, audience in ((1, PRIVATE), (2, "partners")))
    record = replace(RECORD, values=(*kept[:hidden], *shown), aliases=aliases, template=template)
    values, unread = PackedRecord(pack_record(record)).select()
    assert tuple(parse_value(packed)[0] for packed in values) == shown
    assert unread == hidden


@pytest.mark.parametrize("state", State)
def test_a_record_tells_its_state(state: State) -> None:
    assert PackedRecord(pack_record(replace(RECORD, state=state))).state is state


def test_a_tombstone_has_no_values() -> None:
    packed = PackedRecord(pack_record(replace(RECORD, state=State.RETIRED, values=(), aliases=())))
    assert packed.state is State.RETIRED
    assert packed.select(classes=None) == ((), 0)


def test_a_record_over_the_limit_is_refused() -> None:
    big = Value(1, "BLOB", bytes(MAX_RECORD_BYTES - 100))
    with pytest.raises(Refusal) as refused:
        pack_record(replace(RECORD, values=(big,)))
    assert refused.value.reason is Reason.RECORD_TOO_LARGE


def test_an_alias_pointer_names_its_record_and_a_record_is_no_pointer() -> None:
    pointer = pack_alias("88.118.1001/sample-1")
    assert alias_target(pointer) == "88.118.1001/sample-1"
    assert alias_target(pack_record(RECORD)) is None
    assert version_of(pointer) == 1


def test_the_least_ttl_counts_absolute_ones_from_now() -> None:
    absolute = replace(TITLE, ttl=1_000_050, ttl_absolute=True)
    # A relative TTL of the same number is another one.
    same = replace(NOTE, audience="public", permissions=0x0E, ttl=1_000_050)
    longer, _ = PackedRecord(pack_record(replace(RECORD, values=(absolute, same)))).select()
    assert (least_ttl_s(longer, now_s=1_000_000, default=9), least_ttl_s(longer, now_s=0, default=9)) == (50, 1_000_050)
    values, _ = PackedRecord(pack_record(replace(RECORD, values=(URL, absolute)))).select()
    assert least_ttl_s(values, now_s=1_000_000, default=9) == 50
    assert least_ttl_s(values, now_s=1_000_100, default=9) == 0
    assert least_ttl_s((), now_s=0, default=9) == 9
