"""kill -9 of the process that writes, at random moments, with 64 commands in flight.

After each kill, and before anything has been repaired, `verify` finds nothing; every acknowledged change is there; and of
one that was not acknowledged all is there or nothing: three records, an alias, a version, an idempotency key.
"""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proto.keys import IDEMPOTENCY, RECORDS, name_in_key, space_prefix
from proto.packing import alias_target, version_of
from proto.places import STORE
from resolver.view.database import Database, Family, open_read_only
from tests.support.busy_writer import IN_FLIGHT, alias, key, names, own_record
from tests.support.commits import findings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
# Each folder is killed in so often; then a fresh one, since everything is checked after every kill.
FOLDERS = 4
KILLS = 6
# A kill in this share of the rounds comes while the process starts and settles what the last one left.
DURING_START = 0.25


@dataclass(slots=True)
class Tally:
    """What the writer acknowledged: numbers of changes, and each sender's newest version."""

    acknowledged: set[int] = field(default_factory=set)
    versions: dict[int, int] = field(default_factory=dict)
    next: int = 1


@pytest.fixture
def moments() -> random.Random:
    seed = int(os.environ.get("KILL_SEED", random.SystemRandom().randrange(2**32)))
    print(f"KILL_SEED={seed}")
    return random.Random(seed)


@pytest.mark.parametrize("_folder", range(FOLDERS))
def test_no_kill_loses_or_halves_a_change(tmp_path: Path, moments: random.Random, _folder: int) -> None:
    data, tally = tmp_path / "data", Tally()
    for _ in range(KILLS):
        write_and_kill(data, tally, moments)
        if (data / STORE / "CURRENT").exists():
            assert findings(data) == []
            check(data, tally)
    assert len(tally.acknowledged) > IN_FLIGHT, "too little was written to prove anything"


def write_and_kill(data: Path, tally: Tally, moments: random.Random) -> None:
    command = [sys.executable, "-m", "tests.support.busy_writer", str(data), str(tally.next), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as writer:
        assert writer.stdout is not None
        heard = b""
        if moments.random() < DURING_START:
            time.sleep(moments.uniform(0.2, 1.2))
        else:
            heard = b"".join(writer.stdout.readline() for _ in range(moments.randrange(IN_FLIGHT, 20 * IN_FLIGHT)))
            time.sleep(moments.uniform(0.0, 0.02))
        writer.send_signal(signal.SIGKILL)
        heard += writer.stdout.read()
    # The last line may be cut short: a number without its end would be another number.
    for line in heard.decode().splitlines(keepends=True):
        words = line.split()
        if line.endswith("\n") and words[0] == "ack":
            number, sender, version = map(int, words[1:])
            tally.acknowledged.add(number)
            tally.versions[sender] = max(version, tally.versions.get(sender, 0))


def check(data: Path, tally: Tally) -> None:
    database = open_read_only(data / STORE, families=tuple(Family))
    try:
        records = everything(database, RECORDS)
        there = {name_in_key(found): image for found, image in records.items()}
        keys = {found.rpartition(b"\0")[2].decode() for found in everything(database, IDEMPOTENCY)}
    finally:
        database.close()
    seen = {int(name.split("-")[1]) for name in there if "/n-" in name or "/alias-" in name}
    seen |= {int(found.split("-")[1]) for found in keys}
    assert tally.acknowledged <= seen, f"lost: {sorted(tally.acknowledged - seen)[:10]}"
    for number in seen:
        parts = [name in there for name in (*names(number), alias(number))] + [key(number) in keys]
        assert all(parts), f"change {number} is there by half: {parts}"
        assert alias_target(there[alias(number)]) == names(number)[0]
    for sender in range(IN_FLIGHT):
        image = there.get(own_record(sender))
        found, acknowledged = version_of(image) if image else 0, tally.versions.get(sender, 0)
        assert acknowledged <= found <= acknowledged + 1, f"sender {sender}: {found}, acknowledged {acknowledged}"
        tally.versions[sender] = found
    tally.next = max(seen, default=0) + 1


def everything(database: Database, space: bytes) -> dict[bytes, bytes]:
    return dict(database.scan(space_prefix(space), b"", 10_000_000))
