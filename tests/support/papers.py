"""Papers with words in them that must be found nowhere else."""

import base64
from pathlib import Path
from typing import Any

from proto.model.papers import Contact, LegalPerson

KEY = bytes(range(32))
OTHER_KEY = bytes(range(32, 64))

# Each is long and rare enough that nothing else holds it.
NAME, EMAIL, PHONE = "马克某人甲", "mark-the-contact@papers.example", "13900017462"
PERSON, ID_NUMBER = "法人某人乙", "41100019700101746X"
SCAN, ID_SCAN = b"scan-of-the-licence-7462", b"scan-of-the-passport-7462"
LICENCE = b"\x89PNG\r\n\x1a\n" + SCAN * 50
ID_PICTURE = b"\xff\xd8\xff\xe0" + ID_SCAN * 50

CONTACT = Contact(NAME, EMAIL, PHONE)
LEGAL_PERSON = LegalPerson(PERSON, "1", ID_NUMBER, ID_PICTURE)

DOCUMENT: dict[str, Any] = {
    "contact": {"name": NAME, "email": EMAIL, "phone": PHONE},
    "legal_person": {
        "name": PERSON, "id_type": "1", "id_number": ID_NUMBER, "picture": base64.b64encode(ID_PICTURE).decode(),
    },
    "licence": base64.b64encode(LICENCE).decode(),
}  # fmt: skip


def marks() -> set[bytes]:
    """What nobody may find: the words in UTF-8 and as JSON may escape them, the pictures as they are and in base64."""
    words = (NAME, EMAIL, PHONE, PERSON, ID_NUMBER)
    plain = {word.encode() for word in words} | {word.encode("unicode-escape") for word in words}
    inside = {base64.b64encode(picture)[40:80] for picture in (LICENCE, ID_PICTURE)}
    return plain | {SCAN, ID_SCAN} | inside


def found_in(raw: bytes) -> set[bytes]:
    """The marks that stand in some bytes."""
    return {mark for mark in marks() if mark in raw}


def found_below(folder: Path) -> dict[str, set[bytes]]:
    """The marks that stand in files below a folder, by file."""
    files = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
    return {name: found for name, file in files.items() if (found := found_in(file.read_bytes()))}
