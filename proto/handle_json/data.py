"""The data of a value: `{"format", "value"}`.

Text is a `string`, anything else `base64`; `hex` is understood. HS_ADMIN, HS_VLIST, HS_SITE and HS_PUBKEY are taken
apart, but only if putting them together again gives the very same bytes: what we do not fully understand stays as it is.
"""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any, Final

from proto.errors import Refusal
from proto.handle_json.members import Members
from proto.handle_json.public_key import compose_key, render_key
from proto.handle_json.structured import (
    compose_admin_value,
    compose_site_value,
    compose_vlist_value,
    render_admin,
    render_site,
    render_vlist,
)

# Text with other control characters than tab and line ends is binary that happens to be valid UTF-8.
_NOT_TEXT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")

_MEMBERS: Final = frozenset({"format", "value"})

Render = Callable[[bytes], dict[str, Any] | list[dict[str, Any]] | None]
Compose = Callable[[Members], bytes]


def _compose_string(data: Members) -> bytes:
    return data.text("value").encode()


def _compose_base64(data: Members) -> bytes:
    try:
        return base64.b64decode(data.text("value"), validate=True)
    except (binascii.Error, ValueError):
        raise data.refuse("value", "it is not base64") from None


def _compose_hex(data: Members) -> bytes:
    try:
        return bytes.fromhex(data.text("value"))
    except ValueError:
        raise data.refuse("value", "it is not hexadecimal") from None


def _compose_key(data: Members) -> bytes:
    return compose_key(data.inner("value"))


# Composers read the member `value` of the data, whatever its kind.
_COMPOSERS: Final[dict[str, Compose]] = {
    "string": _compose_string,
    "base64": _compose_base64,
    "hex": _compose_hex,
    "admin": compose_admin_value,
    "vlist": compose_vlist_value,
    "site": compose_site_value,
    "key": _compose_key,
}
# By the type's name in capitals: the format, and how the bytes are taken apart: None, or a `Refusal`, if the composer of that
# format would not give the very same bytes again.
_STRUCTURED: Final[dict[str, tuple[str, Render]]] = {
    "HS_ADMIN": ("admin", render_admin),
    "HS_VLIST": ("vlist", render_vlist),
    "HS_SITE": ("site", render_site),
    "HS_SITE.PREFIX": ("site", render_site),
    "HS_SITE.6": ("site", render_site),
    "HS_PUBKEY": ("key", render_key),
}


def render_data(kind: str, data: bytes) -> dict[str, Any]:
    """The data of a value of type `kind`."""
    structured = _STRUCTURED.get(kind.upper())
    if structured is not None:
        document = _render_structured(*structured, data)
        if document is not None:
            return document
    text = text_of(data)
    return _render_base64(data) if text is None else {"format": "string", "value": text}


def is_structured(kind: str) -> bool:
    """Whether data of this type is taken apart, if it can be."""
    return kind.upper() in _STRUCTURED


def text_of(data: bytes) -> str | None:
    """Data that is shown as text; None if it is none."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() or not _NOT_TEXT.search(text) else None


def parse_data(value: Members) -> bytes:
    """The bytes of a value's `data`: an object with its format, or simply a string. Raises `Refusal(INVALID_VALUE)`."""
    if isinstance(value.document.get("data"), str):
        return value.text("data").encode()
    return parse_formatted(value.inner("data"))


def parse_formatted(data: Members) -> bytes:
    """The bytes of `{"format", "value"}`. Raises `Refusal`."""
    data.allow(_MEMBERS)
    composer = _COMPOSERS.get(data.text("format"))
    if composer is None:
        raise data.refuse("format", f"an unknown format; known are {', '.join(_COMPOSERS)}")
    return composer(data)


def _render_structured(name: str, render: Render, data: bytes) -> dict[str, Any] | None:
    try:
        taken_apart = render(data)
    except Refusal:
        return None
    return None if taken_apart is None else {"format": name, "value": taken_apart}


def _render_base64(data: bytes) -> dict[str, Any]:
    return {"format": "base64", "value": base64.b64encode(data).decode()}
