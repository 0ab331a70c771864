"""`verify` finds what does not hold, and nothing where all holds: a good folder, damaged in one place at a time."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from proto.keys import HEAD_KEY, idempotency_key, record_key, row_key
from proto.model.change import Head, Memory, Position, Table
from proto.packing import pack_alias
from proto.places import CHECKPOINTS, STORE, STREAM, position_name
from proto.stream import NO_CHAIN
from proto.tables import pack_head, pack_memory, unpack_head
from registry.commit.primary import take_lock
from registry.commit.space import BALLAST
from registry.commit.verify import verify
from registry.store.port import Transaction, Unusable
from registry.store.rocksdb import RocksdbStore
from tests.support.commits import PREFIX, findings, hold_prefix, register, running_primary
from tests.support.history import prefix_row, record_row

ALIAS = f"{PREFIX}/alias"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a prefix, records of several versions, an alias, idempotency keys and a checkpoint."""
    data = tmp_path_factory.mktemp("good") / "data"

    async def fill() -> None:
        async with running_primary(data) as primary:
            await primary.committer.commit(hold_prefix())
            await primary.committer.commit(register("a", aliases=[ALIAS], key="k"))
            for version in (1, 2, 3):
                await primary.committer.commit(register("b", version))

    asyncio.run(fill())
    return data


@pytest.fixture
def data(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "data", ignore=shutil.ignore_patterns(BALLAST)))


def write(data: Path, *writes: tuple[bytes, bytes]) -> None:
    """Change the store behind everybody's back."""
    store = RocksdbStore(data / STORE, Head("", Position(1, 0), 0, NO_CHAIN))
    store.apply([Transaction(writes=list(writes))], 0)
    store.close()


def stored(data: Path, key: bytes) -> bytes:
    store = RocksdbStore(data / STORE, Head("", Position(1, 0), 0, NO_CHAIN))
    [found] = store.get([key])
    store.close()
    assert found is not None
    return found[1]


def parts(data: Path) -> set[str]:
    return {finding.part for finding in findings(data)}


def test_a_good_folder_is_clean_and_stays_as_it_is(data: Path) -> None:
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    assert findings(data) == []
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


def test_an_empty_node_is_clean(tmp_path: Path) -> None:
    async def start_and_stop() -> None:
        async with running_primary(tmp_path / "data"):
            pass

    asyncio.run(start_and_stop())
    assert findings(tmp_path / "data") == []


Damage = Callable[[Path], None]


def segment_of(data: Path) -> Path:
    return next((data / STREAM).iterdir())


def checkpoint_of(data: Path) -> Path:
    return next(path for path in (data / CHECKPOINTS).iterdir() if path.is_dir())


def flip(data: Path) -> None:
    broken = bytearray(segment_of(data).read_bytes())
    broken[300] ^= 1
    segment_of(data).write_bytes(broken)


def put(key: bytes, image: bytes) -> Damage:
    return lambda data: write(data, (key, image))


def change_head(position: Position | None = None, chain: bytes | None = None) -> Damage:
    def damage(data: Path) -> None:
        head = unpack_head(stored(data, HEAD_KEY))
        write(data, (HEAD_KEY, pack_head(Head(head.node_id, position or head.position, head.time_ms, chain or head.chain))))

    return damage


def rename_checkpoint(data: Path) -> None:
    path = checkpoint_of(data)
    path.rename(path.with_name(position_name(Position(1, 3))))


def spoil_checkpoint(data: Path) -> None:
    (checkpoint_of(data) / "CURRENT").write_text("MANIFEST-999999\n")


B, C, OTHER = f"{PREFIX}/b", f"{PREFIX}/c", f"{PREFIX}/other"
HEAD_UNREADABLE = b"\1" + bytes(8) + b"\xff\xff"
OF_THE_FUTURE = pack_memory(Memory(b"d" * 32, Position(1, 99), b"", 0))
CASES: list[tuple[str, Damage, str]] = [
    ("a flipped bit in a segment", flip, "stream"),
    ("a record gone", put(record_key(B), b""), "store"),
    ("an older version", put(record_key(B), record_row(B, 2).image), "store"),
    ("another image of the same version", put(record_key(B), record_row(B, 3, size=9).image), "store"),
    ("a newer version that no change wrote", put(record_key(B), record_row(B, 4).image), "store"),
    ("a record that no change wrote", put(record_key(C), record_row(C, 1).image), "store"),
    ("a record that cannot be read", put(record_key(C), record_row(C, 1).image[:60]), "records"),
    ("a record under another's key", put(record_key(C), record_row(OTHER, 1).image), "records"),
    ("a record that nobody can reach", put(record_key("99.9/x"), record_row("99.9/x", 1).image), "records"),
    ("an alias that leads nowhere any more", put(record_key(ALIAS), b""), "aliases"),
    ("an alias that its record does not list", put(record_key(OTHER), pack_alias(f"{PREFIX}/a")), "aliases"),
    ("an alias of nothing", put(record_key(OTHER), pack_alias(C)), "aliases"),
    ("a table's row that cannot be read", put(row_key(Table.PREFIX, "x"), HEAD_UNREADABLE), "tables"),
    ("a table's row under another's key", put(row_key(Table.PREFIX, "x"), prefix_row("y").image), "tables"),
    ("an idempotency entry that cannot be read", put(idempotency_key(1, "a", "k"), HEAD_UNREADABLE), "idempotency"),
    ("an idempotency entry of the future", put(idempotency_key(1, "a", "k"), OF_THE_FUTURE), "idempotency"),
    ("a head that is behind", change_head(position=Position(1, 3)), "stream"),
    ("a head of another chain", change_head(chain=b"\1" * 32), "stream"),
    ("a head that cannot be read", put(HEAD_KEY, HEAD_UNREADABLE), "store"),
    ("a checkpoint under another's name", rename_checkpoint, "checkpoints"),
    ("a checkpoint that cannot be opened", spoil_checkpoint, "checkpoints"),
    ("no checkpoint", lambda data: shutil.rmtree(data / CHECKPOINTS), "checkpoints"),
]


@pytest.mark.parametrize(("damage", "part"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_damage_is_found(data: Path, damage: Damage, part: str) -> None:
    damage(data)
    assert part in parts(data)


@pytest.mark.parametrize("lost", [7, 300, None])
def test_an_end_that_the_log_has_whole_is_no_finding(data: Path, lost: int | None) -> None:
    segment_of(data).write_bytes(segment_of(data).read_bytes()[: -lost if lost else 0])
    assert findings(data) == []


def test_an_end_that_the_log_no_longer_has_is_one(data: Path) -> None:
    store = RocksdbStore(data / STORE, Head("", Position(1, 0), 0, NO_CHAIN))
    store.trim_log(store.head().position)
    store.close()
    assert findings(data) == []
    segment_of(data).write_bytes(segment_of(data).read_bytes()[:-7])
    assert "stream" in parts(data)


def test_a_running_node_and_no_node_are_refused(data: Path, tmp_path: Path) -> None:
    take_lock(data)
    with pytest.raises(Unusable, match="another process"):
        list(verify(data))
    with pytest.raises(Unusable, match="no store"):
        list(verify(tmp_path))


def test_a_store_that_a_killed_process_had_just_made_is_clean(tmp_path: Path) -> None:
    store = RocksdbStore(tmp_path / "data" / STORE, Head("", Position(1, 0), 0, NO_CHAIN))
    store.drop(HEAD_KEY, HEAD_KEY + b"\0")
    store.close()
    assert findings(tmp_path / "data") == []


def test_a_store_without_a_head_but_with_anything_else_is_not(data: Path) -> None:
    store = RocksdbStore(data / STORE, Head("", Position(1, 0), 0, NO_CHAIN))
    store.drop(HEAD_KEY, HEAD_KEY + b"\0")
    store.close()
    assert [finding.part for finding in findings(data)] == ["store"]
