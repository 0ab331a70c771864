"""Papers of registrants, as messages. Pure."""

from proto.errors import Reason, Refusal
from proto.model.papers import Contact, LegalPerson, Paper, Papers
from proto.v1 import registry_pb2
from registry.doors.grpc.requests import expected_version
from registry.service.papers import Given


def papers_from(request: registry_pb2.ChangePapersRequest) -> tuple[str, Given, int | None]:
    """Whose papers become what, and from which version. Raises `Refusal(INVALID_ARGUMENT)`."""
    papers, given = request.papers, dict[Paper, Contact | LegalPerson | bytes | None]()
    for name in request.erase:
        if name not in list(Paper):
            raise Refusal(Reason.INVALID_ARGUMENT, f"papers are {', '.join(Paper)}", "erase")
        given[Paper(name)] = None
    for paper in Paper:
        if papers.HasField(paper.value) and paper in given:
            raise Refusal(Reason.INVALID_ARGUMENT, f"{paper} is given and erased", "erase")
    if papers.HasField("contact"):
        given[Paper.CONTACT] = Contact(papers.contact.name, papers.contact.email, papers.contact.phone)
    if papers.HasField("legal_person"):
        person = papers.legal_person
        given[Paper.LEGAL_PERSON] = LegalPerson(person.name, person.id_type, person.id_number, person.picture)
    if papers.HasField("licence"):
        given[Paper.LICENCE] = papers.licence
    return request.code, given, expected_version(request)


def papers_message(papers: Papers) -> registry_pb2.Papers:
    """Papers, opened."""
    contact, person = papers.contact, papers.legal_person
    return registry_pb2.Papers(
        contact=registry_pb2.Contact(name=contact.name, email=contact.email, phone=contact.phone) if contact else None,
        legal_person=registry_pb2.LegalPerson(
            name=person.name, id_type=person.id_type, id_number=person.id_number, picture=person.picture
        )
        if person
        else None,
        licence=papers.licence,
    )
