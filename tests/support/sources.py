"""Sources of a registry in memory, run as a node runs them, without the node."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapters.sources.core.profile import Profile, parse_profile
from adapters.sources.readers.order import make_reader
from adapters.sources.readers.reader import Reader
from adapters.sources.registry_client import RegistryClient
from adapters.sources.run import Run, RunResult
from tests.support.rest import RestNode
from tests.support.world import World

PREFIX = "88.118.1001"

VALUES: list[dict[str, Any]] = [
    {"index": 1, "type": "URL", "text": "https://erp.example/{serial}"},
    {"index": 2, "type": "TITLE", "text": "{title | trim}"},
    {"index": 3, "type": "NOTE", "text": "{note}", "optional": True, "audience": "private"},
]

ROWS = [[f"T-{number}", f"变压器 {number}", ""] for number in range(40)]


def document(read: Mapping[str, Any], name: str = "erp", **sections: Any) -> dict[str, Any]:
    """A profile as TOML gives it: products with a serial, a title and a note."""
    record = {"identifier": f"{PREFIX}/{{serial | trim}}", "values": VALUES, **sections.pop("record", {})}
    return {"name": name, "token": "secret", "prefix": PREFIX, "read": dict(read), "record": record, **sections}


def profile(read: Mapping[str, Any], name: str = "erp", **sections: Any) -> Profile:
    """The same, parsed; secrets are what they say."""
    return parse_profile(document(read, name, **sections), lambda said: said)


def folder_of(path: Path, **more: Any) -> dict[str, Any]:
    """The section `read` of a folder that nobody else writes to."""
    return {"kind": "files", "folder": str(path), "settle_s": 0, **more}


def whole(folder: Path, **sections: Any) -> Any:
    """A source whose newest file has all rows."""
    return profile(folder_of(folder, listing="whole"), **sections)


class RunningSource:
    """A source of the account `by` of a node: `run` is one run, as the adapters' process makes it."""

    def __init__(self, node: RestNode, described: Profile, by: str = "holder", reader: Reader | None = None) -> None:
        self.node = node
        self.profile = described
        self.by = by
        self._reader = reader

    async def run(self, *, over_brake: str = "") -> RunResult:
        reader = self._reader or make_reader(self.profile.place)
        try:
            async with RegistryClient(f"http://127.0.0.1:{self.node.port}", self.node.tokens[self.by]) as client:
                stored = await client.create(self.profile.name)
                return await Run(self.profile, reader, client, stored, over_brake=over_brake).run()
        finally:
            await reader.close()

    async def stored(self) -> dict[str, Any]:
        """The source as the registry keeps it."""
        found: dict[str, Any] = (await self.node("GET", f"/api/v1/sources/{self.profile.name}")).document
        return found

    async def record(self, suffix: str) -> dict[str, Any]:
        """What is registered; a problem document if nothing is."""
        found: dict[str, Any] = (await self.node("GET", f"/api/v1/identifiers/{PREFIX}/{suffix}")).document
        return found

    async def states(self) -> dict[str, tuple[str, int]]:
        """State and version of everything below the prefix, by suffix."""
        page = (await self.node("GET", f"/api/v1/identifiers?prefix={PREFIX}&limit=1000")).document
        return {each["identifier"].partition("/")[2]: (each["state"], each["version"]) for each in page["identifiers"]}


@contextmanager
def coming_between(world: World, node: RestNode, serials: Sequence[str], at: int = 0) -> Iterator[None]:
    """Somebody else changes these records before the registry gets its `at`-th batch meanwhile, or before every one.

    A part of a run is two batches, its rehearsal and its writing.
    """
    asked, call = 0, world.registry.register_batch

    async def interfere(*arguments: Any, **named: Any) -> Any:
        nonlocal asked
        asked += 1
        for serial in serials if asked == at or not at else ():
            theirs = {"set": [{"index": 9, "type": "CHECK", "data": f"passed {asked}"}]}
            assert (await node("PATCH", f"/api/v1/identifiers/{PREFIX}/{serial}", theirs)).status == 200
        return await call(*arguments, **named)

    world.registry.register_batch = interfere  # type: ignore[method-assign]  # somebody comes in between
    try:
        yield
    finally:
        world.registry.register_batch = call  # type: ignore[method-assign]  # and leaves


def values_of(record: Mapping[str, Any]) -> dict[int, str]:
    """The texts of a record by their indexes."""
    return {value["index"]: value["data"]["value"] for value in record["values"]}


def write_csv(file: Path, rows: Sequence[Sequence[str]], columns: Sequence[str] = ("serial", "title", "note")) -> None:
    """A CSV as a spreadsheet writes it."""
    file.write_text("".join(",".join(row) + "\r\n" for row in (columns, *rows)), encoding="utf-8", newline="")
