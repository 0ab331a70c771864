"""Whatever order workers and registries live, die and are not heard in: every count that was handed on is kept once."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from proto.errors import Reason, Refusal
from proto.model.day import DAY_MS
from proto.model.resolutions import NO_COUNT, Count
from proto.ports import Command, Committed
from registry.service.tallies import TallyDesk
from resolver.tallies import Tallies, TallyFile
from tests.support.world import World

PREFIXES = ("88.118.1001", "88.118.1002")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("count"), st.sampled_from(PREFIXES), st.integers(1, 5), st.integers(0, 3)),
        st.tuples(st.sampled_from(["report", "look", "settle", "settle unheard", "settle refused"])),
        st.tuples(st.sampled_from(["new registry", "new worker", "kill worker", "tear", "tomorrow"])),
    ),
    max_size=40,
)


class Line:
    """A committer that may refuse the next command, or lose its acknowledgement."""

    def __init__(self, world: World) -> None:
        self._committer = world.committer
        self.how = ""

    async def commit(self, command: Command) -> Committed:
        how, self.how = self.how, ""
        if how == "refused":
            raise Refusal(Reason.STORAGE_FULL, "there is no room")
        committed = await self._committer.commit(command)
        if how == "unheard":
            raise Refusal(Reason.STORE_FAILED, "what became of this will be known")
        return committed

    async def recall(self, account: str, idempotency_key: str, body_digest: bytes) -> Committed | None:
        return None


class Model:
    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder
        self.line = Line(world)
        world.registry.executor._committer = self.line
        self.expected = dict.fromkeys(PREFIXES, NO_COUNT)
        self.waiting = dict(self.expected)
        self.begin_worker()
        self.begin_registry()

    def begin_worker(self) -> None:
        self.tallies = Tallies()
        self.file = TallyFile(self.tallies, self.folder, "worker-1", self.world.clock)

    def begin_registry(self) -> None:
        self.desk = TallyDesk(self.world.registry.executor, self.folder)

    async def settle(self, how: str = "") -> None:
        self.line.how = how
        with contextlib.suppress(Refusal):
            await self.desk.settle()
        self.line.how = ""

    def report(self) -> None:
        self.file.report()
        self.expected = {prefix: count.plus(self.waiting[prefix]) for prefix, count in self.expected.items()}
        self.waiting = dict.fromkeys(PREFIXES, NO_COUNT)

    async def do(self, step: tuple[object, ...]) -> None:
        match step:
            case ("count", str(prefix), int(found), int(missed)):
                self.tallies.found[prefix].n += found
                self.tallies.missed[prefix].n += missed
                self.waiting[prefix] = self.waiting[prefix].plus(Count(found, missed))
            case ("report",):
                self.report()
            case ("look",):
                await self.desk._look()
            case (str(settle),) if settle.startswith("settle"):
                await self.settle(settle.removeprefix("settle").strip())
            case ("new registry",):
                self.begin_registry()
            case ("new worker",):
                self.report()
                self.file.close()
                self.begin_worker()
            case ("kill worker",):
                self.file._leave()  # as the kernel closes it; what was not reported is lost
                self.waiting = dict.fromkeys(PREFIXES, NO_COUNT)
                self.begin_worker()
            case ("tear",):
                self.file._leave()
                for path in list(self.folder.iterdir())[-1:]:
                    with path.open("ab") as file:
                        file.write(b"\0\0\0\x40half a tally")
            case ("tomorrow",):
                self.world.clock.now += DAY_MS


@settings(max_examples=60)
@given(STEPS)
def test_every_count_that_was_handed_on_is_kept_once(steps: list[tuple[object, ...]]) -> None:
    async def live() -> None:
        with tempfile.TemporaryDirectory() as folder:
            model = Model(await World().furnish(), Path(folder))
            for step in steps:
                await model.do(step)
            model.report()
            # Twice: the first may find that what it had pending was counted by an attempt that nobody heard of.
            for _ in range(2):
                await model.settle()
            kept = {prefix: count for prefix, count in model.expected.items() if count != NO_COUNT}
            assert model.desk.total() == kept
            assert TallyDesk(model.world.registry.executor, Path(folder)).total() == kept

    asyncio.run(live())
