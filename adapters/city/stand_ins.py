"""The stand-ins for systems of the city, by the names that the command line calls them by."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from adapters.city.brain.fake import CityBrain
from adapters.city.data_exchange.fake import SharingPlatform
from adapters.city.enterprise.fake import EnterprisePlatform
from adapters.city.fake import Consumer
from adapters.city.fake_reader import ExchangeReader
from adapters.city.industry.fake import IndustryPlatform

# Those that take webhooks.
WEBHOOKS: Final[Mapping[str, type[Consumer]]] = {
    "webhook": Consumer,
    "city-brain": CityBrain,
    "enterprise-service": EnterprisePlatform,
    "industrial-internet": IndustryPlatform,
}


# Those that collect exchange files.
READERS: Final[Mapping[str, type[ExchangeReader]]] = {"exchange-files": ExchangeReader, "data-exchange": SharingPlatform}


async def serve(name: str, port: int, secret: bytes, journal: Path | None) -> None:
    """Run the stand-in of a system that takes webhooks until cancelled. Raises `KeyError` if there is none of that name."""
    system = await WEBHOOKS[name](secret, journal).open(port)
    print(f"a stand-in takes events at {system.url}", flush=True)
    await asyncio.Event().wait()


async def serve_reader(name: str, folder: Path, port: int, journal: Path | None) -> None:
    """Run the stand-in of a system that collects exchange files from a folder until cancelled. Raises `KeyError` as `serve`."""
    reader = await READERS[name](folder, journal).open(port)
    print(
        f"a stand-in collects files from {folder} and tells what it holds at http://127.0.0.1:{reader.port}/state", flush=True
    )
    await asyncio.Event().wait()
