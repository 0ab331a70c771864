"""Filings: what the upstream is told of registrants and prefixes, from draft to decision.

What is due is worked out from what is registered, as often as anybody likes: an approved registrant or prefix whose filing is
missing, or tells something else than is true now, gets a draft. Whoever speaks with the upstream stores each step before it
relies on it: the transaction before it is sent, the answer before it is acknowledged. Saying a step again changes nothing, so
that whoever died in between may simply begin again.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from proto.errors import Reason, Refusal
from proto.limits import MAX_BATCH_ROWS, MAX_CHANGE_BYTES
from proto.model.account import Caller
from proto.model.change import Row, Table
from proto.model.day import DAY_MS
from proto.model.filing import MOVES, SETTLED, Filing, FilingEvent, FilingKind, FilingState, Step, filing_key
from proto.model.identifier import parse_prefix
from proto.model.prefix import PrefixState
from proto.packing import version_of
from proto.ports import RecordReader
from proto.tables import pack_filing, unpack_filing, unpack_prefix, unpack_registrant
from registry.policy.rules import Action, enter
from registry.service.filing_listing import MAX_FILINGS, find_filing, glance
from registry.service.listing import plan_nothing, plan_row
from registry.service.plan import Outcome, Plan, RowOutcome, check_version
from registry.service.registrants import parse_code
from registry.service.statistics import has_figures

# A submission takes four steps at most. The first steps and the newest are kept; all of them are in the change log.
MAX_STEPS: Final = 64
_FIRST_STEPS: Final = 4

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
"""What the operator may add to a registrant's filing: nothing about people, which is sealed (`registry.service.papers`)."""


# Audits take people hours or days. Where it is not even known whether one is going on, it is asked anew after this; the alarm
# about filings that wait comes at the same time.
DOUBT_MS: Final = 3 * DAY_MS


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """What the upstream said of a transaction: taken (`PENDING`), decided, or to be told as an update of what it has (`DRAFT`).

    `entity` is its id of a registrant, empty if it told none. `holds` says, if the answer does, whether it has such a thing
    from before this command: what it holds already is updated, and what it has no more is created again.
    """

    transaction: str
    state: FilingState
    code: int
    message: str = ""
    server_transaction: str = ""
    entity: str = ""
    holds: bool | None = None


def plan_drafts(reader: RecordReader, caller: Caller, home: str, now_ms: int) -> Plan:
    """Drafts of all that is due below `home` (prefixes) and in general (registrants), and of what has been in doubt for too
    long; at most one batch of them.

    Raises `Refusal`: PERMISSION_DENIED, INVALID_IDENTIFIER, QUOTA_EXCEEDED.
    """
    enter(caller, Action.RUN_FILING)
    filings = reader.images(Table.FILING)
    plan, size = Plan(), 0
    for before, after in _drafts(reader, parse_prefix(home), now_ms):
        if before is None and len(filings) + len(plan.rows) >= MAX_FILINGS:
            raise Refusal(Reason.QUOTA_EXCEEDED, f"there are {MAX_FILINGS} filings")
        _enter(plan, before, after)
        size += len(plan.rows[-1].image)
        if len(plan.rows) == MAX_BATCH_ROWS or size >= MAX_DRAFTED_BYTES:
            break
    return plan


def _drafts(reader: RecordReader, home: str, now_ms: int) -> Iterator[tuple[Filing | None, Filing]]:
    """Each filing that moves on by itself, as it is and as it becomes."""
    filings = reader.images(Table.FILING)
    for subject in _subjects(reader, home):
        image = filings.get(filing_key(subject.kind, subject.name))
        if image is not None and glance(image).state in _UNDER_WAY:
            continue
        before = unpack_filing(image) if image is not None else None
        yield before, _redraft(before, subject, now_ms)
    for image in filings.values():
        seen = glance(image)
        if seen.is_doubtful and seen.changed_ms + DOUBT_MS <= now_ms:
            doubtful = unpack_filing(image)
            why = f"no audit in {DOUBT_MS // DAY_MS} days: asked anew"
            yield doubtful, _moved(doubtful, FilingEvent.DOUBT, Step(now_ms, FilingState.DRAFT, message=why))


def plan_details(reader: RecordReader, caller: Caller, code: str, details: Mapping[str, str], now_ms: int) -> Plan:
    """What is told of a registrant beside its code and name; it is filed again if that changes anything.

    Raises `Refusal`: PERMISSION_DENIED, INVALID_ARGUMENT, NOT_FOUND, INVALID_STATE while the upstream is at it.
    """
    enter(caller, Action.ADMINISTER_FILING)
    before = find_filing(reader, caller, FilingKind.REGISTRANT, parse_code(code))
    given = tuple(sorted((name, _check_detail(name, text)) for name, text in details.items() if text))
    if given == before.details:
        return _plan_nothing(before)
    content = json.loads(before.content)
    return _plan(before, _renewed(before, replace(before, details=given, content=_compose(content, given)), now_ms))


def plan_redraft(reader: RecordReader, caller: Caller, kind: FilingKind, name: str, now_ms: int) -> Plan:
    """A filing that is to be tried again as it is: one that was rejected, or one whose answer or audit nobody will wait for.

    What the upstream may have taken of the last try is of no harm: it answers that it has it, and that is settled.

    Raises `Refusal`: PERMISSION_DENIED, NOT_FOUND, INVALID_STATE.
    """
    enter(caller, Action.ADMINISTER_FILING)
    before = find_filing(reader, caller, kind, name)
    if before.state is FilingState.DRAFT:
        return _plan_nothing(before)
    if kind is FilingKind.STATISTICS and not has_figures(before):
        raise Refusal(Reason.INVALID_STATE, "its figures are no longer kept: there is nothing to try again with")
    return _plan(before, _moved(before, FilingEvent.RETRY, Step(now_ms, FilingState.DRAFT)))


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
    step = Step(now_ms, FilingState.SUBMITTED, transaction)
    return _plan(before, _moved(replace(before, transaction=transaction, server_transaction=""), FilingEvent.SUBMIT, step))


def plan_answer(reader: RecordReader, caller: Caller, kind: FilingKind, name: str, answer: UpstreamAnswer, now_ms: int) -> Plan:
    """What the upstream said of a submitted filing; said once more it changes nothing.

    Raises `Refusal`: PERMISSION_DENIED, NOT_FOUND, INVALID_ARGUMENT, INVALID_STATE for another transaction than the newest,
    and for a decision against one that was made already.
    """
    enter(caller, Action.RUN_FILING)
    before = find_filing(reader, caller, kind, name)
    event = _check_answer(answer)
    if before.transaction != answer.transaction:
        raise Refusal(Reason.INVALID_STATE, "this is not its transaction", "transaction")
    if _says_nothing_new(before, answer):
        return _plan_nothing(before)
    step = Step(now_ms, answer.state, answer.transaction, answer.code, answer.message[:MAX_MESSAGE_CHARS])
    return _plan(before, _moved(_told(before, answer), event, step))


def _says_nothing_new(before: Filing, answer: UpstreamAnswer) -> bool:
    """Whether an answer was stored before, or comes after what it announces."""
    if before.state is FilingState.DRAFT:
        return answer.state is FilingState.DRAFT and before.is_held
    return answer.state is before.state or (before.state is not FilingState.SUBMITTED and answer.state not in SETTLED)


def _told(before: Filing, answer: UpstreamAnswer) -> Filing:
    """What is known of the upstream after an answer. What it had before us it may have with another content."""
    is_approved, has_lost = answer.state is FilingState.APPROVED, answer.holds is False
    content = before.content if is_approved and before.kind is FilingKind.REGISTRANT and not answer.holds else ""
    return replace(
        before,
        server_transaction=answer.server_transaction or before.server_transaction,
        entity="" if has_lost else answer.entity or before.entity,
        is_known=is_approved or (before.is_known and not has_lost),
        is_held=bool(answer.holds) and answer.state not in SETTLED,
        approved_content=content if is_approved or has_lost else before.approved_content,
    )


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
            # References: what they stand for is sealed, and a change of it is another reference.
            papers = {"papers": dict(registrant.papers)} if registrant.papers else {}
            content = {"code": code, "name": registrant.name, **papers}
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
    return filing is not None and glance(filing).subject_version >= version_of(image)


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
    return _renewed(before, after, now_ms)


def _renewed(before: Filing, after: Filing, now_ms: int) -> Filing:
    """The draft of something new. A draft was not told yet: it stays one, without a step."""
    if before.state is FilingState.DRAFT:
        return replace(after, version=before.version + 1, changed_ms=max(now_ms, before.changed_ms))
    return _moved(after, FilingEvent.NEWS, Step(now_ms, FilingState.DRAFT))


def _moved(filing: Filing, event: FilingEvent, step: Step) -> Filing:
    """The filing one step further. Raises `Refusal(INVALID_STATE)` if nothing of the kind befalls what is in its state."""
    if MOVES[filing.state].get(event) is not step.state:
        was = "decided" if filing.state in SETTLED else filing.state.name.lower()
        raise Refusal(Reason.INVALID_STATE, f"it is {was}: {_WHY_NOT[event]}", "state")
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


_EVENTS: Final[Mapping[FilingState, FilingEvent]] = {
    FilingState.PENDING: FilingEvent.TAKE,
    FilingState.DRAFT: FilingEvent.FIND,
    FilingState.APPROVED: FilingEvent.APPROVE,
    FilingState.REJECTED: FilingEvent.REJECT,
}

_WHY_NOT: Final[Mapping[FilingEvent, str]] = {
    FilingEvent.NEWS: "wait for the decision",
    FilingEvent.SUBMIT: "only a draft is submitted",
    FilingEvent.TAKE: "only what was submitted is taken",
    FilingEvent.FIND: "only what was submitted is found to be there",
    FilingEvent.APPROVE: "a decision is made once, about what was submitted",
    FilingEvent.REJECT: "a decision is made once, about what was submitted",
    FilingEvent.DOUBT: "only what is pending is in doubt",
    FilingEvent.RETRY: "what was approved is not tried again",
}


def _check_answer(answer: UpstreamAnswer) -> FilingEvent:
    """What an answer does to a filing."""
    event = _EVENTS.get(answer.state)
    if event is None or (event is FilingEvent.FIND and not answer.holds):
        why = "an answer leads to pending, approved or rejected, or to a draft of what the upstream holds"
        raise Refusal(Reason.INVALID_ARGUMENT, why, "state")
    for name, text in (("server_transaction", answer.server_transaction), ("entity", answer.entity)):
        if len(text) > MAX_UPSTREAM_NAME_CHARS or not text.isprintable():
            raise Refusal(Reason.INVALID_ARGUMENT, f"at most {MAX_UPSTREAM_NAME_CHARS} printable characters", name)
    return event


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
