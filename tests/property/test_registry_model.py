"""Random commands against the registry and against a model of a page: both must agree after every one of them.

The model keeps what is registered in a dictionary and knows the rules of the registry and nothing of its making. After each
command the outcome, every record, every alias and the sequence of changes are compared; at the end the stream is replayed.
"""

from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proto.errors import Reason, Refusal
from proto.model.change import START, Table
from proto.model.record import State
from proto.model.value import Value
from proto.packing import PackedRecord, alias_target
from proto.stream import parse_payload
from registry.service.execute import Written
from registry.service.patch import Patch
from registry.service.plan import ABSENT, Draft, Outcome
from registry.service.register import Mode
from tests.support.world import World, context, holder

Result = TypeVar("Result")

SUFFIXES = ("a", "b", "c", "d")
name = st.sampled_from(SUFFIXES)
values = st.dictionaries(st.integers(1, 3), st.sampled_from(["x", "y"]), max_size=3)
aliases = st.lists(st.sampled_from((*SUFFIXES, "e", "f")), max_size=2, unique=True)
expected = st.one_of(st.none(), st.integers(ABSENT, 3))


def full(suffix: str) -> str:
    return f"88.118.1001/{suffix}"


def made(contents: dict[int, str]) -> tuple[Value, ...]:
    return tuple(Value(index, "T", text.encode()) for index, text in contents.items())


@dataclass
class Thing:
    """What the model knows of one identifier."""

    version: int = 1
    state: State = State.ACTIVE
    values: dict[int, str] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)


class RegistryMachine(RuleBasedStateMachine):
    """The registry beside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.run(self.world.furnish())
        self.things: dict[str, Thing] = {}
        self.keys: dict[str, Any] = {}

    def run(self, doing: Coroutine[Any, Any, Result]) -> Result:
        """The store in memory never waits: a coroutine runs to its end at once."""
        try:
            doing.send(None)
        except StopIteration as done:
            result: Result = done.value
            return result
        raise AssertionError("it waited")

    def attempt(self, doing: Coroutine[Any, Any, Written]) -> Written | Reason:
        try:
            return self.run(doing)
        except Refusal as refusal:
            return refusal.reason

    # The model

    def owner(self, alias: str) -> str | None:
        return next((suffix for suffix, thing in self.things.items() if alias in thing.aliases), None)

    def judge(
        self, suffix: str, contents: dict[int, str], listed: list[str], version: int | None
    ) -> tuple[Outcome | Reason, Thing]:
        """What a registration should come to, and the thing after it."""
        thing = self.things.get(suffix)
        after = Thing(1, State.ACTIVE, dict(contents), list(listed))
        if self.owner(suffix) is not None:
            return Reason.ALIAS_TAKEN, after
        if thing is not None and thing.state is State.RETIRED:
            return Reason.RETIRED, after
        if version is not None and version != (thing.version if thing else ABSENT):
            return Reason.VERSION_CONFLICT, after
        if thing is not None and (thing.values, thing.aliases) == (after.values, after.aliases):
            return Outcome.UNCHANGED, thing
        for alias in listed:
            if thing is not None and alias in thing.aliases:
                continue
            if alias == suffix:
                return Reason.INVALID_ARGUMENT, after
            if alias in self.things or self.owner(alias) is not None:
                return Reason.ALIAS_TAKEN, after
        if thing is None:
            return Outcome.CREATED, after
        return Outcome.REPLACED, replace(after, version=thing.version + 1, state=thing.state)

    # The commands

    @rule(suffix=name, contents=values, listed=aliases, version=expected)
    def register(self, suffix: str, contents: dict[int, str], listed: list[str], version: int | None) -> None:
        draft = Draft(full(suffix), made(contents), aliases=tuple(map(full, listed)), expected_version=version)
        wanted, after = self.judge(suffix, contents, listed, version)
        self.compare(suffix, self.attempt(self.world.registry.register(context(holder()), draft)), wanted, after)

    @rule(suffix=name, contents=values, removed=st.lists(st.integers(1, 3), max_size=2, unique=True), version=expected)
    def patch(self, suffix: str, contents: dict[int, str], removed: list[int], version: int | None) -> None:
        contents = {index: text for index, text in contents.items() if index not in removed}
        done = self.attempt(
            self.world.registry.patch(context(holder()), full(suffix), Patch(made(contents), tuple(removed)), version)
        )
        hindered = self.hindrance(suffix, version)
        if hindered is not None:
            assert done is hindered
            return
        thing = self.things[suffix]
        merged = {index: text for index, text in {**thing.values, **contents}.items() if index not in removed}
        wanted, after = self.judge(suffix, merged, thing.aliases, None)
        self.compare(suffix, done, wanted, after)

    @rule(suffix=name, state=st.sampled_from(State), version=expected)
    def move(self, suffix: str, state: State, version: int | None) -> None:
        registry = self.world.registry
        verb = {State.RETIRED: registry.retire, State.SUSPENDED: registry.suspend, State.ACTIVE: registry.resume}[state]
        done = self.attempt(verb(context(holder()), full(suffix), version))
        hindered = self.hindrance(suffix, version)
        if hindered is not None:
            assert done is hindered
            return
        thing = self.things[suffix]
        if thing.state is state:
            self.compare(suffix, done, Outcome.UNCHANGED, thing)
            return
        kept = {} if state is State.RETIRED else thing.values
        self.compare(suffix, done, Outcome.REPLACED, replace(thing, version=thing.version + 1, state=state, values=kept))

    @rule(
        rows=st.lists(st.tuples(name, values), min_size=1, max_size=3, unique_by=lambda row: row[0]), mode=st.sampled_from(Mode)
    )
    def batch(self, rows: list[tuple[str, dict[int, str]]], mode: Mode) -> None:
        drafts = [Draft(full(suffix), made(contents)) for suffix, contents in rows]
        judged = {suffix: self.judge(suffix, contents, [], None) for suffix, contents in rows}
        done = self.attempt(self.world.registry.register_batch(context(holder()), drafts, mode))
        refused = [wanted for wanted, _ in judged.values() if isinstance(wanted, Reason)]
        if mode is Mode.ATOMIC and refused:
            assert done is refused[0]
            return
        assert isinstance(done, Written)
        assert [each.reason or each.outcome for each in done.outcomes] == [wanted for wanted, _ in judged.values()]
        if mode is not Mode.REHEARSAL:
            self.things |= {suffix: after for suffix, (wanted, after) in judged.items() if isinstance(wanted, Outcome)}

    @rule(key=st.sampled_from(["k1", "k2"]), suffix=name, contents=values)
    def register_with_key(self, key: str, suffix: str, contents: dict[int, str]) -> None:
        draft, request = Draft(full(suffix), made(contents)), (suffix, tuple(sorted(contents.items())))
        wanted, after = self.judge(suffix, contents, [], None)
        done = self.attempt(self.world.registry.register(context(holder(), key, repr(request).encode()), draft))
        if key not in self.keys:
            self.keys[key] = (request, done)
            self.compare(suffix, done, wanted, after)
            return
        first_request, first = self.keys[key]
        if request != first_request:
            assert done is Reason.IDEMPOTENCY_MISMATCH
        elif isinstance(first, Reason):
            assert done is first
        else:
            assert isinstance(done, Written)
            assert (done.replayed, done.outcomes) == (True, first.outcomes)

    def hindrance(self, suffix: str, version: int | None) -> Reason | None:
        """What stands against changing what is there."""
        thing = self.things.get(suffix)
        if self.owner(suffix) is not None:
            return Reason.ALIAS_TAKEN
        if thing is None:
            return Reason.NOT_FOUND
        if thing.state is State.RETIRED:
            return Reason.RETIRED
        return Reason.VERSION_CONFLICT if version is not None and version != thing.version else None

    def compare(self, suffix: str, done: Written | Reason, wanted: Outcome | Reason, after: Thing) -> None:
        if isinstance(wanted, Reason):
            assert done is wanted
            return
        assert isinstance(done, Written)
        (outcome,) = done.outcomes
        assert (outcome.outcome, outcome.version, outcome.state) == (wanted, after.version, after.state)
        self.things[suffix] = after

    # What must hold

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        seen = dict(self.world.view.scan("88.118.1001", "", 100))
        assert set(seen) == set(map(full, self.things))
        for suffix, thing in self.things.items():
            record = PackedRecord(seen[full(suffix)]).unpack()
            assert (record.version, record.state) == (thing.version, thing.state)
            assert {value.index: value.data.decode() for value in record.values} == thing.values
            assert list(record.aliases) == list(map(full, thing.aliases))
        for alias in (*SUFFIXES, "e", "f"):
            raw = self.world.view.record(full(alias))
            owner = self.owner(alias)
            assert (alias_target(raw) if raw is not None else None) == (full(owner) if owner is not None else None)

    @invariant()
    def the_stream_tells_the_same(self) -> None:
        versions: dict[str, int] = {}
        changes = self.world.stream.read(START, 10_000)
        assert [change.position.sequence for change in changes] == list(range(1, len(changes) + 1))
        for change in changes:
            for row in parse_payload(change.payload):
                if row.table is Table.RECORD:
                    assert row.prior_version == versions.get(row.name, 0)
                    assert row.version == row.prior_version + 1
                    versions[row.name] = row.version
        assert versions == {full(suffix): thing.version for suffix, thing in self.things.items()}


TestRegistryModel = RegistryMachine.TestCase
TestRegistryModel.settings = settings(max_examples=60, stateful_step_count=25)
