"""What is compiled of look-ups finds, reads and counts what plain Python does."""

from collections import OrderedDict
from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st

from proto.keys import record_key
from proto.model.value import Value
from resolver.tallies import Tallies
from resolver.upstream.copies import Copy, Kind, copy_of
from tests.property.test_compiled_properties import homing
from tests.support.foreign_node import packed
from tests.support.packed_records import PLAIN, STORED, packed_copies
from tests.support.reader import NOW_MS
from tests.support.ways import both_ways, outcome

NAMES = st.sampled_from(["88.1/a", "88.1/b", "88.1/é", "88.1/c", ""])
SECONDS = st.one_of(st.integers(-1, 3), st.integers(0, 2**32 - 1), st.just(2**32))
LAYERS = st.lists(st.dictionaries(NAMES.map(record_key), st.sampled_from([b"", b"one", b"two"])), max_size=3).map(tuple)


@given(
    names=st.lists(st.one_of(NAMES, st.just("88.1/\ud800")), max_size=6),
    layers=LAYERS,
    below=st.dictionaries(NAMES.map(record_key), st.just(b"x")),
)
def test_the_same_is_found_in_the_overlay_or_below(
    names: list[str], layers: tuple[dict[bytes, bytes], ...], below: dict[bytes, bytes]
) -> None:
    plain, quick = both_ways("resolver.view.layers", "find_records")
    asked: list[list[bytes]] = []

    def get_many(keys: list[bytes]) -> list[bytes | None]:
        asked.append(keys)
        return [below.get(key) for key in keys]

    assert outcome(quick, names, layers, get_many) == outcome(plain, names, layers, get_many)
    assert asked[::2] == asked[1::2]
    plain_one, quick_one = both_ways("resolver.view.layers", "find_record")
    for name in names:
        assert outcome(quick_one, name, layers, below.get) == outcome(plain_one, name, layers, below.get)


ASKED = st.one_of(
    st.sampled_from(
        [
            "88.1/a", "88.1/b", "88.2/a", "88.2/A", "88.119/a", "87.1/a", "10.1/a", "10.1/A", "10.x/a", "10.X/a", "0.na/88.2",
            "88.1", "0.NA/10.1", "10.1", "99.1/a", "10.1/é",
        ]
    ),
    st.text(max_size=6),
)  # fmt: skip
STORES = st.dictionaries(st.sampled_from(["88.1/a", "88.1/b", "88.2/a", "0.NA/88.2"]), STORED, max_size=4)
COPIES = st.dictionaries(st.sampled_from(["10.1/a", "10.1/A", "10.x/a", "0.na/10.1", "10.1/é"]), packed_copies(), max_size=4)


@given(questions=st.lists(st.tuples(ASKED, st.booleans(), st.booleans()), max_size=12), stored=STORES, copies=COPIES)
def test_many_are_looked_up_and_counted_the_same(
    questions: list[tuple[str, bool, bool]], stored: dict[str, bytes], copies: dict[str, bytes]
) -> None:
    def looked_up(find: Callable[..., object]) -> object:
        tallies, read = Tallies(), list[list[str]]()

        def records(names: list[str]) -> list[bytes | None]:
            read.append(names)
            return [stored.get(name) for name in names]

        def copied(names: list[str]) -> list[bytes | None]:
            read.append(names)
            return [copies.get(name) for name in names]

        asked = [[each[place] for each in questions] for place in range(3)]
        return outcome(find, *asked, homing, records, copied, tallies.found, tallies.missed), read, tallies.take()

    plain, quick = both_ways("resolver.chain.plain", "find_plainly")
    assert looked_up(quick) == looked_up(plain)


@given(question=st.tuples(ASKED, st.booleans(), st.booleans()), stored=STORES, copies=COPIES)
def test_one_alone_is_looked_up_and_counted_as_one_of_many(
    question: tuple[str, bool, bool], stored: dict[str, bytes], copies: dict[str, bytes]
) -> None:
    def records(names: list[str]) -> list[bytes | None]:
        return [*map(stored.get, names)]

    def copied(names: list[str]) -> list[bytes | None]:
        return [*map(copies.get, names)]

    def alone(find: Callable[..., object]) -> object:
        tallies = Tallies()
        return outcome(find, *question, homing, stored.get, copied, tallies.found, tallies.missed), tallies.take()

    plain, quick = both_ways("resolver.chain.plain", "find_alone")
    came_to = alone(plain)
    assert alone(quick) == came_to
    many, _ = both_ways("resolver.chain.plain", "find_plainly")
    tallies = Tallies()
    found = outcome(many, *([each] for each in question), homing, records, copied, tallies.found, tallies.missed)
    assert (found[0][0] if isinstance(found, tuple) and isinstance(found[0], list) else found, tallies.take()) == came_to


@given(packed=STORED, told=st.tuples(SECONDS, SECONDS, st.integers(-1, 2**40), SECONDS))
@example(PLAIN, (1, 2, 3, 4))
def test_a_copy_is_shown_the_same(packed: bytes, told: tuple[int, int, int, int]) -> None:
    plain, quick = both_ways("proto.packing", "show_copy")
    assert outcome(quick, packed, *told) == outcome(plain, packed, *told)


MOMENTS = st.integers(-2_500, 2_500).map(lambda passed_ms: NOW_MS + passed_ms)
KINDS = st.sampled_from([Kind.FOUND, Kind.FOUND, Kind.FOUND, *Kind])
SPELLINGS = st.sampled_from(["", "10.1/a", "10.1/A", "10.1/é", "10.X/a", "10.1/ab"])
VALUES = st.lists(st.builds(Value, st.integers(1, 9), st.just("URL"), st.binary(max_size=9), st.integers(0, 5)), max_size=3)


@given(
    copies=st.dictionaries(
        st.sampled_from(["10.1/a", "10.1/A", "10.x/a", "10.1/é"]),
        st.builds(
            copy_of, KINDS, MOMENTS, MOMENTS, MOMENTS, SPELLINGS, st.integers(0, 9), VALUES.map(lambda values: packed(*values)),
            st.sampled_from(["", "", "88.1/b"]), st.sampled_from([False, False, True]),
        ),
    ),
    names=st.lists(st.sampled_from(["10.1/a", "10.1/A", "10.x/a", "10.1/é", "10.1/none"]), max_size=5), now_ms=MOMENTS,
)  # fmt: skip
def test_the_copies_of_a_turn_are_shown_the_same(copies: dict[str, Copy], names: list[str], now_ms: int) -> None:
    def shown(show: Callable[..., object]) -> object:
        shelf = OrderedDict(copies)
        return outcome(show, names, shelf, now_ms), [*shelf]

    plain, quick = both_ways("resolver.upstream.copies", "show_each")
    assert shown(quick) == shown(plain)
