"""Papers as the mapping of EPP tells them, and kept out of what is said of them."""

from typing import Any

import pytest

from adapters.upstream.epp.core.commands import UpdateEnterprise, compose_command, parse_command
from adapters.upstream.epp.core.malformed import Malformed
from adapters.upstream.epp.core.objects import Contact, Enterprise, EnterpriseChange, Image, LegalPerson
from adapters.upstream.epp.core.papers import NO_PAPERS, hide_in, read_papers
from adapters.upstream.epp.core.replies import Audit
from adapters.upstream.epp.fake_books import no_to_papers
from adapters.upstream.epp.mapping import create_of, update_of
from tests.support.papers import DOCUMENT, EMAIL, ID_NUMBER, ID_PICTURE, LICENCE, NAME, PERSON, PHONE

PAPERS = read_papers(DOCUMENT)
CONTACT, LICENCE_IMAGE = Contact(NAME, EMAIL, PHONE), Image("png", LICENCE)


def content(name: str = "许昌变压器", **papers: str) -> dict[str, Any]:
    return {"code": "R-1", "name": name, **({"papers": papers} if papers else {})}


def test_a_document_of_papers_is_what_the_mapping_has() -> None:
    assert PAPERS.contact == CONTACT
    assert PAPERS.legal_person == LegalPerson(PERSON, "1", ID_NUMBER, Image("jpeg", ID_PICTURE))
    assert PAPERS.licence == LICENCE_IMAGE
    assert read_papers(dict.fromkeys(DOCUMENT)) == NO_PAPERS


def test_what_is_composed_keeps_to_the_schema_and_is_read_as_it_was() -> None:
    named = content(contact="1", legal_person="2", licence="3")
    for command in (
        create_of("registrant", named, "88.118", "", PAPERS),
        update_of("registrant", named, {}, "88.118", "ent-7", "node-1", PAPERS),
        update_of("registrant", named, content("别名"), "88.118", "ent-7", "node-1", PAPERS),
    ):
        assert isinstance(command, Enterprise | UpdateEnterprise)
        raw = compose_command(command, "bj-1")
        assert parse_command(raw) == (command, "bj-1")
        assert raw.count(b"entCrtImg>") == 2


def test_the_papers_that_a_filing_names_are_told_and_no_others() -> None:
    told = create_of("registrant", content(contact="1"), "88.118", "", PAPERS)
    assert isinstance(told, Enterprise)
    assert (told.contact, told.legal_person, told.licence) == (CONTACT, None, None)


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (content(contact="1"), content(contact="1", licence="2"), EnterpriseChange("node-1", licence=LICENCE_IMAGE)),
        (content(contact="1", licence="2"), content(contact="9", licence="2"), EnterpriseChange("node-1", contact=CONTACT)),
        ({}, content(contact="1"), EnterpriseChange("node-1", name="许昌变压器", contact=CONTACT)),
        # As a whole: something was erased, alone or beside a change, or the name is another.
        (content(contact="1", licence="2"), content(licence="2"), None),
        (content(contact="1", licence="2"), content(licence="9"), None),
        (content(contact="1"), content("许昌电缆", contact="2"), None),
    ],
)
def test_an_update_tells_the_papers_that_have_changed(
    before: dict[str, Any], now: dict[str, Any], told: EnterpriseChange | None
) -> None:
    update = update_of("registrant", now, before, "88.118", "ent-7", "node-1", PAPERS)
    whole = create_of("registrant", now, "88.118", "", PAPERS)
    assert isinstance(whole, Enterprise)
    assert update == UpdateEnterprise("ent-7", told or whole)


def test_words_of_papers_are_taken_out_of_what_is_said() -> None:
    audit = Audit("bj-1", "s-1", "ent-1", "", "1", "0", f"{NAME}/{EMAIL}/{PHONE}/{PERSON}/{ID_NUMBER}: 不符")
    assert hide_in(audit, PAPERS).message == "…/…/…/…/…: 不符"
    assert hide_in(audit, NO_PAPERS) == audit
    assert hide_in(audit, None).message == ""
    assert NAME not in repr(PAPERS) + repr(create_of("registrant", content(contact="1"), "88.118", "", PAPERS))


def test_a_picture_of_another_kind_cannot_be_told() -> None:
    with pytest.raises(Malformed, match="neither jpeg"):
        read_papers({**DOCUMENT, "licence": "JVBERi0xLjc="})


@pytest.mark.parametrize(
    "wrong",
    [
        EnterpriseChange("u", licence=Image("jpeg", LICENCE)),
        EnterpriseChange("u", contact=Contact()),
        EnterpriseChange("u", legal_person=LegalPerson("", "1", "2")),
        EnterpriseChange("u", legal_person=LegalPerson("x", "1", "2", Image("bmp", LICENCE))),
    ],
)
def test_the_stand_in_looks_at_papers(wrong: EnterpriseChange) -> None:
    assert no_to_papers(wrong) is not None
    assert no_to_papers(EnterpriseChange("u", licence=LICENCE_IMAGE, contact=CONTACT)) is None
