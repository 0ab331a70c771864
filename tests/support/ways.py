"""Both ways of functions that are there twice (`proto.compiled`), and what each comes to."""

import importlib
import os
from collections.abc import Callable
from typing import Any

import pytest

from proto import compiled


def both_ways(module: str, name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The plain and the compiled way of a function. Skips where nothing is compiled; with CI=true that fails."""
    chosen = getattr(importlib.import_module(module), name)
    plain = compiled.pure(module, name)
    if chosen is plain:
        assert os.environ.get("CI") != "true" or os.environ.get(compiled.PURE_VARIABLE), compiled.summary()
        pytest.skip(compiled.summary())
    return plain, chosen


def outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a call comes to, for comparison: its result, or the kind and the words of what it raises."""
    try:
        return function(*arguments)
    except Exception as raised:  # noqa: BLE001 - whatever it is, it is compared
        return type(raised), str(raised)
