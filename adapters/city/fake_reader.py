"""A stand-in for a system of the city that collects exchange files from a folder.

It goes by the manifests, in the order of their names, takes each file that is as its manifest says, and leaves it where it is.
What it has taken it tells as a system that takes webhooks does.
"""

import asyncio
from pathlib import Path
from typing import Final

from adapters.city.core.exchange import MANIFEST_SUFFIX, parse_file, parse_manifest
from adapters.city.fake import Consumer

# How often it looks.
LOOK_S: Final = 0.5


class ExchangeReader(Consumer):
    """The system; `folder` is where the files appear, and need not be there yet."""

    def __init__(self, folder: Path, journal: Path | None = None) -> None:
        super().__init__(journal=journal)
        self.unfit: dict[str, str] = {}
        """Manifests whose files are not what they say, with what is wrong."""
        self._folder = folder
        self._taken: dict[str, bytes] = {}
        self._looking: asyncio.Task[None] | None = None

    async def open(self, port: int = 0) -> "ExchangeReader":
        await super().open(port)
        self._looking = asyncio.create_task(self._look_again_and_again())
        return self

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait((self._looking,))
        await super().close()

    def look(self) -> None:
        """Take what is new. A manifest that was replaced is new: its file may hold more."""
        for path in sorted(self._folder.glob(f"*{MANIFEST_SUFFIX}")):
            try:
                raw = path.read_bytes()
                if self._taken.get(path.name) == raw:
                    continue
                manifest = parse_manifest(raw)
                events = parse_file(manifest, (self._folder / manifest["file"]).read_bytes())
            except FileNotFoundError:
                continue  # it is being replaced
            except (OSError, ValueError) as error:
                self.unfit[path.name] = str(error)
                continue
            self.unfit.pop(path.name, None)
            self.attempts += 1
            self._keep(events)
            self._taken[path.name] = raw

    async def _look_again_and_again(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)
