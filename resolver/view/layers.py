"""What a view shows at one position: a checkpoint, the overlay of the changes after it, and the small tables.

A change is staged (in portions, if it is large) and then shown all at once, so that no look-up ever sees half of it.
Alias pointers are not in a change: they follow from the aliases that the record lists now and listed before.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from typing import Protocol

from proto import compiled
from proto.keys import name_in_key, prefix_end, record_key
from proto.model.account import Account
from proto.model.change import Position, Table
from proto.model.prefix import Prefix
from proto.packing import ALIAS_FORMAT, alias_target, aliases_of, pack_alias
from proto.stream import Damaged, Link
from proto.v1.stream_pb2 import RowImage
from resolver.view.checkpoint import Checkpoint
from resolver.view.overlay import Overlay
from resolver.view.tables import SMALL_TABLES, TableRow, Tables, read_row


class Watcher(Protocol):
    """Is told what is no longer as it was, before anybody can ask for it."""

    def forget(self, records: Iterable[bytes]) -> None:
        """What is under these keys of records and alias pointers has changed."""

    def forget_all(self) -> None:
        """Anything may have changed: prefixes have, or all of it is another history's."""


class Staged:
    """What one change does to the keys and the tables, as far as it has been worked out."""

    __slots__ = ("claims", "records", "releases", "rows")

    def __init__(self) -> None:
        self.releases: dict[bytes, bytes] = {}
        self.records: dict[bytes, bytes] = {}
        self.claims: dict[bytes, bytes] = {}
        self.rows: list[TableRow] = []


Overlaid = tuple[Mapping[bytes, bytes], ...]


@compiled.preferred
def find_record(name: str, layers: Overlaid, get: Callable[[bytes], bytes | None]) -> bytes | None:
    """What is stored under a normalised identifier: in the first of `layers` that knows it, else what `get` finds below."""
    key = record_key(name)
    for layer in layers:
        value = layer.get(key)
        if value is not None:
            return value or None
    return get(key)


@compiled.preferred
def find_records(
    names: Sequence[str], layers: Overlaid, get_many: Callable[[list[bytes]], list[bytes | None]]
) -> list[bytes | None]:
    """The same for many, in order; what no layer knows is asked for at once."""
    keys = [record_key(name) for name in names]
    found = [next((layer[key] for layer in layers if key in layer), None) for key in keys]
    missing = [key for key, value in zip(keys, found, strict=True) if value is None]
    below = iter(get_many(missing) if missing else ())
    return [next(below) if value is None else value or None for value in found]


class Layers:
    """A `proto.ports.RecordReader` that is told what happens next: `stage` and `show` a change, `rebase` on a checkpoint.

    It owns the checkpoint it stands on.
    """

    def __init__(self, base: Checkpoint) -> None:
        """`load` must be called before anything else: tables are empty until then."""
        self.base = base
        self.overlay = Overlay()
        self.tables = Tables()
        self.watcher: Watcher | None = None
        self._position = base.position

    @property
    def position(self) -> Position:
        return self._position

    def load(self) -> Iterator[None]:
        """Take the small tables from the checkpoint, row by row, so that whoever iterates can pause."""
        for table in SMALL_TABLES:
            for name, image in self.base.rows(table):
                self.tables.put(read_row(table, name, image))
                yield

    def record(self, normalised: str) -> bytes | None:
        return find_record(normalised, self.overlay.layers, self.base.get_record)

    def records(self, normalised: Sequence[str]) -> list[bytes | None]:
        if len(normalised) == 1:  # getting many costs two microseconds to begin with
            return [find_record(normalised[0], self.overlay.layers, self.base.get_record)]
        return find_records(normalised, self.overlay.layers, self.base.get_many)

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        below = record_key(f"{prefix}/")
        past = record_key(after) if after else b""
        changed = self.overlay.keys_between(max(below, past + b"\0") if past else below, prefix_end(below))
        # Of one key the overlay's row sorts first, and is the one that counts.
        rows: Iterator[tuple[bytes, bool, bytes]] = merge(
            ((key, False, b"") for key in changed),
            ((key, True, value) for key, value in self.base.after(below, past, max(limit, 1))),
        )
        found: list[tuple[str, bytes]] = []
        last = b""
        for key, is_base, value in rows:
            if len(found) >= limit:
                break
            image = value if is_base else self.overlay.get(key)
            if key != last and image and image[0] != ALIAS_FORMAT:
                found.append((name_in_key(key), image))
            last = key
        return found

    def prefix(self, name: str) -> Prefix | None:
        return self.tables.prefix(name)

    def homing(self, name: str) -> Prefix | None:
        return self.tables.homing(name)

    def account(self, name: str) -> Account | None:
        return self.tables.account(name)

    def image(self, table: Table, name: str) -> bytes | None:
        return self.tables.image(table, name)

    def images(self, table: Table) -> dict[str, bytes]:
        return self.tables.images(table)

    def stage(self, images: Iterable[RowImage], staged: Staged) -> None:
        """Work out what some rows of the change after `position` do. Raises `Damaged` for a table of a later program."""
        for image in images:
            if image.table == Table.RECORD:
                self._stage_record(image, staged)
                continue
            try:
                staged.rows.append(read_row(Table(image.table), image.name, image.image))
            except ValueError:
                raise Damaged(f"a row is of table {image.table}, which is not known here") from None

    def show(self, link: Link, staged: Staged) -> None:
        """Show the whole change."""
        keys = staged.records
        if staged.releases or staged.claims:
            keys = staged.releases | staged.records | staged.claims
        if keys:
            self.overlay.put(link.position.sequence, keys)
        for row in staged.rows:
            self.tables.put(row)
        self._position = link.position
        if self.watcher is not None:
            self._tell(self.watcher, keys, staged.rows)

    def rebase(self, base: Checkpoint) -> Checkpoint:
        """Stand on a newer checkpoint, at most as new as `position`; the old one, to be closed."""
        former, self.base = self.base, base
        self.overlay.drop(base.position.sequence)
        return former

    def _tell(self, watcher: Watcher, keys: Iterable[bytes], rows: Iterable[TableRow]) -> None:
        # Accounts decide only who is asking, registrants and jobs nothing: answers to anybody rest on records and prefixes.
        if any(row.table is Table.PREFIX for row in rows):
            watcher.forget_all()
        else:
            watcher.forget(keys)

    def _stage_record(self, image: RowImage, staged: Staged) -> None:
        key, value = record_key(image.name), image.image
        if image.prior_version:
            self._stage_releases(key, image.name, staged)
        staged.records[key] = value
        for alias in aliases_of(value) if value else ():
            name = self.tables.normalise(alias)
            if name is not None:
                staged.claims[record_key(name)] = pack_alias(image.name)

    def _stage_releases(self, key: bytes, name: str, staged: Staged) -> None:
        """The pointers to the record that its image so far asks for are no longer there, unless its new one does."""
        prior = staged.records.get(key) or self._value(key)
        for alias in aliases_of(prior) if prior else ():
            pointed = self.tables.normalise(alias)
            if pointed is None:
                continue
            alias_key = record_key(pointed)
            pointer = self._value(alias_key)
            if pointer and alias_target(pointer) == name:
                staged.releases[alias_key] = b""

    def _value(self, key: bytes) -> bytes | None:
        value = self.overlay.get(key)
        return self.base.get_record(key) if value is None else value
