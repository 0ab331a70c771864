"""The JSON Schema of what a system gets, made of the members of its profile. Pure.

It is what is handed to the people of that system, so it says what each member is about, with an example. Patterns are Python's,
written between `^(?:` and `)$`; those of codes read the same in JSON Schema.
"""

from typing import Any, Final

from adapters.city.core.members import UNFIT, Member
from adapters.city.core.profile import Profile
from proto.model.feed import FeedKind

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

# What is always sent of a record (`core.shape`). A record that the node does not know at all is removed as `unknown`.
_ALWAYS: Final[dict[str, dict[str, Any]]] = {
    "kind": {"const": str(FeedKind.RECORD)},
    "identifier": {"type": "string"},
    "version": {"type": "integer", "minimum": 1},
    "state": {"enum": ["active", "suspended", "retired", "unknown"]},
}
_ABOUT_UNFIT: Final = "members that the record has and that do not match their pattern"


def schema_of(profile: Profile) -> dict[str, Any]:
    """The schema of the `data` of its events. Raises `ValueError` if there is more to it than members of records."""
    if profile.shape.mapping is not None or not profile.shape.members or profile.selection.kinds != {FeedKind.RECORD}:
        raise ValueError("a schema is made of the members of records (shape.members); this profile has a shape of another kind")
    coded = [member.name for member in profile.shape.members if member.pattern is not None]
    unfit = {"type": "array", "items": {"enum": coded}, "minItems": 1, "description": _ABOUT_UNFIT}
    own = {member.name: _property(member) for member in profile.shape.members}
    return {
        "$schema": _DIALECT,
        "title": f"{profile.system}: data of an event",
        "type": "object",
        "properties": {**_ALWAYS, **own, **({UNFIT: unfit} if coded else {})},
        "required": list(_ALWAYS),
        "additionalProperties": False,
    }


def _property(member: Member) -> dict[str, Any]:
    # What stands at a path in JSON may be of any type, unless a pattern says that it is a text.
    is_text = member.pattern is not None or "#" not in member.source
    return {
        **({"type": "string"} if is_text else {}),
        **({"description": member.about} if member.about else {}),
        **({"pattern": f"^(?:{member.pattern.pattern})$"} if member.pattern is not None else {}),
        **({"examples": [member.example]} if member.example else {}),
    }
