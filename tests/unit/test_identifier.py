"""Parsing and folding of identifiers."""

import pytest

from proto.errors import Reason, Refusal
from proto.limits import MAX_IDENTIFIER_BYTES
from proto.model.identifier import SuffixRule, ancestors, fold_ascii, parse_identifier, parse_prefix


@pytest.mark.parametrize(
    ("text", "prefix", "suffix"),
    [
        ("88.118.1001/SAMPLE-1", "88.118.1001", "SAMPLE-1"),
        ("88.118.1001/a/b//c", "88.118.1001", "a/b//c"),
        ("88.382.91411000MA40XCDL1K/变压器 1", "88.382.91411000ma40xcdl1k", "变压器 1"),
        ("88.101.0042/001", "88.101.0042", "001"),
        ("0.NA/88.118.1", "0.na", "88.118.1"),
        ("88.118.1", "0.na", "88.118.1"),
        ("88.118.1/%2F", "88.118.1", "%2F"),
    ],
)
def test_an_identifier_is_split_at_its_first_slash(text: str, prefix: str, suffix: str) -> None:
    identifier = parse_identifier(text)
    assert (identifier.text, identifier.prefix, identifier.suffix) == (text, prefix, suffix)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "88.118.1/",
        "/x",
        "88..118/x",
        ".88/x",
        "88.118 /x",
        "88.118.１/x",
        "88.118.1/a\nb",
        "88.118.1/\u0085",
        "88.118.1/\u2028",
        "88.118.1/A\u030a",
        "88.118.1/\ud800",
        "8" * 65 + "/x",
        "88.118.1/" + "x" * MAX_IDENTIFIER_BYTES,
        "88.118.1/" + "变" * (MAX_IDENTIFIER_BYTES // 3),
    ],
)
def test_what_is_no_identifier_is_refused_by_name(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse_identifier(text)
    assert refused.value.reason is Reason.INVALID_IDENTIFIER
    assert refused.value.detail


def test_the_suffix_rule_decides_how_suffixes_compare() -> None:
    identifier = parse_identifier("88.118.ABC/Straße-ÄB")
    assert identifier.normalised(SuffixRule.FOLD_ASCII) == "88.118.abc/straße-Äb"
    assert identifier.normalised(SuffixRule.EXACT) == "88.118.abc/Straße-ÄB"


def test_only_ascii_letters_fold() -> None:
    assert fold_ascii("AZÄΣ\u212a") == "azÄΣ\u212a"


def test_the_identifier_of_a_prefix_is_homed_where_the_prefix_is() -> None:
    assert parse_identifier("88.118.1001").homing_prefix == "88.118.1001"
    assert parse_identifier("0.NA/88.118.ABC").homing_prefix == "88.118.abc"
    assert parse_identifier("88.118.1001/x").homing_prefix == "88.118.1001"


def test_ancestors_are_longest_first() -> None:
    assert ancestors("88.118.1001") == ["88.118.1001", "88.118", "88"]


def test_a_prefix_keeps_leading_zeros_and_folds_letters() -> None:
    assert parse_prefix("88.0042.91411000MA40XCDL1K") == "88.0042.91411000ma40xcdl1k"


@pytest.mark.parametrize("text", ["", "88..118", "88.118 ", "8" * 65])
def test_what_is_no_prefix_is_refused_each_time(text: str) -> None:
    for _ in range(3):
        with pytest.raises(Refusal) as refused:
            parse_prefix(text)
        assert refused.value.reason is Reason.INVALID_IDENTIFIER


def test_more_prefixes_than_are_remembered_are_judged_alike() -> None:
    asked = [f"88.{number}.Ab" for number in range(5_000)]
    assert [parse_prefix(text) for text in (*asked, *asked)] == [text.lower() for text in (*asked, *asked)]
