"""What the platform for sharing and exchange gets: who provides, what data sets there are, and the data, as change files.

A data set is an identifier of its own, because each data set and each item of data may have one: a registrant describes it by
values of the types below. Everything else that is shared is data, item by item, each with its share class in the national
words. GB/T 36625.4 says what a catalogue entry tells (metadata, quality, security, ...) and GB/T 21063 how a resource is
coded; the text of neither is at hand. So members have names of our own, and the resource's code is an opaque text that the
profile holds against a pattern (`shape.members`).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from adapters.city.core.selection import Document, Share, share_of
from proto.errors import Refusal
from proto.model.feed import FeedKind
from proto.schemes.uscc import parse_uscc

# A record with a value of this type describes a data set.
CODE: Final = "DATASET_CODE"

SHARE_WORDS: Final[Mapping[Share, str]] = {Share.UNCONDITIONAL: "无条件共享", Share.CONDITIONAL: "有条件共享"}

# What a data set's description may say, and the member that tells it.
_DESCRIPTION: Final[Mapping[str, str]] = {
    "TITLE": "title",
    "DATASET_SUMMARY": "summary",
    "DATASET_PREFIX": "collection",
    "DATASET_FORMAT": "format",
    "DATASET_CYCLE": "update_cycle",
    "DATASET_QUALITY": "quality",
    "DATASET_SECURITY": "security_grade",
    "DATASET_SERVICE": "service",
}

# Types that say who administers an identifier: nothing that is shared.
_ADMINISTRATION: Final = "HS_"


def map_noun(kind: FeedKind, noun: Document, shared: Sequence[Document]) -> dict[str, Any]:
    """The members of a provider, a data set, or an item of data; prefixes have none."""
    if kind is FeedKind.REGISTRANT:
        return {"entry": "provider", **_party("provider", noun["code"]), "provider_name": noun["name"]}
    if kind is not FeedKind.RECORD:
        return {}
    provider = _party("provider", noun["registrant"]) if noun["registrant"] else {}
    told = [value for value in shared if not value["type"].startswith(_ADMINISTRATION)]
    if any(value["type"] == CODE for value in told):
        return {"entry": "data_set", **provider, **_description(told), "published": noun["created"], "share": _share(told)}
    collection = str(noun["identifier"]).partition("/")[0].lower()
    return {"entry": "data", **provider, "collection": collection, "items": [_item(value) for value in told]}


def _description(told: Sequence[Document]) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in told:
        member = _DESCRIPTION.get(value["type"])
        text = value["data"]["value"]
        if member is not None and isinstance(text, str):
            found.setdefault(member, text)
    return found


def _share(told: Sequence[Document]) -> str:
    """The class of the whole: what holds for the item that is shared least."""
    classes = {share_of(value) for value in told}
    return SHARE_WORDS[Share.CONDITIONAL if Share.CONDITIONAL in classes else Share.UNCONDITIONAL]


def _item(value: Document) -> dict[str, Any]:
    return {"name": value["type"], "data": _data(value["data"]["value"]), "share": SHARE_WORDS[share_of(value)]}


def _data(found: Any) -> Any:
    """JSON as what it says, anything else as it is."""
    try:
        parsed = json.loads(found) if isinstance(found, str) else found
    except ValueError:
        return found
    return parsed if isinstance(parsed, dict | list) else found


def _party(role: str, code: str) -> dict[str, str]:
    try:
        return {f"{role}_uscc": parse_uscc(code, "code")}
    except Refusal:
        return {f"{role}_code": code}
