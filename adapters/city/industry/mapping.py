"""What the industrial-internet platform gets: a product with its name, page, template and parameters.

Values whose data is a JSON object are the product's parameters, each object under the value's type; every other text value is
an attribute under its type. So a template of the registrant's own arrives as it is, without a line of configuration for it.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from adapters.city.core.selection import Document
from proto.model.feed import FeedKind

# Types that say who administers an identifier: nothing about the product.
_ADMINISTRATION: Final = "HS_"
_NAME: Final = "TITLE"
_PAGE: Final = "URL"


def map_noun(kind: FeedKind, noun: Document, shared: Sequence[Document]) -> dict[str, Any]:
    """The members of a product; prefixes and registrants have none."""
    if kind is not FeedKind.RECORD:
        return {}
    parameters: dict[str, Any] = {}
    attributes: dict[str, list[str]] = {}
    for value in shared:
        data = value["data"]["value"]
        if value["type"].startswith(_ADMINISTRATION) or not isinstance(data, str):
            continue
        found = _object(data)
        if found is not None:
            parameters.setdefault(value["type"], found)
        else:
            attributes.setdefault(value["type"], []).append(data)
    return {
        "manufacturer": noun["registrant"],
        "template": noun["template"],
        "name": next(iter(attributes.pop(_NAME, ())), ""),
        "page": next(iter(attributes.pop(_PAGE, ())), ""),
        "parameters": parameters,
        "attributes": attributes,
        "other_codes": list(noun["aliases"]),
    }


def _object(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
