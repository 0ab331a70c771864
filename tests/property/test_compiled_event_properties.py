"""The compiled way of a row into an event says what plain Python says, also of what no registry gives."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from adapters.city.core.members import Member
from adapters.city.core.selection import Selection, Share
from adapters.city.core.shape import Shape
from proto.model.feed import FeedKind
from tests.support.rows import noun_row, record_row, value
from tests.support.ways import both_ways, outcome

TEXTS = st.one_of(st.sampled_from(["", "URL", "油", '"\\\n', "\u2028", "\ud800"]), st.text(max_size=5))
VALUES = st.builds(
    value, st.integers(0, 2**40), TEXTS, TEXTS, st.sampled_from(["public", "public", "private", "dealers", "none", ""])
)
RECORDS = st.builds(
    lambda name, values, **more: record_row(name, *values, **more),
    st.one_of(st.just("88.118.1001/A"), TEXTS),
    st.lists(VALUES, max_size=4),
    version=st.one_of(st.integers(1, 3), st.integers(2**62, 2**66)),
    state=st.sampled_from(["active", "active", "suspended", "retired"]),
    template=st.sampled_from(["", "t"]),
)
ROWS = st.one_of(RECORDS, RECORDS, st.builds(noun_row, st.sampled_from(["prefix", "registrant", "account"]), TEXTS))
SELECTIONS = st.one_of(
    st.builds(Selection, share=st.sets(st.sampled_from(list(Share))).map(frozenset)),
    st.builds(
        Selection,
        kinds=st.sets(st.sampled_from(FeedKind)).map(frozenset),
        prefixes=st.sampled_from([(), ("88.118",), ("99",)]),
        registrants=st.sampled_from([frozenset(), frozenset({"R-1"}), frozenset({"R-2"})]),
        templates=st.sampled_from([frozenset(), frozenset({"t"})]),
        types=st.sampled_from([(), ("URL",)]),
        states=st.sampled_from([frozenset(), frozenset({"active"})]),
    ),
)
SHAPES = st.sampled_from([Shape(), Shape(), Shape(("registrant",)), Shape(members=(Member("maker", "registrant"),))])
ODD = st.one_of(st.none(), st.integers(), st.just([]), st.just([None]), st.just([[]]), st.just({}), st.just("x"), st.just([{}]))


def places_of(document: Any) -> list[tuple[Any, Any]]:
    """Every member and element within a document: what it is in, and under which name or number."""
    if isinstance(document, dict):
        named: list[tuple[Any, Any]] = [(document, name) for name in document]
    else:
        named = [(document, place) for place in range(len(document))] if isinstance(document, list) else []
    return [*named, *(place for within, name in named for place in places_of(within[name]))]


@given(row=ROWS, selection=SELECTIONS, shape=SHAPES, repair=st.sampled_from(["", "", "again"]))
def test_an_event_is_the_same(row: dict[str, Any], selection: Selection, shape: Shape, repair: str) -> None:
    plain, quick = both_ways("adapters.city.core.event", "event_of")
    assert outcome(quick, row, selection, shape, repair) == outcome(plain, row, selection, shape, repair)


@given(row=RECORDS, selection=SELECTIONS, odd=ODD, data=st.data())
def test_an_event_of_an_odd_row_is_the_same(row: dict[str, Any], selection: Selection, odd: Any, data: st.DataObject) -> None:
    plain, quick = both_ways("adapters.city.core.event", "event_of")
    within, name = data.draw(st.sampled_from(places_of(row)))
    if data.draw(st.booleans()):
        within[name] = odd
    else:
        del within[name]
    assert outcome(quick, row, selection, Shape()) == outcome(plain, row, selection, Shape())
