"""Names of files that belong to a position."""

import pytest

from proto.model.change import Position
from proto.places import lease_name, parse_position_name, parse_segment_name, position_name, segment_name


@pytest.mark.parametrize("position", [Position(0, 0), Position(1, 0x1234), Position(0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF)])
def test_names_and_positions_are_the_same_thing(position: Position) -> None:
    assert parse_position_name(position_name(position)) == position
    assert parse_segment_name(segment_name(position)) == position
    assert lease_name(position) == position_name(position) + ".lease"


def test_names_sort_as_positions_do() -> None:
    positions = [Position(1, 9), Position(1, 10), Position(1, 1 << 40), Position(2, 1), Position(16, 0)]
    names = [position_name(position) for position in positions]
    assert names == sorted(names)


@pytest.mark.parametrize(
    "name",
    ["", ".seg", "00000001-0000000000000001", "00000001-0000000000000001.tmp", "1-1.seg", "0000000G-0000000000000001.seg"],
)
def test_other_files_are_not_segments(name: str) -> None:
    assert parse_segment_name(name) is None


@pytest.mark.parametrize("name", ["00000001-0000000000000001.lease", "00000001-0000000000000001.tmp", "lost+found"])
def test_other_files_are_not_checkpoints(name: str) -> None:
    assert parse_position_name(name) is None
