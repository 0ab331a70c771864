"""JSON Schemas of papers."""

from typing import Final

from proto.model.papers import MAX_ID_TYPE_DIGITS, MAX_PAPER_TEXT_BYTES, MAX_PICTURE_BYTES, Paper
from registry.doors.rest.schema_parts import Schema, closed

_PICTURE: Final = {
    "type": "string",
    "contentEncoding": "base64",
    "description": f"JPEG, PNG or BMP of at most {MAX_PICTURE_BYTES} bytes.",
}
_TEXT: Final = {"type": "string", "maxLength": MAX_PAPER_TEXT_BYTES}
_ID_TYPE: Final = {
    "type": "string",
    "pattern": f"^[0-9]{{1,{MAX_ID_TYPE_DIGITS}}}$",
    "description": "The upstream's number of a kind of document.",
}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


PAPERS: Final = {
    Paper.CONTACT.value: _or_null(closed({}, {"name": _TEXT, "email": _TEXT, "phone": _TEXT}, "Whom to call.")),
    Paper.LEGAL_PERSON.value: _or_null(
        closed(
            {"name": _TEXT, "id_type": _ID_TYPE, "id_number": _TEXT},
            {"picture": {**_PICTURE, "description": f"{_PICTURE['description']} Empty: none."}},
            "Who answers for the enterprise.",
        )
    ),
    Paper.LICENCE.value: _or_null(_PICTURE),
}
"""The members of what is given and shown."""
