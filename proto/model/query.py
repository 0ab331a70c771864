"""Query: what a caller wants to know, the same whatever protocol asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from proto.model.account import ANONYMOUS, Caller
from proto.model.change import Position
from proto.model.identifier import Identifier
from proto.model.prefix import Prefix


class Located(NamedTuple):
    """Where a question belongs: its parsed identifier, and the prefix whose home answers for it."""

    name: Identifier
    home: Prefix


class Foreign(NamedTuple):
    """Where a question leads that others are to be asked about: its parsed identifier, and the prefix that this node has
    delegated to them; without one the upstream is asked."""

    name: Identifier
    home: Prefix | None


class Ahead(NamedTuple):
    """Records that were read together at `position`, by normalised identifier: as stored, None where there is nothing."""

    position: Position
    records: Mapping[str, bytes | None]


@dataclass(slots=True)
class Query:
    """One question. A value is selected if its index is listed or its type matches; no filter selects all.

    `identifier` is the asked spelling (percent-decoding done). `credential` is the bearer token as sent, empty for none;
    the chain's access step makes it the `caller`. `wants_private` says that the caller insists on values it may not be able to
    read (a Handle query without PUBL): then unreadable ones are refused, not silently left out. `explain`, if it is a list,
    gets a line for everything that decided the answer, and `reads` the normalised identifier of every record that was looked
    up for it (None, or made None on the way: the answer rests on more than records). `located`, or `foreign`, is found out on
    the way. `ahead` is what was read for a whole batch.

    Other nodes are asked on behalf of `peer`, the address that asks. `is_recursive` says whether it wants that; None: its
    protocol did not say. `hops` counts the nodes that the question has passed; a copy that is `max_age_s` old will not do.
    `holds_ms` is found out on the way: how long an answer that is a copy's is true to the letter, its age included.
    """

    identifier: str
    protocol: str
    indexes: tuple[int, ...] = ()
    types: tuple[str, ...] = ()
    credential: str = ""
    caller: Caller = ANONYMOUS
    wants_private: bool = False
    after: Position | None = None
    request_id: str = ""
    explain: list[str] | None = None
    reads: list[str] | None = None
    located: Located | None = None
    ahead: Ahead | None = None
    foreign: Foreign | None = None
    peer: str = ""
    is_recursive: bool | None = None
    hops: int = 0
    max_age_s: int | None = None
    holds_ms: int = 0
