"""Reading members of a JSON object that somebody else wrote: each has a type and a range, or is refused by its path."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from proto.errors import Reason, Refusal

# Numbers on the Handle wire are unsigned 32-bit integers.
MAX_UINT32: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Members:
    """The members of one object at `path` (`values[2].data`). Everything wrong raises `Refusal(reason)` naming the member."""

    document: dict[str, Any]
    path: str
    reason: Reason = Reason.INVALID_VALUE

    def refuse(self, name: str, why: str) -> Refusal:
        """The refusal of member `name`; of the object itself if the name is empty."""
        return Refusal(self.reason, why, self.path_of(name))

    def path_of(self, name: str) -> str:
        """Where member `name` stands in the request."""
        return ".".join(part for part in (self.path, name) if part)

    def allow(self, names: Collection[str]) -> None:
        """Refuse members that nobody would read: a misspelt `audience` must not publish what was meant to be hidden."""
        for name in self.document:
            if name not in names:
                raise self.refuse(name, f"unknown member; known are {', '.join(sorted(names))}")

    def text(self, name: str, default: str | None = None) -> str:
        """A string of valid Unicode."""
        found = self.document.get(name, default)
        if not isinstance(found, str):
            raise self._wanted(name, "a string")
        try:
            found.encode()
        except UnicodeEncodeError:
            raise self.refuse(name, "it is not valid Unicode (half of a surrogate pair)") from None
        return found

    def integer(self, name: str, default: int | None = None, low: int = 0, high: int = MAX_UINT32) -> int:
        """An integer from `low` to `high`."""
        found = self.document.get(name, default)
        if not isinstance(found, int) or isinstance(found, bool) or not low <= found <= high:
            raise self._wanted(name, f"an integer from {low} to {high}")
        return found

    def flag(self, name: str, default: bool | None = None) -> bool:
        """`true` or `false`."""
        found = self.document.get(name, default)
        if not isinstance(found, bool):
            raise self._wanted(name, "true or false")
        return found

    def items(self, name: str, limit: int, too_many: Reason | None = None) -> list[Any]:
        """A list of at most `limit` items, empty if the member is missing; `too_many` is the reason to refuse a longer one."""
        found = self.document.get(name, [])
        if not isinstance(found, list):
            raise self._wanted(name, "a list")
        if len(found) > limit:
            raise Refusal(too_many or self.reason, f"{len(found)} items; the limit is {limit}", self.path_of(name))
        return found

    def objects(self, name: str, limit: int) -> list["Members"]:
        """A list of at most `limit` objects, empty if the member is missing."""
        return [
            open_members(item, f"{self.path_of(name)}[{place}]", self.reason)
            for place, item in enumerate(self.items(name, limit))
        ]

    def inner(self, name: str) -> "Members":
        """A member that is an object itself."""
        return open_members(self.document.get(name), self.path_of(name), self.reason)

    def _wanted(self, name: str, what: str) -> Refusal:
        missing = "" if name in self.document else "it is missing: "
        return self.refuse(name, f"{missing}{what} is wanted")


def open_members(document: object, path: str, reason: Reason = Reason.INVALID_VALUE) -> Members:
    """The members of what must be an object."""
    if not isinstance(document, dict):
        raise Refusal(reason, "an object is wanted", path)
    return Members(document, path, reason)
