"""What becomes of a filing when the upstream answers that it has such a thing already (2302).

That may be good news (it is ours, and only the answer to the create was lost), no news (a try before this one made it), or bad
news (it is somebody else's). The mapping has no command that tells whose a thing is and how its audit stands: `check` tells the
id of an enterprise and whether a prefix is free, and that is all. So what is known of our own part is weighed with what `check`
says, in one table:

* An enterprise is who its code says, whoever reported it: one that was there before us is as good as filed, and is left as it
  is.
* A prefix that was there before us is told as an *update*, under a transaction of its own. The upstream takes that for its
  holder alone, so its answer says what no `check` does.
* What this very transaction may have made is awaited as if it had been taken: the audit that comes names it. That no audit
  comes is the mark of somebody else's, so such a filing is *in doubt*, and is told as an update after days
  (`registry/service/filings`) or when the operator says so.
* A day is reported by nobody but us, and our own mapping tells its figures: they are what was meant, or are not.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from adapters.upstream.epp.core.objects import DayReport
from adapters.upstream.epp.core.replies import Data, EntityData, PrefixData, Response
from adapters.upstream.epp.core.verdict import MISSING, Verdict, is_success, verdict_of


class Part(Enum):
    """What we may have to do with a thing that exists."""

    NONE = auto()
    """Nothing of this filing was ever sent before: it was there before us."""
    EARLIER = auto()
    """This transaction has done nothing, but others of this filing were sent before it."""
    THIS = auto()
    """This transaction may have made it: it was sent before, and nobody knows what became of that."""


class Finding(Enum):
    """What the upstream says of it when it is asked."""

    NAMED = auto()
    """An enterprise, by its id."""
    UNNAMED = auto()
    """An enterprise without an id: it is not told, or not given yet."""
    HELD = auto()
    """A prefix that is not free."""
    SAME = auto()
    """The figures of a day as they were meant."""
    OTHER = auto()
    """Other figures of that day."""
    UNTOLD = auto()
    """Of a day nothing is told."""
    NOT_THERE = auto()
    """It is free after all, or was not there."""
    ANOTHER = auto()
    """The answer is about something else."""


class Outcome(Enum):
    """What is done."""

    ACCEPT = auto()
    AWAIT = auto()
    UPDATE = auto()
    REJECT = auto()
    LATER = auto()
    """The upstream contradicts itself: it is asked again."""


_ALWAYS_LATER: Final = (Outcome.LATER,) * 3

OUTCOMES: Final[Mapping[Finding, tuple[Outcome, Outcome, Outcome]]] = {
    # Whose part it is:  NONE             EARLIER          THIS
    Finding.NAMED:      (Outcome.ACCEPT, Outcome.UPDATE, Outcome.AWAIT),
    Finding.UNNAMED:    (Outcome.AWAIT,  Outcome.AWAIT,  Outcome.AWAIT),
    Finding.HELD:       (Outcome.UPDATE, Outcome.UPDATE, Outcome.AWAIT),
    Finding.SAME:       (Outcome.ACCEPT, Outcome.ACCEPT, Outcome.ACCEPT),
    Finding.OTHER:      (Outcome.REJECT, Outcome.REJECT, Outcome.REJECT),
    Finding.UNTOLD:     (Outcome.REJECT, Outcome.ACCEPT, Outcome.ACCEPT),
    Finding.NOT_THERE:  _ALWAYS_LATER,
    Finding.ANOTHER:    _ALWAYS_LATER,
}  # fmt: skip


def settle(part: Part, finding: Finding) -> Outcome:
    """What is done about a thing that exists."""
    return OUTCOMES[finding][list(Part).index(part)]


def find(kind: str, name: str, meant: object, response: Response) -> Finding | None:
    """What the answer to a `check` says of a filing, `meant` being what was to be created; None if it is to be asked again."""
    if verdict_of(response.code) is Verdict.FAILED:
        return None
    data = response.data if is_success(response.code) else None
    if kind == "statistics":
        return Finding.NOT_THERE if response.code == MISSING else _find_day(meant, data)
    if kind == "prefix":
        return _find_prefix(name, data)
    if isinstance(data, EntityData):
        return Finding.NAMED if data.entity else Finding.UNNAMED
    return Finding.UNNAMED if data is None else Finding.ANOTHER


def _find_prefix(name: str, data: Data | None) -> Finding:
    if data is None:
        return Finding.HELD  # that it exists was said; who cannot say more does not take it back
    if not isinstance(data, PrefixData) or data.prefix != name:
        return Finding.ANOTHER
    return Finding.NOT_THERE if data.is_free else Finding.HELD


def _find_day(meant: object, data: Data | None) -> Finding:
    if data is None:
        return Finding.UNTOLD
    if not isinstance(data, DayReport) or not isinstance(meant, DayReport) or data.day != meant.day:
        return Finding.ANOTHER
    return Finding.SAME if frozenset(data.figures) == frozenset(meant.figures) else Finding.OTHER
