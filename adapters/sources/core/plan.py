"""Plan: what has to be done so that the registry has what the source has, and the brake that may hold it.

A `Sheet` takes the rows of a reading first, then the records that are stored, each once in any order, and comes to a `Plan`.
So it holds either a row that was not compared yet or the step that it came to, in JSON, and never both sides at once.

A row that cannot be registered is a fault and stops no other. Its identifier is not gone, though: what a row is *called* is
asked for before what it wants. If there are rows whose names cannot be made, nobody knows what is gone, and nothing is.

The brake holds a plan that touches more of what is there than the profile allows (a share of the identifiers that are the
source's, beyond a number that is always allowed): a table that was emptied or joined wrongly looks like any other.
What is new touches nothing. It holds as well if too many rows are faulty, or a source that is read whole has none at all.

Who lets a plan pass names it by its digest, which is over everything that it does: each identifier, the version it is in and
what it is to be. So what passes is what was looked at, whatever the source and the registry have come to since.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from adapters.sources.core.cells import SourceRow
from adapters.sources.core.mapping import Wanted, merge, whole
from adapters.sources.core.profile import Brake, Profile, Then
from proto.errors import Refusal
from proto.model.identifier import SuffixRule, parse_identifier
from proto.sm3 import sm3

# Rows held at once: the process stays below its 200 MB whatever there is to read. A source that is read whole has to be
# compared in one piece; any other is registered in parts, and a kill costs one of them.
MAX_HELD_ROWS: Final = 100_000
MAX_PART_ROWS: Final = 20_000
MAX_HELD_BYTES: Final = 48 * 1024 * 1024

# What they come to: records with the values of others in them, which the source does not know the size of.
MAX_PLANNED_BYTES: Final = 64 * 1024 * 1024

# What a dry run shows whole.
SAMPLE_ROWS: Final = 10

# Faults that are kept to be shown; all are counted.
MAX_FAULTS_KEPT: Final = 1_000

ABSENT: Final = 0

# Of a digest so many hexadecimal digits are shown and asked for: people copy it, and no other plan will have the same.
DIGEST_CHARS: Final = 16


class TooMuch(Exception):
    """What would have to be written is more than can be held."""


class Doing(StrEnum):
    """What is done to an identifier."""

    CREATE = "create"
    REPLACE = "replace"
    SUSPEND = "suspend"
    RETIRE = "retire"
    RESUME = "resume"


# What exists already and is touched; counts for the brake.
TOUCHING: Final = (Doing.REPLACE, Doing.SUSPEND, Doing.RETIRE, Doing.RESUME)


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that cannot be registered."""

    row: str
    reason: str


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do to an identifier that is in `version` (`ABSENT`: it is not there). `body` is the record as JSON."""

    doing: Doing
    identifier: str
    version: int
    row: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Sample:
    """One of the first rows: what it is called in the registry and what it wants, or why it cannot be registered."""

    row: str
    identifier: str
    document: Mapping[str, Any] | None
    fault: str = ""


@dataclass(slots=True)
class Faults:
    """Faults of rows: all counted, the first kept."""

    count: int = 0
    first: list[Fault] = field(default_factory=list)

    def add(self, row: str, reason: str) -> None:
        self.count += 1
        if len(self.first) < MAX_FAULTS_KEPT:
            self.first.append(Fault(row, reason))


@dataclass(slots=True)
class Plan:
    """What to do. `existing` is how many identifiers are the source's; `held` says why the brake holds it, or is empty."""

    rows: int
    steps: list[Step]
    unchanged: int
    existing: int
    faults: Faults
    samples: Sequence[Sample]
    note: str = ""
    held: str = ""

    @property
    def digest(self) -> str:
        """What names it: the same for plans that do the same, in whatever order, and leave out as many rows."""
        parts = [b"%d" % self.faults.count]
        for step in sorted(self.steps, key=lambda step: (step.identifier, step.doing)):
            parts += (json.dumps([step.doing, step.identifier, step.version, len(step.body)]).encode(), step.body)
        return sm3(*parts).hex()[:DIGEST_CHARS]

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        doings = [(self.count(doing), f"to {doing}") for doing in Doing]
        counted = [f"{count} {what}" for count, what in (*doings, (self.faults.count, "faulty")) if count]
        return ", ".join(counted) or "nothing to do"

    def count(self, doing: Doing) -> int:
        """How many steps do this."""
        return sum(step.doing is doing for step in self.steps)

    @property
    def touched(self) -> int:
        """How many identifiers that are there it touches."""
        return len({step.identifier for step in self.steps if step.doing in TOUCHING})


@dataclass(frozen=True, slots=True)
class _Held:
    row: str
    wanted: bytes


class Sheet:
    """The rows of one reading on their way to a plan. `rule` is how suffixes below the profile's prefix compare."""

    def __init__(self, profile: Profile, rule: SuffixRule) -> None:
        self._profile = profile
        self._rule = rule
        self._own = profile.mapping.indexes
        # A character is there to be folded with, and taken off again: a suffix is never empty.
        self._begin = parse_identifier(f"{profile.prefix}/{profile.gone.begins}-").normalised(rule)[:-1]
        self._wanted: dict[str, _Held] = {}
        self._faulty: set[str] = set()
        self._gone: list[Step] = []
        self._seen_name = False
        self._unnamed = 0
        self.plan = Plan(0, [], 0, 0, Faults(), ())
        self._samples: list[Sample] = []
        self.size_bytes = 0
        self._planned_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether it holds as many rows as it may."""
        most = MAX_HELD_ROWS if self._profile.place.is_whole else MAX_PART_ROWS
        return self.plan.rows >= most or self.size_bytes >= MAX_HELD_BYTES

    @property
    def has_names(self) -> bool:
        """Whether at least one row had all the columns that names are made of."""
        return self._seen_name or not self.plan.rows

    def add(self, row: SourceRow) -> None:
        """Take in a row."""
        self.plan.rows += 1
        key = name = ""
        try:
            if row.fault:
                raise ValueError(row.fault)
            name = self._profile.mapping.name(row.cells)
            self._seen_name = True
            key = self._key(name)
            wanted = self._profile.mapping.map(row.cells)
            if self._profile.place.is_whole and (key in self._wanted or key in self._faulty):
                raise ValueError("an earlier row is the same identifier")
        except ValueError as error:
            self._fail(row, key, name, str(error))
            return
        self._hold(key, row, wanted)

    def expected(self) -> list[tuple[str, str]]:
        """The identifiers that were not compared yet, as their rows spell them, by their keys."""
        return [(key, _load(held).identifier) for key, held in self._wanted.items()]

    def draft(self, key: str) -> dict[str, Any]:
        """What an identifier is to be if it is not there yet."""
        return whole(_load(self._wanted[key]))

    def refuse(self, key: str, reason: str) -> None:
        """The registry would not take a row."""
        self.plan.faults.add(self._wanted.pop(key).row, reason)

    def owns(self, record: Mapping[str, Any]) -> bool:
        """Whether a stored record is there and is the source's."""
        return record["state"] != "retired" and self._is_ours(self._key_of_stored(record["identifier"]))

    def meets(self, key: str, record: Mapping[str, Any]) -> bool:
        """Compare the record that was asked for under a key; False if it is another's, under an alias of which it was found."""
        if self._key_of_stored(record["identifier"]) != key:
            return False
        self.meet(record)
        return True

    def meet(self, record: Mapping[str, Any]) -> None:
        """Compare a record that is stored. Raises `TooMuch`."""
        key = self._key_of_stored(record["identifier"])
        is_retired, is_suspended = record["state"] == "retired", record["state"] == "suspended"
        is_ours = self._is_ours(key)
        held = self._wanted.pop(key, None)
        # What others registered below the prefix is not the source's, unless it says what becomes of all that vanishes.
        self.plan.existing += not is_retired and (held is not None or (is_ours and self._profile.gone.then is not Then.KEEP))
        if held is None:
            is_gone = is_ours and not is_retired and not is_suspended and key not in self._faulty
            if is_gone and self._profile.gone.then is not Then.KEEP:
                doing = Doing.SUSPEND if self._profile.gone.then is Then.SUSPEND else Doing.RETIRE
                self._gone.append(Step(doing, record["identifier"], record["version"]))
            return
        if is_retired:
            self.plan.faults.add(held.row, f"{record['identifier']} was retired, and is never used again")
            return
        after = merge(record, _load(held), self._own)
        resumes = is_suspended and self._profile.gone.resume
        if after is not None:
            self._step(Doing.REPLACE, record["identifier"], record["version"], held.row, after)
        elif not resumes:
            self.plan.unchanged += 1
        if resumes:
            self.plan.steps.append(Step(Doing.RESUME, record["identifier"], record["version"], held.row))

    def create(self, key: str) -> None:
        """An identifier that is not there. Raises `TooMuch`."""
        held = self._wanted.pop(key)
        wanted = _load(held)
        self._step(Doing.CREATE, wanted.identifier, ABSENT, held.row, whole(wanted))

    def finish(self) -> Plan:
        """The plan. Whatever was expected and not met has to be created or refused by now."""
        if self._wanted:
            raise RuntimeError(f"{len(self._wanted)} rows were not compared")
        plan = self.plan
        if self._unnamed and self._gone:
            plan.note = f"{self._unnamed} rows have no name, so nobody knows what is gone: nothing is"
        else:
            plan.steps += self._gone
        plan.samples = tuple(self._samples)
        return plan

    def _hold(self, key: str, row: SourceRow, wanted: Wanted) -> None:
        before = self._wanted.get(key)
        raw = json.dumps(
            [wanted.identifier, wanted.values, wanted.template, wanted.aliases], ensure_ascii=False, separators=(",", ":")
        ).encode()
        self._wanted[key] = _Held(row.place, raw)
        self.size_bytes += len(raw) - (len(before.wanted) if before is not None else 0)
        if before is not None:
            self.plan.unchanged += 1  # a later row says the same anew
        if len(self._samples) < SAMPLE_ROWS:
            self._samples.append(Sample(row.place, wanted.identifier, whole(wanted)))

    def _fail(self, row: SourceRow, key: str, name: str, reason: str) -> None:
        self.plan.faults.add(row.place, reason)
        if key:
            self._faulty.add(key)
            if not self._profile.place.is_whole and (before := self._wanted.pop(key, None)) is not None:
                self.size_bytes -= len(before.wanted)
                self.plan.unchanged += 1  # an earlier row that is out of date by this one
        else:
            self._unnamed += 1
        if len(self._samples) < SAMPLE_ROWS:
            self._samples.append(Sample(row.place, name, None, reason))

    def _step(self, doing: Doing, identifier: str, version: int, row: str, document: Mapping[str, Any]) -> None:
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        self._planned_bytes += len(body)
        if self._planned_bytes > MAX_PLANNED_BYTES:
            raise TooMuch(f"what would be written is more than {MAX_PLANNED_BYTES >> 20} MiB at once")
        self.plan.steps.append(Step(doing, identifier, version, row, body))

    def _key(self, name: str) -> str:
        """The key of what a row calls itself. Raises `ValueError` if it is not right below the profile's prefix."""
        try:
            identifier = parse_identifier(name)
        except Refusal as refusal:
            raise ValueError(f"identifier: {refusal.detail}") from None
        if identifier.prefix != self._profile.prefix:
            raise ValueError(f"identifier: {name} does not lie below {self._profile.prefix}")
        key = identifier.normalised(self._rule)
        if not self._is_ours(key):
            raise ValueError(f"identifier: the suffix of {name} does not begin with {self._profile.gone.begins}")
        return key

    def _key_of_stored(self, name: str) -> str:
        return parse_identifier(name).normalised(self._rule)

    def _is_ours(self, key: str) -> bool:
        return key.startswith(self._begin)


def held_by(brake: Brake, plan: Plan, *, touched_before: int, is_whole: bool) -> str:
    """Why the brake holds a plan; empty if it does not. `touched_before` are those that earlier parts of the run touched."""
    touched = plan.touched + touched_before
    if is_whole and not plan.rows and plan.existing and touched:
        return f"the source has no rows at all, and {plan.existing} identifiers are registered"
    if touched > brake.least and touched > brake.share * plan.existing:
        share = f"{touched / plan.existing:.0%}" if plan.existing else "all"
        return f"{touched} of {plan.existing} identifiers would be changed ({share}); the brake allows {brake.share:.0%}"
    faulty = plan.faults.count
    if faulty > brake.least and faulty > brake.faulty * plan.rows:
        return f"{faulty} of {plan.rows} rows are faulty; the brake allows {brake.faulty:.0%}"
    return ""


def _load(held: _Held) -> Wanted:
    identifier, values, template, aliases = json.loads(held.wanted)
    return Wanted(identifier, tuple(values), template, None if aliases is None else tuple(aliases))
