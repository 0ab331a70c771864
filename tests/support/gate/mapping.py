"""From what the gate knows and the node has to what the gate is to be told. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def orders(known: Iterable[str], prefixes: Iterable[Mapping[str, Any]]) -> Sequence[str]:
    """The lines that make what the gate knows what the node has."""
    approved = {prefix["name"] for prefix in prefixes if prefix["state"] == "approved"}
    there = set(known)
    return [*(f"ALLOW {name}" for name in sorted(approved - there)), *(f"FORGET {name}" for name in sorted(there - approved))]
