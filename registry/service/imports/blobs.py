"""Uploaded files: `DATA/blobs/<SM3 of the content>`, streamed, bounded, and synced before anything names them.

A file appears under its digest only whole and synced; until then it is a temporary one, which a kill leaves behind and the
next start removes.
"""

import errno
import os
import tempfile
from collections.abc import AsyncIterable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.hazmat.primitives.hashes import SM3, Hash

from proto.errors import Reason, Refusal
from registry.service.imports.threads import in_thread

# Ten million rows of a nameplate's size fit several times over; a larger table is sent in parts.
MAX_UPLOAD_BYTES: Final = 16 * 1024**3

# Gathered before it is written, in a thread: small pieces would cost a hop each.
_PIECE_BYTES: Final = 1024 * 1024

# What an upload leaves free, as a share of the file system within bounds: more than the committer needs to go on.
_FLOOR_SHARE: Final = 10
_MIN_FLOOR_BYTES: Final = 16 * 1024 * 1024
_MAX_FLOOR_BYTES: Final = 1024**3

# When to look again whether somebody has made room.
FULL_RETRY_S: Final = 60.0

_TEMPORARY: Final = "upload-"


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored file: the SM3 digest that names it, and its size in bytes."""

    digest: bytes
    size: int


class BlobFolder:
    """The blobs of a node."""

    def __init__(self, folder: Path, limit: int = MAX_UPLOAD_BYTES) -> None:
        self._folder = folder
        self._limit = limit

    def path(self, digest: bytes) -> Path:
        """Where the blob of this digest lies, if it is there."""
        return self._folder / digest.hex()

    async def store(self, parts: AsyncIterable[bytes]) -> Blob:
        """Take a file in. Raises `Refusal`: MESSAGE_TOO_LARGE, STORAGE_FULL; nothing of it is left then."""
        try:
            upload = await in_thread(_Upload, self._folder)
            try:
                return await self._receive(upload, parts)
            finally:
                await in_thread(upload.discard)
        except OSError as error:
            if is_full(error):
                why = "there is no room for the file"
                raise Refusal(Reason.STORAGE_FULL, why, "body", retry_after_s=FULL_RETRY_S) from None
            raise

    async def _receive(self, upload: "_Upload", parts: AsyncIterable[bytes]) -> Blob:
        gathered = bytearray()
        async for part in parts:
            gathered += part
            if upload.size + len(gathered) > self._limit:
                raise Refusal(Reason.MESSAGE_TOO_LARGE, f"a file has at most {self._limit} bytes: send it in parts", "body")
            if len(gathered) >= _PIECE_BYTES:
                await in_thread(upload.write, bytes(gathered))
                gathered.clear()
        return await in_thread(upload.finish, bytes(gathered))

    def remove(self, digest: bytes) -> None:
        """Remove a blob, if it is there."""
        self.path(digest).unlink(missing_ok=True)

    def sweep(self, needed: Collection[bytes]) -> int:
        """Remove what no job needs any more, and what a kill left half-way; how many files that were.

        Only while nothing is being uploaded: at the start.
        """
        names = {digest.hex() for digest in needed}
        removed = 0
        if self._folder.is_dir():
            for file in self._folder.iterdir():
                if file.name not in names:
                    file.unlink()
                    removed += 1
        return removed


class _Upload:
    """One file on its way in. Blocks: it belongs into a thread."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=folder)
        self._file: BinaryIO = os.fdopen(descriptor, "wb", buffering=0)
        self._path = Path(name)
        self._hash = Hash(SM3())
        self.size = 0

    def write(self, data: bytes) -> None:
        check_room(self._file.fileno(), len(data))
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._hash.update(data)
        self.size += len(data)

    def finish(self, last: bytes) -> Blob:
        self.write(last)
        os.fsync(self._file.fileno())
        self._file.close()
        digest = self._hash.finalize()
        self._path.rename(self._path.with_name(digest.hex()))
        sync_folder(self._path.parent)
        return Blob(digest, self.size)

    def discard(self) -> None:
        """Remove what is not finished; nothing if it is."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def check_room(file: int, size: int) -> None:
    """Raise `OSError(ENOSPC)` if `size` more bytes would not leave enough free for the rest of the node."""
    usage = os.fstatvfs(file)
    floor = min(max(usage.f_blocks * usage.f_frsize // _FLOOR_SHARE, _MIN_FLOOR_BYTES), _MAX_FLOOR_BYTES)
    if usage.f_bavail * usage.f_frsize < floor + size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def is_full(error: OSError) -> bool:
    """Whether an error says that the disk has no room."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def sync_folder(folder: Path) -> None:
    """Make names in a folder as durable as the files behind them."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
