"""Unified social credit codes: the check digit, the alphabet, and what is no USCC at all."""

import pytest

from proto.errors import Reason, Refusal
from proto.schemes.uscc import ALPHABET, check_character, is_uscc_shaped, parse_uscc

VALID = [
    "91350100M000100Y43",
    "91110000600037341L",
    "92130982MA0G4GEM6H",
    "91411000MA40XCDL1K",
    "91411002MA45TEKA4M",
]


@pytest.mark.parametrize("code", VALID)
def test_real_and_synthetic_codes_check(code: str) -> None:
    assert parse_uscc(code) == code
    assert parse_uscc(code.lower()) == code
    assert check_character(code[:-1]) == code[-1]


@pytest.mark.parametrize("code", VALID)
def test_any_one_mistyped_character_is_found(code: str) -> None:
    for place, right in enumerate(code):
        for wrong in ALPHABET:
            if wrong != right:
                with pytest.raises(Refusal, match="does not check"):
                    parse_uscc(code[:place] + wrong + code[place + 1 :])


@pytest.mark.parametrize("code", VALID)
def test_neighbours_that_changed_places_are_found(code: str) -> None:
    for place in range(len(code) - 1):
        one, two = code[place], code[place + 1]
        if one != two:
            with pytest.raises(Refusal, match="does not check"):
                parse_uscc(code[:place] + two + one + code[place + 2 :])


def test_letters_may_stand_in_the_first_two_places() -> None:
    front = "A1411000MA40XCDL1"
    assert parse_uscc(front + check_character(front))


@pytest.mark.parametrize("text", ["", "91411000MA40XCDL1", "91411000MA40XCDL1KK", "9141100IMA40XCDL1K", "９1411000MA40XCDL1K"])
def test_other_text_is_no_uscc(text: str) -> None:
    assert not is_uscc_shaped(text)
    with pytest.raises(Refusal) as refused:
        parse_uscc(text, "code")
    assert (refused.value.reason, refused.value.field) == (Reason.INVALID_ARGUMENT, "code")
