"""What a reply must hold: every answer of a load test is compared with what was registered."""

from collections.abc import Callable

from load_tests.generator.loop import WrongAnswerError
from load_tests.records import mark_of

Expectation = Callable[[int, bool, bytes], None]
"""(record number, whether it was found, the reply's content). Raises `WrongAnswerError`."""


def registered(count: int) -> Expectation:
    """The records 0 to `count` are registered, and no others."""

    def check(number: int, found: bool, content: bytes) -> None:
        if found != (number < count) or (found and mark_of(number) not in content):
            raise WrongAnswerError(f"record {number} of {count}: {'found' if found else 'not found'}, {content[:400]!r}")

    return check


def constant(content: bytes) -> Expectation:
    """Always the same, as peers answer that serve a constant."""

    def check(number: int, found: bool, heard: bytes) -> None:
        if not found or heard != content:
            raise WrongAnswerError(f"record {number}: not the constant, {heard[:400]!r}")

    return check
