"""Stored images of all that is not a record: the head of `proto.keys` and a protobuf message."""

import struct
from typing import Final

from proto.model.account import Account, GroupGrant, Role
from proto.model.change import Head, Memory, Position
from proto.model.feed import Feed, FeedState, Letter
from proto.model.filing import Filing, FilingKind, FilingState, Step
from proto.model.identifier import SuffixRule
from proto.model.job import Job, JobState
from proto.model.notice import Notice, NoticeKind
from proto.model.prefix import Delegation, Prefix, PrefixState, Registrant
from proto.model.resolutions import Count, Resolutions
from proto.model.source import RowFault, RunCounts, Source, SourceState
from proto.v1 import tables_pb2

_HEAD: Final = struct.Struct(">BQ")
TABLE_FORMAT: Final = 1


def frame_image(version: int, message: bytes) -> bytes:
    """A stored value from its version and its serialised message."""
    return _HEAD.pack(TABLE_FORMAT, version) + message


def split_image(image: bytes) -> tuple[int, bytes]:
    """(version, serialised message) of a stored value."""
    _, version = _HEAD.unpack_from(image)
    return int(version), image[_HEAD.size :]


def pack_prefix(prefix: Prefix) -> bytes:
    message = tables_pb2.PrefixImage(
        name=prefix.name,
        registrant=prefix.registrant,
        state=prefix.state,
        suffix_rule=prefix.suffix_rule,
        created_ms=prefix.created_ms,
        changed_ms=prefix.changed_ms,
        in_use=prefix.in_use,
        sites=prefix.delegation.sites if prefix.delegation is not None else (),
        url=prefix.delegation.url if prefix.delegation is not None else "",
    )
    return frame_image(prefix.version, message.SerializeToString())


def unpack_prefix(image: bytes) -> Prefix:
    version, body = split_image(image)
    message = tables_pb2.PrefixImage.FromString(body)
    return Prefix(
        message.name,
        message.registrant,
        PrefixState(message.state),
        SuffixRule(message.suffix_rule),
        version,
        message.created_ms,
        message.changed_ms,
        message.in_use,
        Delegation(tuple(message.sites), message.url) if message.sites else None,
    )


def pack_registrant(registrant: Registrant) -> bytes:
    message = tables_pb2.RegistrantImage(
        code=registrant.code,
        name=registrant.name,
        state=registrant.state,
        created_ms=registrant.created_ms,
        changed_ms=registrant.changed_ms,
        papers=[tables_pb2.PaperImage(paper=paper, reference=reference) for paper, reference in registrant.papers],
    )
    return frame_image(registrant.version, message.SerializeToString())


def unpack_registrant(image: bytes) -> Registrant:
    version, body = split_image(image)
    message = tables_pb2.RegistrantImage.FromString(body)
    return Registrant(
        message.code,
        message.name,
        PrefixState(message.state),
        version,
        message.created_ms,
        message.changed_ms,
        tuple((each.paper, each.reference) for each in message.papers),
    )


def pack_account(account: Account) -> bytes:
    message = tables_pb2.AccountImage(
        name=account.name,
        role=account.role,
        registrant=account.registrant,
        key_digest=account.key_digest,
        groups=[tables_pb2.GroupGrantImage(registrant=grant.registrant, group=grant.group) for grant in account.groups],
        enabled=account.enabled,
        created_ms=account.created_ms,
        changed_ms=account.changed_ms,
    )
    return frame_image(account.version, message.SerializeToString())


def unpack_account(image: bytes) -> Account:
    version, body = split_image(image)
    message = tables_pb2.AccountImage.FromString(body)
    return Account(
        message.name,
        Role(message.role),
        message.registrant,
        message.key_digest,
        tuple(GroupGrant(grant.registrant, grant.group) for grant in message.groups),
        message.enabled,
        version,
        message.created_ms,
        message.changed_ms,
    )


_JOB_FIELDS: Final = tuple(field.name for field in tables_pb2.JobImage.DESCRIPTOR.fields)


def pack_job(job: Job) -> bytes:
    message = tables_pb2.JobImage(**{name: getattr(job, name) for name in _JOB_FIELDS})
    return frame_image(job.version, message.SerializeToString())


def unpack_job(image: bytes) -> Job:
    version, body = split_image(image)
    message = tables_pb2.JobImage.FromString(body)
    fields = {name: getattr(message, name) for name in _JOB_FIELDS}
    fields["state"] = JobState(message.state)
    return Job(version=version, **fields)


def pack_feed(feed: Feed) -> bytes:
    message = tables_pb2.FeedImage(
        name=feed.name,
        account=feed.account,
        state=feed.state,
        epoch=feed.cursor.epoch,
        sequence=feed.cursor.sequence,
        delivered=feed.delivered,
        note=feed.note,
        created_ms=feed.created_ms,
        changed_ms=feed.changed_ms,
    )
    return frame_image(feed.version, message.SerializeToString())


def unpack_feed(image: bytes) -> Feed:
    version, body = split_image(image)
    message = tables_pb2.FeedImage.FromString(body)
    return Feed(
        message.name,
        message.account,
        FeedState(message.state),
        Position(message.epoch, message.sequence),
        message.delivered,
        message.note,
        version,
        message.created_ms,
        message.changed_ms,
    )


def pack_letter(letter: Letter) -> bytes:
    message = tables_pb2.LetterImage(
        feed=letter.feed,
        kind=letter.kind,
        name=letter.name,
        epoch=letter.before.epoch,
        sequence=letter.before.sequence,
        row_version=letter.row_version,
        attempts=letter.attempts,
        reason=letter.reason,
        is_requested=letter.is_requested,
        created_ms=letter.created_ms,
    )
    return frame_image(letter.version, message.SerializeToString())


def unpack_letter(image: bytes) -> Letter:
    version, body = split_image(image)
    message = tables_pb2.LetterImage.FromString(body)
    return Letter(
        message.feed,
        message.kind,
        message.name,
        Position(message.epoch, message.sequence),
        message.row_version,
        message.attempts,
        message.reason,
        message.is_requested,
        version,
        message.created_ms,
    )


def pack_filing(filing: Filing) -> bytes:
    message = tables_pb2.FilingImage(
        kind=filing.kind,
        name=filing.name,
        registrant=filing.registrant,
        state=filing.state,
        content=filing.content,
        steps=[
            tables_pb2.FilingStep(
                at_ms=step.at_ms, state=step.state, transaction=step.transaction, code=step.code, message=step.message
            )
            for step in filing.steps
        ],
        subject_version=filing.subject_version,
        created_ms=filing.created_ms,
        changed_ms=filing.changed_ms,
        details=dict(filing.details),
        transaction=filing.transaction,
        server_transaction=filing.server_transaction,
        entity=filing.entity,
        is_known=filing.is_known,
        is_held=filing.is_held,
        approved_content=filing.approved_content,
    )
    return frame_image(filing.version, message.SerializeToString(deterministic=True))


def unpack_filing(image: bytes) -> Filing:
    version, body = split_image(image)
    message = tables_pb2.FilingImage.FromString(body)
    return Filing(
        FilingKind(message.kind),
        message.name,
        message.registrant,
        FilingState(message.state),
        message.content,
        tuple(Step(step.at_ms, FilingState(step.state), step.transaction, step.code, step.message) for step in message.steps),
        message.subject_version,
        version,
        message.created_ms,
        message.changed_ms,
        tuple(sorted(message.details.items())),
        message.transaction,
        message.server_transaction,
        message.entity,
        message.is_known,
        message.is_held,
        message.approved_content,
    )


def pack_resolutions(resolutions: Resolutions) -> bytes:
    message = tables_pb2.ResolutionsImage(
        name=resolutions.name,
        prefixes=[
            tables_pb2.PrefixResolutions(prefix=prefix, found=count.found, missed=count.missed)
            for prefix, count in sorted(resolutions.prefixes.items())
        ],
        taken=[tables_pb2.TakenFile(name=name, bytes=size) for name, size in sorted(resolutions.taken.items())],
    )
    return frame_image(resolutions.version, message.SerializeToString())


def unpack_resolutions(image: bytes) -> Resolutions:
    version, body = split_image(image)
    message = tables_pb2.ResolutionsImage.FromString(body)
    return Resolutions(
        message.name,
        version,
        {each.prefix: Count(each.found, each.missed) for each in message.prefixes},
        {each.name: each.bytes for each in message.taken},
    )


def pack_notice(notice: Notice) -> bytes:
    message = tables_pb2.NoticeImage(
        feed=notice.feed, account=notice.account, kind=notice.kind, name=notice.name, data=notice.data, at_ms=notice.at_ms
    )
    return frame_image(notice.version, message.SerializeToString())


def unpack_notice(image: bytes) -> Notice:
    version, body = split_image(image)
    message = tables_pb2.NoticeImage.FromString(body)
    kind = NoticeKind(message.kind)
    return Notice(message.feed, message.account, kind, message.name, message.data, message.at_ms, version)


_COUNTS: Final = tuple(field.name for field in tables_pb2.SourceCounts.DESCRIPTOR.fields)


def pack_source(source: Source) -> bytes:
    message = tables_pb2.SourceImage(
        name=source.name,
        account=source.account,
        registrant=source.registrant,
        state=source.state,
        bookmark=source.bookmark,
        is_requested=source.is_requested,
        over_brake=source.over_brake,
        message=source.message,
        plan_digest=source.plan_digest,
        counts=tables_pb2.SourceCounts(**{name: getattr(source.counts, name) for name in _COUNTS}),
        faults=[tables_pb2.SourceFault(row=fault.row, reason=fault.reason) for fault in source.faults],
        ran_ms=source.ran_ms,
        done_ms=source.done_ms,
        created_ms=source.created_ms,
        changed_ms=source.changed_ms,
    )
    return frame_image(source.version, message.SerializeToString())


def unpack_source(image: bytes) -> Source:
    version, body = split_image(image)
    message = tables_pb2.SourceImage.FromString(body)
    return Source(
        message.name,
        message.account,
        message.registrant,
        SourceState(message.state),
        message.bookmark,
        message.is_requested,
        message.over_brake,
        message.message,
        message.plan_digest,
        RunCounts(**{name: getattr(message.counts, name) for name in _COUNTS}),
        tuple(RowFault(fault.row, fault.reason) for fault in message.faults),
        message.ran_ms,
        message.done_ms,
        version,
        message.created_ms,
        message.changed_ms,
    )


def pack_head(head: Head) -> bytes:
    message = tables_pb2.HeadImage(
        node_id=head.node_id,
        epoch=head.position.epoch,
        sequence=head.position.sequence,
        time_ms=head.time_ms,
        chain=head.chain,
    )
    return frame_image(1, message.SerializeToString())


def unpack_head(image: bytes) -> Head:
    _, body = split_image(image)
    message = tables_pb2.HeadImage.FromString(body)
    return Head(message.node_id, Position(message.epoch, message.sequence), message.time_ms, message.chain)


def pack_memory(memory: Memory) -> bytes:
    message = tables_pb2.IdempotencyImage(
        body_digest=memory.body_digest,
        epoch=memory.position.epoch,
        sequence=memory.position.sequence,
        outcome=memory.outcome,
        time_ms=memory.time_ms,
    )
    return frame_image(1, message.SerializeToString())


def unpack_memory(image: bytes) -> Memory:
    _, body = split_image(image)
    message = tables_pb2.IdempotencyImage.FromString(body)
    return Memory(message.body_digest, Position(message.epoch, message.sequence), message.outcome, message.time_ms)
