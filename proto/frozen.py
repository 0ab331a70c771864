"""Values that never change, for what is made by the hundred thousand a second.

A frozen dataclass sets each of its fields through `object.__setattr__`: a value of nine fields costs four times as much to
make as one that is not frozen. Here the type checker freezes, and nothing is paid when the program runs.
"""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """`@dataclass(frozen=True, slots=True)` to the type checker; equal and hashable by its fields, as that is."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
