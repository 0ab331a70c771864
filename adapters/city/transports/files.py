"""Exchange files in a folder that somebody else collects from; `core/exchange.py` says what is in them.

Data and manifest are each written beside their place, synced and put there as a whole; the manifest last. A disk that is full,
or a folder that is gone (not mounted), is a failure like any other: the feed waits, and nothing is lost.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

from adapters.city.core.event import Event
from adapters.city.core.exchange import MANIFEST_SUFFIX, ExchangeFile, compose_file, parse_told
from adapters.city.core.places import FilesPlace
from adapters.city.core.receipt import Receipt, Verdict
from adapters.city.core.reconciliation import BucketKey
from adapters.city.transports.told import learn, told
from adapters.city.transports.transport import Batch, Forgetful, Held, Unknowable
from proto.model.change import START

# Readers that come by another account of the machine read what is there; only the node writes.
_MODE: Final = 0o644
_DRAFT: Final = ".draft"


class FilesTransport(Forgetful):
    """Writes into one folder."""

    # A file is called by where it begins, so the next attempt replaces it; of several there might be one too many.
    uncommitted_s = 0.0

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

    async def holdings(self, wanted: frozenset[BucketKey] | None) -> AsyncIterator[Held]:
        """What the files in the folder tell; those that were collected and taken away are missing from it."""
        try:
            newest = await asyncio.to_thread(_read_all, Path(self._place.folder), self._feed)
        except (OSError, ValueError, KeyError) as error:
            raise Unknowable(f"{type(error).__name__}: {error}") from None
        for held in told(newest, wanted):
            yield held

    async def repair(self, events: Sequence[Event]) -> Receipt:
        return await self.deliver(Batch(events, 0, START.to_cursor(), ""))

    async def close(self) -> None:
        return None


def _read_all(folder: Path, feed: str) -> dict[tuple[str, str], dict[str, Any]]:
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(folder.glob(f"{feed}-*{MANIFEST_SUFFIX}")):
        manifest = json.loads(path.read_text())
        for event in parse_told(manifest, (folder / manifest["file"]).read_bytes()):
            learn(newest, event)
    return newest


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
