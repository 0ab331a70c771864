"""JSON documents as what the use cases take. Pure; everything wrong is a `Refusal` that names the member."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from enum import IntEnum
from typing import Final, TypeVar

from proto.errors import Reason, Refusal
from proto.handle_json import Members, parse_formatted, parse_values
from proto.limits import MAX_ALIASES, MAX_BATCH_ROWS, MAX_VALUES
from proto.model.account import GroupGrant, Role
from proto.model.change import START, Position, parse_cursor
from proto.model.feed import FeedKind
from proto.model.filing import FilingState
from proto.model.identifier import SuffixRule
from proto.model.notice import NoticeKind
from proto.model.prefix import Delegation, PrefixState
from proto.model.source import RowFault, RunCounts, SourceState
from proto.model.value import Value
from registry.service.accounts import MAX_GRANTS
from registry.service.delegation import MAX_SITES
from registry.service.feeds import MAX_LETTERS, Progress, Refused
from registry.service.filings import MAX_CODE, UpstreamAnswer
from registry.service.notices import MAX_NOTICES, NewNotice
from registry.service.patch import Patch
from registry.service.plan import Draft, RowOutcome, refused
from registry.service.register import Mode
from registry.service.sources import MAX_COUNT, MAX_FAULTS, RunReport
from registry.service.told import MAX_PREFIXES, MAX_TOLD, Told

# A value without a timestamp says so to the plan, which knows what is stored.
_NO_TIMESTAMP: Final = 0

# Versions are signed 64-bit integers in the store.
MAX_INT63: Final = 2**63 - 1

_DRAFT: Final = frozenset({"values", "template", "aliases"})
_ROW: Final = _DRAFT | {"identifier", "expected_version", "only_if_absent"}
_PATCH: Final = frozenset({"set", "remove", "template", "aliases"})
_BATCH: Final = frozenset({"identifiers", "mode"})

_Member = TypeVar("_Member", bound=IntEnum)


def parse_draft(identifier: str, document: Members, expected_version: int | None) -> Draft:
    """`{"values": [...], "template"?, "aliases"?}`, for the identifier of the path.

    What reads of the record says of itself may stand there too, so that what was read can be written back: it is ignored
    unless it contradicts the path.
    """
    document.allow(_DRAFT | _READ_ONLY)
    if "identifier" in document.document and document.text("identifier") != identifier:
        raise document.refuse("identifier", "it is not the identifier of the path")
    return Draft(identifier, *_content(document), expected_version)


_READ_ONLY: Final = frozenset({"identifier", "state", "version", "registrant", "created", "changed"})


def parse_batch(document: Members) -> tuple[list[Draft | RowOutcome], Mode]:
    """`{"identifiers": [{"identifier", "values", ...}], "mode"?}`; a row that cannot be read is refused in its place."""
    document.allow(_BATCH)
    rows = document.document.get("identifiers")
    if isinstance(rows, list) and len(rows) > MAX_BATCH_ROWS:
        raise Refusal(Reason.BATCH_TOO_LARGE, f"{len(rows)} rows; a batch has at most {MAX_BATCH_ROWS}", "identifiers")
    if not rows:
        raise document.refuse("identifiers", "a list of 1 to 2,000 identifiers is wanted")
    mode = document.text("mode", Mode.PARTIAL)
    if mode not in list(Mode):
        raise document.refuse("mode", f"one of {', '.join(Mode)} is wanted")
    return [_parse_row(row) for row in document.items("identifiers", MAX_BATCH_ROWS)], Mode(mode)


def parse_patch(document: Members) -> Patch:
    """`{"set"?: [values], "remove"?: [indexes], "template"?, "aliases"?}`."""
    document.allow(_PATCH)
    given = document.document
    removed = document.items("remove", MAX_VALUES)
    for place, index in enumerate(removed):
        if not isinstance(index, int) or isinstance(index, bool):
            raise document.refuse(f"remove[{place}]", "an index is wanted")
    return Patch(
        set=_values(document, "set") if "set" in given else (),
        remove=tuple(removed),
        template=document.text("template") if "template" in given else None,
        aliases=_aliases(document) if "aliases" in given else None,
    )


def parse_prefix(document: Members) -> tuple[str, str, SuffixRule, PrefixState]:
    """`{"name", "registrant"?, "suffix_rule"?, "state"?}`."""
    document.allow(("name", "registrant", "suffix_rule", "state"))
    return (
        document.text("name"),
        document.text("registrant", ""),
        parse_member(document, "suffix_rule", SuffixRule, SuffixRule.FOLD_ASCII),
        parse_member(document, "state", PrefixState, PrefixState.APPROVED),
    )


def parse_suffix_rule(document: Members) -> SuffixRule:
    """`{"suffix_rule"}`."""
    document.allow(("suffix_rule",))
    return parse_member(document, "suffix_rule", SuffixRule)


def parse_delegation(document: Members) -> Delegation:
    """`{"sites": [data of HS_SITE], "url"?}`."""
    document.allow(("sites", "url"))
    sites = tuple(map(parse_formatted, document.objects("sites", MAX_SITES)))
    return Delegation(sites, document.text("url", ""))


def parse_registrant(document: Members) -> tuple[str, str, PrefixState]:
    """`{"code", "name", "state"?}`."""
    document.allow(("code", "name", "state"))
    state = parse_member(document, "state", PrefixState, PrefixState.APPROVED)
    return document.text("code"), document.text("name"), state


def parse_account(document: Members) -> tuple[str, Role, str, tuple[GroupGrant, ...]]:
    """`{"name", "role", "registrant"?, "groups"?: [{"registrant", "group"}]}`."""
    document.allow(("name", "role", "registrant", "groups"))
    role = parse_member(document, "role", Role)
    groups = tuple(_grant(each) for each in document.objects("groups", MAX_GRANTS))
    return document.text("name"), role, document.text("registrant", ""), groups


def parse_grant(path: Mapping[str, str]) -> GroupGrant:
    """A grant, named by a path."""
    return GroupGrant(path["registrant"], path["group"])


def parse_member(document: Members, name: str, kind: type[_Member], default: _Member | None = None) -> _Member:
    """A member of an enumeration, by its name in lower case."""
    names = {each.name.lower(): each for each in kind}
    found = document.text(name, default.name.lower() if default is not None else None)
    if found not in names:
        raise document.refuse(name, f"one of {', '.join(names)} is wanted")
    return names[found]


def parse_feed(document: Members) -> tuple[str, str, Position]:
    """`{"name", "account"?, "after"?}`."""
    document.allow(("name", "account", "after"))
    return document.text("name"), document.text("account", ""), parse_place(document, "after", "")


def parse_note(document: Members) -> str:
    """`{"note"?}`."""
    document.allow(("note",))
    return document.text("note", "")


def parse_replay(document: Members) -> Position:
    """`{"after"}`."""
    document.allow(("after",))
    return parse_place(document, "after")


def parse_progress(document: Members) -> Progress:
    """`{"cursor", "delivered"?, "refused"?: [...], "settled"?: [{"kind", "name"}], "told"?: [{"registrant", ...}]}`."""
    document.allow(("cursor", "delivered", "refused", "settled", "told"))
    refused = tuple(_refused_event(each) for each in document.objects("refused", MAX_LETTERS))
    settled = tuple(_letter_name(each) for each in document.objects("settled", MAX_LETTERS))
    told = tuple(_told(each) for each in document.objects("told", MAX_TOLD))
    return Progress(parse_place(document, "cursor"), document.integer("delivered", 0), refused, settled, told)


def parse_letters(document: Members) -> Sequence[tuple[FeedKind, str]] | None:
    """`{"letters"?: [{"kind", "name"}]}`; None for all."""
    document.allow(("letters",))
    if "letters" not in document.document:
        return None
    return tuple(_letter_name(each) for each in document.objects("letters", MAX_LETTERS))


def parse_notices(document: Members) -> Sequence[NewNotice]:
    """`{"notices": [{"kind", "name", "data"}]}`."""
    document.allow(("notices",))
    return tuple(_notice(each) for each in document.objects("notices", MAX_NOTICES))


def parse_home(document: Members) -> str:
    """`{"home"}`."""
    document.allow(("home",))
    return document.text("home")


def parse_details(document: Members) -> Mapping[str, str]:
    """`{"details": {...}}`."""
    document.allow(("details",))
    details = document.inner("details")
    return {name: details.text(name) for name in details.document}


def parse_transaction(document: Members) -> str:
    """`{"transaction"}`."""
    document.allow(("transaction",))
    return document.text("transaction")


def parse_upstream_answer(document: Members) -> UpstreamAnswer:
    """`{"transaction", "state", "code", "message"?, "server_transaction"?, "entity"?, "holds"?}`."""
    document.allow(("transaction", "state", "code", "message", "server_transaction", "entity", "holds"))
    return UpstreamAnswer(
        document.text("transaction"),
        parse_member(document, "state", FilingState),
        document.integer("code", high=MAX_CODE),
        document.text("message", ""),
        document.text("server_transaction", ""),
        document.text("entity", ""),
        document.flag("holds") if "holds" in document.document else None,
    )


def parse_source(document: Members) -> tuple[str, str]:
    """`{"name", "account"?}`."""
    document.allow(("name", "account"))
    return document.text("name"), document.text("account", "")


def parse_run_report(document: Members) -> RunReport:
    """`{"state", "bookmark", "message"?, "plan_digest"?, "counts"?: {...}, "faults"?: [{"row", "reason"}]}`."""
    document.allow(("state", "bookmark", "message", "plan_digest", "counts", "faults"))
    faults = tuple(_row_fault(each) for each in document.objects("faults", MAX_FAULTS))
    counts = _counts(document.inner("counts")) if "counts" in document.document else None
    state = parse_member(document, "state", SourceState)
    bookmark, message, plan_digest = document.text("bookmark"), document.text("message", ""), document.text("plan_digest", "")
    return RunReport(state, bookmark, message, counts, faults, plan_digest)


def parse_run_request(document: Members) -> tuple[str, bool]:
    """`{"over_brake"?, "again"?}`."""
    document.allow(("over_brake", "again"))
    return document.text("over_brake", ""), document.flag("again", False)


def parse_place(document: Members, name: str, default: str | None = None) -> Position:
    """A cursor; empty is before everything."""
    text = document.text(name, default)
    return parse_cursor(text, document.path_of(name)) if text else START


def _refused_event(document: Members) -> Refused:
    document.allow(("kind", "name", "before", "row_version", "attempts", "reason"))
    kind, name = _kind(document), document.text("name")
    version = document.integer("row_version", high=MAX_INT63)
    return Refused(
        kind, name, parse_place(document, "before"), version, document.integer("attempts", 1), document.text("reason", "")
    )


def _told(document: Members) -> Told:
    document.allow(("registrant", "count", "prefixes"))
    prefixes = document.items("prefixes", MAX_PREFIXES)
    if not all(isinstance(each, str) for each in prefixes):
        raise document.refuse("prefixes", "texts are wanted")
    return Told(document.text("registrant"), document.integer("count"), tuple(prefixes))


def _letter_name(document: Members) -> tuple[FeedKind, str]:
    document.allow(("kind", "name"))
    return _kind(document), document.text("name")


def _notice(document: Members) -> NewNotice:
    document.allow(("kind", "name", "data"))
    kind = document.text("kind")
    if kind not in list(NoticeKind):
        raise document.refuse("kind", f"one of {', '.join(NoticeKind)} is wanted")
    data = json.dumps(document.inner("data").document, ensure_ascii=False, separators=(",", ":"))
    return NewNotice(NoticeKind(kind), document.text("name"), data)


def _kind(document: Members) -> FeedKind:
    kind = document.text("kind")
    if kind not in list(FeedKind):
        raise document.refuse("kind", f"one of {', '.join(FeedKind)} is wanted")
    return FeedKind(kind)


def _parse_row(row: object) -> Draft | RowOutcome:
    """One row of a batch, its members named as if it stood alone."""
    identifier = row.get("identifier") if isinstance(row, dict) else None
    try:
        if not isinstance(row, dict):
            raise Refusal(Reason.INVALID_ARGUMENT, "an object is wanted")
        document = Members(row, "", Reason.INVALID_ARGUMENT)
        document.allow(_ROW)
        expected = document.integer("expected_version", high=MAX_INT63) if "expected_version" in row else None
        name = document.text("identifier")
        return Draft(name, *_content(document), expected, document.flag("only_if_absent", False))
    except Refusal as refusal:
        return refused(identifier if isinstance(identifier, str) else "", refusal)


def _content(document: Members) -> tuple[tuple[Value, ...], str, tuple[str, ...]]:
    return _values(document, "values"), document.text("template", ""), _aliases(document)


def _values(document: Members, name: str) -> tuple[Value, ...]:
    return parse_values(document.document.get(name), document.path_of(name), _NO_TIMESTAMP)


def _aliases(document: Members) -> tuple[str, ...]:
    found = document.items("aliases", MAX_ALIASES)
    for place, alias in enumerate(found):
        if not isinstance(alias, str):
            raise document.refuse(f"aliases[{place}]", "a string is wanted")
    return tuple(found)


def _row_fault(document: Members) -> RowFault:
    document.allow(("row", "reason"))
    return RowFault(document.text("row"), document.text("reason"))


def _counts(document: Members) -> RunCounts:
    names = [each.name for each in fields(RunCounts)]
    document.allow(names)
    return RunCounts(**{name: document.integer(name, 0, high=MAX_COUNT) for name in names})


def _grant(document: Members) -> GroupGrant:
    document.allow(("registrant", "group"))
    return GroupGrant(document.text("registrant"), document.text("group"))
