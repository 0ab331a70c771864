"""Values as JSON: the form of the Handle JSON API (Handle.Net Technical Manual 14.8), which our own REST shares.

`render_value` and `parse_value` are exact opposites: every value that can be stored survives the way out and back.
`render_packed` gives the text that a packed value's document has.
"""

from proto.handle_json.data import parse_formatted, render_data
from proto.handle_json.members import Members
from proto.handle_json.packed import compose_compact, compose_string, render_packed
from proto.handle_json.value import parse_value, parse_values, render_owned_value, render_value

__all__ = [
    "Members",
    "compose_compact",
    "compose_string",
    "parse_formatted",
    "parse_value",
    "parse_values",
    "render_data",
    "render_owned_value",
    "render_packed",
    "render_value",
]
