"""The files that committer and readers share: column families, their options, and how they are opened for reading.

Key spaces (`proto.keys`) lie in column families by how they live: records are many and read at random, tables are small,
idempotency entries go by the day, log entries go when their segment is sealed, the head is overwritten by every group.
Only the committer opens the database for writing (`registry.store.rocksdb`); everybody else opens a checkpoint, which
never changes, so a reader's answers are consistent without a lock.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, cast

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DataBlockIndexType,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
)

from proto import keys
from proto.keys import prefix_end


class Family(StrEnum):
    """A column family by its name in RocksDB; the head lives in the one that always exists."""

    META = "default"
    RECORDS = "records"
    TABLES = "tables"
    IDEMPOTENCY = "idempotency"
    LOG = "log"


FAMILY_OF_SPACE: Final[dict[int, Family]] = {
    keys.RECORDS[0]: Family.RECORDS,
    keys.PREFIXES[0]: Family.TABLES,
    keys.REGISTRANTS[0]: Family.TABLES,
    keys.ACCOUNTS[0]: Family.TABLES,
    keys.JOBS[0]: Family.TABLES,
    keys.FEEDS[0]: Family.TABLES,
    keys.LETTERS[0]: Family.TABLES,
    keys.FILINGS[0]: Family.TABLES,
    keys.SOURCES[0]: Family.TABLES,
    keys.RESOLUTIONS[0]: Family.TABLES,
    keys.NOTICES[0]: Family.TABLES,
    keys.IDEMPOTENCY[0]: Family.IDEMPOTENCY,
    keys.LOG[0]: Family.LOG,
    keys.META[0]: Family.META,
}

# What answers are made of; a reader leaves the log and the idempotency entries closed and saves their memory.
READ_FAMILIES: Final = (Family.META, Family.RECORDS, Family.TABLES)

# Readers have no block cache. Pages are in the page cache, which all processes share (mmap), and what is asked for again and
# again lies rendered in the answer cache: keeping a decompressed block costs more than it saves, of random identifiers a
# quarter of the look-up, and still an eighth of it when a few are asked for most (Zipf).

# 4 KiB blocks with a hash index and LZ4 read at 300,000 records a second where no compression reads at 350,000 and takes
# 2.4 times the space; larger blocks and Zstandard lose more than they save.
_BLOCK_BYTES: Final = 4_096
_HASH_RATIO: Final = 0.75
_BLOOM_BITS_PER_KEY: Final = 10

# A memtable of records holds what comes between two checkpoints; those of the other families stay small.
_WRITE_BUFFER_BYTES: Final = {
    Family.META: 1 * 1024 * 1024,
    Family.RECORDS: 32 * 1024 * 1024,
    Family.TABLES: 1 * 1024 * 1024,
    Family.IDEMPOTENCY: 4 * 1024 * 1024,
    Family.LOG: 32 * 1024 * 1024,
}
# One being filled, one being flushed, one spare so that a slow disk does not stop commits at once.
_WRITE_BUFFERS: Final = 3


class Database:
    """An open database, for reading: raw keys to stored values, whatever family they are in."""

    __slots__ = ("_families", "_rdict")

    def __init__(self, rdict: Rdict, families: Sequence[Family]) -> None:
        self._rdict = rdict
        opened = {family: rdict.get_column_family(family.value) for family in families}
        self._families = {space: opened[family] for space, family in FAMILY_OF_SPACE.items() if family in opened}

    def get(self, key: bytes) -> bytes | None:
        """The value stored under `key`."""
        value: bytes | None = self._families[key[1]].get(key)
        return value

    def getter(self, space: bytes) -> Callable[[bytes], bytes | None]:
        """`get` for keys of one space, without a step in between. To be let go of before `close`."""
        return cast("Callable[[bytes], bytes | None]", self._families[space[0]].get)

    def getter_of_many(self, space: bytes) -> Callable[[list[bytes]], list[bytes | None]]:
        """The same for many keys of one space at once, in order."""
        return cast("Callable[[list[bytes]], list[bytes | None]]", self._families[space[0]].get)

    def get_many(self, wanted: Sequence[bytes]) -> list[bytes | None]:
        """The values under all of `wanted`, in order. RocksDB looks the keys of one space up at once, without the GIL."""
        spaces = {key[1] for key in wanted}
        if len(spaces) <= 1:
            return self._get_in_space(spaces.pop(), list(wanted)) if wanted else []
        found: dict[bytes, bytes | None] = {}
        for space in spaces:
            below = [key for key in wanted if key[1] == space]
            found.update(zip(below, self._get_in_space(space, below), strict=True))
        return [found[key] for key in wanted]

    def scan(self, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Up to `limit` keys with their values that begin with `prefix` and come after the key `after`, in order."""
        if limit <= 0:
            return []
        bounds = ReadOptions()  # must outlive the iteration: it owns the bound that RocksDB points at
        bounds.set_iterate_upper_bound(prefix_end(prefix))
        # The least key after `after` is itself with a NUL behind it.
        start = max(prefix, after + b"\0") if after else prefix
        rows: list[tuple[bytes, bytes]] = []
        for row in self._families[prefix[1]].items(from_key=start, read_opt=bounds):
            rows.append(row)  # type: ignore[arg-type]  # rocksdict types keys for all modes; in raw mode they are bytes
            if len(rows) == limit:
                break
        return rows

    def close(self) -> None:
        """Release files and lock. Nothing read from here may be in use in another thread."""
        self._families = {}
        self._rdict.close()

    def _get_in_space(self, space: int, wanted: list[bytes]) -> list[bytes | None]:
        # rocksdict types the argument as a list of keys of any kind, and the answer as anything.
        return cast("list[bytes | None]", self._families[space].get([*wanted]))


def open_read_only(path: Path, families: Sequence[Family] = READ_FAMILIES) -> Database:
    """Open a checkpoint for reading.

    Raises `Exception` (rocksdict has no type of its own) if the folder is not a whole database.
    """
    columns = {family.value: family_options(family, None, is_reader=True) for family in families}
    main = database_options(is_reader=True)
    return Database(Rdict(str(path), main, columns, AccessType.read_only(False)), families)


def family_options(family: Family, cache: Cache | None, *, is_reader: bool) -> Options:
    """The options of one column family, the same wherever it is opened but for the `cache` of its blocks."""
    table = BlockBasedOptions()
    if cache is None:
        table.disable_cache()
    else:
        table.set_block_cache(cache)
    table.set_block_size(_BLOCK_BYTES)
    table.set_format_version(5)
    if family is not Family.LOG:  # the log is only read in order
        table.set_bloom_filter(_BLOOM_BITS_PER_KEY, False)
        table.set_data_block_index_type(DataBlockIndexType.binary_and_hash())
        table.set_data_block_hash_ratio(_HASH_RATIO)
    options = database_options(is_reader=is_reader)
    options.set_block_based_table_factory(table)
    # Log entries are packed already and soon gone.
    options.set_compression_type(DBCompressionType.none() if family is Family.LOG else DBCompressionType.lz4())
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES[family])
    options.set_max_write_buffer_number(_WRITE_BUFFERS)
    options.set_level_compaction_dynamic_level_bytes(True)
    return options


def database_options(*, is_reader: bool) -> Options:
    """What reader and writer agree on for the database as a whole. The writer adds how it recovers and how it is created."""
    options = Options(raw_mode=True)
    # The page cache is shared by all processes of the node; without this every look-up is a pread.
    options.set_allow_mmap_reads(is_reader)
    if is_reader:
        # A reader opens a checkpoint in its event loop, under the GIL: by itself, without sixteen threads for a few dozen
        # files and without reading a block of each for statistics that only compactions use. 4 ms instead of 8.
        options.set_max_file_opening_threads(1)
        options.set_skip_stats_update_on_db_open(True)
    # RocksDB's own diary: the current one and the one before.
    options.set_keep_log_file_num(2)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    return options
