"""Rows of changes as the REST API gives them, for what feeds make of them."""

from typing import Any

from adapters.city.core.profile import Profile, parse_profile


def value(index: int, kind: str, data: str = "x", audience: str = "public") -> dict[str, Any]:
    return {
        "index": index, "type": kind, "data": {"format": "string", "value": data}, "ttl": 86400,
        "timestamp": "2026-01-01T00:00:00Z", "permissions": "1110", "audience": audience,
    }  # fmt: skip


def record_row(name: str = "88.118.1001/a", *values: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A row of a record; `version`, `prior_version`, `prior_state` are the row's, the rest the record's."""
    version = more.pop("version", 1)
    row = {"kind": "record", "name": name.lower(), "version": version, "prior_version": more.pop("prior_version", version - 1)}
    if row["prior_version"]:
        row["prior_state"] = more.pop("prior_state", "active")
    row["record"] = {
        "identifier": name, "state": "active", "version": version, "values": list(values), "registrant": "R-1",
        "template": "", "aliases": [], "created": "2026-01-01T00:00:00Z", "changed": "2026-01-01T00:00:00Z", **more,
    }  # fmt: skip
    return row


def noun_row(kind: str, name: str, state: str = "approved", **more: Any) -> dict[str, Any]:
    """A row of a prefix or registrant, as it was created."""
    key = "code" if kind == "registrant" else "name"
    noun = {key: name, "state": state, "version": 1, "created": "", "changed": "", **more}
    return {"kind": kind, "name": name, "version": 1, "prior_version": 0, kind: noun}


def make_profile(**sections: Any) -> Profile:
    """A webhook profile."""
    usual = {"kind": "webhook", "url": "http://127.0.0.1/"}
    given = sections.pop("transport", {})
    transport = given if "kind" in given else usual | given
    return parse_profile({"name": "platform", "transport": transport, **sections}, lambda said: said)
