"""The objects of CAICT's mapping (draft-chen-top-level-interface-protocol-03) as values, and as elements: one table each.

The tables are in the order of the schemas; an empty text has no element. People's data and pictures of licences do not show
themselves in logs.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from adapters.upstream.epp.core.document import ENT, PREFIX, STATISTICS, Element, add, child_of, text_of
from adapters.upstream.epp.core.malformed import Malformed

# entCrtType: what an enterprise's code is.
USCC: Final = "1"
OTHER_CODE: Final = "3"


@dataclass(frozen=True, slots=True, repr=False)
class Image:
    """A picture: its type is jpeg, png or bmp."""

    type: str
    data: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Contact:
    """Whom to call."""

    name: str = ""
    email: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class LegalPerson:
    """Who answers for an enterprise: `id_type` is one of six kinds of documents."""

    name: str
    id_type: str
    id_number: str
    image: Image | None = None


@dataclass(frozen=True, slots=True)
class Enterprise:
    """A registrant, as it is created (`ent:create`) and changed as a whole (`ent:chgAll`). Regions are GB/T 2260 codes."""

    home: str
    code_type: str
    code: str
    name: str
    type: str = ""
    licence: Image | None = None
    province: str = ""
    city: str = ""
    county: str = ""
    address: str = ""
    name_en: str = ""
    address_en: str = ""
    website: str = ""
    description: str = ""
    contact: Contact | None = None
    legal_person: LegalPerson | None = None


@dataclass(frozen=True, slots=True)
class EnterpriseChange:
    """What is other than it was in an enterprise (`ent:chg`); what is empty stays as it is. `user` is who changes it
    (shrUserId). A code is what an enterprise goes by: it does not change."""

    user: str
    name: str = ""
    type: str = ""
    licence: Image | None = None
    province: str = ""
    city: str = ""
    county: str = ""
    address: str = ""
    name_en: str = ""
    address_en: str = ""
    website: str = ""
    description: str = ""
    contact: Contact | None = None
    legal_person: LegalPerson | None = None


@dataclass(frozen=True, slots=True)
class PrefixGrant:
    """A prefix of an enterprise, as it is created (`prefix:create`) and changed (`prefix:chgAll`)."""

    home: str
    entity: str
    prefix: str


@dataclass(frozen=True, slots=True)
class PrefixFigures:
    """A prefix's figures: identifiers registered and active in all at the end of the day, registered on that day, and how often
    they were resolved on it (None: nobody counted, in reports that were drafted before resolutions were)."""

    prefix: str
    registered: int
    active: int
    added: int
    resolved: int | None = None


@dataclass(frozen=True, slots=True)
class DayReport:
    """The figures of one day of Asia/Shanghai (`2026-11-25`)."""

    home: str
    day: str
    figures: tuple[PrefixFigures, ...]


_CHANGE_BEFORE_LICENCE: Final = {"user": "shrUserId", "type": "entType"}
_BEFORE_LICENCE: Final = {"home": "shrPrefix", "type": "entType", "code_type": "entCrtType", "code": "entCrCode"}
_AFTER_LICENCE: Final = {
    "name": "entNameCn", "province": "provinceCode", "city": "cityCode", "county": "countyCode", "address": "entAddrCn",
    "name_en": "entNameEn", "address_en": "entAddrEn", "website": "entWebSite", "description": "entDesc",
}  # fmt: skip
_CONTACT: Final = {"name": "name", "email": "email", "phone": "phone"}
_LEGAL_PERSON: Final = {"name": "name", "id_type": "idType", "id_number": "idNo"}
_GRANT: Final = {"home": "shrPrefix", "entity": "entId", "prefix": "prefix"}


def add_enterprise(parent: Element, enterprise: Enterprise) -> None:
    """The elements of an enterprise below `ent:create` or `ent:chgAll`."""
    _add_texts(parent, ENT, enterprise, _BEFORE_LICENCE)
    _add_rest(parent, enterprise)


def add_change(parent: Element, change: EnterpriseChange) -> None:
    """The elements of a change below `ent:chg`."""
    _add_texts(parent, ENT, change, _CHANGE_BEFORE_LICENCE)
    _add_rest(parent, change)


def _add_rest(parent: Element, enterprise: Enterprise | EnterpriseChange) -> None:
    _add_image(parent, enterprise.licence, "entCrtImgType", "entCrtImg")
    _add_texts(parent, ENT, enterprise, _AFTER_LICENCE)
    if enterprise.contact is not None:
        _add_texts(add(parent, ENT, "contact"), ENT, enterprise.contact, _CONTACT)
    if enterprise.legal_person is not None:
        person = add(parent, ENT, "legalPerson")
        _add_texts(person, ENT, enterprise.legal_person, _LEGAL_PERSON)
        _add_image(person, enterprise.legal_person.image, "idImgType", "idImg")


def read_enterprise(parent: Element) -> Enterprise:
    """The enterprise below `ent:create` or `ent:chgAll`. Raises `Malformed`."""
    texts = _read_texts(parent, ENT, {**_BEFORE_LICENCE, **_AFTER_LICENCE})
    licence, contact, person = _read_rest(parent)
    return Enterprise(**texts, licence=licence, contact=contact, legal_person=person)


def read_change(parent: Element) -> EnterpriseChange:
    """The change below `ent:chg`. Raises `Malformed`."""
    texts = _read_texts(parent, ENT, {**_CHANGE_BEFORE_LICENCE, **_AFTER_LICENCE})
    licence, contact, person = _read_rest(parent)
    return EnterpriseChange(**texts, licence=licence, contact=contact, legal_person=person)


def _read_rest(parent: Element) -> tuple[Image | None, Contact | None, LegalPerson | None]:
    contact, person = child_of(parent, ENT, "contact"), child_of(parent, ENT, "legalPerson")
    return (
        _read_image(parent, "entCrtImgType", "entCrtImg"),
        Contact(**_read_texts(contact, ENT, _CONTACT)) if contact is not None else None,
        LegalPerson(**_read_texts(person, ENT, _LEGAL_PERSON), image=_read_image(person, "idImgType", "idImg"))
        if person is not None
        else None,
    )


def add_grant(parent: Element, grant: PrefixGrant) -> None:
    """The elements of a prefix below `prefix:create` or `prefix:chgAll`."""
    _add_texts(parent, PREFIX, grant, _GRANT)


def read_grant(parent: Element) -> PrefixGrant:
    """The prefix below `prefix:create` or `prefix:chgAll`."""
    return PrefixGrant(**_read_texts(parent, PREFIX, _GRANT))


def add_report(parent: Element, report: DayReport) -> None:
    """The elements of a day's figures below `statistics:create` or `statistics:chkData`."""
    add(parent, STATISTICS, "shrPrefix", report.home)
    add(parent, STATISTICS, "day", report.day)
    for each in report.figures:
        element = add(parent, STATISTICS, "prefix")
        element.set("name", each.prefix)
        for name, count in (("registered", each.registered), ("active", each.active), ("added", each.added)):
            element.set(name, str(count))
        if each.resolved is not None:
            element.set("resolved", str(each.resolved))


def read_report(parent: Element) -> DayReport:
    """The figures below `statistics:create` or `statistics:chkData`."""
    figures = tuple(
        PrefixFigures(
            each.get("name", ""),
            int(each.get("registered", "0")),
            int(each.get("active", "0")),
            int(each.get("added", "0")),
            int(resolved) if (resolved := each.get("resolved")) is not None else None,
        )
        for each in parent.iterfind(f"{{{STATISTICS}}}prefix")
    )
    return DayReport(text_of(parent, STATISTICS, "shrPrefix"), text_of(parent, STATISTICS, "day"), figures)


def _add_texts(parent: Element, space: str, thing: object, names: Mapping[str, str]) -> None:
    for attribute, name in names.items():
        text = getattr(thing, attribute)
        if text:
            add(parent, space, name, text)


def _read_texts(parent: Element, space: str, names: Mapping[str, str]) -> dict[str, str]:
    return {attribute: text_of(parent, space, name) for attribute, name in names.items()}


def _add_image(parent: Element, image: Image | None, type_name: str, data_name: str) -> None:
    if image is not None:
        add(parent, ENT, type_name, image.type)
        add(parent, ENT, data_name, base64.b64encode(image.data).decode())


def _read_image(parent: Element, type_name: str, data_name: str) -> Image | None:
    encoded = text_of(parent, ENT, data_name)
    if not encoded:
        return None
    try:
        return Image(text_of(parent, ENT, type_name), base64.b64decode("".join(encoded.split()), validate=True))
    except binascii.Error:
        raise Malformed(f"{data_name} is not base64") from None
