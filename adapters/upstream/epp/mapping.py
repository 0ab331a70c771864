"""What the node knows of a registrant or prefix, as the object of EPP that tells it."""

from collections.abc import Mapping
from typing import Any, Final

from adapters.upstream.epp.core.commands import UpdateEnterprise
from adapters.upstream.epp.core.objects import OTHER_CODE, USCC, DayReport, Enterprise, PrefixFigures, PrefixGrant
from proto.schemes.uscc import is_uscc_shaped

# The details of a filing that are members of an enterprise under the same names.
_DETAILS: Final = (
    "type", "name_en", "province", "city", "county", "address", "address_en", "website", "description",
)  # fmt: skip


def enterprise_of(content: Mapping[str, Any], home: str) -> Enterprise:
    """The enterprise that a registrant's filing tells of; `home` is the node's own prefix (shrPrefix)."""
    details = content.get("details", {})
    code = content["code"]
    code_type = USCC if is_uscc_shaped(code) else OTHER_CODE
    return Enterprise(home, code_type, code, content["name"], **{name: details.get(name, "") for name in _DETAILS})


def command_of(
    kind: str, content: Mapping[str, Any], home: str, entity: str
) -> Enterprise | UpdateEnterprise | PrefixGrant | DayReport:
    """The command that tells a filing. `entity` is the upstream's id of the registrant; without one it is a new one."""
    if kind == "prefix":
        return PrefixGrant(home, entity, content["prefix"])
    if kind == "statistics":
        figures = tuple(PrefixFigures(name, *counts) for name, counts in sorted(content["prefixes"].items()))
        return DayReport(home, content["day"], figures)
    enterprise = enterprise_of(content, home)
    return UpdateEnterprise(entity, enterprise) if entity else enterprise
