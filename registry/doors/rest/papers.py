"""Papers of registrants over REST. Answers are not to be stored, and no problem repeats what was sent."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import asdict, replace
from http import HTTPStatus
from typing import Any, Final

from proto.errors import Reason, Refusal
from proto.handle_json import Members
from proto.model.papers import MAX_PICTURE_BYTES, Contact, LegalPerson, Paper, Papers
from proto.tables import unpack_registrant
from registry.doors.rest.call import Call
from registry.doors.rest.documents import registrant_document
from registry.doors.rest.limits import MAX_SMALL_BODY_BYTES
from registry.doors.rest.parameters import IDEMPOTENCY_KEY, IF_MATCH, name_of, written
from registry.doors.rest.registrants import ONE
from registry.doors.rest.reply import Reply, compose_json, reply_written
from registry.doors.rest.route import Answer, Body, Route
from registry.service.execute import Written
from registry.service.papers import Given
from registry.service.registry import Registry

ALL: Final = f"{ONE}/papers"
_CODE: Final = name_of("registrant", "The registrant's code.")
_KEY: Final = replace(
    IDEMPOTENCY_KEY,
    description="Taken, and not kept: the same again changes nothing, and a key would be kept with a digest of the papers.",
)

# Two pictures in base64, and the texts.
MAX_PAPERS_BODY_BYTES: Final = 2 * (MAX_PICTURE_BYTES * 4 // 3 + 4) + MAX_SMALL_BODY_BYTES


class PaperResource:
    """Giving, reading and erasing papers."""

    def __init__(self, registry: Registry) -> None:
        self._papers = registry.papers

    @property
    def routes(self) -> Sequence[Route]:
        tag, done = "registrants", written("RegistrantWritten")
        return (
            Route("PATCH", ALL, "changePapers", tag, "Give or erase papers: what is not named stays, null erases.",
                  self.change, done, (_CODE, IF_MATCH, _KEY), Body(MAX_PAPERS_BODY_BYTES, "PapersPatch")),
            Route("GET", ALL, "readPapers", tag, "The papers of a registrant, for who files them.", self.get,
                  {200: Answer("As they are; not to be stored.", "Papers")}, (_CODE,)),
            Route("DELETE", ALL, "erasePapers", tag, "Erase all papers of a registrant.", self.erase, done,
                  (_CODE, IF_MATCH, _KEY)),
        )  # fmt: skip

    async def change(self, call: Call) -> Reply:
        given = parse_papers(call.document())
        return _reply(await self._papers.change(call.context, call.path["registrant"], given, call.expected_version()))

    async def erase(self, call: Call) -> Reply:
        nothing: Given = dict.fromkeys(Paper)
        return _reply(await self._papers.change(call.context, call.path["registrant"], nothing, call.expected_version()))

    async def get(self, call: Call) -> Reply:
        registrant, papers = await self._papers.show(call.context, call.path["registrant"])
        document = {"code": registrant.code, "version": registrant.version, **papers_document(papers)}
        return Reply(HTTPStatus.OK, compose_json(document), headers={"Cache-Control": "no-store"})


def parse_papers(document: Members) -> Given:
    """`{"contact"?: {...} | null, "legal_person"?: {...} | null, "licence"?: "..." | null}`. Raises `Refusal`."""
    document.allow(list(Paper))
    return {paper: _parse_paper(document, paper) for paper in Paper if paper in document.document}


def _parse_paper(document: Members, paper: Paper) -> Contact | LegalPerson | bytes | None:
    if document.document[paper] is None:
        return None
    if paper is Paper.LICENCE:
        return _picture(document, paper)
    members = document.inner(paper)
    if paper is Paper.CONTACT:
        members.allow(("name", "email", "phone"))
        return Contact(members.text("name", ""), members.text("email", ""), members.text("phone", ""))
    members.allow(("name", "id_type", "id_number", "picture"))
    picture = _picture(members, "picture") if "picture" in members.document else b""
    return LegalPerson(members.text("name"), members.text("id_type"), members.text("id_number"), picture)


def _picture(members: Members, name: str) -> bytes:
    try:
        return base64.b64decode(members.text(name), validate=True)
    except (ValueError, binascii.Error):
        raise Refusal(Reason.INVALID_ARGUMENT, "a picture is wanted, in base64", members.path_of(name)) from None


def papers_document(papers: Papers) -> dict[str, Any]:
    """Papers as `parse_papers` reads them."""
    person = papers.legal_person
    return {
        "contact": asdict(papers.contact) if papers.contact is not None else None,
        "legal_person": {**asdict(person), "picture": base64.b64encode(person.picture).decode()} if person else None,
        "licence": base64.b64encode(papers.licence).decode() if papers.licence is not None else None,
    }


def _reply(done: Written) -> Reply:
    (outcome,) = done.outcomes
    return reply_written(registrant_document(unpack_registrant(outcome.image)), done)
