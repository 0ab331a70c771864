"""Changing some values of an identifier."""

from dataclasses import dataclass

from proto.model.value import Value


@dataclass(frozen=True, slots=True)
class Patch:
    """What to change: values set by their index, indexes removed (absent ones are no mistake); None leaves as it is."""

    set: tuple[Value, ...] = ()
    remove: tuple[int, ...] = ()
    template: str | None = None
    aliases: tuple[str, ...] | None = None
