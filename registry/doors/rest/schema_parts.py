"""What the JSON Schemas of the door are made of: the commonest kinds of members, and the objects around them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from proto.limits import MAX_IDENTIFIER_BYTES
from registry.service.plan import Outcome

Schema = Mapping[str, Any]

TEXT: Final[Schema] = {"type": "string"}
FLAG: Final[Schema] = {"type": "boolean"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
VERSION: Final[Schema] = {"type": "integer", "minimum": 1, "description": "Counts the writes to it, from 1."}
POSITION: Final[Schema] = {"type": "string", "description": "A cursor: reads with `after` from here on show the write."}
IDENTIFIER: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": MAX_IDENTIFIER_BYTES}


def ref(name: str) -> Schema:
    """A component, by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def choice(names: Sequence[str]) -> Schema:
    """One of these words."""
    return {"type": "string", "enum": list(names)}


def items(of: Schema, limit: int | None = None) -> Schema:
    """A list."""
    return {"type": "array", "items": of, **({"maxItems": limit} if limit is not None else {})}


def closed(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None, about: str = "") -> Schema:
    """An object with just these members."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
        **({"description": about} if about else {}),
    }


def page_schema(name: str, schema: str) -> Schema:
    """A page of a listing."""
    return closed(
        {name: items(ref(schema))}, {"cursor": {**TEXT, "description": "The `after` of the next page, if there is one."}}
    )


def written_schema(schema: Schema) -> Schema:
    """What a write answers: the thing itself, what became of it, and where that stands."""
    common = {"outcome": choice([Outcome.CREATED, Outcome.REPLACED, Outcome.UNCHANGED]), "position": POSITION}
    return {
        **schema,
        "properties": {**schema["properties"], **common},
        "required": [*schema["required"], *common],
    }


STAMPS: Final = {"version": VERSION, "created": TIME, "changed": TIME}
