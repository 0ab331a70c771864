"""XML documents of EPP: read without trust, held against schemas of our own, and written.

EPP needs neither document types nor entities, so a document with either is refused before a parser sees it. That is decided on
bytes, which takes UTF-8: another encoding could hide what is looked for, and is refused too (RFC 5730 5 asks for UTF-8 or
UTF-16 to be read; everybody sends the former).
"""

from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from lxml import etree

from adapters.upstream.epp.core.malformed import Malformed

EPP: Final = "urn:ietf:params:xml:ns:epp-1.0"
ENT: Final = "urn:ietf:params:xml:ns:idis-ent-1.0"
PREFIX: Final = "urn:ietf:params:xml:ns:idis-entprefix-1.0"
STATISTICS: Final = "urn:x-biaojie:params:xml:ns:statistics-1.0"
"""A mapping of our own: no public one for daily figures is known. It is spoken only to who says that it knows it."""

# EPP itself is the default namespace: its elements have no prefix.
_SHORT: Final = {ENT: "ent", PREFIX: "prefix", STATISTICS: "statistics"}
_SCHEMA: Final = Path(__file__).parent.parent / "schema" / "all.xsd"

# What starts a document type or an entity. Nobody writes them as text: there they are escaped.
_FORBIDDEN: Final = (b"<!DOCTYPE", b"<!ENTITY")

Element = etree._Element

# The stubs do not know that the default namespace goes by None.
_NAMESPACES: Final[Any] = {None: EPP}


def parse_document(raw: bytes) -> Element:
    """The `epp` element of a document that keeps to the schemas. Raises `Malformed`."""
    for forbidden in _FORBIDDEN:
        if forbidden in raw:
            raise Malformed("a document type or an entity: EPP has none")
    try:
        raw.decode()
    except UnicodeDecodeError:
        raise Malformed("it is not UTF-8") from None
    # Entities stay as they are, nothing is fetched, and the library's own bounds on depth and size are kept.
    parser = etree.XMLParser(encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(raw, parser)
    except etree.XMLSyntaxError as error:
        raise Malformed(f"it is not XML: {error.msg}") from None
    try:
        _load_schema().assertValid(root)
    except etree.DocumentInvalid as error:
        raise Malformed(f"it is not what the schema says: {error}") from None
    return root


def compose_document(root: Element) -> bytes:
    """The bytes of a document."""
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True, standalone=False)


def make_root() -> Element:
    """An empty `epp` element."""
    return etree.Element(f"{{{EPP}}}epp", nsmap=_NAMESPACES)


def add(parent: Element, space: str, name: str, text: str = "") -> Element:
    """A new last child. Raises `Malformed` for characters that XML cannot have."""
    child = etree.SubElement(parent, f"{{{space}}}{name}", nsmap={_SHORT[space]: space} if space in _SHORT else None)
    if text:
        try:
            child.text = text
        except ValueError:
            raise Malformed(f"{name}: characters that XML cannot have") from None
    return child


def child_of(parent: Element, space: str, name: str) -> Element | None:
    """The first child of this name."""
    return parent.find(f"{{{space}}}{name}")


def text_of(parent: Element, space: str, name: str) -> str:
    """The text of a child, empty if there is no child."""
    child = child_of(parent, space, name)
    return (child.text or "").strip() if child is not None else ""


def name_of(element: Element) -> tuple[str, str]:
    """Namespace and local name of an element."""
    name = etree.QName(element)
    return name.namespace or "", name.localname


def elements_of(parent: Element) -> list[Element]:
    """Children without comments and processing instructions."""
    return [child for child in parent if isinstance(child.tag, str)]


@lru_cache(1)
def _load_schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(_SCHEMA)))
