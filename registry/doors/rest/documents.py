"""Nouns as JSON documents; `schemas` says the same as JSON Schema, and a test holds every answer against it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from proto.handle_json import render_data, render_owned_value
from proto.model.account import Account
from proto.model.change import Table
from proto.model.feed import Feed, Letter
from proto.model.filing import Filing
from proto.model.job import Job, JobState
from proto.model.notice import Notice
from proto.model.prefix import Delegation, Prefix, PrefixState, Registrant
from proto.model.record import Record, State
from proto.model.source import Source
from registry.service.changes import VisibleRow
from registry.service.feeds import FeedStanding
from registry.service.plan import RowOutcome


def render_ms(time_ms: int) -> str:
    """UTC milliseconds as ISO 8601: `2026-01-31T08:00:00.123Z`."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def record_document(record: Record) -> dict[str, Any]:
    """A record with the values it is given with."""
    return {
        "identifier": record.identifier,
        "state": record.state.name.lower(),
        "version": record.version,
        "values": [render_owned_value(value) for value in record.values],
        "registrant": record.registrant,
        "template": record.template,
        "aliases": list(record.aliases),
        "created": render_ms(record.created_ms),
        "changed": render_ms(record.changed_ms),
    }


def prefix_document(prefix: Prefix) -> dict[str, Any]:
    """A prefix."""
    return {
        "name": prefix.name,
        "registrant": prefix.registrant,
        "state": prefix.state.name.lower(),
        "suffix_rule": prefix.suffix_rule.name.lower(),
        "in_use": prefix.in_use,
        "delegation": delegation_document(prefix.delegation) if prefix.delegation is not None else None,
        "version": prefix.version,
        "created": render_ms(prefix.created_ms),
        "changed": render_ms(prefix.changed_ms),
    }


def delegation_document(delegation: Delegation) -> dict[str, Any]:
    """Who serves a prefix."""
    return {"sites": [render_data("HS_SITE", site) for site in delegation.sites], "url": delegation.url}


def registrant_document(registrant: Registrant) -> dict[str, Any]:
    """A registrant."""
    return {
        "code": registrant.code,
        "name": registrant.name,
        "state": registrant.state.name.lower(),
        "version": registrant.version,
        "created": render_ms(registrant.created_ms),
        "changed": render_ms(registrant.changed_ms),
    }


def account_document(account: Account) -> dict[str, Any]:
    """An account, without what opens it."""
    return {
        "name": account.name,
        "role": account.role.name.lower(),
        "registrant": account.registrant,
        "groups": [{"registrant": grant.registrant, "group": grant.group} for grant in account.groups],
        "enabled": account.enabled,
        "version": account.version,
        "created": render_ms(account.created_ms),
        "changed": render_ms(account.changed_ms),
    }


def job_document(job: Job) -> dict[str, Any]:
    """A job with how far it has got."""
    return {
        "id": job.id,
        "kind": job.kind,
        "prefix": job.prefix,
        "template": job.template,
        "account": job.account,
        "registrant": job.registrant,
        "file_name": job.file_name,
        "file_digest": job.file_digest.hex(),
        "file_format": job.file_format,
        "encoding": job.encoding,
        "dry_run": job.dry_run,
        "state": job.state.name.lower(),
        "file_bytes": job.file_bytes,
        "file_offset": job.file_offset,
        "rows": job.rows,
        "created_rows": job.created,
        "replaced_rows": job.replaced,
        "unchanged_rows": job.unchanged,
        "refused_rows": job.refused,
        "result_bytes": job.result_bytes,
        "message": job.message,
        "request_id": job.request_id,
        "version": job.version,
        "created": render_ms(job.created_ms),
        "changed": render_ms(job.changed_ms),
    }


def feed_document(feed: Feed) -> dict[str, Any]:
    """A feed as it is stored."""
    return {
        "name": feed.name,
        "account": feed.account,
        "state": feed.state.name.lower(),
        "cursor": feed.cursor.to_cursor(),
        "delivered": feed.delivered,
        "note": feed.note,
        "version": feed.version,
        "created": render_ms(feed.created_ms),
        "changed": render_ms(feed.changed_ms),
    }


def standing_document(standing: FeedStanding) -> dict[str, Any]:
    """A feed, and how it stands."""
    return {
        **feed_document(standing.feed),
        "letters": standing.letters,
        "requested": standing.requested,
        "head": standing.head.to_cursor(),
    }


def letter_document(letter: Letter) -> dict[str, Any]:
    """A dead letter."""
    return {
        "kind": letter.kind,
        "name": letter.name,
        "before": letter.before.to_cursor(),
        "row_version": letter.row_version,
        "attempts": letter.attempts,
        "reason": letter.reason,
        "is_requested": letter.is_requested,
        "created": render_ms(letter.created_ms),
    }


def source_document(source: Source) -> dict[str, Any]:
    """A source, and what came of its last run."""
    return {
        "name": source.name,
        "account": source.account,
        "registrant": source.registrant,
        "state": source.state.name.lower(),
        "bookmark": source.bookmark,
        "is_requested": source.is_requested,
        "over_brake": source.over_brake,
        "message": source.message,
        "plan_digest": source.plan_digest,
        "counts": asdict(source.counts),
        "faults": [{"row": fault.row, "reason": fault.reason} for fault in source.faults],
        "ran": render_ms(source.ran_ms) if source.ran_ms else None,
        "done": render_ms(source.done_ms) if source.done_ms else None,
        "version": source.version,
        "created": render_ms(source.created_ms),
        "changed": render_ms(source.changed_ms),
    }


def filing_document(filing: Filing) -> dict[str, Any]:
    """A filing with its history."""
    return {
        "kind": filing.kind,
        "name": filing.name,
        "registrant": filing.registrant,
        "state": filing.state.name.lower(),
        "content": json.loads(filing.content),
        "details": dict(filing.details),
        "transaction": filing.transaction,
        "server_transaction": filing.server_transaction,
        "entity": filing.entity,
        "is_known": filing.is_known,
        "is_held": filing.is_held,
        "approved_content": json.loads(filing.approved_content or "{}"),
        "steps": [
            {
                "at": render_ms(step.at_ms),
                "state": step.state.name.lower(),
                "transaction": step.transaction,
                "code": step.code,
                "message": step.message,
            }
            for step in filing.steps
        ],
        "version": filing.version,
        "created": render_ms(filing.created_ms),
        "changed": render_ms(filing.changed_ms),
    }


def outcome_document(row: int, outcome: RowOutcome) -> dict[str, Any]:
    """What became of one row of a batch."""
    document: dict[str, Any] = {"row": row, "identifier": outcome.identifier, "outcome": outcome.outcome}
    if outcome.reason is None:
        document["version"] = outcome.version
    else:
        document |= {"reason": outcome.reason, "field": outcome.field, "detail": outcome.detail}
    return document


def written_document(outcome: RowOutcome) -> dict[str, Any]:
    """What an identifier is after a write."""
    return {
        "identifier": outcome.identifier,
        "version": outcome.version,
        "state": State(outcome.state).name.lower(),
    }


_NOUNS: Final[dict[Table, str]] = {
    Table.RECORD: "record",
    Table.PREFIX: "prefix",
    Table.REGISTRANT: "registrant",
    Table.ACCOUNT: "account",
    Table.JOB: "job",
    Table.NOTICE: "notice",
}
_STATES: Final[Mapping[Table, type[State] | type[PrefixState] | type[JobState]]] = {
    Table.RECORD: State,
    Table.PREFIX: PrefixState,
    Table.REGISTRANT: PrefixState,
    Table.JOB: JobState,
}


def notice_document(notice: Notice) -> dict[str, Any]:
    """A notice."""
    return {
        "feed": notice.feed,
        "kind": notice.kind,
        "name": notice.name,
        "data": json.loads(notice.data),
        "at": render_ms(notice.at_ms),
        "at_ms": notice.at_ms,
        "version": notice.version,
    }


def row_document(row: VisibleRow) -> dict[str, Any]:
    """A row of a change, with what the caller may see of it."""
    kind = _NOUNS[row.table]
    document: dict[str, Any] = {"kind": kind, "name": row.name, "version": row.version, "prior_version": row.prior_version}
    states = _STATES.get(row.table)
    if states is not None and row.prior_version:
        document["prior_state"] = states(row.prior_state).name.lower()
    document[kind] = noun_document(row.noun)
    return document


def noun_document(noun: Record | Prefix | Registrant | Account | Job | Notice) -> dict[str, Any]:
    """The document of any noun."""
    if isinstance(noun, Record):
        return record_document(noun)
    if isinstance(noun, Prefix):
        return prefix_document(noun)
    if isinstance(noun, Registrant):
        return registrant_document(noun)
    if isinstance(noun, Notice):
        return notice_document(noun)
    return account_document(noun) if isinstance(noun, Account) else job_document(noun)
