"""What an adapter is to the node, so that a new one is a folder and no more: nothing of the node knows it by name.

The package of an adapter has a module `adapter` with

    KEYS                      the keys of `settings` in its profile
    read(section, reveal)     the settings of a profile; what is wrong is noted in the section, nothing is raised for it
    make(settings, around)    its `Work`

and a profile names the package. So it may be one of ours, or one that somebody else installs beside the node.
"""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from adapters.section import Section
from proto.metrics import Metrics

if TYPE_CHECKING:  # the supervisor, which reads profiles, has no use for an HTTP client
    from adapters.registry_api import RegistryApi

Reveal = Callable[[str], str]
"""The secret behind `env:NAME` or `file:PATH`. Raises `ValueError`."""


class Work(Protocol):
    """What one adapter does. After a fault it is made anew and begun again; what it holds it lets go in `close`."""

    async def run(self) -> None:
        """Go on until cancelled.

        Raises `NotTaken` of its client if the registry does not let its account work.
        """

    async def close(self) -> None: ...
    def describe(self) -> Mapping[str, Any]: ...


class Surroundings(NamedTuple):
    """What an adapter has of the node: the registry's API for the account that its profile names (open as long as it works),
    metrics, and whom to tell that it is ready, or is no longer."""

    name: str
    registry: "RegistryApi"
    metrics: Metrics
    announce: Callable[[bool], None]


class Adapter(Protocol):
    """The module `adapter` of its package."""

    KEYS: Collection[str]

    def read(self, section: Section, reveal: Reveal) -> Any: ...
    def make(self, settings: Any, around: Surroundings) -> Work: ...
