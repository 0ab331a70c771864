"""Sealed papers: `DATA/papers/<reference>`, each a whole file or none, synced before anything names it.

They lie beside the store and not in it because the change log keeps what it has seen: only a file can be erased. A file that no
registrant names is what a kill left between two steps, and goes at the next start. Blocks: all of it belongs into a thread.
"""

import os
import re
import secrets
from collections.abc import Collection
from pathlib import Path
from typing import Final

from proto.errors import Reason, Refusal
from registry.service.imports.blobs import FULL_RETRY_S, check_room, is_full, sync_folder

_REFERENCE: Final = re.compile(r"[0-9a-f]{32}")
_TEMPORARY: Final = ".new"


def new_reference() -> str:
    """A name that no paper ever had: 128 random bits, which say nothing of what the paper holds, as a digest would."""
    return secrets.token_hex(16)


class PaperFiles:
    """The sealed papers of a node."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, reference: str, sealed: bytes) -> None:
        """Keep a sealed paper under a reference, in place of what is there. Raises `Refusal(STORAGE_FULL)`."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._folder / (reference + _TEMPORARY)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                check_room(file.fileno(), len(sealed))
                file.write(sealed)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self._folder / reference)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            if is_full(error):
                raise Refusal(Reason.STORAGE_FULL, "there is no room for papers", retry_after_s=FULL_RETRY_S) from None
            raise
        sync_folder(self._folder)
        sync_folder(self._folder.parent)

    def read(self, reference: str) -> bytes | None:
        """A sealed paper; None if it is not there."""
        try:
            return (self._folder / reference).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, references: Collection[str]) -> None:
        """Remove papers, if they are there; they are gone for good when this returns."""
        for reference in references:
            (self._folder / reference).unlink(missing_ok=True)
        if references and self._folder.is_dir():
            sync_folder(self._folder)

    def sweep(self, needed: Collection[str]) -> int:
        """Remove what no registrant names; how many files that were. Only while nothing is being written: at the start."""
        if not self._folder.is_dir():
            return 0
        names = [file.name for file in self._folder.iterdir() if _REFERENCE.fullmatch(file.name.removesuffix(_TEMPORARY))]
        left = [name for name in names if name not in needed]
        self.remove(left)
        return len(left)
