"""A registrant's papers as the mapping has them, and words of theirs kept out of what others say.

What an upstream says of a command is kept in the filing's history, in clear, for ever; and an upstream may well repeat what it
finds wrong. `hide` takes that out again.
"""

import base64
import binascii
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from adapters.upstream.epp.core.malformed import Malformed
from adapters.upstream.epp.core.objects import Contact, Image, LegalPerson
from adapters.upstream.epp.core.replies import Audit, Response
from proto.model.papers import Paper, picture_type

HIDDEN: Final = "…"


@dataclass(frozen=True, slots=True, repr=False)
class ToldPapers:
    """What an enterprise or its change holds of papers; None: nothing is told of it."""

    contact: Contact | None = None
    legal_person: LegalPerson | None = None
    licence: Image | None = None

    def only(self, names: Collection[str]) -> dict[str, Any]:
        """Some of them, by the names of an enterprise's members."""
        return {paper.value: found for paper in Paper if paper in names and (found := getattr(self, paper.value)) is not None}

    def hide(self, said: str) -> str:
        """What somebody said, without the words of these papers."""
        contact, person = self.contact or Contact(), self.legal_person or LegalPerson("", "", "")
        words = {contact.name, contact.email, contact.phone, person.name, person.id_number} - {""}
        for word in sorted(words, key=len, reverse=True):
            said = said.replace(word, HIDDEN)
        return said


NO_PAPERS: Final = ToldPapers()

Said = TypeVar("Said", Response, Audit)


def hide_in(said: Said, papers: ToldPapers | None) -> Said:
    """An answer without the words of these papers. Of papers that do not open (None) nobody can say whether it repeats them:
    then it is without its message."""
    return replace(said, message=papers.hide(said.message) if papers is not None else "")


def read_papers(document: Mapping[str, Any]) -> ToldPapers:
    """Papers from the registry's document of them. Raises `Malformed` for a picture that the mapping has no word for."""
    contact, person, licence = (document.get(paper) for paper in Paper)
    return ToldPapers(
        Contact(contact["name"], contact["email"], contact["phone"]) if contact else None,
        LegalPerson(person["name"], person["id_type"], person["id_number"], _image_of(person["picture"])) if person else None,
        _image_of(licence),
    )


def _image_of(encoded: str | None) -> Image | None:
    if not encoded:
        return None
    try:
        data = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise Malformed("a picture is not base64") from None
    kind = picture_type(data)
    if not kind:
        raise Malformed("a picture is neither jpeg nor png nor bmp")
    return Image(kind, data)
