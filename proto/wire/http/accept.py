"""What a client would rather have of what there is (RFC 9110 12.5.1)."""

import re
from collections.abc import Iterator
from typing import Final

_QUALITY: Final = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")
_ANYTHING: Final = "*/*"


def is_preferred(accepted: str, media_type: str, usual: str) -> bool:
    """Whether an Accept field asks for a media type instead of the usual one: it names it, and values the other no more.

    Media types in small letters. Of the ranges that hold one the narrowest decides. Parameters of media types are not looked
    at, and what is no media range, or has no weight that can be read, counts for nothing.
    """
    ranges = dict(_ranges(accepted))
    weight = ranges.get(media_type, 0)
    kind, _, _ = usual.partition("/")
    other = next((ranges[each] for each in (usual, f"{kind}/*", _ANYTHING) if each in ranges), 0)
    return 0 < weight >= other


def _ranges(accepted: str) -> Iterator[tuple[str, float]]:
    for element in accepted.split(","):
        name, *parameters = (part.strip().lower() for part in element.split(";"))
        weights = [value.strip() for key, _, value in (each.partition("=") for each in parameters) if key.strip() == "q"]
        if name.count("/") == 1 and all(map(_QUALITY.fullmatch, weights)):
            yield name, float(weights[0]) if weights else 1.0
