"""Filings: what the upstream is told of registrants and prefixes, from draft to decision.

What is due is worked out from what is registered, as often as anybody likes: an approved registrant or prefix whose filing is
missing, or tells something else than is true now, gets a draft. Whoever speaks with the upstream stores each step before it
relies on it: the transaction before it is sent, the answer before it is acknowledged. Saying a step again changes nothing, so
that whoever died in between may simply begin again.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, NamedTuple

from proto.errors import Reason, Refusal
from proto.limits import MAX_BATCH_ROWS, MAX_CHANGE_BYTES
from proto.model.account import Caller
from proto.model.change import Row, Table
from proto.model.filing import SETTLED, Filing, FilingKind, FilingState, Step, filing_key
from proto.model.identifier import parse_prefix
from proto.model.prefix import PrefixState
from proto.packing import version_of
from proto.ports import RecordReader
from proto.tables import pack_filing, unpack_filing, unpack_prefix, unpack_registrant
from registry.policy.rules import EVERY_REGISTRANT, Action, Reach, enter, judge, require
from registry.service.listing import Page, page_of, plan_nothing, plan_row
from registry.service.plan import Outcome, Plan, RowOutcome, check_version
from registry.service.registrants import parse_code, parse_whose
from registry.service.statistics import has_figures

# A submission takes four steps at most. The first steps and the newest are kept; all of them are in the change log.
MAX_STEPS: Final = 64
_FIRST_STEPS: Final = 4

# Every registrant and every prefix has one, and each is held in memory by every process: some 20 MB. Plans for a node are some
# thousands.
MAX_FILINGS: Final = 20_000

# Of one change: filings with long histories may be a hundred kilobytes each.
MAX_DRAFTED_BYTES: Final = MAX_CHANGE_BYTES // 4

# A sentence of an auditor. What is longer is cut: it is for people, and its beginning says what is wrong.
MAX_MESSAGE_CHARS: Final = 1_000

# RFC 5730 4.2: trIDStringType, 3 to 64 characters.
_TRANSACTION: Final = re.compile(r"[!-~]{3,64}")

# Names that the upstream gives: of transactions (64 characters in RFC 5730) and of enterprises.
MAX_UPSTREAM_NAME_CHARS: Final = 255

MAX_CODE: Final = 9_999
"""Result codes have four digits (RFC 5730 3)."""

# Of one detail: the longest is a description, 2,048 bytes in the escrow's mapping as well.
MAX_DETAIL_BYTES: Final = 2_048

DETAILS: Final = (
    "type", "name_en", "province", "city", "county", "address", "address_en", "website", "description",
)  # fmt: skip
"""What the operator may add to a registrant's filing: nothing about people, which would have to be sealed."""


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """What the upstream said of a transaction. `entity` is its id of a registrant, empty if it told none."""

    transaction: str
    state: FilingState
    code: int
    message: str = ""
    server_transaction: str = ""
    entity: str = ""


class _Glance(NamedTuple):
    """What is looked at of all filings, every few seconds. `holder` is the key of the filing that has to come first."""

    state: FilingState
    kind: FilingKind
    subject_version: int
    transaction: str
    changed_ms: int
    has_entity: bool
    holder: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which filings a listing has: in one of these states and, if they say something, of a kind, of this newest transaction,
    and only those that can be told now."""

    states: frozenset[FilingState] = frozenset(FilingState)
    kind: FilingKind | None = None
    transaction: str = ""
    is_due: bool = False

    def takes(self, glance: _Glance, images: Mapping[str, bytes]) -> bool:
        return (
            glance.state in self.states
            and self.kind in (None, glance.kind)
            and self.transaction in ("", glance.transaction)
            and (not self.is_due or _is_due(glance, images))
        )


EVERY_FILING: Final = Wanted()


@dataclass(frozen=True, slots=True)
class FilingCounts:
    """How many filings there are in each state, how many can be told now, and since when (UTC ms) the one that waits longest
    has been in its state; 0 if none waits."""

    states: Mapping[FilingState, int]
    due: int
    waiting_ms: int


def plan_drafts(reader: RecordReader, caller: Caller, home: str, now_ms: int) -> Plan:
    """Drafts of all that is due below `home` (prefixes) and in general (registrants), at most one batch of them.

    Raises `Refusal`: PERMISSION_DENIED, INVALID_IDENTIFIER, QUOTA_EXCEEDED.
    """
    enter(caller, Action.RUN_FILING)
    folded = parse_prefix(home)
    filings = reader.images(Table.FILING)
    plan, size = Plan(), 0
    for subject in _subjects(reader, folded):
        if len(plan.rows) == MAX_BATCH_ROWS or size >= MAX_DRAFTED_BYTES:
            break
        image = filings.get(filing_key(subject.kind, subject.name))
        if image is not None and _glance(image).state in _UNDER_WAY:
            continue
        before = unpack_filing(image) if image is not None else None
        after = _redraft(before, subject, now_ms)
        if before is None and len(filings) + len(plan.rows) >= MAX_FILINGS:
            raise Refusal(Reason.QUOTA_EXCEEDED, f"there are {MAX_FILINGS} filings")
        _enter(plan, before, after)
        size += len(plan.rows[-1].image)
    return plan


def plan_details(reader: RecordReader, caller: Caller, code: str, details: Mapping[str, str], now_ms: int) -> Plan:
    """What is told of a registrant beside its code and name; it is filed again if that changes anything.

    Raises `Refusal`: PERMISSION_DENIED, INVALID_ARGUMENT, NOT_FOUND, INVALID_STATE while the upstream is at it.
    """
    enter(caller, Action.ADMINISTER_FILING)
    before = find_filing(reader, caller, FilingKind.REGISTRANT, parse_code(code))
    given = tuple(sorted((name, _check_detail(name, text)) for name, text in details.items() if text))
    if given == before.details:
        return _plan_nothing(before)
    if before.state in _UNDER_WAY:
        raise Refusal(Reason.INVALID_STATE, f"the filing of {code} is {before.state.name.lower()}: wait for the decision")
    content = json.loads(before.content)
    return _plan(before, _drafted(before, replace(before, details=given, content=_compose(content, given)), now_ms))


def plan_redraft(reader: RecordReader, caller: Caller, kind: FilingKind, name: str, now_ms: int) -> Plan:
    """A rejected filing that is to be tried again as it is. Raises `Refusal`: PERMISSION_DENIED, NOT_FOUND, INVALID_STATE."""
    enter(caller, Action.ADMINISTER_FILING)
    before = find_filing(reader, caller, kind, name)
    if before.state is FilingState.DRAFT:
        return _plan_nothing(before)
    if before.state is not FilingState.REJECTED:
        raise Refusal(Reason.INVALID_STATE, f"it is {before.state.name.lower()}: only what was rejected is tried again")
    if kind is FilingKind.STATISTICS and not has_figures(before):
        raise Refusal(Reason.INVALID_STATE, "its figures are no longer kept: there is nothing to try again with")
    return _plan(before, _drafted(before, before, now_ms))


def plan_submission(
    reader: RecordReader,
    caller: Caller,
    kind: FilingKind,
    name: str,
    transaction: str,
    expected_version: int | None,
    now_ms: int,
) -> Plan:
    """A draft that is about to be sent under `transaction`.

    Raises `Refusal`: PERMISSION_DENIED, NOT_FOUND, VERSION_CONFLICT, INVALID_STATE unless it is a draft, INVALID_ARGUMENT.
    """
    enter(caller, Action.RUN_FILING)
    before = find_filing(reader, caller, kind, name)
    if not _TRANSACTION.fullmatch(transaction):
        raise Refusal(Reason.INVALID_ARGUMENT, "3 to 64 visible ASCII characters are wanted", "transaction")
    if before.state is FilingState.SUBMITTED and before.transaction == transaction:
        return _plan_nothing(before)
    check_version(before.version, expected_version)
    if before.state is not FilingState.DRAFT:
        raise Refusal(Reason.INVALID_STATE, f"it is {before.state.name.lower()}: only a draft is submitted")
    step = Step(now_ms, FilingState.SUBMITTED, transaction)
    return _plan(before, _stepped(replace(before, transaction=transaction, server_transaction=""), step))


def plan_answer(reader: RecordReader, caller: Caller, kind: FilingKind, name: str, answer: UpstreamAnswer, now_ms: int) -> Plan:
    """What the upstream said of a submitted filing; said once more it changes nothing.

    Raises `Refusal`: PERMISSION_DENIED, NOT_FOUND, INVALID_ARGUMENT, INVALID_STATE for another transaction than the newest,
    and for a decision against one that was made already.
    """
    enter(caller, Action.RUN_FILING)
    before = find_filing(reader, caller, kind, name)
    _check_answer(answer)
    if before.transaction != answer.transaction or before.state is FilingState.DRAFT:
        raise Refusal(Reason.INVALID_STATE, "this is not its transaction", "transaction")
    if answer.state <= before.state and (answer.state is before.state or answer.state not in SETTLED):
        return _plan_nothing(before)
    if before.state in SETTLED:
        raise Refusal(Reason.INVALID_STATE, f"it is {before.state.name.lower()}: a decision is made once", "state")
    after = replace(
        before,
        server_transaction=answer.server_transaction or before.server_transaction,
        entity=answer.entity or before.entity,
        is_known=before.is_known or answer.state is FilingState.APPROVED,
    )
    message = answer.message[:MAX_MESSAGE_CHARS]
    return _plan(before, _stepped(after, Step(now_ms, answer.state, answer.transaction, answer.code, message)))


def show_filing(reader: RecordReader, caller: Caller, kind: FilingKind, name: str) -> Filing:
    """One filing as far as the caller may see it. Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND."""
    enter(caller, Action.READ_FILING)
    filing = find_filing(reader, caller, kind, name)
    return _seen(filing, require(caller, Action.READ_FILING, filing.registrant))


def list_filings(reader: RecordReader, caller: Caller, registrant: str, wanted: Wanted, after: str, limit: int) -> Page[Filing]:
    """The filings of one registrant, or of `EVERY_REGISTRANT`, that are wanted, by kind and name."""
    whose = parse_whose(registrant)
    reach = require(caller, Action.READ_FILING, whose)
    images = reader.images(Table.FILING)

    def item_of(key: str) -> Filing | None:
        if not wanted.takes(_glance(images[key]), images):
            return None
        filing = unpack_filing(images[key])
        return _seen(filing, reach) if whose in (EVERY_REGISTRANT, filing.registrant) else None

    return page_of(images, after, limit, item_of)


def count_filings(reader: RecordReader, caller: Caller) -> FilingCounts:
    """How many filings there are in each state. Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED."""
    enter(caller, Action.RUN_FILING)
    images = reader.images(Table.FILING)
    glances = [_glance(image) for image in images.values()]
    found = Counter(glance.state for glance in glances)
    waiting_ms = min((glance.changed_ms for glance in glances if glance.state not in SETTLED), default=0)
    due = sum(_is_due(glance, images) for glance in glances)
    return FilingCounts({state: found[state] for state in FilingState}, due, waiting_ms)


def find_filing(reader: RecordReader, caller: Caller, kind: FilingKind, name: str) -> Filing:
    """A filing that the caller may read. Raises `Refusal(NOT_FOUND)`, for those of others as well."""
    image = reader.image(Table.FILING, filing_key(kind, name))
    filing = unpack_filing(image) if image is not None else None
    if filing is None or not judge(caller, Action.READ_FILING, filing.registrant):
        raise Refusal(Reason.NOT_FOUND, f"there is no filing of {kind} {name}", "filing")
    return filing


_UNDER_WAY: Final = frozenset({FilingState.SUBMITTED, FilingState.PENDING})


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is to be told about: its content without the details that its filing has."""

    kind: FilingKind
    name: str
    registrant: str
    version: int
    content: Mapping[str, object]


def _subjects(reader: RecordReader, home: str) -> Iterator[_Subject]:
    """The approved registrants, and then the approved prefixes of registrants below `home`."""
    filings = reader.images(Table.FILING)
    for code, image in reader.images(Table.REGISTRANT).items():
        if _is_told(filings, FilingKind.REGISTRANT, code, image):
            continue
        registrant = unpack_registrant(image)
        if registrant.state is PrefixState.APPROVED:
            content = {"code": code, "name": registrant.name}
            yield _Subject(FilingKind.REGISTRANT, code, code, registrant.version, content)
    for name, image in reader.images(Table.PREFIX).items():
        if not name.startswith(f"{home}.") or _is_told(filings, FilingKind.PREFIX, name, image):
            continue
        prefix = unpack_prefix(image)
        if prefix.registrant and prefix.state is PrefixState.APPROVED:
            content = {"prefix": name, "registrant": prefix.registrant}
            yield _Subject(FilingKind.PREFIX, name, prefix.registrant, prefix.version, content)


def _is_told(filings: Mapping[str, bytes], kind: FilingKind, name: str, image: bytes) -> bool:
    filing = filings.get(filing_key(kind, name))
    return filing is not None and _glance(filing).subject_version >= version_of(image)


# The newest image of each, and some that are not the newest any more. Past it every look would unpack them all, which is slower
# and no more.
@lru_cache(MAX_FILINGS)
def _glance(image: bytes) -> _Glance:
    filing = unpack_filing(image)
    holder = filing_key(FilingKind.REGISTRANT, filing.registrant) if filing.kind is FilingKind.PREFIX else ""
    has_entity = filing.is_known and bool(filing.entity)
    return _Glance(
        filing.state, filing.kind, filing.subject_version, filing.transaction, filing.changed_ms, has_entity, holder
    )  # fmt: skip


def _is_due(glance: _Glance, images: Mapping[str, bytes]) -> bool:
    """Whether it can be told now: a draft, of a prefix only if the upstream has an id of its registrant, or told before."""
    if glance.state is FilingState.SUBMITTED:
        return True
    if glance.state is not FilingState.DRAFT:
        return False
    return not glance.holder or (glance.holder in images and _glance(images[glance.holder]).has_entity)


def _redraft(before: Filing | None, subject: _Subject, now_ms: int) -> Filing:
    """The filing of a subject as it is now; a draft if that is something new."""
    if before is None:
        state = FilingState.DRAFT
        told = _compose(subject.content, ())
        steps = (Step(now_ms, state),)
        return Filing(subject.kind, subject.name, subject.registrant, state, told, steps, subject.version, 1, now_ms, now_ms)
    content = _compose(subject.content, before.details)
    after = replace(before, content=content, registrant=subject.registrant, subject_version=subject.version)
    if content == before.content:
        return replace(after, version=before.version + 1, changed_ms=max(now_ms, before.changed_ms))
    return _drafted(before, after, now_ms)


def _drafted(before: Filing, after: Filing, now_ms: int) -> Filing:
    if before.state is FilingState.DRAFT:
        return replace(after, version=before.version + 1, changed_ms=max(now_ms, before.changed_ms))
    return _stepped(after, Step(now_ms, FilingState.DRAFT))


def _stepped(filing: Filing, step: Step) -> Filing:
    """The filing one step further."""
    at_ms = max(step.at_ms, filing.changed_ms)
    steps = (*filing.steps, replace(step, at_ms=at_ms))
    if len(steps) > MAX_STEPS:
        steps = (*steps[:_FIRST_STEPS], *steps[_FIRST_STEPS + 1 :])
    return replace(filing, state=step.state, steps=steps, version=filing.version + 1, changed_ms=at_ms)


def _compose(content: Mapping[str, object], details: tuple[tuple[str, str], ...]) -> str:
    told = {**content, "details": dict(details)} if details else {k: v for k, v in content.items() if k != "details"}
    return json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _check_detail(name: str, text: str) -> str:
    if name not in DETAILS:
        raise Refusal(Reason.INVALID_ARGUMENT, f"known details are {', '.join(DETAILS)}", f"details.{name}")
    if len(text.encode()) > MAX_DETAIL_BYTES or not text.isprintable():
        raise Refusal(Reason.INVALID_ARGUMENT, f"at most {MAX_DETAIL_BYTES} bytes of printable text", f"details.{name}")
    return text


def _check_answer(answer: UpstreamAnswer) -> None:
    if answer.state in (FilingState.DRAFT, FilingState.SUBMITTED):
        raise Refusal(Reason.INVALID_ARGUMENT, "an answer leads to pending, approved or rejected", "state")
    for name, text in (("server_transaction", answer.server_transaction), ("entity", answer.entity)):
        if len(text) > MAX_UPSTREAM_NAME_CHARS or not text.isprintable():
            raise Refusal(Reason.INVALID_ARGUMENT, f"at most {MAX_UPSTREAM_NAME_CHARS} printable characters", name)


def _seen(filing: Filing, reach: Reach) -> Filing:
    """The city learns how a filing stands, not what was written back and forth."""
    return filing if reach is Reach.WHOLE else replace(filing, content="{}", steps=(), details=())


def _plan_nothing(filing: Filing) -> Plan:
    return plan_nothing(filing.key, pack_filing(filing), filing.version, filing.state)


def _plan(before: Filing, after: Filing) -> Plan:
    return plan_row(Table.FILING, after.key, pack_filing(after), after.version, after.state, before.state)


def _enter(plan: Plan, before: Filing | None, after: Filing) -> None:
    prior = before.state if before is not None else FilingState.DRAFT
    image = pack_filing(after)
    outcome = Outcome.CREATED if before is None else Outcome.REPLACED
    plan.rows.append(Row(Table.FILING, after.key, image, after.version, after.version - 1, after.state, prior))
    plan.outcomes.append(RowOutcome(after.key, outcome, after.version, state=after.state, image=image))
