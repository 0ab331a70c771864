"""Unified social credit code (统一社会信用代码, GB 32100-2015): 18 characters, the last one a check on the others.

    department 1 | category 1 | region 6 (GB/T 2260) | organisation code 9 (GB 11714) | check 1

The alphabet has no I, O, S, V, Z; a character's value is its place in it. The first two may be letters.
"""

from typing import Final

from proto.errors import Reason, Refusal

LENGTH: Final = 18
ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_MODULUS: Final = len(ALPHABET)
_VALUES: Final = {char: value for value, char in enumerate(ALPHABET)}
_WEIGHTS: Final = tuple(pow(3, place, _MODULUS) for place in range(LENGTH - 1))


def is_uscc_shaped(text: str) -> bool:
    """Whether `text` can only be meant as a USCC: 18 characters of its alphabet, in either case."""
    return len(text) == LENGTH and text.isascii() and all(char in _VALUES for char in text.upper())


def check_character(front: str) -> str:
    """The check character of the first 17 characters (upper case). GB 32100-2015 5.5."""
    total = sum(weight * _VALUES[char] for weight, char in zip(_WEIGHTS, front, strict=True))
    return ALPHABET[-total % _MODULUS]


def parse_uscc(text: str, field: str = "code") -> str:
    """The code in upper case. Raises `Refusal(INVALID_ARGUMENT)` if it has not the shape, or its check does not hold."""
    if not is_uscc_shaped(text):
        why = f"a unified social credit code is {LENGTH} characters, digits and capitals without I, O, S, V, Z"
        raise Refusal(Reason.INVALID_ARGUMENT, why, field)
    code = text.upper()
    if code[-1] != check_character(code[:-1]):
        raise Refusal(Reason.INVALID_ARGUMENT, "the last character does not check the others: one of them is mistyped", field)
    return code
