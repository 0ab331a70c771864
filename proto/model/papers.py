"""Papers of a registrant: whom to call, who answers for it, and the picture of its business licence (营业执照).

They are data about people. Nobody but who files them needs them, so the store and all that is read from it hold a reference
alone; what a reference stands for is sealed (`registry.service.sealing`). None of these values shows itself in logs.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

# Two pictures, in base64, have to fit into one command to the upstream, which is 2 MiB at most; scans of a page are 300 KiB.
MAX_PICTURE_BYTES: Final = 700 * 1024

# Of one text: an e-mail address has 254 characters at most (RFC 5321 4.5.3.1), names and numbers of documents some dozens.
MAX_PAPER_TEXT_BYTES: Final = 255

PICTURES: Final = {"jpeg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n", "bmp": b"BM"}
"""The kinds of pictures that the upstream's mapping names, and how their files begin."""

# A number, as the mapping has it; which of its six kinds of documents each number is, is not public.
MAX_ID_TYPE_DIGITS: Final = 4


class Paper(StrEnum):
    """One paper: kept, changed and erased as a whole."""

    CONTACT = "contact"
    LEGAL_PERSON = "legal_person"
    LICENCE = "licence"


@dataclass(frozen=True, slots=True, repr=False)
class Contact:
    """Whom to call."""

    name: str = ""
    email: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class LegalPerson:
    """Who answers for an enterprise: `id_type` is the number of a kind of document, `picture` an image of it or nothing."""

    name: str
    id_type: str
    id_number: str
    picture: bytes = b""


@dataclass(frozen=True, slots=True, repr=False)
class Papers:
    """All papers of a registrant; None where there is none."""

    contact: Contact | None = None
    legal_person: LegalPerson | None = None
    licence: bytes | None = None

    def put(self, paper: Paper, what: Contact | LegalPerson | bytes) -> "Papers":
        """These with one of them changed."""
        changed: dict[str, Any] = {paper.value: what}
        return replace(self, **changed)


def picture_type(picture: bytes) -> str:
    """`jpeg`, `png` or `bmp`, by how it begins; empty for anything else."""
    return next((kind for kind, start in PICTURES.items() if picture.startswith(start)), "")
