"""Whatever a system answers and whenever a feed is killed: at least once, in order, nothing lost, nothing older after newer."""

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.city.core.backlog import Backlog, Entry
from adapters.city.core.event import Event
from adapters.city.core.receipt import Receipt, Verdict, letters_settled, settle

NAMES = "abc"
VERDICTS = st.sampled_from(list(Verdict))


@st.composite
def streams(draw: st.DrawFn) -> list[list[Event]]:
    """Changes, each with some events; of each thing the versions go up."""
    versions = dict.fromkeys(NAMES, 0)
    changes = []
    for names in draw(st.lists(st.lists(st.sampled_from(NAMES), max_size=4, unique=True), max_size=12)):
        change = []
        for name in names:
            versions[name] += 1
            change.append(Event(f"{name}@{versions[name]}", ("record", name), versions[name], b"x" * 10))
        changes.append(change)
    return changes


class System:
    """It keeps what it takes, in the order in which it does."""

    def __init__(self) -> None:
        self.told: list[Event] = []

    def newest(self) -> dict[str, int]:
        newest: dict[str, int] = {}
        for event in self.told:
            newest[event.key[1]] = max(event.version, newest.get(event.key[1], 0))
        return newest


@settings(max_examples=60)
@given(streams(), st.data())
def test_a_feed_tells_everything_in_order_over_all_its_lives(stream: list[list[Event]], data: st.DataObject) -> None:
    system, committed = System(), "0"
    kept: dict[tuple[str, str], int] = {}
    for life in range(4):
        backlog, letters = Backlog(committed), dict(kept)
        for place, change in enumerate(stream[int(committed) :], int(committed) + 1):
            backlog.add([Entry(event, str(place - 1)) for event in change], str(place))
        told_in_this_life: list[Event] = []
        # The last life meets a system that takes everything.
        patience = 50 if life == 3 else data.draw(st.integers(0, 8))
        while backlog and patience:
            patience -= 1
            batch = backlog.first(data.draw(st.integers(1, 5)), 1_000)
            if life == 3:
                receipt = Receipt(Verdict.DELIVERED)
            else:
                single = {entry.event.id: data.draw(VERDICTS) for entry in batch}
                receipt = Receipt(data.draw(VERDICTS), single=single if data.draw(st.booleans()) else {})
            settlement = settle(batch, receipt)
            told_in_this_life += [entry.event for entry in settlement.delivered]
            system.told += [entry.event for entry in settlement.delivered]
            for key in letters_settled(letters, settlement.delivered):
                del letters[key]
            for entry in settlement.refused:
                letters[entry.event.key] = max(entry.event.version, letters.get(entry.event.key, 0))
            parts = (settlement.delivered, settlement.refused, settlement.superseded, settlement.left)
            assert sorted(id(entry) for part in parts for entry in part) == sorted(map(id, batch))
            backlog.settle([*settlement.delivered, *settlement.refused, *settlement.superseded])
            if life == 3 or data.draw(st.booleans()):
                committed, kept = backlog.cursor, dict(letters)
        for name in NAMES:
            versions = [event.version for event in told_in_this_life if event.key[1] == name]
            assert versions == sorted(versions)
    # Changes at the end without any event need no commit.
    committed = str(len(stream)) if not any(stream[int(committed) :]) else committed
    assert committed == str(len(stream))
    newest = {event.key[1]: event.version for change in stream for event in change}
    known = system.newest()
    for name, version in newest.items():
        assert known.get(name) == version or kept.get(("record", name)) == version
