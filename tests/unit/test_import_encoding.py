"""Which encoding a table is in."""

import codecs

import pytest

from registry.service.imports.encoding import Encoding, broken_lines, detect_encoding, mark_bytes

HEADER = "identifier,1:TITLE\n"
CHINESE = HEADER + "".join(f"88.118.1001/{number},干式变压器第{number}号\n" for number in range(200))


def detected(data: bytes, piece: int = 1000) -> Encoding:
    return detect_encoding(lambda: [data[at : at + piece] for at in range(0, len(data), piece)])


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_chinese_text_is_read_in_the_encoding_it_was_written_in(encoding: Encoding, piece: int) -> None:
    assert detected(CHINESE.encode(encoding), piece) is encoding


@pytest.mark.parametrize("encoding", Encoding)
def test_the_first_chinese_character_may_be_in_the_last_row(encoding: Encoding) -> None:
    late = HEADER + "88.118.1001/1,plain\n" * 5_000 + "88.118.1001/2,电力电缆"
    assert detected(late.encode(encoding)) is encoding


@pytest.mark.parametrize("encoding", Encoding)
def test_a_damaged_row_does_not_change_what_the_others_are_in(encoding: Encoding) -> None:
    lines = CHINESE.encode(encoding).split(b"\n")
    lines[50] = lines[50][:-1] + b"\xff"
    lines[51] = b"\xff\xff"
    damaged = b"\n".join(lines)
    assert detected(damaged) is encoding
    assert broken_lines([damaged], encoding) == 2


def test_plain_ascii_and_nothing_at_all_are_utf_8() -> None:
    assert detected(b"identifier,1:URL\n88.118.1001/1,https://example.cn\n") is Encoding.UTF_8
    assert detected(b"") is Encoding.UTF_8


@pytest.mark.parametrize(("mark", "encoding"), [(codecs.BOM_UTF8, Encoding.UTF_8), (b"\x84\x31\x95\x33", Encoding.GB_18030)])
def test_a_byte_order_mark_settles_it(mark: bytes, encoding: Encoding) -> None:
    assert detected(mark + HEADER.encode()) is encoding
    assert mark_bytes(mark + HEADER.encode()) == len(mark)
    assert mark_bytes(HEADER.encode()) == 0


def test_characters_of_four_bytes_are_gb_18030() -> None:
    rare = "identifier,1:TITLE\n88.118.1001/1,𠮷字\n"
    assert detected(rare.encode("gb18030")) is Encoding.GB_18030


def test_a_file_without_line_ends_costs_a_bounded_memory() -> None:
    assert detect_encoding(lambda: [b"\xff" * 1_000_000] * 8) is Encoding.UTF_8
