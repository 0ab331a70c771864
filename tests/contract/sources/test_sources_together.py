"""Sources side by side, as the adapters' process keeps them: when each is run, who waits for whom, and what the metrics say."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from adapters.sources.core.profile import Profile
from adapters.sources.registry_client import RegistryClient
from adapters.sources.sources import Sources
from node.metrics import build_metrics
from tests.support.feeds import until, until_so
from tests.support.rest import RestNode
from tests.support.sources import RunningSource, folder_of, profile, write_csv

ROWS = [[f"T-{number}", f"变压器 {number}", ""] for number in range(40)]


@asynccontextmanager
async def running(
    node: RestNode, *profiles: Profile, token: Callable[[Profile], str] | None = None
) -> AsyncIterator[tuple[Sources, CollectorRegistry, list[bool]]]:
    scrape, said = CollectorRegistry(), list[bool]()

    def make_client(described: Profile) -> RegistryClient:
        key = token(described) if token is not None else node.tokens["holder"]
        return RegistryClient(f"http://127.0.0.1:{node.port}", key)

    sources = Sources(profiles, make_client, build_metrics(scrape), said.append, look_s=0.02)
    task = asyncio.create_task(sources.run())
    try:
        yield sources, scrape, said
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await sources.close()


def figure(scrape: CollectorRegistry, name: str, **labels: str) -> float:
    return scrape.get_sample_value(f"biaojie_source_{name}", {"source": "erp", **labels}) or 0.0


async def test_a_source_that_is_stopped_behind_its_bookmark_waits_for_the_operator(node: RestNode, tmp_path: Path) -> None:
    described = profile(folder_of(tmp_path), every_s=1)
    source = RunningSource(node, described)
    write_csv(tmp_path / "1.csv", ROWS)
    await source.run()
    write_csv(tmp_path / "2.csv", [[serial, "?", note] for serial, _, note in ROWS])
    async with running(node, described) as (sources, scrape, said):
        await until(lambda: figure(scrape, "stopped") == 1)
        assert said == [True]
        version = (await source.stored())["version"]
        assert figure(scrape, "done_timestamp_seconds") > 0
        asked = await node("POST", "/api/v1/sources/erp/run", {})
        assert asked.document["version"] == version + 1  # nobody else wrote meanwhile
        await until(lambda: figure(scrape, "runs_total", outcome="stopped") == 2)
        await until(lambda: "40 of 40" in sources.describe()["source erp"])
        await node("POST", "/api/v1/sources/erp/run", {"over_brake": (await source.stored())["plan_digest"]})
        await until(lambda: figure(scrape, "rows_total", outcome="replaced") == 40)
        await until(lambda: figure(scrape, "stopped") == 0)
    stored = await source.stored()
    assert (stored["state"], stored["is_requested"], stored["over_brake"]) == ("done", False, "")


async def test_a_listing_that_is_well_again_goes_on_by_itself(node: RestNode, tmp_path: Path) -> None:
    described = profile(folder_of(tmp_path, listing="whole"), every_s=1, gone={"then": "suspend"})
    source = RunningSource(node, described)
    write_csv(tmp_path / "1.csv", ROWS)
    await source.run()
    write_csv(tmp_path / "2.csv", ROWS[:3])
    async with running(node, described) as (_, scrape, _):
        await until(lambda: figure(scrape, "stopped") == 1)
        write_csv(tmp_path / "3.csv", ROWS[1:])
        await until(lambda: figure(scrape, "rows_total", outcome="suspended") == 1)
        await until(lambda: figure(scrape, "stopped") == 0)


async def test_what_goes_wrong_with_one_is_not_anothers_trouble(node: RestNode, tmp_path: Path) -> None:
    good, bad, shut = (profile(folder_of(tmp_path / name), name=name, every_s=1) for name in ("erp", "bad", "shut"))
    (tmp_path / "erp").mkdir()
    (tmp_path / "shut").mkdir()
    write_csv(tmp_path / "erp" / "1.csv", ROWS)

    def token(described: Profile) -> str:
        return "no key" if described.name == "shut" else node.tokens["holder"]

    async with running(node, bad, shut, good, token=token) as (sources, scrape, said):
        await until(lambda: figure(scrape, "rows_total", outcome="created") == 40)
        await until(lambda: said == [True])

        async def all_say_so() -> bool:
            standing = sources.describe()
            return (
                standing["source erp"].startswith("done")
                and "No such file" in standing["source bad"]
                and "unauthenticated" in standing["source shut"]
            )

        await until_so(all_say_so)
