# cython: language_level=3, binding=True, embedsignature=False
"""`adapters.city.core.event`, compiled: what is told of a record that is sent whole, but for what is not shared."""

from cpython.dict cimport PyDict_Copy, PyDict_DelItem, PyDict_Update

from hashlib import sha256

from orjson import JSONEncodeError, dumps

from adapters.city.core.selection import Interest, Share
from proto.compiled import pure
from proto.model.feed import FeedKind
from proto.model.record import State
from proto.model.value import PRIVATE, PUBLIC

cdef str _PURE = "adapters.city.core.event"
cdef str _RECORD = str(FeedKind.RECORD.value)
cdef str _ACTIVE = State.ACTIVE.name.lower()
cdef str _CHANGED = f"biaojie.{FeedKind.RECORD}.{Interest.CHANGED}"
cdef str _PUBLIC = PUBLIC, _PRIVATE = PRIVATE
cdef str _UNCONDITIONAL = str(Share.UNCONDITIONAL.value)
cdef str _CONDITIONAL = str(Share.CONDITIONAL.value)
cdef str _NONE = str(Share.NONE.value)

cdef enum:
    ID_CHARS = 32


def event_of(row not None, selection not None, shape not None, str repair not None=""):
    """As `adapters.city.core.event.event_of`."""
    if type(row) is dict and not shape.fields and not shape.members and shape.mapping is None:
        try:
            if (<dict> row)["kind"] == _RECORD:
                interest = Interest.CHANGED if _is_changed(<dict> row, selection) else selection.judge(row)
                if interest is Interest.NONE:
                    return None
                if interest is Interest.CHANGED:
                    return _compose(<dict> row, selection.share, repair)
        except (KeyError, TypeError, AttributeError, JSONEncodeError):
            pass  # of whatever is unusual, plain Python says what it comes to
    return pure(_PURE, "event_of")(row, selection, shape, repair)


cdef bint _is_changed(dict row, selection) except -1:
    """Whether it is certain that this is told: nothing is selected by, but kind and share class."""
    cdef dict noun
    if (
        selection.prefixes or selection.registrants or selection.templates or selection.types or selection.states
        or _RECORD not in selection.kinds
    ):
        return False
    noun = _noun_of(row)
    if noun["state"] != _ACTIVE:
        return True
    for value in _values_of(noun):
        if _share_of(value) in selection.share:
            return True
    return False


cdef dict _noun_of(dict row):
    noun = row[_RECORD]
    if type(noun) is not dict or type((<dict> noun)["identifier"]) is not str or "registrant" not in <dict> noun:
        raise TypeError
    return <dict> noun


cdef list _values_of(dict noun):
    values = noun["values"]
    if type(values) is not list:
        raise TypeError
    return <list> values


cdef str _share_of(value):
    if type(value) is not dict:
        raise TypeError
    audience = (<dict> value).get("audience", _PRIVATE)
    if type(audience) is not str:
        raise TypeError
    return _UNCONDITIONAL if audience == _PUBLIC else _NONE if audience == _PRIVATE else _CONDITIONAL


cdef object _compose(dict row, share, str repair):
    cdef dict noun = _noun_of(row), document = {"kind": _RECORD}, told
    cdef list values = []
    cdef bytes rendered, head
    cdef str digest
    for value in _values_of(noun):
        name = _share_of(value)
        if name in share:
            values.append(_render_value(<dict> value, name))
    PyDict_Update(document, noun)
    del document["values"]  # they come last
    document["values"] = values
    version, subject = noun["version"], noun["identifier"]
    rendered = dumps(document)
    head = dumps([_CHANGED, subject, version, repair] if repair else [_CHANGED, subject, version])
    digest = sha256(head + rendered).hexdigest()[:ID_CHARS]
    told = {
        "id": digest,
        "type": _CHANGED,
        "subject": subject,
        "time": noun["changed"],
        "rowversion": version,
        "datacontenttype": "application/json",
    }
    head = dumps(told)
    return _event()(digest, (row["kind"], row["name"]), version, b"".join((b",", head[1:-1], b',"data":', rendered, b"}")))


cdef dict _render_value(dict value, str share):
    cdef dict document = PyDict_Copy(value)
    document["share"] = share
    if "audience" in document:
        PyDict_DelItem(document, "audience")
    if "permissions" in document:
        PyDict_DelItem(document, "permissions")
    return document


cdef object _made = None


cdef object _event():
    """`Event`, of the module that cannot be imported before this one."""
    global _made
    if _made is None:
        from adapters.city.core.event import Event
        _made = Event
    return _made
