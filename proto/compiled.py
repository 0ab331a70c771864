"""Which way a hot function goes: its own plain Python, or a compiled namesake beside it.

A module `x.py` may have a `_x.pyx` beside it, typed Cython that holds some of its functions a second time, under the same names
and with the same contracts. A function marked `@preferred` is its compiled namesake wherever that was built; a machine without
a compiler installs and runs the plain one. The plain one is what counts: a property test compares the two on whatever input,
malformed input too. A compiled function need not know every case: what is rare, or does not look as it should, it hands to its
plain namesake (`pure`), so there is one place for it, and one error.

`BIAOJIE_PURE=1` in the environment makes all of it go the plain way.
"""

import importlib
import importlib.util
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final, ParamSpec, TypeVar

PURE_VARIABLE: Final = "BIAOJIE_PURE"

P = ParamSpec("P")
R = TypeVar("R")

_pure: dict[str, Callable[..., Any]] = {}  # by module and name
_refused: dict[str, str] = {}  # compiled modules that are not used, and why
_used: set[str] = set()


def preferred(function: Callable[P, R]) -> Callable[P, R]:
    """The compiled namesake of a function at the top of a module; without one that can be used, the function itself."""
    _pure[_name(function.__module__, function.__name__)] = function
    module = _load(namesake(function.__module__))
    if module is None:
        return function
    found: Callable[P, R] = getattr(module, function.__name__)
    return found


def pure(module: str, name: str) -> Callable[..., Any]:
    """The plain way of a function that is `preferred`."""
    return _pure[_name(module, name)]


def namesake(module: str) -> str:
    """The name of the compiled module beside `module`."""
    package, _, last = module.rpartition(".")
    return f"{package}._{last}"


def summary() -> str:
    """In a word or a line, how this process goes: `compiled`, or `pure` and why."""
    if not _refused:
        return "compiled"
    why = ", ".join(sorted({*_refused.values()}))
    return f"pure ({why})" if not _used else f"compiled but for {', '.join(sorted(_refused))} ({why})"


@cache
def _load(name: str) -> ModuleType | None:
    try:
        module = _import(name)
    except _Unusable as unusable:
        _refused[name] = str(unusable)
        return None
    _used.add(name)
    return module


def _import(name: str) -> ModuleType:
    if os.environ.get(PURE_VARIABLE, "") not in ("", "0"):
        raise _Unusable(f"as {PURE_VARIABLE} says")
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise _Unusable("nothing was compiled when this was installed")
    binary = Path(spec.origin)
    source = binary.with_name(f"{name.rpartition('.')[2]}.pyx")
    if source.exists() and source.stat().st_mtime > binary.stat().st_mtime:
        # A checkout whose sources went on since it was installed: what was built then is not what the code says now.
        raise _Unusable("what was compiled is older than its source: install again")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise _Unusable(f"what was compiled does not fit this machine: {error}") from None


def _name(module: str, name: str) -> str:
    return f"{module}.{name}"


class _Unusable(Exception):
    """There is no compiled module to be used, and why."""
