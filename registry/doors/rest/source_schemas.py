"""The JSON Schemas of sources."""

from dataclasses import fields
from typing import Final

from proto.model.source import RunCounts, SourceState
from registry.doors.rest.schema_parts import (
    COUNT,
    FLAG,
    STAMPS,
    TEXT,
    TIME,
    Schema,
    choice,
    closed,
    items,
    page_schema,
    written_schema,
)
from registry.service.sources import MAX_BOOKMARK_CHARS, MAX_FAULTS, MAX_SENTENCE_CHARS

_SENTENCE: Final = {**TEXT, "maxLength": MAX_SENTENCE_CHARS}
_DIGEST: Final = {**TEXT, "pattern": "^([0-9a-f]{16})?$"}
_FAULT: Final = closed({"row": _SENTENCE, "reason": _SENTENCE})
_RUN_COUNTS: Final = dict.fromkeys([each.name for each in fields(RunCounts)], COUNT)
_BOOKMARK: Final = {**TEXT, "maxLength": MAX_BOOKMARK_CHARS, "description": "Of the reader: what is before it is registered."}
_OR_NEVER: Final = {"anyOf": [TIME, {"type": "null"}]}
_SOURCE: Final = closed(
    {
        **dict.fromkeys(("name", "account", "registrant"), TEXT),
        "state": choice([state.name.lower() for state in SourceState]),
        "bookmark": _BOOKMARK,
        "is_requested": FLAG,
        "over_brake": {**TEXT, "description": "The digest of the plan that may pass the brake in the run that is requested."},
        "message": TEXT,
        "plan_digest": {**TEXT, "description": "Names the plan that stopped the last run; empty if none did."},
        "counts": closed(_RUN_COUNTS),
        "faults": items(_FAULT, MAX_FAULTS),
        "ran": {**_OR_NEVER, "description": "When the last run ended."},
        "done": {**_OR_NEVER, "description": "When the last run that ended well did."},
        **STAMPS,
    },
    about="An enterprise's system whose rows are registered here, how far it was read, and what came of the last run.",
)

SOURCE_SCHEMAS: Final[dict[str, Schema]] = {
    "Source": _SOURCE,
    "SourcePage": page_schema("sources", "Source"),
    "SourceWritten": written_schema(_SOURCE),
    "NewSource": closed({"name": TEXT}, {"account": TEXT}),
    "RunRequest": closed(
        {},
        {
            "over_brake": {**_DIGEST, "description": "Of the plan that may pass the brake; any other stops the run."},
            "again": {**FLAG, "description": "From the source's beginning, whatever was read already."},
        },
    ),
    "RunReport": closed(
        {"state": choice([state.name.lower() for state in SourceState if state]), "bookmark": _BOOKMARK},
        {
            "message": _SENTENCE,
            "plan_digest": _DIGEST,
            "counts": closed({}, _RUN_COUNTS),
            "faults": items(_FAULT, MAX_FAULTS),
        },
        "What came of a run, and the bookmark to read on behind. Without counts those of the run before stay, and its faults.",
    ),
}
