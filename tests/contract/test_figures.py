"""Figures of a registry on a real store: they outlive it, and what is stored of them can be verified."""

import asyncio
from pathlib import Path

from proto.model.day import day_of
from proto.model.resolutions import Count
from proto.model.value import Value
from proto.places import PROJECTIONS, TALLIES
from proto.tally import Tally, compose_tally
from registry.commit.verify import verify
from registry.service.context import Context
from registry.service.figures import Grouping, Sum
from registry.service.plan import Draft
from tests.support.control_plane import ACME, ControlPlane


async def figures(plane: ControlPlane) -> Sum:
    context = Context(plane.registry.authenticate(plane.operator), "figures")
    return (await plane.registry.statistics(context, "*", Grouping.PREFIX)).groups[ACME]


async def register(plane: ControlPlane, count: int) -> None:
    context = Context(plane.registry.authenticate(plane.operator), "register")
    drafts = [Draft(f"{ACME}/{number}", (Value(1, "URL", b"x", 86_400),)) for number in range(count)]
    await asyncio.gather(*(plane.registry.register(context, draft) for draft in drafts))


async def test_figures_outlive_the_registry(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with ControlPlane(data) as plane:
        await register(plane, 20)
        (data / TALLIES).mkdir()
        tally = Tally(day_of(plane.view._clock.now_ms()), {ACME: Count(7, 2)})
        (data / TALLIES / "worker-1-0-a").write_bytes(compose_tally(tally))
        await plane.registry.figures.resolutions.settle()
        assert await figures(plane) == Sum(20, 20, 7, 2)
        plane.registry.figures.close()
    assert list(verify(data)) == []
    assert (data / PROJECTIONS / "records").exists()
    async with ControlPlane(data) as again:
        assert await figures(again) == Sum(20, 20, 7, 2)
        await register(again, 25)
        assert (await figures(again)).registered == 25
    # Without the file everything is counted again.
    (data / PROJECTIONS / "records").unlink()
    async with ControlPlane(data) as anew:
        assert await figures(anew) == Sum(25, 25, 7, 2)


async def test_the_committer_tells_of_every_change_while_it_is_made(tmp_path: Path) -> None:
    async with ControlPlane(tmp_path / "data") as plane:
        await figures(plane)
        await register(plane, 50)
        # Nothing had to be read: the counts were told.
        assert plane.registry.figures.records.position == plane.view.position
