"""Exchange files in a folder that somebody else collects from; `core/exchange.py` says what is in them.

Data and manifest are each written beside their place, synced and put there as a whole; the manifest last. A disk that is full,
or a folder that is gone (not mounted), is a failure like any other: the feed waits, and nothing is lost.
"""

import asyncio
import os
from pathlib import Path
from typing import Final

from adapters.city.core.exchange import ExchangeFile, compose_file
from adapters.city.core.places import FilesPlace
from adapters.city.core.receipt import Receipt, Verdict
from adapters.city.transports.transport import Batch, Forgetful

# Readers that come by another account of the machine read what is there; only the node writes.
_MODE: Final = 0o644
_DRAFT: Final = ".draft"


class FilesTransport(Forgetful):
    """Writes into one folder."""

    def __init__(self, feed: str, place: FilesPlace) -> None:
        self._feed = feed
        self._place = place

    async def deliver(self, batch: Batch) -> Receipt:
        file = compose_file(self._feed, self._place, batch.events, batch.start)
        try:
            await asyncio.to_thread(_put, Path(self._place.folder), file)
        except OSError as error:
            return Receipt(Verdict.FAILED, f"{error.strerror}: {error.filename or self._place.folder}")
        return Receipt(Verdict.DELIVERED)

    async def close(self) -> None:
        return None


def _put(folder: Path, file: ExchangeFile) -> None:
    _write(folder / file.name, file.content)
    _write(folder / file.manifest_name, file.manifest)
    for older in folder.glob(f"{file.stem}.*"):
        if older.name not in (file.name, file.manifest_name):
            older.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}{_DRAFT}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
