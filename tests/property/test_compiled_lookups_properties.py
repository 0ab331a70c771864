"""What is compiled of look-ups finds, reads and counts what plain Python does."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from proto.keys import record_key
from resolver.tallies import Tallies
from tests.property.test_compiled_properties import homing
from tests.support.packed_records import STORED
from tests.support.ways import both_ways, outcome

NAMES = st.sampled_from(["88.1/a", "88.1/b", "88.1/é", "88.1/c", ""])
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
    st.sampled_from(["88.1/a", "88.1/b", "88.2/a", "88.2/A", "88.119/a", "87.1/a", "10.1/a", "0.na/88.2", "88.1", "99.1/a"]),
    st.text(max_size=6),
)


@given(
    questions=st.lists(st.tuples(ASKED, st.booleans()), max_size=12),
    stored=st.dictionaries(st.sampled_from(["88.1/a", "88.1/b", "88.2/a", "0.NA/88.2"]), STORED, max_size=4),
)
def test_many_are_looked_up_and_counted_the_same(questions: list[tuple[str, bool]], stored: dict[str, bytes]) -> None:
    def looked_up(find: Callable[..., object]) -> object:
        tallies, read = Tallies(), list[list[str]]()

        def records(names: list[str]) -> list[bytes | None]:
            read.append(names)
            return [stored.get(name) for name in names]

        identifiers, wants_private = [each[0] for each in questions], [each[1] for each in questions]
        found = outcome(find, identifiers, wants_private, homing, records, tallies.found, tallies.missed)
        return found, read, tallies.take()

    plain, quick = both_ways("resolver.chain.plain", "find_plainly")
    assert looked_up(quick) == looked_up(plain)


@given(
    question=st.tuples(ASKED, st.booleans()),
    stored=st.dictionaries(st.sampled_from(["88.1/a", "88.1/b", "88.2/a", "0.NA/88.2"]), STORED, max_size=4),
)
def test_one_alone_is_looked_up_and_counted_as_one_of_many(question: tuple[str, bool], stored: dict[str, bytes]) -> None:
    identifier, wants_private = question

    def alone(find: Callable[..., object]) -> object:
        tallies = Tallies()
        return outcome(find, identifier, wants_private, homing, stored.get, tallies.found, tallies.missed), tallies.take()

    def among_many(names: list[str]) -> list[bytes | None]:
        return [*map(stored.get, names)]

    plain, quick = both_ways("resolver.chain.plain", "find_alone")
    came_to = alone(plain)
    assert alone(quick) == came_to
    many, _ = both_ways("resolver.chain.plain", "find_plainly")
    tallies = Tallies()
    found = outcome(many, [identifier], [wants_private], homing, among_many, tallies.found, tallies.missed)
    assert (found[0][0] if isinstance(found, tuple) and isinstance(found[0], list) else found, tallies.take()) == came_to
