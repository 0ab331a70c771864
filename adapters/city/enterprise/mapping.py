"""What the platform for enterprise services gets: enterprises and their prefixes, each under its unified social credit code.

An application for a prefix, and an enterprise's own registration, is a government-style service with a status; the platform
shows it by the word that people know. A code that is no USCC (GB 32100) is given under another name: the platform keys its
enterprises by the official code and must not take any other for one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from adapters.city.core.selection import Document
from proto.errors import Refusal
from proto.model.feed import FeedKind
from proto.schemes.uscc import parse_uscc

STATUSES: Final[Mapping[str, str]] = {
    "draft": "草稿",
    "submitted": "审核中",
    "approved": "已通过",
    "rejected": "已驳回",
    "suspended": "已暂停",
}


def map_noun(kind: FeedKind, noun: Document, shared: Sequence[Document]) -> dict[str, Any]:  # noqa: ARG001 # records have none
    """The members of a registrant or a prefix; a record is not this platform's and has none."""
    if kind is FeedKind.REGISTRANT:
        return {**_enterprise(noun["code"]), "enterprise_name": noun["name"], "status": STATUSES[noun["state"]]}
    if kind is FeedKind.PREFIX:
        holder = _enterprise(noun["registrant"]) if noun["registrant"] else {}
        return {**holder, "prefix": noun["name"], "status": STATUSES[noun["state"]], "applied": noun["created"]}
    return {}


def _enterprise(code: str) -> dict[str, str]:
    try:
        return {"uscc": parse_uscc(code, "code")}
    except Refusal:
        return {"other_code": code}
