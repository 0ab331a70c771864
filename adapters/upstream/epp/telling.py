"""What the registry is told about an answer of the upstream: pure, and the only place where a verdict becomes a state.

Documents are those of `POST /api/v1/filings/KIND/NAME/answer`, without the transaction.
"""

from collections.abc import Mapping
from typing import Any, Final

from adapters.upstream.epp.core.replies import Audit, EntityData, PrefixData, Response
from adapters.upstream.epp.core.settle import Finding, Outcome
from adapters.upstream.epp.core.verdict import MISSING, NOT_YOURS, Verdict, verdict_of
from adapters.upstream.epp.registry_client import StoredFiling

Document = dict[str, Any]

_STATES: Final[Mapping[Outcome, str]] = {
    Outcome.ACCEPT: "approved",
    Outcome.AWAIT: "pending",
    Outcome.UPDATE: "draft",
    Outcome.REJECT: "rejected",
}

_WHY: Final[Mapping[tuple[Finding, Outcome], str]] = {
    (Finding.NAMED, Outcome.ACCEPT): "it was there before us",
    (Finding.NAMED, Outcome.AWAIT): "perhaps ours: an audit is awaited",
    (Finding.NAMED, Outcome.UPDATE): "it is told as an update",
    (Finding.UNNAMED, Outcome.AWAIT): "and its id is not told: an audit is awaited",
    (Finding.HELD, Outcome.AWAIT): "perhaps by us: an audit is awaited",
    (Finding.HELD, Outcome.UPDATE): "whether for our enterprise, an update will show",
    (Finding.SAME, Outcome.ACCEPT): "with our figures",
    (Finding.OTHER, Outcome.REJECT): "with other figures than ours",
    (Finding.UNTOLD, Outcome.ACCEPT): "nobody but us reports it",
    (Finding.UNTOLD, Outcome.REJECT): "before we told it, and with what figures is not said",
}


def told_of(filing: StoredFiling, response: Response) -> Document:
    """The document of an answer that settles something by itself."""
    verdict = verdict_of(response.code)
    if verdict is Verdict.DONE:
        return _document(response, "approved", _entity_in(response))
    if verdict is Verdict.PENDING:
        return _document(response, "pending", _entity_in(response))
    if response.code == MISSING and filing.is_update:
        return _document(response, "rejected", "") | {"holds": False}
    if response.code == NOT_YOURS and filing.kind == "registrant" and filing.is_held:
        # An enterprise that is there, that another reports, and that we never had approved: it is filed.
        return _document(response, "approved", filing.entity) | {"holds": True}
    return _document(response, "rejected", "")


def settled_of(filing: StoredFiling, response: Response, finding: Finding, outcome: Outcome, entity: str) -> Document:
    """The document of an answer that there is such a thing already; `outcome` is not `LATER`."""
    message = f"{response.message} ({_WHY[finding, outcome]})"
    return _document(response, _STATES[outcome], entity or filing.entity) | {"message": message, "holds": True}


def unsaid_of(why: str) -> Document:
    """The document of what cannot be said in EPP at all."""
    return {"state": "rejected", "message": f"it cannot be told: {why}", "code": 0}


def audit_of(audit: Audit, code: int) -> Document:
    """The document of an audit."""
    return {
        "state": "approved" if audit.is_approved else "rejected",
        "code": code,
        "message": audit.message,
        "server_transaction": audit.server_transaction,
        "entity": audit.entity,
    }


def contradicts(filing: StoredFiling, response: Response) -> bool:
    """Whether what comes with a success is about something else than was told."""
    match response.data:
        case PrefixData(prefix=prefix):
            return filing.kind != "prefix" or prefix != filing.name
        case EntityData(entity=entity):
            is_other = filing.is_update and bool(entity) and bool(filing.entity) and entity != filing.entity
            return filing.kind == "statistics" or (filing.kind == "registrant" and is_other)
    return False


def is_about(audit: Audit, filing: StoredFiling) -> bool:
    """Whether an audit that names a filing's transaction also names what the filing tells of."""
    if filing.kind == "prefix":
        return audit.prefix == filing.name
    return filing.kind == "registrant" and not audit.prefix and filing.entity in ("", audit.entity or filing.entity)


def _document(response: Response, state: str, entity: str) -> Document:
    return {
        "state": state,
        "code": response.code,
        "message": response.message,
        "server_transaction": response.server_transaction,
        "entity": entity,
    }


def _entity_in(response: Response) -> str:
    return response.data.entity if isinstance(response.data, EntityData) else ""
