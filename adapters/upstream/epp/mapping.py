"""What the node knows of a registrant, a prefix or a day, as the command of EPP that tells it."""

from collections.abc import Mapping
from typing import Any, Final

from adapters.upstream.epp.core.commands import Check, CheckEnterprise, CheckPrefix, CheckReport, UpdateEnterprise, UpdatePrefix
from adapters.upstream.epp.core.objects import (
    OTHER_CODE,
    USCC,
    DayReport,
    Enterprise,
    EnterpriseChange,
    PrefixFigures,
    PrefixGrant,
)
from adapters.upstream.epp.core.papers import NO_PAPERS, ToldPapers
from proto.schemes.uscc import is_uscc_shaped

# The details of a filing that are members of an enterprise under the same names.
_DETAILS: Final = (
    "type", "name_en", "province", "city", "county", "address", "address_en", "website", "description",
)  # fmt: skip


def enterprise_of(content: Mapping[str, Any], home: str, papers: ToldPapers = NO_PAPERS) -> Enterprise:
    """The enterprise that a registrant's filing tells of; `home` is the node's own prefix (shrPrefix). Of `papers` those are
    told that the filing names; one that was erased since cannot be."""
    code = content["code"]
    code_type = USCC if is_uscc_shaped(code) else OTHER_CODE
    return Enterprise(home, code_type, code, **_texts_of(content), **papers.only(_papers_of(content)))


def create_of(
    kind: str, content: Mapping[str, Any], home: str, entity: str, papers: ToldPapers = NO_PAPERS
) -> Enterprise | PrefixGrant | DayReport:
    """The command that tells something new. `entity` is the upstream's id of the registrant of a prefix."""
    if kind == "prefix":
        return PrefixGrant(home, entity, content["prefix"])
    if kind == "statistics":
        figures = tuple(PrefixFigures(name, *counts) for name, counts in sorted(content["prefixes"].items()))
        return DayReport(home, content["day"], figures)
    return enterprise_of(content, home, papers)


def update_of(
    kind: str,
    content: Mapping[str, Any],
    approved: Mapping[str, Any],
    home: str,
    entity: str,
    user: str,
    papers: ToldPapers = NO_PAPERS,
) -> UpdateEnterprise | UpdatePrefix:
    """The command that tells anew what the upstream has, `approved` being what it approved last (empty: that is not known).

    An enterprise whose details or papers have changed is told by these alone (chg): what others may have said of it stays. It
    is told as a whole (chgAll) if its name is another, or if something was taken back, which an increment has no words for.
    """
    if kind == "prefix":
        return UpdatePrefix(PrefixGrant(home, entity, content["prefix"]))
    now, before = _texts_of(content), _texts_of(approved) if approved else {}
    changed = {name: text for name, text in now.items() if text and text != before.get(name)}
    named, had = _papers_of(content), _papers_of(approved)
    fresh = [paper for paper, reference in named.items() if reference != had.get(paper)]
    is_less = any(before[name] and not now[name] for name in before) or not had.keys() <= named.keys()
    is_partial = (changed or fresh) and "name" not in changed and not is_less
    if before and not is_partial:
        return UpdateEnterprise(entity, enterprise_of(content, home, papers))
    return UpdateEnterprise(entity, EnterpriseChange(user, **changed, **papers.only(fresh)))


def check_of(kind: str, content: Mapping[str, Any], home: str, user: str) -> Check:
    """The command that asks what the upstream has of what a filing tells."""
    if kind == "prefix":
        return CheckPrefix(home, content["prefix"])
    if kind == "statistics":
        return CheckReport(home, content["day"])
    enterprise = enterprise_of(content, home)
    return CheckEnterprise(user, enterprise.code_type, enterprise.code)


def _papers_of(content: Mapping[str, Any]) -> dict[str, str]:
    """References of papers, by their names."""
    return dict(content.get("papers", {}))


# The members of an enterprise are texts and others; these are texts.
def _texts_of(content: Mapping[str, Any]) -> dict[str, Any]:
    details = content.get("details", {})
    return {"name": content["name"], **{name: details.get(name, "") for name in _DETAILS}}
