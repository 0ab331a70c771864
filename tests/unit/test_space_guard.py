"""The floor of free space, on a file system whose figures a test sets."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from registry.commit.space import BALLAST, SpaceGuard

MEGABYTE = 1024 * 1024
BLOCK = 4096


class Disk:
    """A file system of `total` bytes with `free` bytes beside what the ballast takes."""

    def __init__(self, folder: Path, total: int, free: int) -> None:
        self.ballast = folder / BALLAST
        self.total = total
        self.free = free

    def statvfs(self, _: object) -> SimpleNamespace:
        taken = self.ballast.stat().st_size if self.ballast.exists() else 0
        return SimpleNamespace(f_blocks=self.total // BLOCK, f_frsize=BLOCK, f_bavail=max(0, self.free - taken) // BLOCK)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], Disk]:
    def make(total: int, free: int) -> Disk:
        made = Disk(tmp_path, total * MEGABYTE, free * MEGABYTE)
        monkeypatch.setattr(os, "statvfs", made.statvfs)
        return made

    return make


def guard(folder: Path, registry: CollectorRegistry | None = None) -> SpaceGuard:
    return SpaceGuard(folder, build_metrics(registry or CollectorRegistry()))


@pytest.mark.parametrize(("total", "floor"), [(64, 8), (1_000, 50), (1_000_000, 256)])
def test_the_floor_fits_the_disk(tmp_path: Path, disk: Callable[[int, int], Disk], total: int, floor: int) -> None:
    disk(total, total)
    assert guard(tmp_path).floor_bytes // MEGABYTE == floor


def test_with_room_everything_is_admitted_and_ballast_is_set_aside(tmp_path: Path, disk: Callable[[int, int], Disk]) -> None:
    made = disk(64, 60)
    space = guard(tmp_path)
    assert space.admits(MEGABYTE)
    assert made.ballast.stat().st_blocks * 512 >= space.ballast_bytes


def test_below_the_floor_writes_are_refused_and_the_ballast_goes(tmp_path: Path, disk: Callable[[int, int], Disk]) -> None:
    made = disk(64, 60)
    space = guard(tmp_path)
    made.free = space.floor_bytes + space.ballast_bytes - BLOCK
    assert not space.admits(0)
    assert not made.ballast.exists()


def test_a_large_group_needs_more_room_than_a_small_one(tmp_path: Path, disk: Callable[[int, int], Disk]) -> None:
    made = disk(64, 60)
    space = guard(tmp_path)
    made.free = space.floor_bytes + space.ballast_bytes + 2 * MEGABYTE
    assert space.admits(MEGABYTE // 4)
    assert not space.admits(MEGABYTE)


def test_the_ballast_that_went_does_not_count_as_room(tmp_path: Path, disk: Callable[[int, int], Disk]) -> None:
    made = disk(64, 60)
    space = guard(tmp_path)
    made.free = space.floor_bytes
    assert not space.admits(0)
    made.free = space.floor_bytes + space.ballast_bytes - BLOCK
    assert not space.admits(0)
    made.free = space.floor_bytes + space.ballast_bytes + BLOCK
    assert space.admits(0)
    assert made.ballast.exists()


def test_a_start_on_a_full_disk_refuses_until_there_is_room(tmp_path: Path, disk: Callable[[int, int], Disk]) -> None:
    made = disk(64, 5)
    space = guard(tmp_path)
    assert not space.admits(0)
    made.free = 60 * MEGABYTE
    assert space.admits(0)


def test_a_write_that_failed_makes_room_at_once(tmp_path: Path, disk: Callable[[int, int], Disk]) -> None:
    made = disk(64, 60)
    space = guard(tmp_path)
    space.make_room()
    assert not made.ballast.exists()
    assert space.admits(0)
    assert made.ballast.exists()


def test_the_free_space_is_a_metric(tmp_path: Path, disk: Callable[[int, int], Disk]) -> None:
    disk(64, 60)
    registry = CollectorRegistry()
    assert guard(tmp_path, registry).admits(0)
    assert registry.get_sample_value("biaojie_store_free_bytes") == 56 * MEGABYTE
