"""No view is ever wrong, whatever becomes of the process that writes: killed, stopped and started again, flushing and
checkpointing all the while, with checkpoints that somebody deletes.
"""

import asyncio
import errno
import os
import random
import shutil
import signal
import sys
from pathlib import Path

import pytest
import uvloop
from prometheus_client import CollectorRegistry

from node.clock import SystemClock
from node.metrics import build_metrics
from proto import places
from proto.model.change import Position
from registry.commit.transaction import prepare
from resolver.view import overlay
from resolver.view.view import View
from tests.support.history import History, Workload
from tests.support.view_stress import Judge

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KILLS = 25
SWITCHES = 60
ANSWERS = 200_000
CATCH_UP_S = 60.0


class Writer:
    """The process that writes."""

    def __init__(self, data: Path, seed: int) -> None:
        self._data = data
        self._seed = seed
        self._process: asyncio.subprocess.Process | None = None
        self.kills = 0

    async def start(self) -> None:
        arguments = (sys.executable, "-m", "tests.support.flush_happy_writer", str(self._data), str(self._seed))
        self._process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
        assert self._process.stdout is not None
        assert await self._process.stdout.readline() == b"writing\n", "the writer did not start"

    async def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()
            self.kills += 1

    async def freeze(self, seconds: float) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            self._process.send_signal(signal.SIGCONT)


class Scene:
    """Two views of what one writer writes, and the truth about it, made up from the seed alone."""

    def __init__(self, data: Path, seed: int) -> None:
        self.data = data
        self.chance = random.Random(seed)
        self.switches = 0
        self._workload = Workload(seed)
        self._history = History()
        self._judge = Judge(self._history, self._workload.all_names, self.chance)
        self.views = [self._new_view() for _ in range(2)]

    @property
    def answers(self) -> int:
        return self._judge.answers

    def judge(self, *, thoroughly: bool = False) -> None:
        """Compare every view with what is true at its position."""
        for view in self.views:
            while view.is_ready and self._workload.done < view.position.sequence:
                command = self._workload.next()
                self._history.record(self._workload.done, prepare(command, 0).transaction.writes)
            if thoroughly:
                self._judge.examine(view)
            else:
                self._judge.glance(view, 50)

    async def restart_view(self) -> None:
        place = self.chance.randrange(len(self.views))
        await self.close_view(place)
        self.views[place] = self._new_view()
        async with asyncio.timeout(CATCH_UP_S):
            await self.views[place].open()

    async def close_view(self, place: int) -> None:
        view = self.views[place]
        await view.close()
        metrics = view._metrics.view_switches
        self.switches += int(metrics._value.get())  # type: ignore[attr-defined]  # prometheus-client's counter, at its end

    def delete_checkpoint(self) -> None:
        """Somebody deletes a checkpoint's folder, with no regard for anything."""
        folders = [path for path in (self.data / places.CHECKPOINTS).iterdir() if places.parse_position_name(path.name)]
        if not folders:
            return
        folder = self.chance.choice(folders)
        while folder.exists():
            try:
                shutil.rmtree(folder)
            except OSError as error:
                # Who prunes it, or opens it and writes its log, may come in between.
                if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                    raise

    def _new_view(self) -> View:
        return View(self.data, SystemClock(), build_metrics(CollectorRegistry()))


def test_a_writer_that_flushes_dies_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    monkeypatch.setattr(overlay, "GENERATION_ENTRIES", 200)
    uvloop.run(_kill_often(tmp_path, seed))


async def _kill_often(tmp_path: Path, seed: int) -> None:
    scene, writer = Scene(tmp_path, seed), Writer(tmp_path, seed)
    await writer.start()
    async with asyncio.timeout(CATCH_UP_S):
        await asyncio.gather(*(view.open() for view in scene.views))
    try:
        while writer.kills < KILLS or scene.switches < SWITCHES or scene.answers < ANSWERS:
            for _ in range(scene.chance.randint(20, 200)):
                await asyncio.sleep(scene.chance.choice([0, 0.0005, 0.002]))
                scene.judge()
            scene.judge(thoroughly=True)
            match scene.chance.randrange(8):
                case 0 | 1 | 2:
                    await writer.kill()
                    for _ in range(20):
                        scene.judge()
                        await asyncio.sleep(0.005)
                    await writer.start()
                case 3:
                    await writer.freeze(0.2)
                case 4 | 5:
                    await scene.restart_view()
                case 6:
                    scene.delete_checkpoint()
        await writer.kill()
        last = max(view.position for view in scene.views)
        assert last > Position(1, 1_000)
        for view in scene.views:
            assert await view.reach(last, CATCH_UP_S)
        scene.judge(thoroughly=True)
    finally:
        await writer.kill()
        for place in range(len(scene.views)):
            await scene.close_view(place)
