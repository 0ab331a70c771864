"""Pages of listings."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items in order; `cursor` is the `after` of the next page, empty if this is the last."""

    items: tuple[Item, ...]
    cursor: str = ""
