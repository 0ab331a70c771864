"""Exchange files in a folder that somebody else collects from; `core/exchange.py` says what is in them.

Data and manifest are each written beside their place, synced and put there as a whole; the manifest last. A disk that is full,
or a folder that is gone (not mounted), is a failure like any other: the feed waits, and nothing is lost.

Others write into the folder, too: no link in it is followed, and no manifest that is there names a file elsewhere.
"""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from adapters.city.core.event import Event
from adapters.city.core.exchange import MANIFEST_SUFFIX, ExchangeFile, cells_of, compose_file, parse_manifest, parse_told
from adapters.city.core.places import FileFormat, FilesPlace
from adapters.city.core.receipt import Receipt, Verdict
from adapters.city.core.reconciliation import Bucket, BucketKey, Group, Holding
from adapters.city.transports.told import held, slices, sums_of
from adapters.city.transports.transport import Batch, Forgetful, Unknowable
from proto.model.change import START

Known = TypeVar("Known")

# Readers that come by another account of the machine read what is there; only the node writes.
_MODE: Final = 0o644
_DRAFT: Final = ".draft"

# Far above what a batch can come to (a mebibyte of events, a single larger one, in any encoding).
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
MAX_MANIFEST_BYTES: Final = 64 * 1024


class FilesTransport(Forgetful):
    """Writes into one folder; `head` begins each event."""

    # A file is called by where it begins, so the next attempt replaces it; of several there might be one too many.
    uncommitted_s = 0.0

    def __init__(self, feed: str, head: bytes, place: FilesPlace) -> None:
        self._feed = feed
        self._head = head
        self._place = place

    async def deliver(self, batch: Batch) -> Receipt:
        file = compose_file(self._feed, self._head, self._place, batch.events, batch.start)
        try:
            await asyncio.to_thread(_put, Path(self._place.folder), file)
        except OSError as error:
            return Receipt(Verdict.FAILED, f"{error.strerror}: {error.filename or self._place.folder}")
        return Receipt(Verdict.DELIVERED)

    def content(self, data: Mapping[str, Any]) -> object:
        return cells_of(self._place, data) if self._place.format is FileFormat.CSV else data

    async def sums(self, wanted: Mapping[BucketKey, int] | None) -> AsyncIterator[tuple[BucketKey, Bucket]]:
        """What the files in the folder tell; those that were collected and taken away are missing from it."""
        digits = {key[:2]: count for key, count in wanted.items()} if wanted is not None else None
        async for newest in slices(self._read, await self._count()):
            for key, bucket in sums_of(newest, digits).items():
                yield key, bucket

    async def things(
        self, wanted: frozenset[BucketKey], digits: Mapping[Group, int]
    ) -> AsyncIterator[tuple[BucketKey, Holding]]:
        async for newest in slices(self._read, await self._count()):
            for key, holding in held(newest, digits):
                if key in wanted:
                    yield key, holding

    async def _count(self) -> int:
        """How many events there are."""
        folder = Path(self._place.folder)
        paths = await _knowing(partial(_manifests, folder, self._feed))
        manifests = [await _knowing(partial(_manifest, path)) for path in paths]
        return sum(manifest["events"] for manifest in manifests)

    async def _read(self) -> AsyncIterator[dict[str, Any]]:
        """The events, in the order of the files. Raises `Unknowable`."""
        folder = Path(self._place.folder)
        for path in await _knowing(partial(_manifests, folder, self._feed)):
            for event in await _knowing(partial(_read_file, path)):
                yield event

    async def repair(self, events: Sequence[Event]) -> Receipt:
        return await self.deliver(Batch(events, 0, START.to_cursor(), ""))

    async def close(self) -> None:
        return None


async def _knowing(look: Callable[[], Known]) -> Known:
    """What a look at the folder comes to, in a thread of its own. Raises `Unknowable`."""
    try:
        return await asyncio.to_thread(look)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unknowable(f"{type(error).__name__}: {error}") from None


def _manifests(folder: Path, feed: str) -> list[Path]:
    return sorted(folder.glob(f"{feed}-*{MANIFEST_SUFFIX}"))


def _manifest(path: Path) -> dict[str, Any]:
    return parse_manifest(_read(path, MAX_MANIFEST_BYTES))


def _read_file(path: Path) -> list[dict[str, Any]]:
    """The events that a manifest stands for."""
    manifest = _manifest(path)
    return list(parse_told(manifest, _read(path.parent / manifest["file"], MAX_FILE_BYTES)))


def _read(path: Path, limit: int) -> bytes:
    """A regular file that is no longer than it may be. Raises `OSError`, `ValueError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
            raise ValueError(f"{path.name} is no file of at most {limit} bytes")
        return stream.read(limit)


def _put(folder: Path, file: ExchangeFile) -> None:
    _write(folder / file.name, file.content)
    _write(folder / file.manifest_name, file.manifest)
    for older in folder.glob(f"{file.stem}.*"):
        if older.name not in (file.name, file.manifest_name):
            older.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}{_DRAFT}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
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
