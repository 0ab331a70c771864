"""The JSON Schemas (2020-12) of everything the door takes and gives, by name: the components of the OpenAPI document."""

from typing import Final

from proto.errors import Reason
from proto.limits import MAX_ALIASES, MAX_BATCH_ROWS, MAX_REFERENCES, MAX_TTL_S, MAX_VALUES
from proto.model.access import Reading
from proto.model.account import Role
from proto.model.feed import FeedKind, FeedState
from proto.model.filing import FilingKind, FilingState
from proto.model.identifier import SuffixRule
from proto.model.job import JobState
from proto.model.notice import NoticeKind
from proto.model.prefix import PrefixState
from proto.model.record import State
from registry.doors.rest.paper_schemas import PAPERS
from registry.doors.rest.schema_parts import (
    COUNT,
    FLAG,
    IDENTIFIER,
    POSITION,
    STAMPS,
    TEXT,
    TIME,
    VERSION,
    Schema,
    choice,
    closed,
    items,
    page_schema,
    ref,
    written_schema,
)
from registry.doors.rest.source_schemas import SOURCE_SCHEMAS
from registry.service.accounts import MAX_GRANTS
from registry.service.delegation import MAX_SITES
from registry.service.feeds import MAX_LETTERS, MAX_SENTENCE_CHARS
from registry.service.figures import MAX_DAYS
from registry.service.filings import DETAILS, MAX_CODE
from registry.service.lifecycle import FIRST_STATES
from registry.service.notices import MAX_NOTICES
from registry.service.plan import Outcome
from registry.service.register import Mode
from registry.service.told import MAX_PREFIXES, MAX_TOLD

_STATE: Final = choice([state.name.lower() for state in State])
_PREFIX_STATE: Final = choice([state.name.lower() for state in PrefixState])
_FIRST_STATE: Final = {**choice([state.name.lower() for state in sorted(FIRST_STATES)]), "default": "approved"}
_SUFFIX_RULE: Final = choice([rule.name.lower() for rule in SuffixRule])
_ROLE: Final = choice([role.name.lower() for role in Role])

_DATA: Final[Schema] = {
    "description": "`string`, `base64`, `hex`, or as the type defines it: `admin`, `vlist`, `site`, `key`.",
    "type": "object",
    "properties": {"format": TEXT, "value": {}},
    "required": ["format", "value"],
    "additionalProperties": False,
}
_TTL: Final[Schema] = {
    "description": "Seconds that a copy may be kept, or until when.",
    "anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_TTL_S}, TIME],
}
_REFERENCE: Final = closed({"handle": TEXT, "index": COUNT})
_VALUE_CORE: Final = {"index": {"type": "integer", "minimum": 1, "maximum": 2**32 - 1}, "type": {**TEXT, "minLength": 1}}
_AUDIENCE: Final = {**TEXT, "description": "`public`, `private`, or the name of a group of the registrant."}
_VALUE_EXTRA: Final = {
    "permissions": {
        "type": "string",
        "pattern": "^[01]{4}$",
        "description": "Admin read, admin write, public read, public write.",
    },
    "references": items(_REFERENCE, MAX_REFERENCES),
}
_GRANT: Final = closed({"registrant": TEXT, "group": TEXT})
_ALIASES: Final = items(IDENTIFIER, MAX_ALIASES)
_NEW_VALUES: Final = items(ref("NewValue"), MAX_VALUES)

_RECORD: Final = closed(
    {
        "identifier": TEXT,
        "state": _STATE,
        "version": VERSION,
        "values": items(ref("Value")),
        "registrant": TEXT,
        "template": TEXT,
        "aliases": items(TEXT),
        "created": TIME,
        "changed": TIME,
    },
    about="An identifier with the values that the caller may see.",
)
_PREFIX: Final = closed(
    {
        "name": TEXT,
        "registrant": TEXT,
        "state": _PREFIX_STATE,
        "suffix_rule": _SUFFIX_RULE,
        "in_use": FLAG,
        "delegation": {"anyOf": [closed({"sites": items(_DATA), "url": TEXT}), {"type": "null"}]},
        **STAMPS,
    },
    about="A prefix. Once it is in use, how its suffixes compare is fixed. With a delegation another node answers for it.",
)
_REGISTRANT: Final = closed({"code": TEXT, "name": TEXT, "state": _PREFIX_STATE, **STAMPS}, about="An enterprise.")
_ACCOUNT: Final = closed(
    {"name": TEXT, "role": _ROLE, "registrant": TEXT, "groups": items(_GRANT), "enabled": FLAG, **STAMPS}, about="A login."
)
_JOB: Final = closed(
    {
        **dict.fromkeys(("id", "kind", "prefix", "template", "account", "registrant"), TEXT),
        **dict.fromkeys(("file_name", "file_digest", "file_format", "encoding", "message", "request_id"), TEXT),
        "dry_run": FLAG,
        "state": choice([state.name.lower() for state in JobState]),
        **dict.fromkeys(("file_bytes", "file_offset", "result_bytes", "rows"), COUNT),
        **dict.fromkeys(("created_rows", "replaced_rows", "unchanged_rows", "refused_rows"), COUNT),
        **STAMPS,
    },
    {"hindrance": {**choice(list(Reason)), "description": "Why a running job does not get on at the moment."}},
    about="Work that outlives the request that started it.",
)
_FEED_KIND: Final = choice(list(FeedKind))
_SENTENCE: Final = {**TEXT, "maxLength": MAX_SENTENCE_CHARS}
_LETTER_NAME: Final = closed({"kind": _FEED_KIND, "name": TEXT})
_FEED: Final = closed(
    {
        "name": TEXT,
        "account": TEXT,
        "state": choice([state.name.lower() for state in FeedState]),
        "cursor": {**POSITION, "description": "Everything up to here is delivered, or a dead letter."},
        "delivered": COUNT,
        "note": TEXT,
        **STAMPS,
    },
    about="A city system's subscription to changes, and how far it has been told.",
)
_STANDING: Final = {"letters": COUNT, "requested": COUNT, "head": {**POSITION, "description": "The end of the stream."}}
_FILING_STATE: Final = choice([state.name.lower() for state in FilingState])
_CODE: Final = {"type": "integer", "minimum": 0, "maximum": MAX_CODE}
_DETAILS: Final = closed({}, dict.fromkeys(DETAILS, TEXT))
_STEP: Final = closed({"at": TIME, "state": _FILING_STATE, "transaction": TEXT, "code": _CODE, "message": TEXT})
_FILING: Final = closed(
    {
        "kind": choice(list(FilingKind)),
        **dict.fromkeys(("name", "registrant", "transaction", "server_transaction", "entity"), TEXT),
        "state": _FILING_STATE,
        "content": {"type": "object", "description": "What the upstream is told."},
        "details": _DETAILS,
        "is_known": {**FLAG, "description": "Whether the upstream approved it once: what follows is an update."},
        "is_held": {**FLAG, "description": "Whether the upstream answered that it has it, and nobody knows whether from us."},
        "approved_content": {"type": "object", "description": "What the upstream approved last, if that is known."},
        "steps": items(_STEP),
        **STAMPS,
    },
    about="What the upstream is told of a registrant, a prefix or a day, and how far it has come with that.",
)
_QUEUE: Final = {
    "due": {**COUNT, "description": "How many can be told now."},
    "waiting_since": {
        "anyOf": [TIME, {"type": "null"}],
        "description": "Since when the filing that waits longest has been as it is.",
    },
}
_SUM: Final = {
    "registered": {**COUNT, "description": "Identifiers that were ever registered."},
    "active": {**COUNT, "description": "Those that answer now."},
    "resolved": {**COUNT, "description": "Questions that were answered with a record."},
    "missed": {**COUNT, "description": "Questions that were answered otherwise."},
}
_DAY: Final = closed(
    {"day": {**TEXT, "format": "date"}, **_SUM, "added": {**COUNT, "description": "Identifiers registered on this day."}},
    about="A day of Asia/Shanghai: registered and active at its end, resolved and missed on it.",
)
_ROW_RESULT: Final = closed(
    {"row": COUNT, "identifier": TEXT, "outcome": choice(list(Outcome))},
    {"version": COUNT, "reason": choice(list(Reason)), "field": TEXT, "detail": TEXT},
    about="What became of one row. A refused one has a reason, any other a version.",
)
_NOUNS: Final = {
    "record": "Record", "prefix": "Prefix", "registrant": "Registrant", "account": "Account", "job": "Job", "notice": "Notice",
}  # fmt: skip
_NOTICE: Final = {"kind": choice(list(NoticeKind)), "name": TEXT, "data": {"type": "object"}}

SCHEMAS: Final[dict[str, Schema]] = {
    "Value": closed(
        {**_VALUE_CORE, "data": _DATA, "ttl": _TTL, "timestamp": TIME, "audience": _AUDIENCE},
        _VALUE_EXTRA,
        "One typed, indexed datum, as in the Handle JSON API.",
    ),
    "NewValue": closed(
        {**_VALUE_CORE, "data": {"anyOf": [_DATA, TEXT]}},
        {"ttl": _TTL, "timestamp": TIME, "audience": {**_AUDIENCE, "default": "public"}, **_VALUE_EXTRA},
        "A value to be stored. Without a timestamp it keeps the stored one if it is as stored, and is of now otherwise.",
    ),
    "Record": _RECORD,
    "RecordPage": page_schema("identifiers", "Record"),
    "Draft": closed(
        {"values": _NEW_VALUES},
        {
            "template": TEXT,
            "aliases": _ALIASES,
            **dict.fromkeys(("identifier", "state", "registrant", "created", "changed"), TEXT),
            "version": COUNT,
        },
        "An identifier as it is to be, whole. What a read says besides may stand there and is ignored.",
    ),
    "Patch": closed(
        {},
        {"set": _NEW_VALUES, "remove": items(COUNT, MAX_VALUES), "template": TEXT, "aliases": _ALIASES},
        "Values set by their index, indexes removed; what is not named stays.",
    ),
    "Batch": closed(
        {"identifiers": items(ref("BatchRow"), MAX_BATCH_ROWS)},
        {"mode": {**choice(list(Mode)), "default": Mode.PARTIAL}},
        "`partial`: refused rows do not hinder the others; `atomic`: all rows or none; `rehearsal`: nothing is written.",
    ),
    "BatchRow": closed(
        {"identifier": IDENTIFIER, "values": _NEW_VALUES},
        {"template": TEXT, "aliases": _ALIASES, "expected_version": COUNT, "only_if_absent": FLAG},
    ),
    "BatchResult": closed(
        {
            "mode": choice(list(Mode)),
            **{outcome.value: COUNT for outcome in Outcome},
            "position": POSITION,
            "results": items(ref("RowResult")),
        }
    ),
    "RowResult": _ROW_RESULT,
    "IdentifierWritten": written_schema(closed({"identifier": TEXT, "version": VERSION, "state": _STATE})),
    "Prefix": _PREFIX,
    "PrefixPage": page_schema("prefixes", "Prefix"),
    "PrefixWritten": written_schema(_PREFIX),
    "NewPrefix": closed({"name": TEXT}, {"registrant": TEXT, "suffix_rule": _SUFFIX_RULE, "state": _FIRST_STATE}),
    "NewDelegation": closed(
        {"sites": {**items(_DATA, MAX_SITES), "minItems": 1}},
        {"url": TEXT},
        "The node that a prefix is handed to: the data of its HS_SITE values, and its HTTP address.",
    ),
    "PrefixPatch": closed({"suffix_rule": _SUFFIX_RULE}),
    "Registrant": _REGISTRANT,
    "RegistrantPage": page_schema("registrants", "Registrant"),
    "RegistrantWritten": written_schema(_REGISTRANT),
    "NewRegistrant": closed({"code": TEXT, "name": TEXT}, {"state": _FIRST_STATE}),
    "PapersPatch": closed({}, PAPERS, "What is not named stays as it is; null erases."),
    "Papers": closed({"code": TEXT, "version": VERSION, **PAPERS}, about="Data about people: not to be stored."),
    "Account": _ACCOUNT,
    "AccountPage": page_schema("accounts", "Account"),
    "AccountWritten": written_schema(
        {**_ACCOUNT, "properties": {**_ACCOUNT["properties"], "api_key": {**TEXT, "description": "Shown this once."}}}
    ),
    "NewAccount": closed({"name": TEXT, "role": _ROLE}, {"registrant": TEXT, "groups": items(_GRANT, MAX_GRANTS)}),
    "Job": _JOB,
    "JobPage": page_schema("jobs", "Job"),
    "FeedStanding": {
        **_FEED,
        "properties": {**_FEED["properties"], **_STANDING},
        "required": [*_FEED["required"], *_STANDING],
    },
    "FeedPage": page_schema("feeds", "FeedStanding"),
    "FeedWritten": written_schema(_FEED),
    "NewFeed": closed({"name": TEXT}, {"account": TEXT, "after": TEXT}),
    "FeedPause": closed({}, {"note": _SENTENCE}, "Why, in a sentence."),
    "FeedReplay": closed({"after": TEXT}, about="The cursor to go on after; empty: from the first change kept."),
    "FeedProgress": closed(
        {"cursor": POSITION},
        {
            "delivered": COUNT,
            "refused": items(
                closed(
                    {"kind": _FEED_KIND, "name": TEXT, "before": TEXT, "row_version": COUNT},
                    {"attempts": COUNT, "reason": _SENTENCE},
                ),
                MAX_LETTERS,
            ),
            "settled": items(_LETTER_NAME, MAX_LETTERS),
            "told": items(closed({"registrant": TEXT, "count": COUNT}, {"prefixes": items(TEXT, MAX_PREFIXES)}), MAX_TOLD),
        },
        "What became of a delivery: how far everything is settled, events refused for good, letters no longer needed, and of "
        "whom it told (for the access log).",
    ),
    "Letter": closed(
        {
            "kind": _FEED_KIND,
            "name": TEXT,
            "before": {**POSITION, "description": "A cursor after which its change comes."},
            "row_version": COUNT,
            "attempts": COUNT,
            "reason": TEXT,
            "is_requested": FLAG,
            "created": TIME,
        },
        about="An event that the system of a feed refused for good.",
    ),
    "LetterPage": page_schema("letters", "Letter"),
    "Notice": closed(
        {
            "feed": TEXT,
            **_NOTICE,
            "at": TIME,
            "at_ms": {**COUNT, "description": "The same in milliseconds; grows with every image of the notice."},
            "version": VERSION,
        },
        about="What a feed has to tell of the node itself: figures of a moment or a day, or an alarm.",
    ),
    "NoticePage": page_schema("notices", "Notice"),
    "NewNotices": closed({"notices": items(closed(_NOTICE), MAX_NOTICES)}, about="As they are now."),
    "LetterReplay": closed({}, {"letters": items(_LETTER_NAME, MAX_LETTERS)}, "Which; without the member all."),
    **SOURCE_SCHEMAS,
    "Filing": _FILING,
    "FilingPage": page_schema("filings", "Filing"),
    "FilingWritten": written_schema(_FILING),
    "DraftFilings": closed({"home": {**TEXT, "description": "The prefix below which prefixes are filed."}}),
    "FilingsDrafted": closed(
        {
            "drafted": items(TEXT),
            "states": closed(dict.fromkeys([state.name.lower() for state in FilingState], COUNT)),
            **_QUEUE,
            "days": closed(_QUEUE, about="The same of the figures of days; the rest is about registrants and prefixes."),
            "position": POSITION,
        }
    ),
    "FilingDetails": closed({"details": _DETAILS}, about="All of them: what is left out is taken back."),
    "FilingSubmission": closed({"transaction": TEXT}, about="The transaction's name of ours, unique for all time (clTRID)."),
    "UpstreamAnswer": closed(
        {"transaction": TEXT, "state": choice(["draft", "pending", "approved", "rejected"]), "code": _CODE},
        {
            "message": TEXT,
            "server_transaction": TEXT,
            "entity": TEXT,
            "holds": {**FLAG, "description": "Whether the upstream has such a thing from before this command."},
        },
    ),
    "Sum": closed(_SUM, about="Figures of one prefix or enterprise."),
    "Statistics": closed(
        {
            "position": POSITION,
            "at": TIME,
            "enterprises": {**COUNT, "description": "Registrants that are approved."},
            "prefixes": COUNT,
            "total": ref("Sum"),
            "groups": {"type": "object", "additionalProperties": ref("Sum"), "description": "By what was asked for."},
            "days": items(_DAY, MAX_DAYS),
        },
        about="What is registered, active and resolved.",
    ),
    "Enterprise": closed(
        {"code": TEXT, "name": TEXT, "state": _PREFIX_STATE, "prefixes": items(ref("Prefix")), "changed": TIME},
        about="An enterprise by its unified social credit code, with the prefixes that it holds.",
    ),
    "EnterprisePage": page_schema("enterprises", "Enterprise"),
    "ProductPage": page_schema("products", "Record"),
    "Access": closed(
        {
            "at": TIME,
            **dict.fromkeys(("account", "subject", "request_id"), TEXT),
            "reading": choice(list(Reading)),
            "registrant": {**TEXT, "description": "Whose things were read; `*`: figures of all together."},
            "count": {**COUNT, "description": "How many things of this registrant the answer held."},
            "way": {**TEXT, "description": "The protocol at a resolver, or the feed and how far it has told; else empty."},
        },
        about="That an account of the city has read something, or was told of it.",
    ),
    "AccessPage": page_schema("accesses", "Access"),
    "ChangesPage": closed({"changes": items(ref("Change")), "cursor": POSITION, "head": POSITION}),
    "Change": closed(
        {
            "position": POSITION,
            "epoch": COUNT,
            "sequence": COUNT,
            "time": TIME,
            "rows": items(ref("ChangedRow")),
        },
        {"actor": TEXT, "request_id": TEXT, "traceparent": TEXT},
        "One committed command: all its rows took effect together.",
    ),
    "ChangedRow": closed(
        {"kind": choice(list(_NOUNS)), "name": TEXT, "version": VERSION, "prior_version": COUNT},
        {"prior_state": TEXT, **{kind: ref(noun) for kind, noun in _NOUNS.items()}},
        "One named thing as it is after the change, under the member that its kind names.",
    ),
    "Health": closed({"status": TEXT}),
    "Problem": {
        "type": "object",
        "description": "Why a request was refused (RFC 9457).",
        "properties": {
            **dict.fromkeys(("type", "title", "detail"), TEXT),
            "status": {"type": "integer"},
            "reason": choice(list(Reason)),
            "field": {**TEXT, "description": "The offending part of the request."},
            "row": {**COUNT, "description": "The offending row of a batch."},
            "results": items(ref("RowResult")),
        },
        "required": ["type", "title", "status", "reason"],
    },
}
