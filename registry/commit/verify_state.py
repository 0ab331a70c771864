"""Verifies what the store holds: records and their aliases, tables, idempotency entries; and checkpoints against it."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError

from proto import keys, tables
from proto.keys import HEAD_KEY, name_in_key, record_key, space_prefix
from proto.model.change import Head, Position
from proto.model.identifier import Identifier, ancestors, parse_identifier
from proto.model.prefix import Prefix, normalise
from proto.packing import ALIAS_FORMAT, PackedRecord, alias_target, version_of
from proto.tables import unpack_head, unpack_memory
from registry.commit.finding import Finding
from resolver.view.database import Database, open_read_only

# Rows are read, and their counterparts looked up, by the page: the memory that verifying takes.
_PAGE_ROWS: Final = 1_000

Row = tuple[bytes, bytes]

# How an image of each table is read, and which of its fields is its name.
_TABLES: Final[dict[bytes, tuple[Callable[[bytes], Any], str]]] = {
    keys.PREFIXES: (tables.unpack_prefix, "name"),
    keys.REGISTRANTS: (tables.unpack_registrant, "code"),
    keys.ACCOUNTS: (tables.unpack_account, "name"),
    keys.JOBS: (tables.unpack_job, "id"),
    keys.FEEDS: (tables.unpack_feed, "name"),
    keys.LETTERS: (tables.unpack_letter, "key"),
    keys.FILINGS: (tables.unpack_filing, "key"),
    keys.SOURCES: (tables.unpack_source, "name"),
    keys.RESOLUTIONS: (tables.unpack_resolutions, "name"),
    keys.NOTICES: (tables.unpack_notice, "key"),
}


@dataclass(slots=True)
class Held:
    """What the store holds in all: how many times its records and table rows were written (the sum of their versions)."""

    writes: int = 0


def read_head(database: Database) -> Head | None:
    """The head of a store or checkpoint; None if there is none that can be read."""
    image = database.get(HEAD_KEY)
    try:
        return unpack_head(image) if image else None
    except (DecodeError, struct.error):
        return None


def verify_state(database: Database, head: Head, held: Held) -> Iterator[Finding]:
    """Check every key of the store by itself and against the others. Fills `held`."""
    prefixes: dict[str, Prefix] = {}
    yield from _verify_tables(database, held, prefixes)
    yield from _verify_records(database, held, prefixes)
    yield from _verify_memories(database, head)


def verify_checkpoint(path: Path, position: Position, database: Database, chain: bytes | None) -> Iterator[Finding]:
    """Check that a checkpoint opens, is the one its name says, and holds nothing that the store does not know."""
    try:
        checkpoint = open_read_only(path)
    except Exception as error:  # noqa: BLE001 - rocksdict raises nothing more special, and whatever it is, it is found
        yield Finding("checkpoints", f"{path.name} cannot be opened: {error}")
        return
    try:
        head = read_head(checkpoint)
        if head is None or head.position != position or (chain is not None and head.chain != chain):
            yield Finding("checkpoints", f"{path.name} is not the state after the change that it is called after")
        for space in (keys.RECORDS, *_TABLES):
            for page in _pages(checkpoint, space):
                yield from _compare(path.name, page, database)
    finally:
        checkpoint.close()


def _compare(name: str, page: list[Row], database: Database) -> Iterator[Finding]:
    for (key, image), stored in zip(page, database.get_many([key for key, _ in page]), strict=True):
        if stored is None and image[0] != ALIAS_FORMAT:
            yield Finding("checkpoints", f"{name} holds {key!r}, which the store does not")
        elif stored is not None and image[0] == stored[0]:
            older, newer = version_of(image), version_of(stored)
            if older > newer or (older == newer and image != stored and image[0] != ALIAS_FORMAT):
                yield Finding("checkpoints", f"{name} holds another {key!r} than the store")


def _verify_tables(database: Database, held: Held, prefixes: dict[str, Prefix]) -> Iterator[Finding]:
    for space, (unpack, field) in _TABLES.items():
        for key, image in _rows(database, space):
            held.writes += version_of(image)
            try:
                row = unpack(image)
            except Exception as error:  # noqa: BLE001 - whatever a damaged image makes its parser say, it is found
                yield Finding("tables", f"{key!r} cannot be read: {error}")
                continue
            if isinstance(row, Prefix):
                prefixes[row.name] = row
            if getattr(row, field) != name_in_key(key):
                yield Finding("tables", f"{key!r} holds {getattr(row, field)!r}")


def _verify_records(database: Database, held: Held, prefixes: dict[str, Prefix]) -> Iterator[Finding]:
    for page in _pages(database, keys.RECORDS):
        pointers = [(key, target) for key, image in page if (target := alias_target(image)) is not None]
        yield from _verify_pointers(pointers, database, prefixes)
        expected: list[tuple[str, str]] = []
        for key, image in page:
            if image[0] == ALIAS_FORMAT:
                continue
            held.writes += version_of(image)
            name = name_in_key(key)
            try:
                record = PackedRecord(image).unpack()
                aliases = [_key_of(alias, prefixes) for alias in record.aliases]
                identifier = parse_identifier(record.identifier)
            except Exception as error:  # noqa: BLE001 - whatever a damaged image makes its parser say, it is found
                yield Finding("records", f"{name!r} cannot be read: {error}")
                continue
            if _normalise(identifier, prefixes) != name:
                yield Finding("records", f"{name!r} holds {record.identifier!r}, which is looked up elsewhere")
            if _home(identifier, prefixes) is None:
                yield Finding("records", f"{name!r} is below no prefix of this node: nobody can reach it")
            expected += [(alias, name) for alias in aliases]
        yield from _verify_aliases(expected, database)


def _verify_aliases(expected: list[tuple[str, str]], database: Database) -> Iterator[Finding]:
    found = database.get_many([record_key(alias) for alias, _ in expected])
    for (alias, name), pointer in zip(expected, found, strict=True):
        if pointer is None or alias_target(pointer) != name:
            yield Finding("aliases", f"{name!r} lists {alias!r}, which does not lead to it")


def _verify_pointers(pointers: list[tuple[bytes, str]], database: Database, prefixes: dict[str, Prefix]) -> Iterator[Finding]:
    found = database.get_many([record_key(target) for _, target in pointers])
    for (key, target), image in zip(pointers, found, strict=True):
        alias = name_in_key(key)
        try:
            listed = image is not None and alias in {_key_of(name, prefixes) for name in PackedRecord(image).aliases}
        except Exception:  # noqa: BLE001 - an unreadable record is found where it stands; here it lists nothing
            listed = False
        if not listed:
            yield Finding("aliases", f"{alias!r} leads to {target!r}, which does not list it")


def _verify_memories(database: Database, head: Head) -> Iterator[Finding]:
    for key, image in _rows(database, keys.IDEMPOTENCY):
        try:
            memory = unpack_memory(image)
        except Exception as error:  # noqa: BLE001 - whatever a damaged image makes its parser say, it is found
            yield Finding("idempotency", f"{key!r} cannot be read: {error}")
            continue
        if memory.position > head.position:
            yield Finding("idempotency", f"{key!r} names {memory.position}, after the head")


def _key_of(text: str, prefixes: dict[str, Prefix]) -> str:
    return _normalise(parse_identifier(text), prefixes)


def _normalise(identifier: Identifier, prefixes: dict[str, Prefix]) -> str:
    return normalise(identifier, _home(identifier, prefixes))


def _home(identifier: Identifier, prefixes: dict[str, Prefix]) -> Prefix | None:
    return next((prefixes[name] for name in ancestors(identifier.homing_prefix) if name in prefixes), None)


def _rows(database: Database, space: bytes) -> Iterator[Row]:
    for page in _pages(database, space):
        yield from page


def _pages(database: Database, space: bytes) -> Iterator[list[Row]]:
    page = database.scan(space_prefix(space), b"", _PAGE_ROWS)
    while page:
        yield page
        page = database.scan(space_prefix(space), page[-1][0], _PAGE_ROWS)
